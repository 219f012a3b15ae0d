// One record of the head log: everything one commit brings, as bytes.
//
// A record is what makes a batch all or nothing: it is framed and checksummed as a whole by the log
// below, so after a crash it is there or it is not. Series are named by ref; the record that first
// names one carries its labels. A sample is the bytes of the delta code that the head puts into the
// series' open chunk anyway (delta_code.h), so that commit and replay encode nothing twice; the
// first of a series in a segment is written absolute, so a segment is read without those before it.
// FORMAT.md has the bytes.
//
// Thread-safety: the writer and the decoder are one thread's; the functions are pure.
#ifndef TINYOBS_LIB_TSDB_COMMIT_RECORD_H_
#define TINYOBS_LIB_TSDB_COMMIT_RECORD_H_

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "lib/base/coding.h"
#include "lib/tsdb/delta_code.h"
#include "lib/tsdb/key_schema.h"
#include "lib/tsdb/sample_batch.h"
#include "tinyobs/sample.h"

namespace tinyobs::tsdb {

struct NewSeries {
  SeriesRef ref = 0;
  SeriesId id = 0;
  std::string canonical_labels;
};

struct NamedMetadata {
  std::string metric;
  MetricMetadata metadata;
};

void PutMetadata(const MetricMetadata& metadata, std::string* out);
MetricMetadata ReadMetadata(ByteReader* reader);

// Appends the beginning of a record: all but its samples, which a SampleSectionWriter adds.
// REQUIRES: series ascend by ref.
void BeginCommit(std::span<const NewSeries> new_series, std::span<const NamedMetadata> metadata,
                 std::string* out);

// The "mark" of an absolute sample is its exponent, plus this for a late one. On disk.
inline constexpr uint8_t kLateMark = 0x10;

// Appends the samples to a record, which they end: `out` may get other bytes only after Finish or
// Abandon. No call allocates except when the record outgrows what Begin expected.
class SampleSectionWriter {
 public:
  explicit SampleSectionWriter(std::string* out) : out_(out) {}

  // Makes room for about `count` samples. There may be more or fewer.
  void Begin(size_t count) {
    begin_ = out_->size();
    out_->resize(begin_ + count * kUsualBytes + kMaxBytes);
    next_ = out_->data() + begin_;
    limit_ = out_->data() + out_->size();
    next_ref_ = 0;
    time_ms_ = 0;
  }

  // A sample written whole. The series' state becomes `after`, which belongs to this sample
  // (StartDelta, or EncodeDelta when its bytes went to the open chunk only). A `late` sample leaves
  // the state alone: it is none of the chain. `after` is then just a hint for its exponent.
  void Absolute(SeriesRef ref, int64_t t, double v, const DeltaState& after, bool late) {
    Head(ref, 1);
    next_ = StoreVarint64(next_, ZigZag(static_cast<int64_t>(static_cast<uint64_t>(t) -
                                                             static_cast<uint64_t>(time_ms_))));
    time_ms_ = t;
    int64_t integer = after.integer;
    int exponent = after.exponent;
    if (late && !ToDecimal(v, exponent, &integer)) exponent = FindDecimal(v, &integer);
    *next_++ = static_cast<char>(exponent | (late ? kLateMark : 0));
    if (exponent < kNoExponent) {
      next_ = StoreVarint64(next_, ZigZag(integer));
    } else {
      StoreFixed64(next_, std::bit_cast<uint64_t>(v));
      next_ += sizeof(uint64_t);
    }
    if (!late) next_ = StoreVarint64(next_, static_cast<uint64_t>(after.step_ms));
  }

  // A sample as the `n` bytes of its delta code. REQUIRES: kMaxDeltaBytes can be read from `code`;
  // the series' sample before was in this segment.
  void Delta(SeriesRef ref, const char* code, size_t n) {
    Head(ref, 0);
    if (n <= sizeof(uint64_t)) [[likely]] {
      std::memcpy(next_, code, sizeof(uint64_t));  // a fixed length is a move
    } else {
      std::memcpy(next_, code, kMaxDeltaBytes);
    }
    next_ += n;
  }

  // Ends the record.
  void Finish() { out_->resize(static_cast<size_t>(next_ - out_->data())); }
  // Takes back what was written since Begin.
  void Abandon() { out_->resize(begin_); }

 private:
  static constexpr size_t kUsualBytes = 5;
  // Head 5; absolute: time 10, mark 1, value 8, step 5; or a delta, of which 24 bytes are copied.
  static constexpr size_t kMaxBytes = 32;

  void Head(SeriesRef ref, uint64_t absolute) {
    if (static_cast<size_t>(limit_ - next_) < kMaxBytes) Grow();
    const int64_t distance = static_cast<int64_t>(ref) - next_ref_;
    next_ = StoreVarint64(next_, ZigZag(distance) << 1 | absolute);
    next_ref_ = static_cast<int64_t>(ref) + 1;
  }
  void Grow();

  std::string* const out_;
  size_t begin_ = 0;
  char* next_ = nullptr;  // into `out_`
  char* limit_ = nullptr;
  int64_t next_ref_ = 0;
  int64_t time_ms_ = 0;  // of the absolute sample before
};

struct DecodedCommit {
  std::vector<NewSeries> new_series;  // ascending by ref
  std::vector<NamedMetadata> metadata;
  SampleBatch samples;
};

// Reads the records of one segment after the other, each from the first to the last.
class CommitDecoder {
 public:
  // Forgets all series' states: a segment begins.
  void Reset() { pages_.clear(); }

  // Replaces `out`, reusing its memory. DataLoss: not a whole valid record, or one that needs a
  // sample which was not in the segment. FailedPrecondition: of a newer version. After an error
  // only Reset is of use. Labels are not checked here, times only for order within a series.
  // Allocates in proportion to the bytes given since Reset.
  absl::Status Decode(std::string_view record, DecodedCommit* out);

 private:
  // A page of neighbouring refs, because records name neighbours: one look-up serves them all.
  // Small, so that series few and far between do not cost much more than their own states.
  static constexpr SeriesRef kPageRefs = 16;
  struct Page {
    std::array<DeltaState, kPageRefs> states;
    uint32_t known = 0;  // bit by ref: has had a sample in this segment
  };

  const char* DecodeSamples(const char* at, const char* limit, SampleBatch* out);

  absl::flat_hash_map<SeriesRef, std::unique_ptr<Page>> pages_;  // by ref / kPageRefs
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_COMMIT_RECORD_H_
