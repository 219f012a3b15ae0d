// Tables for the tests of this folder: built from a map into a string, opened from a string.
#ifndef TINYOBS_TESTS_SSTABLE_SAMPLE_TABLES_H_
#define TINYOBS_TESTS_SSTABLE_SAMPLE_TABLES_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/coding.h"
#include "lib/sstable/key_order.h"
#include "lib/sstable/table_options.h"
#include "lib/sstable/table_reader.h"
#include "lib/sstable/table_writer.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/string_file.h"

namespace tinyobs::sstable {

using testing::StringSink;
using testing::StringSource;

struct KeyLess {
  size_t trailer_bytes = 8;
  bool operator()(const std::string& a, const std::string& b) const {
    return CompareKeys(a, b, trailer_bytes) < 0;
  }
};
using Entries = std::map<std::string, std::string, KeyLess>;

// A key of a table with 8 trailer bytes. A smaller trailer sorts first.
inline std::string Key(std::string_view user_key, uint64_t trailer = 1) {
  std::string key(user_key);
  PutBigEndian64(&key, trailer);
  return key;
}

// The bytes of a table with these entries.
inline std::string BuildTable(const TableOptions& options, const Entries& entries,
                              TableProperties* properties = nullptr) {
  std::string bytes;
  StringSink sink(&bytes);
  TableWriter writer(options, "built.sst", &sink);
  for (const auto& [key, value] : entries) EXPECT_OK(writer.Add(key, value));
  const auto finished = writer.Finish();
  EXPECT_OK(finished);
  EXPECT_EQ(writer.FileSizeBytes(), bytes.size());
  if (finished.ok() && properties != nullptr) *properties = *finished;
  return bytes;
}

inline absl::StatusOr<std::unique_ptr<TableReader>> OpenTable(
    std::string bytes, const TableReaderOptions& options = {},
    std::atomic<uint64_t>* reads = nullptr) {
  return TableReader::Open(options, "test.sst",
                           std::make_unique<StringSource>(std::move(bytes), reads));
}

// Keys of different lengths over a small alphabet, so that prefixes, extensions and several
// versions of one key are common; values from empty to a few hundred bytes, some compressible.
inline Entries RandomEntries(std::mt19937_64& random, size_t count, size_t trailer_bytes) {
  Entries entries(KeyLess{trailer_bytes});
  while (entries.size() < count) {
    std::string key;
    for (uint64_t i = random() % 12; i > 0; --i) key.push_back("ab\x00\xff"[random() % 4]);
    if (trailer_bytes == 8) {
      PutBigEndian64(&key, random() % 4);
    } else {
      PutVarint64(&key, random() % 5000);
    }
    std::string value(random() % 300, static_cast<char>(random()));
    if (random() % 2 == 0) {
      for (char& c : value) c = static_cast<char>(random());
    }
    entries[key] = value;
  }
  return entries;
}

}  // namespace tinyobs::sstable

#endif  // TINYOBS_TESTS_SSTABLE_SAMPLE_TABLES_H_
