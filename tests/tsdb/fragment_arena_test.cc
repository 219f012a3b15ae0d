// The fragment arena: chains keep what was put into them, freed ones are used again, and memory
// goes back when a slab is empty.
#include "lib/tsdb/fragment_arena.h"

#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace tinyobs::tsdb {
namespace {

constexpr size_t kSlabFragments = 8192;

uint32_t AddChain(FragmentArena* arena, int length, char fill) {
  uint32_t newest = 0;
  for (int i = 0; i < length; ++i) {
    newest = arena->Add(newest);
    std::memset(arena->Payload(newest), fill + i, FragmentArena::kPayloadBytes);
  }
  return newest;
}

bool Holds(const FragmentArena& arena, uint32_t newest, int length, char fill) {
  for (int i = length - 1; i >= 0; --i, newest = arena.Previous(newest)) {
    if (newest == 0) return false;
    const std::string expected(FragmentArena::kPayloadBytes, static_cast<char>(fill + i));
    if (std::memcmp(arena.Payload(newest), expected.data(), expected.size()) != 0) return false;
  }
  return newest == 0;
}

TEST(FragmentArena, ChainsKeepTheirBytesWhileOthersComeAndGo) {
  FragmentArena arena;
  struct Chain {
    uint32_t newest;
    int length;
    char fill;
  };
  std::deque<Chain> chains;
  std::mt19937 random(1);
  for (int i = 0; i < 30000; ++i) {
    const Chain chain{0, static_cast<int>(random() % 6), static_cast<char>('a' + i % 20)};
    chains.push_back(chain);
    chains.back().newest = AddChain(&arena, chain.length, chain.fill);
    if (random() % 8 < 1 || (i > 15000 && !chains.empty())) {
      std::vector<uint32_t> gone;
      for (size_t n = 1 + random() % 4; n > 0 && !chains.empty(); --n) {
        std::swap(chains[random() % chains.size()], chains.front());
        const Chain& chain = chains.front();
        ASSERT_TRUE(Holds(arena, chain.newest, chain.length, chain.fill));
        gone.push_back(chain.newest);
        chains.pop_front();
      }
      arena.FreeChains(gone);
    }
  }
  for (const Chain& chain : chains) {
    ASSERT_TRUE(Holds(arena, chain.newest, chain.length, chain.fill));
  }
}

TEST(FragmentArena, NoFragmentIsNumberZero) {
  FragmentArena arena;
  for (size_t i = 0; i < 2 * kSlabFragments; ++i) ASSERT_NE(arena.Add(0), 0u);
}

TEST(FragmentArena, FreedFragmentsAreUsedBeforeNewMemory) {
  FragmentArena arena;
  std::vector<uint32_t> fragments;
  for (size_t i = 0; i < 3 * kSlabFragments; ++i) fragments.push_back(arena.Add(0));
  const size_t bytes = arena.MemoryBytes();
  for (int round = 0; round < 10; ++round) {
    for (size_t i = round; i < fragments.size(); i += 2) arena.FreeChains({&fragments[i], 1});
    for (size_t i = round; i < fragments.size(); i += 2) fragments[i] = arena.Add(0);
  }
  EXPECT_EQ(arena.MemoryBytes(), bytes);
}

TEST(FragmentArena, EmptySlabsGiveTheirMemoryBackAndCanComeAgain) {
  FragmentArena arena;
  const uint32_t kept = AddChain(&arena, 3, 'k');
  for (int round = 0; round < 3; ++round) {
    std::vector<uint32_t> fragments;
    for (size_t i = 0; i < 10 * kSlabFragments; ++i) fragments.push_back(arena.Add(0));
    const size_t full = arena.MemoryBytes();
    EXPECT_GE(full, 10 * kSlabFragments * 32);
    EXPECT_LE(full, 12 * kSlabFragments * 32);
    arena.FreeChains(fragments);
    EXPECT_LE(arena.MemoryBytes(), full / 4);
  }
  EXPECT_TRUE(Holds(arena, kept, 3, 'k'));
}

}  // namespace
}  // namespace tinyobs::tsdb
