// Tables of format version 1 as they were written once: today's reader must read the same entries
// out of them, today's writer must write the same bytes.
#include <fstream>
#include <iterator>
#include <string>

#include "gtest/gtest.h"
#include "tests/sstable/golden_tables.h"

namespace tinyobs::sstable {
namespace {

std::string ReadFile(const std::string& name) {
  std::ifstream file("tests/golden/v1/sstable/" + name, std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class TableGolden : public ::testing::TestWithParam<GoldenTable> {};

TEST_P(TableGolden, HoldsTheSameEntries) {
  const GoldenTable& golden = GetParam();
  ASSERT_OK_AND_ASSIGN(const auto table, OpenTable(ReadFile(golden.file_name)));
  ASSERT_OK(table->Verify());
  const auto iterator = table->NewIterator({});
  auto at = golden.entries.begin();
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next(), ++at) {
    ASSERT_NE(at, golden.entries.end());
    EXPECT_EQ(iterator->key(), at->first);
    EXPECT_EQ(iterator->value(), at->second);
  }
  ASSERT_OK(iterator->status());
  EXPECT_EQ(at, golden.entries.end());
  for (const auto& [key, value] : golden.entries) {
    FoundEntry found;
    EXPECT_TRUE(table->Get({}, key, &found).value());
    EXPECT_EQ(found.value, value);
  }
}

TEST_P(TableGolden, IsWrittenWithTheSameBytes) {
  const GoldenTable& golden = GetParam();
  if (golden.options.compression == Compression::kSnappy && golden.entries.size() > 2) {
    GTEST_SKIP() << "the bytes of compressed blocks are Snappy's to choose";
  }
  EXPECT_EQ(BuildTable(golden.options, golden.entries), ReadFile(golden.file_name));
}

INSTANTIATE_TEST_SUITE_P(Version1, TableGolden, ::testing::ValuesIn(GoldenTables()),
                         [](const auto& info) {
                           return info.param.file_name.substr(0, info.param.file_name.find('.'));
                         });

}  // namespace
}  // namespace tinyobs::sstable
