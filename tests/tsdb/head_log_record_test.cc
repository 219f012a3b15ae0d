// Records of the head log: whatever is encoded comes back to the bit, and hostile bytes are refused
// without harm.
#include "lib/tsdb/head_log_record.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::tsdb {
namespace {

void ExpectSame(const CommitRecord& a, const CommitRecord& b) {
  ASSERT_EQ(a.new_series.size(), b.new_series.size());
  for (size_t i = 0; i < a.new_series.size(); ++i) {
    EXPECT_EQ(a.new_series[i].ref, b.new_series[i].ref);
    EXPECT_EQ(a.new_series[i].id, b.new_series[i].id);
    EXPECT_EQ(a.new_series[i].canonical_labels, b.new_series[i].canonical_labels);
  }
  ASSERT_EQ(a.metadata.size(), b.metadata.size());
  for (size_t i = 0; i < a.metadata.size(); ++i) {
    EXPECT_EQ(a.metadata[i].metric, b.metadata[i].metric);
    EXPECT_EQ(a.metadata[i].metadata, b.metadata[i].metadata);
  }
  ASSERT_EQ(a.samples.size(), b.samples.size());
  for (size_t i = 0; i < a.samples.size(); ++i) {
    EXPECT_EQ(a.samples[i].ref, b.samples[i].ref);
    EXPECT_EQ(a.samples[i].timestamp_ms, b.samples[i].timestamp_ms);
    EXPECT_EQ(std::bit_cast<uint64_t>(a.samples[i].value),
              std::bit_cast<uint64_t>(b.samples[i].value))
        << i;
  }
}

std::string Encoded(const CommitRecord& record) {
  std::string bytes;
  EncodeCommit(record, &bytes);
  return bytes;
}

TEST(HeadLogRecord, EverythingComesBackToTheBit) {
  CommitRecord record;
  record.new_series = {{3, SeriesId{7} << 32 | 9, "labels"}, {kMaxSeriesRef, UINT64_MAX, ""}};
  record.metadata = {{"cpu", {"counter", "Help.", "s"}}, {"", {}}};
  const int64_t times[] = {0, -1, 1, INT64_MAX, INT64_MIN, 1'700'000'000'000, INT64_MAX};
  const double values[] = {0.0,
                           -0.0,
                           1,
                           -1,
                           0.1,
                           9007199254740992.0,
                           -9007199254740992.0,
                           9007199254740994.0,
                           1e300,
                           std::numeric_limits<double>::denorm_min(),
                           std::numeric_limits<double>::infinity(),
                           std::bit_cast<double>(uint64_t{0x7ff0000000000002}),
                           std::bit_cast<double>(uint64_t{0xfff8000000000123}),
                           0.5,
                           0.5};
  for (const SeriesRef ref : {SeriesRef{0}, SeriesRef{1}, kMaxSeriesRef, SeriesRef{0}}) {
    for (const int64_t time : times) {
      for (const double value : values) record.samples.push_back({ref, time, value});
    }
  }
  CommitRecord decoded;
  ASSERT_OK(DecodeCommit(Encoded(record), &decoded));
  ExpectSame(record, decoded);
}

TEST(HeadLogRecord, RandomBitPatternsComeBack) {
  std::mt19937_64 random(1);
  CommitRecord record;
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t bits = random() & (UINT64_MAX << (random() % 64));
    record.samples.push_back({static_cast<SeriesRef>(random() & kMaxSeriesRef),
                              static_cast<int64_t>(random()), std::bit_cast<double>(bits)});
  }
  CommitRecord decoded;
  ASSERT_OK(DecodeCommit(Encoded(record), &decoded));
  ExpectSame(record, decoded);
}

TEST(HeadLogRecord, AScrapeOfCountersTakesFewBytes) {
  CommitRecord record;
  for (SeriesRef ref = 0; ref < 1000; ++ref) {
    record.samples.push_back({ref, 1'700'000'000'000, static_cast<double>(ref * 1000)});
  }
  EXPECT_LE(Encoded(record).size(), 5200u);
}

// FORMAT.md shows these bytes.
TEST(HeadLogRecord, TheWorkedExampleIsWhatWeWrite) {
  CommitRecord record;
  record.new_series = {{0, SeriesId{1} << 32, std::string("\x08__name__\x02up", 12)}};
  record.samples = {{0, 1000, 1}, {0, 1015, 1}, {0, 1030, 0.5}};
  const std::string expected(
      "\x01"
      "\x01\x00\x80\x80\x80\x80\x10\x0c\x08__name__\x02up"
      "\x00"
      "\x03"
      "\x05\xd0\x0f\x02"
      "\x07\x1e"
      "\x06\x1e\xbf\xc0\x03",
      34);
  EXPECT_EQ(Encoded(record), expected) << ::testing::PrintToString(Encoded(record));
}

TEST(HeadLogRecord, EveryPrefixAndEveryExtraByteIsDataLoss) {
  CommitRecord record;
  record.new_series = {{3, 4, "labels"}};
  record.metadata = {{"cpu", {"counter", "Help.", "s"}}};
  record.samples = {{3, 1'700'000'000'000, 0.1}, {9, 5, 7}};
  const std::string bytes = Encoded(record);
  CommitRecord decoded;
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_CODE(DecodeCommit(bytes.substr(0, size), &decoded), absl::StatusCode::kDataLoss);
    EXPECT_TRUE(decoded.samples.empty());
  }
  EXPECT_CODE(DecodeCommit(bytes + '\0', &decoded), absl::StatusCode::kDataLoss);
}

TEST(HeadLogRecord, ANewerKindIsRefusedAsNewer) {
  CommitRecord decoded;
  EXPECT_CODE(DecodeCommit("\x02", &decoded), absl::StatusCode::kFailedPrecondition);
}

TEST(HeadLogRecord, HugeCountsAllocateNothing) {
  CommitRecord decoded;
  const std::string counts[] = {std::string("\x01\xff\xff\xff\xff\xff\xff\x7f", 8),
                                std::string("\x01\0\xff\xff\xff\xff\x7f", 7),
                                std::string("\x01\0\0\xff\xff\xff\xff\x7f", 8)};
  for (const std::string& bytes : counts) {
    EXPECT_CODE(DecodeCommit(bytes, &decoded), absl::StatusCode::kDataLoss);
    EXPECT_LT(decoded.new_series.capacity() + decoded.metadata.capacity(), 10u);
  }
}

}  // namespace
}  // namespace tinyobs::tsdb
