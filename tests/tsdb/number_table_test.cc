// NumberTable against a plain map, with hashes that collide and lie close together, so that runs of
// slots grow, wrap around the end and are closed again by erasing.
#include "lib/tsdb/number_table.h"

#include <map>
#include <random>

#include "gtest/gtest.h"

namespace tinyobs::tsdb {
namespace {

TEST(NumberTable, HoldsWhatAMapHoldsWhateverTheHashes) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    NumberTable table;
    std::map<uint32_t, uint32_t> model;  // number -> hash
    if (seed % 3 == 0) table.Reserve(100);
    uint32_t next = 0;
    for (int step = 0; step < 3000; ++step) {
      if (random() % 5 < (model.size() < 150 ? 4 : 1)) {
        // Few hashes, at both ends of the range.
        const uint32_t hash = (random() % 8) * 0x01000000 - 0x04000000;
        table.Insert(hash, next);
        model.emplace(next++, hash);
      } else if (!model.empty()) {
        auto at = model.lower_bound(random() % next);
        if (at == model.end()) at = model.begin();
        table.Erase(at->second, at->first);
        table.Erase(at->second, at->first);  // no effect
        model.erase(at);
      }
      if (step % 50 != 0) continue;
      for (uint32_t number = 0; number < next; ++number) {
        const auto at = model.find(number);
        const uint32_t hash = at == model.end() ? 0 : at->second;
        const uint32_t found = table.Find(hash, [&](uint32_t n) { return n == number; });
        ASSERT_EQ(found, at == model.end() ? NumberTable::kNone : number);
      }
    }
  }
}

TEST(NumberTable, CostsFewBytesAnEntry) {
  std::mt19937 random(1);
  NumberTable table;
  for (uint32_t i = 1; i <= 100'000; ++i) {
    table.Insert(random(), i);
    if (i > 1000) {
      ASSERT_LE(table.MemoryBytes(), i * 17u);
    }
  }
}

}  // namespace
}  // namespace tinyobs::tsdb
