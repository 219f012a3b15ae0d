// Goal: an errand runs on the thread that leads, one that takes long does not hold up the loop, and
// the threads change places as often as it takes without losing anything. Method: errands that wait
// for a test's word, callbacks posted to the loop; nothing waits for time.
#include "tools/serve/io_loop.h"

#include <atomic>
#include <future>
#include <memory>
#include <set>
#include <thread>
#include <utility>

#include "gtest/gtest.h"

namespace tinyobs::serve {
namespace {

struct Story {
  std::promise<void> begun;
  std::promise<void> go_on;
  std::promise<void> long_known;
  std::promise<void> finished;
  std::thread::id ran_on;
  std::thread::id finished_on;
};

class TestErrand : public Errand {
 public:
  TestErrand(Story* story, bool waits) : story_(story), waits_(waits) {}
  void Run() override {
    story_->ran_on = std::this_thread::get_id();
    story_->begun.set_value();
    if (waits_) story_->go_on.get_future().wait();
  }
  void TakesLong() override { story_->long_known.set_value(); }
  void Finish() override {
    story_->finished_on = std::this_thread::get_id();
    story_->finished.set_value();
  }

 private:
  Story* const story_;
  const bool waits_;
};

class IoLoopTest : public testing::Test {
 protected:
  IoLoopTest() { loop_.Start(); }
  ~IoLoopTest() override { loop_.Stop(); }

  // On the leader, which is returned.
  template <typename Action>
  std::thread::id OnLoop(Action action) {
    std::promise<std::thread::id> leader;
    boost::asio::post(loop_.context, [&] {
      action();
      leader.set_value(std::this_thread::get_id());
    });
    return leader.get_future().get();
  }
  bool TryRun(Story* story, bool waits) {
    bool taken = false;
    OnLoop([&] {
      std::unique_ptr<Errand> errand = std::make_unique<TestErrand>(story, waits);
      taken = loop_.TryRun(&errand);
      EXPECT_EQ(errand == nullptr, taken);
    });
    return taken;
  }
  // There may be nobody to look again yet.
  void Run(Story* story, bool waits) {
    while (!TryRun(story, waits)) std::this_thread::yield();
  }

  IoLoop loop_;
};

TEST_F(IoLoopTest, ShortErrandsRunOnOneOfTheLoopsTwoThreads) {
  std::set<std::thread::id> threads;
  for (int i = 0; i < 1000; ++i) {
    Story story;
    Run(&story, /*waits=*/false);
    story.finished.get_future().wait();
    threads.insert(story.ran_on);
  }
  EXPECT_LE(threads.size(), 2u);
}

TEST_F(IoLoopTest, AnErrandThatTakesLongLosesTheLeadAndIsFinishedByTheNextLeader) {
  for (int i = 0; i < 50; ++i) {
    Story story;
    Run(&story, /*waits=*/true);
    story.begun.get_future().wait();
    story.long_known.get_future().wait();
    const std::thread::id leader = OnLoop([] {});
    EXPECT_NE(leader, story.ran_on);
    Story second;
    EXPECT_FALSE(TryRun(&second, /*waits=*/false)) << "an errand while nobody looks";
    story.go_on.set_value();
    story.finished.get_future().wait();
    EXPECT_EQ(story.finished_on, leader);
    // Who ran it looks now: errands are taken again.
    Run(&second, /*waits=*/false);
    second.finished.get_future().wait();
  }
}

TEST_F(IoLoopTest, ASleepingLoopWakesForAnErrand) {
  Story first;
  Run(&first, /*waits=*/false);
  first.finished.get_future().wait();
  while (!loop_.sleeps()) std::this_thread::yield();
  Story story;
  Run(&story, /*waits=*/true);
  story.long_known.get_future().wait();
  story.go_on.set_value();
  story.finished.get_future().wait();
}

TEST(IoLoop, StopWaitsForAnErrand) {
  auto loop = std::make_unique<IoLoop>();
  loop->Start();
  Story story;
  for (bool taken = false; !taken;) {
    std::promise<bool> answer;
    boost::asio::post(loop->context, [&] {
      std::unique_ptr<Errand> errand = std::make_unique<TestErrand>(&story, true);
      answer.set_value(loop->TryRun(&errand));
    });
    taken = answer.get_future().get();
  }
  story.begun.get_future().wait();
  std::atomic<bool> stopped{false};
  std::thread stopper([&] {
    loop->Stop();
    stopped = true;
  });
  EXPECT_FALSE(stopped);
  story.go_on.set_value();
  stopper.join();
}

}  // namespace
}  // namespace tinyobs::serve
