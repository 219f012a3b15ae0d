// What the store in tests/golden/v1/lsm holds and how it came to be, for the test that opens it and
// the program that wrote it once. Plain steps: nothing here may change.
//
// A store whose process was killed: tables in L0 and below, of three partitions, with tombstones
// and overwritten keys, and a log with marks and records that are in no table.
#ifndef TINYOBS_TESTS_LSM_GOLDEN_STORE_H_
#define TINYOBS_TESTS_LSM_GOLDEN_STORE_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "lib/base/status_macros.h"
#include "lib/lsm/store.h"

namespace tinyobs::lsm {

using GoldenContent = std::map<std::string, std::string>;

// Bytes that no compression makes smaller, so that the files do not depend on Snappy's choices.
inline std::string GoldenValue(uint64_t seed) {
  std::string value;
  uint64_t state = seed * 2654435761 + 1;
  for (uint64_t i = 0; i < 40 + seed % 50; ++i) {
    state = state * 6364136223846793005 + 1442695040888963407;
    value.push_back(static_cast<char>(state >> 56));
  }
  return value;
}

inline std::string GoldenKey(uint64_t i) {
  return std::string(1, static_cast<char>('a' + i % 3)) + "/series/" + std::to_string(i * 37 % 100);
}

inline StoreOptions GoldenOptions(FileSystem* file_system) {
  StoreOptions options;
  options.file_system = file_system;
  options.background_threads = false;
  options.sync_policy = SyncPolicy::kAlways;
  options.block_bytes = 512;
  options.block_restart_interval = 4;
  options.filter_prefix_bytes = 2;
  options.table_bytes = 2000;
  options.partition_of = [](std::string_view key) { return key.substr(0, 1); };
  return options;
}

// Makes the store in `folder`, which must be empty, and leaves it as a kill does. `content` gets
// what it holds.
inline absl::Status WriteGoldenStore(FileSystem* file_system, const std::string& folder,
                                     GoldenContent* content) {
  TINYOBS_ASSIGN_OR_RETURN(const std::unique_ptr<Store> store,
                           Store::Open(folder, GoldenOptions(file_system)));
  const auto write = [&](uint64_t first, uint64_t count, uint64_t seed, uint64_t delete_each) {
    WriteBatch batch;
    for (uint64_t i = first; i < first + count; ++i) {
      const std::string key = GoldenKey(i);
      if (delete_each > 0 && i % delete_each == 0) {
        batch.Delete(key);
        content->erase(key);
      } else {
        const std::string value = GoldenValue(i + seed);
        batch.Put(key, value);
        (*content)[key] = value;
      }
    }
    return store->Write({}, batch);
  };
  // Below L0.
  TINYOBS_RETURN_IF_ERROR(write(0, 90, 0, 0));
  TINYOBS_RETURN_IF_ERROR(store->CompactRange("", ""));
  // L0, twice over the same keys.
  TINYOBS_RETURN_IF_ERROR(write(10, 30, 1000, 5));
  TINYOBS_RETURN_IF_ERROR(store->Flush());
  TINYOBS_RETURN_IF_ERROR(write(20, 30, 2000, 4));
  TINYOBS_RETURN_IF_ERROR(store->Flush());
  // The log: each write is synced, so a mark stands before all but the first.
  for (uint64_t i = 0; i < 6; ++i) {
    TINYOBS_RETURN_IF_ERROR(write(45 + 5 * i, 3 + i, 3000, 7));
  }
  return absl::OkStatus();  // no Close
}

}  // namespace tinyobs::lsm

#endif  // TINYOBS_TESTS_LSM_GOLDEN_STORE_H_
