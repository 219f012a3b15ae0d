// What the tables in tests/golden/v1/sstable hold, for the test that reads them and the program
// that wrote them once. Plain loops: nothing here may change.
#ifndef TINYOBS_TESTS_SSTABLE_GOLDEN_TABLES_H_
#define TINYOBS_TESTS_SSTABLE_GOLDEN_TABLES_H_

#include <string>
#include <vector>

#include "tests/sstable/sample_tables.h"

namespace tinyobs::sstable {

struct GoldenTable {
  std::string file_name;
  TableOptions options;
  Entries entries;
};

inline std::vector<GoldenTable> GoldenTables() {
  Entries versions;  // 8 trailer bytes, some keys in several versions
  for (int i = 0; i < 60; ++i) {
    const std::string user_key = "series/" + std::to_string(i * 7919 % 1000) + "/chunk";
    for (uint64_t version = 0; version <= static_cast<uint64_t>(i % 3); ++version) {
      versions[Key(user_key, ~(version << 8 | 1))] =
          std::string(static_cast<size_t>(i), static_cast<char>('a' + i % 26)) + user_key;
    }
  }
  Entries plain(KeyLess{0});  // no trailers, bytes of every value
  for (int i = 0; i < 200; ++i) {
    const std::string byte(1, static_cast<char>(i * 37));
    plain[byte + std::to_string(i)] = std::string(static_cast<size_t>(i % 50), byte[0]);
  }
  return {
      {"plain.sst",
       {.block_bytes = 512, .block_restart_interval = 4, .compression = Compression::kNone},
       versions},
      {"snappy.sst", {.block_bytes = 512}, versions},
      {"no_trailers.sst",
       {.block_bytes = 1024,
        .filter_bits_per_key = 0,
        .trailer_bytes = 0,
        .compression = Compression::kNone},
       plain},
      {"empty.sst", {}, Entries()},
      // The worked example of FORMAT.md.
      {"example.sst", {}, {{Key("cpu/a", 2), "1.5"}, {Key("cpu/b", 1), "22"}}},
  };
}

}  // namespace tinyobs::sstable

#endif  // TINYOBS_TESTS_SSTABLE_GOLDEN_TABLES_H_
