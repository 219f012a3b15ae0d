// Goal: never more threads inside than there are turns, and nobody is forgotten. Method: many
// threads that count who is inside.
#include "tools/serve/turns.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace tinyobs::serve {
namespace {

TEST(Turns, OnlySoManyAtOnceAndEverybodyInTheEnd) {
  Turns turns(2);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 100; ++round) {
        const Turns::Turn turn(&turns);
        const int now = ++inside;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        std::this_thread::yield();
        --inside;
        ++done;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, 2);
  EXPECT_EQ(done, 800);
}

TEST(Turns, TwoEnterTogether) {
  Turns turns(2);
  const Turns::Turn first(&turns);
  const Turns::Turn second(&turns);  // would hang with one
  const Turns::Turn none(nullptr);
}

}  // namespace
}  // namespace tinyobs::serve
