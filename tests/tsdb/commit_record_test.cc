// Records of the head log: what a writer writes comes back to the bit, record by record of a
// segment, and hostile bytes are refused without harm. The writer here keeps states as the head
// does: absolute at first, deltas then, late samples apart.
#include "lib/tsdb/commit_record.h"

#include <bit>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::tsdb {
namespace {

std::string FromHex(std::string_view hex) {
  std::string bytes;
  std::string digits;
  for (const char c : hex) {
    if (c == ' ') continue;
    digits.push_back(c);
    if (digits.size() < 2) continue;
    bytes.push_back(static_cast<char>(std::stoi(digits, nullptr, 16)));
    digits.clear();
  }
  return bytes;
}

// One segment's writer.
class Segment {
 public:
  std::string Record(const SampleBatch& batch, size_t expected_count) {
    std::string record;
    BeginCommit({}, {}, &record);
    SampleSectionWriter writer(&record);
    writer.Begin(expected_count);
    for (size_t i = 0; i < batch.size(); ++i) {
      Put(&writer, batch.refs[i], batch.timestamps_ms[i], batch.values[i]);
    }
    writer.Finish();
    return record;
  }

 private:
  void Put(SampleSectionWriter* writer, SeriesRef ref, int64_t t, double v) {
    const auto [found, is_new] = states_.try_emplace(ref);
    DeltaState& state = found->second;
    if (is_new) {
      StartDelta(&state, t, v, kNoExponent);
      writer->Absolute(ref, t, v, state, /*late=*/false);
    } else if (t <= state.last_ms) {
      writer->Absolute(ref, t, v, state, /*late=*/true);
    } else {
      char code[kMaxDeltaBytes];
      const size_t bytes = EncodeDelta(&state, t, v, code);
      writer->Delta(ref, code, bytes);
    }
  }

  std::map<SeriesRef, DeltaState> states_;
};

void ExpectSame(const SampleBatch& a, const SampleBatch& b) {
  EXPECT_EQ(a.refs, b.refs);
  EXPECT_EQ(a.timestamps_ms, b.timestamps_ms);
  ASSERT_EQ(a.size(), b.size());
  ASSERT_EQ(a.size(), b.values.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(std::bit_cast<uint64_t>(a.values[i]), std::bit_cast<uint64_t>(b.values[i])) << i;
  }
}

SampleBatch RandomBatch(std::mt19937_64* random, size_t count) {
  SampleBatch batch;
  SeriesRef ref = 0;
  for (size_t i = 0; i < count; ++i) {
    ref = (*random)() % 20 == 0 ? static_cast<SeriesRef>((*random)() & kMaxSeriesRef)
                                : (ref + static_cast<SeriesRef>((*random)() % 3)) & 0xff;
    const int64_t jitter = static_cast<int64_t>((*random)() % 100'000) - 20'000;
    const double value = (*random)() % 4 == 0 ? std::bit_cast<double>((*random)())
                                              : FromDecimal(int64_t((*random)() % 5000), 1);
    batch.Add(ref, int64_t(i) * 1000 + jitter, value);
  }
  return batch;
}

TEST(CommitRecord, TheExampleOfTheFormatHoldsToTheByte) {
  std::string record;
  const NewSeries up{0, SeriesId{1} << 32, std::string("\x08__name__\x02up")};
  BeginCommit({&up, 1}, {}, &record);
  SampleBatch samples;
  samples.Add(0, 1000, 1);
  samples.Add(0, 1015, 1);
  samples.Add(0, 1030, 0.5);
  samples.Add(0, 1045, 0.7);
  samples.Add(0, 1010, 3);
  Segment segment;
  record += segment.Record(samples, samples.size()).substr(3);  // behind kind and two counts
  EXPECT_EQ(record, FromHex("02"
                            "01 00 8080808010 0c 08 5f5f6e616d655f5f 02 7570"
                            "00"
                            "01 d00f 00 02 00"
                            "02 03 1e"
                            "02 00 000000000000e03f"
                            "02 0a"
                            "03 14 11 3c"));
  CommitDecoder decoder;
  DecodedCommit commit;
  ASSERT_OK(decoder.Decode(record, &commit));
  ExpectSame(commit.samples, samples);
  ASSERT_EQ(commit.new_series.size(), 1u);
  EXPECT_EQ(commit.new_series[0].id, up.id);
  EXPECT_EQ(commit.new_series[0].canonical_labels, up.canonical_labels);
}

TEST(CommitRecord, SeriesAndMetadataComeBack) {
  const std::vector<NewSeries> series = {{3, SeriesId{7} << 32 | 9, "labels"},
                                         {kMaxSeriesRef, UINT64_MAX, ""}};
  const std::vector<NamedMetadata> metadata = {{"cpu", {"counter", "Help.", "s"}}, {"", {}}};
  std::string record;
  BeginCommit(series, metadata, &record);
  CommitDecoder decoder;
  DecodedCommit commit;
  commit.samples.Add(1, 1, 1);  // left from another record
  ASSERT_OK(decoder.Decode(record, &commit));
  ASSERT_EQ(commit.new_series.size(), 2u);
  EXPECT_EQ(commit.new_series[1].ref, kMaxSeriesRef);
  EXPECT_EQ(commit.new_series[1].id, UINT64_MAX);
  EXPECT_EQ(commit.new_series[0].canonical_labels, "labels");
  ASSERT_EQ(commit.metadata.size(), 2u);
  EXPECT_EQ(commit.metadata[0].metric, "cpu");
  EXPECT_EQ(commit.metadata[0].metadata, metadata[0].metadata);
  EXPECT_TRUE(commit.samples.empty());
}

TEST(CommitRecord, RecordsOfASegmentComeBackToTheBit) {
  std::mt19937_64 random(1);
  CommitDecoder decoder;
  DecodedCommit commit;
  for (int round = 0; round < 3; ++round) {
    Segment segment;
    decoder.Reset();
    for (int i = 0; i < 30; ++i) {
      const SampleBatch batch = RandomBatch(&random, random() % 500);
      // What is expected may be wrong either way.
      ASSERT_OK(decoder.Decode(segment.Record(batch, random() % 300), &commit));
      ExpectSame(commit.samples, batch);
    }
  }
}

TEST(CommitRecord, AScrapeInOrderTakesTwoBytesASampleWhenNothingChanges) {
  SampleBatch scrape;
  for (SeriesRef ref = 0; ref < 1000; ++ref) scrape.Add(ref, 0, ref);
  Segment segment;
  size_t bytes = 0;
  for (int round = 0; round < 3; ++round) {
    scrape.timestamps_ms.assign(1000, round * 15'000);
    bytes = segment.Record(scrape, 1000).size();
  }
  EXPECT_EQ(bytes, 3 + 2 * 1000u);
}

TEST(CommitRecord, LateSamplesDoNotDisturbTheirSeries) {
  SampleBatch batch;
  batch.Add(7, 1000, 1);
  batch.Add(7, 2000, 2);
  batch.Add(7, 500, M_PI);  // late
  batch.Add(7, 3000, 3);    // regular
  batch.Add(7, 3000, 4);    // again
  batch.Add(7, 4000, 5);
  Segment segment;
  CommitDecoder decoder;
  DecodedCommit commit;
  ASSERT_OK(decoder.Decode(segment.Record(batch, 6), &commit));
  ExpectSame(commit.samples, batch);
}

TEST(CommitRecord, AnAbandonedSectionLeavesTheRecordAsItWas) {
  std::string record;
  BeginCommit({}, {}, &record);
  SampleSectionWriter writer(&record);
  writer.Begin(10);
  writer.Absolute(1, 1, 1, {1, 1, 0, 0}, false);
  writer.Abandon();
  EXPECT_EQ(record, FromHex("02 00 00"));
  writer.Begin(10);
  writer.Finish();
  EXPECT_EQ(record, FromHex("02 00 00"));
}

TEST(CommitRecord, ADeltaNeedsItsSeriesInTheSameSegment) {
  SampleBatch batch;
  batch.Add(7, 1000, 1);
  Segment segment;
  const std::string first = segment.Record(batch, 1);
  batch.timestamps_ms[0] = 2000;
  const std::string second = segment.Record(batch, 1);
  CommitDecoder decoder;
  DecodedCommit commit;
  EXPECT_CODE(decoder.Decode(second, &commit), absl::StatusCode::kDataLoss);
  ASSERT_OK(decoder.Decode(first, &commit));
  ASSERT_OK(decoder.Decode(second, &commit));
  decoder.Reset();
  EXPECT_CODE(decoder.Decode(second, &commit), absl::StatusCode::kDataLoss);
  // A neighbour of the same page, and a late sample of the series itself, are not enough.
  SampleBatch neighbour;
  neighbour.Add(6, 1000, 1);
  Segment other;
  ASSERT_OK(decoder.Decode(other.Record(neighbour, 1), &commit));
  EXPECT_CODE(decoder.Decode(second, &commit), absl::StatusCode::kDataLoss);
  decoder.Reset();
  ASSERT_OK(decoder.Decode(FromHex("02 00 00 1d 02 10 02"), &commit));
  EXPECT_EQ(commit.samples.refs, std::vector<SeriesRef>{7});
  EXPECT_CODE(decoder.Decode(second, &commit), absl::StatusCode::kDataLoss);
}

TEST(CommitRecord, DamagedAndHostileRecordsAreRefused) {
  CommitDecoder decoder;
  DecodedCommit commit;
  const auto code = [&](std::string_view hex) {
    decoder.Reset();
    return decoder.Decode(FromHex(hex), &commit).code();
  };
  EXPECT_EQ(code("02 00 00"), absl::StatusCode::kOk);
  EXPECT_EQ(code("03 00 00"), absl::StatusCode::kFailedPrecondition);
  const char* const bad[] = {
      "",
      "02",
      "02 ffffffff0f 00",                       // so many series
      "02 00 ffffffff0f",                       // so much metadata
      "02 02 05 00 00 05 00 00 00",             // series do not ascend
      "02 01 8080808008 00 00 00",              // ref beyond the largest
      "02 00 00 07 02 00 02 00",                // ref -2
      "02 00 00 fdffffff3f 02 00 02 00",        // ref beyond the largest
      "02 00 00 01 02 20 02 00",                // mark of no exponent
      "02 00 00 01 02 00 8080808080808008 00",  // integer beyond the limit
      "02 00 00 01 02 00 02 8080808008",        // step of 2^31
      "02 00 00 01 02 0f 000000000000f0",       // seven bytes of eight
      "02 00 00 01 02",
      "02 00 00 01 02 00 02",
  };
  for (const char* const hex : bad) EXPECT_EQ(code(hex), absl::StatusCode::kDataLoss) << hex;
}

TEST(CommitRecord, CutAndFlippedRecordsDoNoHarm) {
  std::mt19937_64 random(2);
  Segment segment;
  const SampleBatch batch = RandomBatch(&random, 60);
  const std::string record = segment.Record(batch, 60);
  CommitDecoder decoder;
  DecodedCommit commit;
  for (size_t i = 0; i < record.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = record;
      flipped[i] = static_cast<char>(flipped[i] ^ 1 << bit);
      decoder.Reset();
      decoder.Decode(flipped, &commit).IgnoreError();
      EXPECT_EQ(commit.samples.refs.size(), commit.samples.values.size());
    }
    decoder.Reset();
    const std::vector<char> exact(record.begin(), record.begin() + static_cast<ptrdiff_t>(i));
    decoder.Decode({exact.data(), exact.size()}, &commit).IgnoreError();
    EXPECT_LE(commit.samples.size(), batch.size());
  }
}

}  // namespace
}  // namespace tinyobs::tsdb
