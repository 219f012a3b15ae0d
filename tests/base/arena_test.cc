#include "lib/base/arena.h"

#include <cstdint>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace tinyobs {
namespace {

TEST(Arena, PiecesAreAlignedDistinctAndKeepTheirBytes) {
  Arena arena;
  std::mt19937_64 random(3);
  std::vector<std::pair<char*, size_t>> pieces;
  size_t total = 0;
  for (int i = 0; i < 5000; ++i) {
    // Mostly small, sometimes larger than a block.
    const size_t bytes = random() % 500 == 0 ? 100'000 : 1 + random() % 200;
    const size_t alignment = size_t{1} << random() % 5;
    char* const piece = arena.Allocate(bytes, alignment);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(piece) % alignment, 0u);
    std::memset(piece, i & 0xff, bytes);
    pieces.emplace_back(piece, bytes);
    total += bytes;
  }
  for (size_t i = 0; i < pieces.size(); ++i) {
    for (size_t byte = 0; byte < pieces[i].second; ++byte) {
      ASSERT_EQ(static_cast<unsigned char>(pieces[i].first[byte]), i & 0xff);
    }
  }
  EXPECT_GE(arena.MemoryUsageBytes(), total);
  EXPECT_LT(arena.MemoryUsageBytes(), total + total / 4) << "little is wasted";
}

TEST(Arena, AnEmptyArenaCostsNothing) {
  Arena arena;
  EXPECT_EQ(arena.MemoryUsageBytes(), 0u);
  arena.Allocate(1);
  EXPECT_GE(arena.MemoryUsageBytes(), Arena::kBlockBytes);
}

}  // namespace
}  // namespace tinyobs
