// Snapshots of the index: what is loaded is what was written, and hostile bytes are DataLoss, with
// the index left as it was. Records are also put together by hand, behind right checksums.
#include "lib/tsdb/series_snapshot.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/coding.h"
#include "lib/base/strings.h"
#include "lib/lsm/wal_writer.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::tsdb {
namespace {

constexpr uint64_t kNumber = 12;
constexpr char kPath[] = "000012.series";

void Fill(SeriesIndex* index, int count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<SeriesRef> removed;
  for (int i = 0; i < count; ++i) {
    const Labels labels =
        Labels::Of(StrCat("m", random() % 5),
                   {{"i", std::to_string(i)}, {"x", random() % 2 ? "1" : ""}, {"job", "j"}});
    const SeriesRef ref = index->next_ref() + (random() % 10 == 0 ? random() % 300 : 0);
    index->Add(ref, index->NewSeriesId(labels.metric(), ref), labels.canonical_bytes());
    if (random() % 5 == 0) removed.push_back(ref);
  }
  index->Remove(removed);
}

void ExpectEqual(const SeriesIndex& a, const SeriesIndex& b) {
  const std::vector<SeriesRef> refs = a.Match({}).refs;
  ASSERT_EQ(b.Match({}).refs, refs);
  for (const SeriesRef ref : refs) {
    ASSERT_EQ(a.IdOf(ref), b.IdOf(ref));
    const Labels labels = a.LabelsOf(ref);
    ASSERT_EQ(b.LabelsOf(ref), labels);
    ASSERT_EQ(b.Find(labels.canonical_bytes(), b.KeyOf(labels.canonical_bytes())), ref);
  }
  EXPECT_EQ(a.LabelNames(), b.LabelNames());
  EXPECT_EQ(a.LabelValues("i"), b.LabelValues("i"));
  const std::vector<Matcher> matchers = {Matcher::Equal("x", "1"), Matcher::Metric("m3")};
  EXPECT_EQ(a.Match(matchers).refs, b.Match(matchers).refs);
}

TEST(SeriesSnapshot, LoadsWhatWasWritten) {
  testing::MemoryFileSystem fs;
  SeriesIndex index(7);
  Fill(&index, 10'000, 1);
  ASSERT_OK(WriteSeriesSnapshot(&fs, kPath, kNumber, index, index.next_ref()));
  SeriesIndex loaded(7);
  SeriesRef end = 0;
  ASSERT_OK(ReadSeriesSnapshot(&fs, kPath, kNumber, &loaded, &end));
  EXPECT_EQ(end, index.next_ref());
  ExpectEqual(index, loaded);
  EXPECT_LE(loaded.MemoryBytes(), index.MemoryBytes() * 21 / 20);
  // It goes on as the index would have.
  EXPECT_EQ(loaded.series_end(), index.series_end());
  EXPECT_EQ(loaded.NewSeriesId("m3", 1 << 20), index.NewSeriesId("m3", 1 << 20));
  EXPECT_EQ(loaded.NewSeriesId("new", 1 << 20) >> 32, index.NewSeriesId("new", 1 << 20) >> 32);
}

TEST(SeriesSnapshot, IsDurableUnderItsNameOrNotThereAtAll) {
  SeriesIndex index(7);
  Fill(&index, 100, 2);
  for (uint64_t changes = 0;; ++changes) {
    testing::MemoryFileSystem fs;
    fs.PowerCutAfter(changes);
    const bool written = WriteSeriesSnapshot(&fs, kPath, kNumber, index, index.next_ref()).ok();
    fs.Crash({});
    SeriesIndex loaded(7);
    SeriesRef end = 0;
    const absl::Status read = ReadSeriesSnapshot(&fs, kPath, kNumber, &loaded, &end);
    if (!read.ok()) {
      EXPECT_CODE(read, absl::StatusCode::kNotFound);
      EXPECT_FALSE(written);
    } else {
      ExpectEqual(index, loaded);
    }
    if (written) break;
    ASSERT_LT(changes, 100u);
  }
}

// What the caller has no row of yet, it leaves out.
TEST(SeriesSnapshot, EndsWhereItIsTold) {
  testing::MemoryFileSystem fs;
  SeriesIndex index(7);
  for (SeriesRef ref = 0; ref < 9000; ++ref) {
    index.Add(ref, index.NewSeriesId("m", ref),
              Labels::Of("m", {{"i", std::to_string(ref)}}).canonical_bytes());
  }
  ASSERT_OK(WriteSeriesSnapshot(&fs, kPath, kNumber, index, 5000));
  SeriesIndex loaded(7);
  SeriesRef end = 0;
  ASSERT_OK(ReadSeriesSnapshot(&fs, kPath, kNumber, &loaded, &end));
  EXPECT_EQ(end, 5000u);
  EXPECT_EQ(loaded.size(), 5000u);
  EXPECT_EQ(loaded.series_end(), 5000u);
  EXPECT_EQ(loaded.LabelValues("i").size(), 5000u);
}

TEST(SeriesSnapshot, AnyByteChangedIsDataLossAndTheIndexStays) {
  testing::MemoryFileSystem fs;
  SeriesIndex index(7);
  Fill(&index, 20, 3);
  ASSERT_OK(WriteSeriesSnapshot(&fs, kPath, kNumber, index, index.next_ref()));
  const std::string good = *fs.Contents(kPath);
  SeriesIndex loaded(7);
  Fill(&loaded, 5, 4);
  const uint64_t before = loaded.size();
  SeriesRef end = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x11);
    ASSERT_OK(fs.SetContents(kPath, bad));
    const absl::Status status = ReadSeriesSnapshot(&fs, kPath, kNumber, &loaded, &end);
    ASSERT_TRUE(absl::IsDataLoss(status) || absl::IsFailedPrecondition(status)) << at << status;
    ASSERT_EQ(loaded.size(), before);
  }
  for (size_t bytes = 0; bytes < good.size(); ++bytes) {
    ASSERT_OK(fs.SetContents(kPath, good.substr(0, bytes)));
    ASSERT_CODE(ReadSeriesSnapshot(&fs, kPath, kNumber, &loaded, &end),
                absl::StatusCode::kDataLoss);
  }
}

class HandMade : public ::testing::Test {
 protected:
  absl::Status Read(const std::vector<std::string>& records) {
    testing::MemoryFileSystem fs;
    auto writer = lsm::WalWriter::Create(&fs, kPath, {kWalKindSeries, kNumber, 0});
    for (const std::string& record : records) (*writer)->Add(record);
    EXPECT_OK((*writer)->Seal());
    EXPECT_OK((*writer)->Sync());
    EXPECT_OK((*writer)->Close());
    SeriesRef end = 0;
    return ReadSeriesSnapshot(&fs, kPath, kNumber, &index_, &end);
  }
  static std::string Pairs(
      std::initializer_list<std::pair<std::string_view, std::string_view>> all) {
    std::string record = "\x01";
    for (const auto& [name, value] : all) {
      PutLengthPrefixed(&record, name);
      PutLengthPrefixed(&record, value);
    }
    return record;
  }
  static std::string Numbers(char kind, std::initializer_list<uint64_t> numbers) {
    std::string record(1, kind);
    for (const uint64_t number : numbers) PutVarint64(&record, number);
    return record;
  }
  static std::string Series(std::initializer_list<uint64_t> numbers) { return Numbers(2, numbers); }
  static std::string End(uint64_t series, uint64_t pairs, uint64_t end) {
    return Numbers(3, {series, pairs, end});
  }

  SeriesIndex index_{7};
};

TEST_F(HandMade, TheFormatIsAsItsDocumentSays) {
  const std::string pairs = Pairs({{"__name__", "up"}, {"job", "a"}, {"job", "b"}});
  ASSERT_OK(Read({pairs, Series({5, 1, 0, 2, 0, 1, /**/ 3, 1, 0, 2, 0, 2}), End(2, 3, 20)}));
  EXPECT_EQ(index_.Match({}).refs, (std::vector<SeriesRef>{5, 9}));
  EXPECT_EQ(index_.LabelsOf(9), Labels::Of("up", {{"job", "b"}}));
  EXPECT_EQ(index_.IdOf(9), SeriesId{1} << 32 | 9);
  // An id whose number is not the ref: the series was idle once.
  ASSERT_OK(Read({pairs, Series({5, 7, UINT32_MAX, 2, 0, 1}), End(1, 3, 6)}));
  EXPECT_EQ(index_.IdOf(5), SeriesId{7} << 32 | 4);
  ASSERT_OK(Read({End(0, 0, 0)}));
  EXPECT_EQ(index_.size(), 0u);
}

TEST_F(HandMade, SoundFramesOfUnsoundSeriesAreDataLoss) {
  const std::string pairs = Pairs({{"__name__", "up"}, {"job", "a"}, {"job", "b"}});
  const std::vector<std::vector<std::string>> all = {
      {},
      {pairs},
      {""},
      {"\x09"},
      {End(0, 0, 0), pairs},
      {End(0, 0, 0), End(0, 0, 0)},
      {pairs, End(0, 2, 0)},
      {pairs, End(1, 3, 9)},
      {pairs, End(0, 3, 0) + "x"},
      {pairs, End(0, 3, uint64_t{kMaxSeriesRef} + 2)},
      {pairs, Pairs({{"job", "a"}}), End(0, 4, 0)},                   // twice
      {Pairs({{"job", ""}}), End(0, 1, 0)},                           // not canonical
      {Pairs({{"", "a"}}), End(0, 1, 0)},                             //
      {Pairs({{"job", "\xff"}}), End(0, 1, 0)},                       // not UTF-8
      {Pairs({{"job", "a"}}) + "\x05" + "ab", End(0, 1, 0)},          // cut
      {pairs, Series({5, 1, 0, 2, 0, 3}), End(1, 3, 6)},              // no such pair
      {pairs, Series({5, 1, 0, 2, 1, 0}), End(1, 3, 6)},              // order
      {pairs, Series({5, 1, 0, 2, 0, 0}), End(1, 3, 6)},              // twice
      {pairs, Series({5, 1, 0, 3, 0, 1, 2}), End(1, 3, 6)},           // two of a name
      {pairs, Series({5, 1, 0, 1, 1}), End(1, 3, 6)},                 // no metric
      {pairs, Series({5, 1, 0, 0}), End(1, 3, 6)},                    // no labels
      {pairs, Series({5, 1, 0, 2000, 0, 1}), End(1, 3, 6)},           // too many
      {pairs, Series({5, 1, 0, 2, 0}), End(1, 3, 6)},                 // cut
      {pairs, Series({5, 1, 0, 1, 0, 0, 1, 0, 1, 0}), End(2, 3, 9)},  // labels twice
      {pairs, Series({kMaxSeriesRef, 1, 0, 1, 0, 0, 1, 0, 2, 0, 1}), End(2, 3, kMaxSeriesRef)},
      {pairs, Series({UINT64_MAX, 1, 0, 1, 0}), End(1, 3, 6)},         // not a ref
      {pairs, Series({5, uint64_t{1} << 33, 0, 1, 0}), End(1, 3, 6)},  // not an id
      {pairs, Series({5, 1, 0, 1, 0}), End(1, 3, 5)},                  // behind the end
      {Series({5, 1, 0, 1, 0}), End(1, 0, 6)},                         // before its pairs
  };
  const Labels before = Labels::Of("before");
  index_.Add(3, 3, before.canonical_bytes());
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_CODE(Read(all[i]), absl::StatusCode::kDataLoss) << i;
    EXPECT_EQ(index_.LabelsOf(3), before);
  }
}

}  // namespace
}  // namespace tinyobs::tsdb
