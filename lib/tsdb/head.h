// Head: the newest samples, in memory. The head log can rebuild it.
//
// Per series an open chunk, which takes what is newer than everything before, and rarely a buffer
// of late samples, which takes the rest:
//
//   ... sealed chunks (LSM) ... | frozen, not yet in the LSM | open    newest time of the series
//                                        late (anywhere up to there)
//
// So the open chunk is only ever appended to, in its encoded form, and of two samples with one time
// the one in the late buffer was written later. A chunk is frozen (never changed again) when it is
// full, when its partition ends or when it is old; frozen chunks wait in a queue for the sealer,
// which writes them to the LSM and then releases them.
//
// A commit has two steps, with the write of the head log between them. Stage decides what each
// sample does, encodes it once, for the log and for the chunk, and puts it aside; Apply makes all
// that was staged visible in one instant, Discard forgets it. Stage takes no lock: it works on the
// part of the series' lines that is the leader's (open_chunk.h), so queries and the log's I/O never
// meet.
//
// Late chunks may overlap frozen and sealed ones. The generation settles who is newer: it grows
// with each late freeze, and starts higher in each segment of the head log, so that what is written
// after a restart is newer than what was written before. When late samples that are being frozen
// reach into the open chunk, that is frozen first, so that it counts as older.
//
// Invariants: (1) Each time is in the open chunk at most once, and in the late buffer. (2) All
// samples of the open chunk and of a frozen one are of one partition. (3) Frozen chunks are
// released in the order they were frozen. (4) A commit is applied under one hold of the lock, and
// queries pin under one hold: a query sees all of it or nothing. (5) Lines are created and
// destroyed by the leader under the exclusive lock, so the leader may look one up without it. (6)
// Nothing is frozen or restored while something is staged, except by Apply.
//
// Thread-safety: methods marked "leader" are for one thread at a time, the front of the commit
// queue; the others are thread-safe. The lock is held for memory work only.
#ifndef TINYOBS_LIB_TSDB_HEAD_H_
#define TINYOBS_LIB_TSDB_HEAD_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "lib/base/memory_accountant.h"
#include "lib/base/shared_mutex.h"
#include "lib/tsdb/commit_record.h"
#include "lib/tsdb/fragment_arena.h"
#include "lib/tsdb/head_pin.h"
#include "lib/tsdb/key_schema.h"
#include "lib/tsdb/open_chunk.h"
#include "lib/tsdb/sample_batch.h"
#include "tinyobs/querier.h"

namespace tinyobs::tsdb {

struct HeadStats {
  uint64_t samples = 0;  // in open, late and frozen chunks
  uint64_t bytes = 0;    // of memory
  uint64_t frozen_chunks = 0;
  uint64_t frozen_samples = 0;
  // Of all samples applied since open (but see SetOldest); meaningless while `applied` is 0.
  uint64_t applied = 0;
  int64_t oldest_ms = INT64_MAX;
  int64_t newest_ms = INT64_MIN;
};

class Head {
 public:
  struct Limits {
    uint32_t chunk_samples = 120;  // 1 to kMaxStreamSamples
    // Open and late chunks are frozen when their first sample arrived this long ago. 25 days and
    // more mean never: a line's clock has 31 bits.
    int64_t max_age_ms = 2 * 3600 * 1000;
  };
  // `account`: told of the memory; null = nobody. Outlives this.
  Head(const Partitioning& partitioning, const Limits& limits, MemoryAccount* account);
  ~Head();
  Head(const Head&) = delete;
  Head& operator=(const Head&) = delete;

  // --- series; leader
  // `newest_ms`: the newest time that may be sealed of it, for a series that comes back; what is
  // not newer counts as late. REQUIRES: not there. Lines come 64 at a time, and 8 B for each 64
  // refs up to the largest stay: refs should be dense, and those read from disk be checked before.
  void AddSeries(SeriesRef ref, int64_t newest_ms = INT64_MIN);
  // REQUIRES: there and idle, and nothing staged of these; of others there may be.
  void RemoveSeries(std::span<const SeriesRef> refs);
  bool Contains(SeriesRef ref) const { return FindAsLeader(ref) != nullptr; }
  // Nothing open, late or frozen, nothing staged.
  bool IsIdle(SeriesRef ref) const;
  // The newest time the head knows of the series, INT64_MIN for none; it may be sealed already, and
  // what was sealed in earlier lives is not known here.
  int64_t LastMs(SeriesRef ref) const;
  // The interval of its samples, as the delta code knows it; 0 = not known.
  int64_t StepMs(SeriesRef ref) const;

  // --- commit; leader
  // A segment of the head log begins: generations from now on are newer than all before, and the
  // next sample of each series is written whole. REQUIRES: greater than before, nothing staged.
  void BeginSegment(uint32_t number);
  // Chunks that start at or before `horizon_ms` may overlap what is in the LSM from earlier lives.
  void SetHorizon(int64_t horizon_ms);
  // Puts the samples aside and writes them as the sample section of a log record; `writer` null:
  // replay, nothing is written. To be called once for each record, even without samples, because
  // Apply counts records. Several before one Apply are fine. NotFound: a ref without series; then
  // this batch is forgotten and its section taken back, earlier ones stay. REQUIRES: times within
  // the partitioning. Memory: about 48 B a sample until Apply or Discard.
  absl::Status Stage(const SampleBatch& batch, SampleSectionWriter* writer);
  // Makes visible what was staged. `now_ms`: of the monotonic clock.
  void Apply(int64_t now_ms);
  // Forgets what was staged, as if it had never been.
  void Discard();

  // --- freezing; leader
  // Freezes what is old, or everything, of the series [begin, end). Short slices keep the lock
  // short.
  void Freeze(SeriesRef begin, SeriesRef end, int64_t now_ms, bool everything);
  // Puts a stretch of a checkpoint back: the open chunk, or late samples. DataLoss: it is no
  // stream, its times have no partition or several, or it does not fit what is there; changes
  // nothing then. Cost: decodes the stream.
  absl::Status Restore(SeriesRef ref, bool late, int64_t first_ms, uint32_t count,
                       std::string_view stream, int64_t now_ms);

  // --- any thread
  // One instant of the head into `out`, encoded. Calls `locked(ref_limit)` under the lock, to take
  // an LSM snapshot that belongs to the same instant and to name the series wanted, which are below
  // the limit; those that are not there are skipped. Stretches certainly outside `range` are left
  // out. Commits wait meanwhile, other readers do not. ResourceExhausted: more than 4 GiB.
  absl::Status Pin(TimeRange range,
                   const std::function<std::vector<SeriesRef>(SeriesRef ref_limit)>& locked,
                   HeadPin* out);
  // What is open and late (not frozen) of the series [begin, end), for a checkpoint. Late stretches
  // may span partitions. Returns the number of records applied in this segment at that instant.
  uint64_t PinUnfrozen(SeriesRef begin, SeriesRef end, HeadPin* out);
  // Chunks from the front of the queue, in its order, until they have `limit_samples`; they stay
  // there and visible. Returns their number.
  size_t PeekFrozen(size_t limit_samples, HeadPin* out);
  // Drops the first `chunks` of the queue, which are in the LSM now.
  void ReleaseFrozen(size_t chunks);
  // One more than the largest ref there ever was.
  SeriesRef ref_limit() const;
  HeadStats Stats() const;
  // For whoever drops old samples, as HeadStats::oldest_ms knows no samples that leave. Watch
  // first; then look for the oldest time that stays, and tell it: what was applied since Watch
  // counts, too.
  void WatchOldest();
  void SetOldest(int64_t oldest_ms);

 private:
  static constexpr SeriesRef kPageLines = 64;
  struct Page {
    OpenChunk lines[kPageLines];
    uint32_t living = 0;
  };
  // A frozen chunk; its number is its distance from `frozen_front_`, plus that, wrapping.
  struct Frozen {
    int64_t first_ms = 0;
    EncodedStream stream;
    Generation generation = 0;
    SeriesRef ref = 0;
    uint32_t previous = 0;  // number of the series' frozen chunk before; may have been released
    uint32_t span_ms = 0;   // last - first
    int8_t exponent = kNoExponent;
    bool late = false;
    bool may_overlap = false;
  };
  static_assert(sizeof(Frozen) == 48);
  struct Late {
    std::vector<Sample> samples;
    size_t settled = 0;  // so many in front are sorted, each time once; 0 or all, except in Apply
  };
  enum class Step : uint8_t { kAppend, kBegin, kLate, kNothing };
  // What is to happen to one sample. Its bytes in `codes_`, one after the other:
  //   kBegin: time, code    kAppend: code    kLate: time, value    and if it fills the chunk: time
  struct Staged {
    Staged(const ChunkPlan& plan, SeriesRef series) : before(plan), ref(series) {}

    ChunkPlan before;
    SeriesRef ref;
    uint8_t code_bytes = 0;
    Step step = Step::kNothing;
    bool fills = false;
  };
  static_assert(sizeof(Staged) == 40);
  static constexpr uint32_t kOpenedAtMask = 0x7fffffff;
  // Partition of the sample that was staged last.
  struct Span {
    int64_t begin_ms = INT64_MAX;
    int64_t end_ms = INT64_MIN;
  };
  struct Pinner;

  OpenChunk* Find(SeriesRef ref) const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    const size_t page = ref / kPageLines;
    if (page >= pages_.size() || pages_[page] == nullptr) return nullptr;
    return &pages_[page]->lines[ref % kPageLines];
  }
  // See invariant (5). Null when there is no such series.
  OpenChunk* FindAsLeader(SeriesRef ref) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
    OpenChunk* line = Find(ref);
    return line != nullptr && (line->plan.flags & ChunkPlan::kExists) != 0 ? line : nullptr;
  }
  void PrefetchAsLeader(SeriesRef ref) const ABSL_NO_THREAD_SAFETY_ANALYSIS;
  bool IsIdleLocked(SeriesRef ref, const OpenChunk& line) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  uint32_t ChunkLimit(SeriesRef ref, const ChunkPlan& plan) const;

  void StageSample(OpenChunk* line, SeriesRef ref, int64_t t, double v, Span* partition,
                   SampleSectionWriter* writer);
  void Unstage(size_t samples, size_t code_bytes);
  void ForgetStaged();
  void ApplySamples(int64_t now_ms) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PutLate(SeriesRef ref, OpenChunk* line, Sample sample) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SettleLate(SeriesRef ref) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void FreezeOpen(SeriesRef ref, OpenChunk* line, int64_t last_ms, int8_t exponent)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // As planned; nothing may be staged.
  void FreezeOpenNow(SeriesRef ref, OpenChunk* line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FreezeLate(SeriesRef ref, OpenChunk* line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enqueue(const Frozen& chunk, OpenChunk* line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const Frozen* FindFrozen(uint32_t number, SeriesRef ref) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  size_t MemoryBytes() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void ReportMemory() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Partitioning partitioning_;
  const uint32_t chunk_samples_;
  const uint32_t late_samples_;  // the late buffer is frozen when it has so many
  const int64_t max_age_ms_;
  MemoryAccount* const account_;

  // The leader's.
  std::vector<Staged> staged_;
  std::string codes_;  // a buffer, used up to ...
  size_t codes_used_ = 0;
  uint64_t staged_records_ = 0;
  int64_t staged_oldest_ms_ = INT64_MAX;
  int64_t staged_newest_ms_ = INT64_MIN;
  uint32_t segment_ = 0;
  std::vector<SeriesRef> touched_late_;
  std::atomic<size_t> staging_bytes_{0};

  mutable SharedMutex mutex_;
  // By ref / kPageLines; null: no series left.
  std::vector<std::unique_ptr<Page>> pages_ ABSL_GUARDED_BY(mutex_);
  size_t living_pages_ ABSL_GUARDED_BY(mutex_) = 0;
  SeriesRef ref_limit_ ABSL_GUARDED_BY(mutex_) = 0;
  FragmentArena arena_ ABSL_GUARDED_BY(mutex_);
  std::deque<Frozen> frozen_ ABSL_GUARDED_BY(mutex_);
  uint32_t frozen_front_ ABSL_GUARDED_BY(mutex_) = 1;  // number of the first
  absl::flat_hash_map<SeriesRef, Late> late_ ABSL_GUARDED_BY(mutex_);
  size_t late_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  Generation generation_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t horizon_ms_ ABSL_GUARDED_BY(mutex_) = INT64_MIN;
  uint64_t records_ ABSL_GUARDED_BY(mutex_) = 0;  // applied in this segment
  HeadStats stats_ ABSL_GUARDED_BY(mutex_);
  int64_t watched_oldest_ms_ ABSL_GUARDED_BY(mutex_) = INT64_MAX;  // applied since WatchOldest
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_HEAD_H_
