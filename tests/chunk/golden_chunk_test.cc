// Chunks of format version 1 as they were written once: today's decoder must read the same samples
// out of them, today's encoder must write the same bytes.
//
// tests/golden/v1/chunks has NAME.samples (text, independent of the generators of today) and
// NAME.chunk. A deliberate change of the encoder's choices within version 1 drops the second half
// for the chunks concerned, never the first.
#include <fstream>
#include <iterator>
#include <string>

#include "gtest/gtest.h"
#include "lib/chunk/chunk.h"
#include "tests/chunk/sample_generators.h"

namespace tinyobs::chunk {
namespace {

std::string ReadFile(const std::string& name) {
  std::ifstream file("tests/golden/v1/chunks/" + name, std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class GoldenChunk : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenChunk, DecodesToTheSameSamples) {
  const Columns expected = FromText(ReadFile(GetParam() + ".samples"));
  ASSERT_FALSE(expected.empty());
  Columns decoded;
  const absl::Status status = Decode(ReadFile(GetParam() + ".chunk"), &decoded);
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_TRUE(SameSamples(decoded, expected)) << ToText(decoded);
}

TEST_P(GoldenChunk, IsWrittenWithTheSameBytes) {
  const Columns columns = FromText(ReadFile(GetParam() + ".samples"));
  std::string chunk;
  Encoder().Encode(columns.timestamps_ms, columns.values, &chunk);
  EXPECT_EQ(chunk, ReadFile(GetParam() + ".chunk"));
}

INSTANTIATE_TEST_SUITE_P(Version1, GoldenChunk,
                         ::testing::Values("int_counter", "jittered_times", "cpu_seconds",
                                           "one_decimal_walk", "pages_of_bytes", "rarely_changing",
                                           "constant", "resets_and_stale", "full_precision",
                                           "specials", "decimals_with_specials", "multiples_of",
                                           "parabola", "irregular_times", "gaps_in_regular_times",
                                           "extreme_times", "one_sample", "int_counter_long",
                                           "jittered_times_long", "multiples_of_long"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace tinyobs::chunk
