// Rows of windows of format version 1 as they were written once: today's reader must read the same
// windows out of them, today's writer must write the same bytes; and the example of FORMAT.md.
//
// tests/golden/v1/windows has NAME.windows (text) and NAME.row. A deliberate change of the writer's
// choices within version 1 drops the second half for the rows concerned, never the first.
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/chunk/aggregate.h"
#include "lib/chunk/window.h"
#include "tests/chunk/window_text.h"
#include "tinyobs/sample.h"

namespace tinyobs::chunk {
namespace {

using namespace std::string_literals;

constexpr int64_t kWidthMs = 300'000;

std::string ReadFile(const std::string& name) {
  std::ifstream file("tests/golden/v1/windows/" + name, std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class GoldenRow : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenRow, DecodesToTheSameWindows) {
  const std::vector<Window> expected = WindowsFromText(ReadFile(GetParam() + ".windows"));
  ASSERT_FALSE(expected.empty());
  std::vector<Window> decoded;
  const absl::Status status = DecodeWindows(ReadFile(GetParam() + ".row"), kWidthMs, &decoded);
  ASSERT_TRUE(status.ok()) << status.ToString();
  ASSERT_EQ(decoded.size(), expected.size());
  for (size_t i = 0; i < decoded.size(); ++i) {
    EXPECT_TRUE(SameWindow(decoded[i], expected[i])) << WindowsToText({&decoded[i], 1});
  }
}

TEST_P(GoldenRow, IsWrittenWithTheSameBytes) {
  std::string row;
  EncodeWindows(WindowsFromText(ReadFile(GetParam() + ".windows")), kWidthMs, &row);
  EXPECT_EQ(row, ReadFile(GetParam() + ".row"));
}

INSTANTIATE_TEST_SUITE_P(Version1, GoldenRow,
                         ::testing::Values("int_counter", "one_decimal_walk", "pages_of_bytes",
                                           "constant", "resets_and_stale", "full_precision",
                                           "specials", "decimals_with_specials", "mixed_exponents",
                                           "irregular_times", "one_window"),
                         [](const auto& info) { return info.param; });

TEST(WorkedExample, OfTheFormatPage) {
  Columns columns;
  for (int i = 0; i < 60; ++i) {
    columns.Add(1'700'000'100'000 + i * 15'000, (i < 50 ? 1000 + i * i : (i - 50) * 30) / 10.0);
  }
  WindowAggregator aggregator;
  aggregator.Begin(0, INT64_MAX, kWidthMs);
  aggregator.AddSamples(columns.timestamps_ms, columns.values);
  const std::vector<Window>& windows = aggregator.Finish();
  const std::string expected =
      "\x11\x03\xd6\xdd\xb3\x05\xef\x07\x0a\x08\x09\x02\x04\x08\x08\x09\x05"
      "\x00\x0c\x00\x9c\x04\x43\xb4\x8c\x00\x00"
      "\x00\x0a\x02\x4e\x1f\x03\x00\x05"
      "\x41\xdb\x1c\xe7\x11\x01\x00\x00\x04"
      "\x30\x26"
      "\x30\x90\xe5\x22"
      "\x00\x09\x00\x00\x00\x00\x38\x04"
      "\x00\x0a\x00\x00\x00\x00\x10\x32"
      "\x01\x0b\x00\x00\x00\x00\x80\xeb\x01"
      "\x00\x01\x00\x00\x04"s;
  std::string row;
  EncodeWindows(windows, kWidthMs, &row);
  EXPECT_EQ(row, expected);
  EXPECT_EQ(row.size(), 80u);
  std::vector<Window> decoded;
  ASSERT_TRUE(DecodeWindows(row, kWidthMs, &decoded).ok());
  EXPECT_EQ(decoded[2].increase, 107.1);
  EXPECT_EQ(decoded[2].lost.value, 340.1);
}

}  // namespace
}  // namespace tinyobs::chunk
