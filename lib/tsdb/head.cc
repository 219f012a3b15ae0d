#include "lib/tsdb/head.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/strings.h"

namespace tinyobs::tsdb {

namespace {

// A line is asked for so many samples ahead of its use. Measured at a million series: less arrives
// too late, more is evicted again. Fragments are not: they are only written to, which waits for
// nothing.
constexpr size_t kLineAhead = 24;

// The late buffer is larger than a chunk: it is cut into one chunk a partition when it is frozen,
// and late samples often come for many partitions at once (a backfill).
constexpr uint32_t kLateFactor = 4;

// The most that the code of one sample and the times around it take, and what may be read behind.
constexpr size_t kMaxStagedBytes = 2 * sizeof(int64_t) + kMaxStartBytes;
constexpr size_t kReadBeyond = kMaxDeltaBytes;

// Staging memory for more samples is given back after the commit.
constexpr size_t kKeptSamples = size_t{1} << 16;
constexpr size_t kUsualBytesPerSample = 4;

bool EarlierTime(const Sample& a, const Sample& b) { return a.timestamp_ms < b.timestamp_ms; }

char* StoreTime(char* to, int64_t time_ms) {
  StoreFixed64(to, static_cast<uint64_t>(time_ms));
  return to + sizeof(int64_t);
}
int64_t LoadTime(const char* from) { return static_cast<int64_t>(LoadFixed64(from)); }

}  // namespace

Head::Head(const Partitioning& partitioning, const Limits& limits, MemoryAccount* account)
    : partitioning_(partitioning),
      chunk_samples_(limits.chunk_samples),
      late_samples_(std::min(limits.chunk_samples * kLateFactor, kMaxStreamSamples)),
      max_age_ms_(limits.max_age_ms),
      account_(account) {
  TINYOBS_CHECK(limits.chunk_samples >= 1 && limits.chunk_samples <= kMaxStreamSamples);
}

Head::~Head() {
  if (account_ != nullptr) account_->SetUsed(0);
}

// ------------------------------------------------------------------------------------------ series

// Always inlined, see FragmentArena::Prefetch.
[[gnu::always_inline]] inline void Head::PrefetchAsLeader(SeriesRef ref) const {
  __builtin_prefetch(Find(ref), /*for writing*/ 1);
}

void Head::AddSeries(SeriesRef ref, int64_t newest_ms) {
  TINYOBS_CHECK(ref <= kMaxSeriesRef && !Contains(ref));
  WriterMutexLock lock(&mutex_);
  if (const size_t wanted = ref / kPageLines + 1; pages_.size() < wanted) {
    // By an eighth at a time: after years of series that come and go this is the larger part.
    if (pages_.capacity() < wanted) pages_.reserve(wanted + wanted / 8);
    pages_.resize(wanted);
  }
  std::unique_ptr<Page>& page = pages_[ref / kPageLines];
  if (page == nullptr) {
    page = std::make_unique<Page>();
    ++living_pages_;
    ReportMemory();
  }
  ++page->living;
  ChunkPlan& plan = page->lines[ref % kPageLines].plan;
  plan.flags = ChunkPlan::kExists | ChunkPlan::kShort;
  plan.state.last_ms = newest_ms;
  ref_limit_ = std::max(ref_limit_, ref + 1);
}

void Head::RemoveSeries(std::span<const SeriesRef> refs) {
  WriterMutexLock lock(&mutex_);
  for (const SeriesRef ref : refs) {
    OpenChunk* line = FindAsLeader(ref);
    TINYOBS_CHECK(line != nullptr && IsIdleLocked(ref, *line));
    *line = OpenChunk();
    std::unique_ptr<Page>& page = pages_[ref / kPageLines];
    if (--page->living > 0) continue;
    page.reset();
    --living_pages_;
  }
  ReportMemory();
}

bool Head::IsIdleLocked(SeriesRef ref, const OpenChunk& line) const {
  return line.stream.count == 0 && !line.has_late && FindFrozen(line.newest_frozen, ref) == nullptr;
}

bool Head::IsIdle(SeriesRef ref) const {
  TINYOBS_CHECK(staged_.empty());
  ReaderMutexLock lock(&mutex_);
  const OpenChunk* line = FindAsLeader(ref);
  return line == nullptr || IsIdleLocked(ref, *line);
}

int64_t Head::LastMs(SeriesRef ref) const {
  const OpenChunk* line = FindAsLeader(ref);
  return line == nullptr ? INT64_MIN : line->plan.state.last_ms;
}

int64_t Head::StepMs(SeriesRef ref) const {
  const OpenChunk* line = FindAsLeader(ref);
  return line == nullptr ? 0 : line->plan.state.step_ms;
}

void Head::BeginSegment(uint32_t number) {
  TINYOBS_CHECK(number > segment_ && staged_.empty());
  segment_ = number;
  WriterMutexLock lock(&mutex_);
  generation_ = std::max(generation_ + 1, Generation{number} << 32);
  records_ = 0;
}

void Head::SetHorizon(int64_t horizon_ms) {
  WriterMutexLock lock(&mutex_);
  horizon_ms_ = horizon_ms;
}

// ----------------------------------------------------------------------------------------- staging

inline uint32_t Head::ChunkLimit(SeriesRef ref, const ChunkPlan& plan) const {
  if ((plan.flags & ChunkPlan::kShort) == 0) return chunk_samples_;
  const uint32_t least = (chunk_samples_ + 7) / 8;
  const uint32_t hash = ref * 0x9e3779b1u >> 16;
  return least + (hash * (chunk_samples_ - least + 1) >> 16);
}

absl::Status Head::Stage(const SampleBatch& batch, SampleSectionWriter* writer) {
  const size_t count = batch.size();
  const size_t staged_before = staged_.size();
  const size_t code_before = codes_used_;
  if (const size_t wanted = staged_before + count; wanted > staged_.capacity()) {
    staged_.reserve(std::max(wanted, std::min(2 * staged_.capacity(), kKeptSamples)));
  }
  if (const size_t usual = codes_used_ + count * kUsualBytesPerSample; usual > codes_.size()) {
    codes_.resize(std::max(usual, codes_.size() + codes_.size() / 2));
  }
  if (writer != nullptr) writer->Begin(count);
  Span partition;
  for (size_t i = 0; i < count; ++i) {
    if (i + kLineAhead < count) PrefetchAsLeader(batch.refs[i + kLineAhead]);
    const SeriesRef ref = batch.refs[i];
    OpenChunk* line = FindAsLeader(ref);
    if (line == nullptr) [[unlikely]] {
      Unstage(staged_before, code_before);
      if (writer != nullptr) writer->Abandon();
      return absl::NotFoundError(StrCat("head: sample ", i, " of ", count,
                                        " in the batch names ref ", ref,
                                        ", which is no series; add the series first"));
    }
    if (codes_.size() - codes_used_ < kMaxStagedBytes + kReadBeyond) [[unlikely]] {
      codes_.resize(codes_.size() + std::max<size_t>(codes_.size() / 2, 4096));
    }
    StageSample(line, ref, batch.timestamps_ms[i], batch.values[i], &partition, writer);
  }
  if (writer != nullptr) {
    writer->Finish();
    ++staged_records_;
  }
  for (const int64_t time_ms : batch.timestamps_ms) {
    staged_oldest_ms_ = std::min(staged_oldest_ms_, time_ms);
    staged_newest_ms_ = std::max(staged_newest_ms_, time_ms);
  }
  staging_bytes_.store(staged_.capacity() * sizeof(Staged) + codes_.capacity(),
                       std::memory_order_relaxed);
  return absl::OkStatus();
}

[[gnu::always_inline]] inline void Head::StageSample(OpenChunk* line, SeriesRef ref, int64_t t,
                                                     double v, Span* partition,
                                                     SampleSectionWriter* writer) {
  // Changed in place and copied as a whole before: what is put together in a local first and then
  // copied waits for its own stores.
  ChunkPlan& plan = line->plan;
  Staged& staged = staged_.emplace_back(plan, ref);
  char* const begin = codes_.data() + codes_used_;
  char* end = begin;
  if (t > plan.state.last_ms) [[likely]] {
    if (t < partition->begin_ms || t >= partition->end_ms) [[unlikely]] {
      partition->begin_ms = partitioning_.StartOf(t);
      partition->end_ms = partition->begin_ms + partitioning_.partition_ms();
    }
    const bool append = plan.count > 0 && plan.state.last_ms >= partition->begin_ms;
    size_t bytes;
    if (append) [[likely]] {
      staged.step = Step::kAppend;
      bytes = EncodeDelta(&plan.state, t, v, end);
    } else {
      if (plan.count > 0) plan.flags |= ChunkPlan::kShort;  // a partition begins, for all series
      plan.count = 0;
      staged.step = Step::kBegin;
      end = StoreTime(end, t);
      bytes = StartStream(&plan.state, t, v, end);
    }
    staged.code_bytes = static_cast<uint8_t>(bytes);
    plan.Remember(v);
    plan.flags &= static_cast<uint8_t>(~ChunkPlan::kRewritten);
    if (writer != nullptr) {
      if (append && plan.segment == segment_) [[likely]] {
        writer->Delta(ref, end, bytes);
      } else {
        writer->Absolute(ref, t, v, plan.state, /*late=*/false);
        plan.segment = segment_;
      }
    }
    end += bytes;
    if (++plan.count >= ChunkLimit(ref, plan)) [[unlikely]] {
      staged.fills = true;
      end = StoreTime(end, t);
      plan.count = 0;
      plan.flags &= static_cast<uint8_t>(~ChunkPlan::kShort);
    }
  } else {
    // The newest sample once more is a batch that was tried again. It is logged all the same, so
    // that the log has what was acknowledged.
    if (!plan.IsNewest(t, v)) {
      staged.step = Step::kLate;
      end = StoreTime(end, t);
      StoreFixed64(end, std::bit_cast<uint64_t>(v));
      end += sizeof(uint64_t);
      if (t == plan.state.last_ms) plan.flags |= ChunkPlan::kRewritten;
    }
    if (writer != nullptr) writer->Absolute(ref, t, v, plan.state, /*late=*/true);
  }
  codes_used_ += static_cast<size_t>(end - begin);
}

// Forgets all but the first ones. Backwards, because a series may be there several times.
void Head::Unstage(size_t samples, size_t code_bytes) {
  for (; staged_.size() > samples; staged_.pop_back()) {
    FindAsLeader(staged_.back().ref)->plan = staged_.back().before;
  }
  codes_used_ = code_bytes;
}

void Head::ForgetStaged() {
  staged_.clear();
  codes_used_ = 0;
  touched_late_.clear();
  staged_records_ = 0;
  staged_oldest_ms_ = INT64_MAX;
  staged_newest_ms_ = INT64_MIN;
  if (staged_.capacity() > kKeptSamples) std::vector<Staged>().swap(staged_);
  if (codes_.size() > 2 * kKeptSamples * kUsualBytesPerSample) std::string().swap(codes_);
  if (touched_late_.capacity() > kKeptSamples) std::vector<SeriesRef>().swap(touched_late_);
  staging_bytes_.store(staged_.capacity() * sizeof(Staged) + codes_.capacity(),
                       std::memory_order_relaxed);
}

void Head::Discard() {
  Unstage(0, 0);
  ForgetStaged();
}

// ---------------------------------------------------------------------------------------- applying

void Head::Apply(int64_t now_ms) {
  WriterMutexLock lock(&mutex_);
  ReportMemory();  // the most it is: staged and about to be applied
  ApplySamples(now_ms);
  for (const SeriesRef ref : touched_late_) SettleLate(ref);
  records_ += staged_records_;
  stats_.applied += staged_.size();
  stats_.oldest_ms = std::min(stats_.oldest_ms, staged_oldest_ms_);
  watched_oldest_ms_ = std::min(watched_oldest_ms_, staged_oldest_ms_);
  stats_.newest_ms = std::max(stats_.newest_ms, staged_newest_ms_);
  ForgetStaged();
  ReportMemory();
}

void Head::ApplySamples(int64_t now_ms) {
  const size_t count = staged_.size();
  const char* code = codes_.data();
  const uint32_t opened_at_ms = static_cast<uint32_t>(now_ms) & kOpenedAtMask;
  uint64_t samples = 0;
  for (size_t i = 0; i < count; ++i) {
    if (i + kLineAhead < count) __builtin_prefetch(Find(staged_[i + kLineAhead].ref), 1);
    const Staged& staged = staged_[i];
    OpenChunk* line = Find(staged.ref);
    if (staged.step >= Step::kLate) [[unlikely]] {
      if (staged.step == Step::kNothing) continue;
      if (line->stream.count == 0 && !line->has_late) line->opened_at_ms = opened_at_ms;
      PutLate(staged.ref, line,
              {LoadTime(code), std::bit_cast<double>(LoadFixed64(code + sizeof(int64_t)))});
      code += 2 * sizeof(int64_t);
      continue;
    }
    TINYOBS_DCHECK(line->stream.count == staged.before.count);
    if (staged.step == Step::kBegin) [[unlikely]] {
      if (line->stream.count > 0) {
        FreezeOpen(staged.ref, line, staged.before.state.last_ms, staged.before.state.exponent);
      }
      if (!line->has_late) line->opened_at_ms = opened_at_ms;
      line->first_ms = LoadTime(code);
      code += sizeof(int64_t);
    }
    line->stream.Append(code, staged.code_bytes, &arena_);
    ++line->stream.count;
    ++samples;
    code += staged.code_bytes;
    if (staged.fills) [[unlikely]] {
      FreezeOpen(staged.ref, line, LoadTime(code), staged.before.state.exponent);
      code += sizeof(int64_t);
    }
  }
  TINYOBS_CHECK(code == codes_.data() + codes_used_);
  stats_.samples += samples;
}

void Head::PutLate(SeriesRef ref, OpenChunk* line, Sample sample) {
  Late& late = late_[ref];
  if (late.samples.size() == late.settled) touched_late_.push_back(ref);
  late_bytes_ -= late.samples.capacity() * sizeof(Sample);
  late.samples.push_back(sample);
  late_bytes_ += late.samples.capacity() * sizeof(Sample);
  line->has_late = 1;
}

// Sorts what a commit has added; of two samples with one time the later write stays. Once a commit
// and not once a sample, because a backfill brings thousands for one series.
void Head::SettleLate(SeriesRef ref) {
  Late& late = late_.find(ref)->second;
  std::vector<Sample>& samples = late.samples;
  const auto added = samples.begin() + static_cast<ptrdiff_t>(late.settled);
  std::stable_sort(added, samples.end(), EarlierTime);
  if (late.settled > 0 && !EarlierTime(*std::prev(added), *added)) {
    std::inplace_merge(samples.begin(), added, samples.end(), EarlierTime);
  }
  size_t kept = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    if (i + 1 < samples.size() && samples[i + 1].timestamp_ms == samples[i].timestamp_ms) continue;
    samples[kept++] = samples[i];
  }
  samples.resize(kept);
  stats_.samples += kept - late.settled;
  late.settled = kept;
  if (kept >= late_samples_) FreezeLate(ref, Find(ref));
}

}  // namespace tinyobs::tsdb
