// The head's ways out and back in: freezing and releasing chunks; pins for queries, checkpoints and
// the sealer; the return from a checkpoint.
#include <algorithm>
#include <array>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/strings.h"
#include "lib/tsdb/head.h"

namespace tinyobs::tsdb {

namespace {

// Late samples were written after the open chunk's, see the head's invariants.
constexpr Generation kOpenGeneration = kHeadGeneration;
constexpr Generation kLateGeneration = kHeadGeneration + 1;

constexpr size_t kLineAhead = 16;
// What a chunk counts as at least when chunks are peeked: each takes room, however short it is.
constexpr size_t kLeastPeekedSamples = 32;
// Chains of fragments that are freed together.
constexpr size_t kSideBySide = 16;

}  // namespace

// ---------------------------------------------------------------------------------------- freezing

void Head::Enqueue(const Frozen& chunk, OpenChunk* line) {
  frozen_.push_back(chunk);
  frozen_.back().previous = line->newest_frozen;
  line->newest_frozen = frozen_front_ + static_cast<uint32_t>(frozen_.size() - 1);
  stats_.frozen_samples += chunk.stream.count;
  ++stats_.frozen_chunks;
}

void Head::FreezeOpen(SeriesRef ref, OpenChunk* line, int64_t last_ms, int8_t exponent) {
  // Above the series' newest time and the horizon nothing can overlap: the sealer need not look.
  // Below the horizon the chunk may be merged with older ones, which then take its generation, so
  // the next chunk that reaches into them must have a newer one.
  const bool may_overlap = line->first_ms <= horizon_ms_;
  if (may_overlap) ++generation_;
  Enqueue({.first_ms = line->first_ms,
           .stream = line->stream,
           .generation = generation_,
           .ref = ref,
           .span_ms = static_cast<uint32_t>(last_ms - line->first_ms),
           .exponent = exponent,
           .may_overlap = may_overlap},
          line);
  line->stream = EncodedStream();
}

void Head::FreezeOpenNow(SeriesRef ref, OpenChunk* line) {
  FreezeOpen(ref, line, line->plan.state.last_ms, line->plan.state.exponent);
  line->plan.count = 0;
}

void Head::FreezeLate(SeriesRef ref, OpenChunk* line) {
  const auto node = late_.extract(ref);
  const std::vector<Sample>& samples = node.mapped().samples;
  late_bytes_ -= samples.capacity() * sizeof(Sample);
  line->has_late = 0;
  if (line->stream.count > 0 && samples.back().timestamp_ms >= line->first_ms) {
    FreezeOpenNow(ref, line);
  }
  std::string code;
  for (size_t begin = 0, end = 0; begin < samples.size(); begin = end) {
    const int64_t first_ms = samples[begin].timestamp_ms;
    const int64_t limit_ms = partitioning_.EndOf(first_ms);
    while (end < samples.size() && samples[end].timestamp_ms < limit_ms &&
           end - begin < late_samples_) {
      ++end;
    }
    code.clear();
    EncodeStream(std::span(samples).subspan(begin, end - begin), line->plan.state.exponent, &code);
    const size_t bytes = code.size();
    code.append(sizeof(uint64_t), '\0');  // Append reads beyond
    // Newer than everything frozen before it; what is frozen later never overlaps without being
    // newer. Each piece anew: one that was merged in the LSM may have grown into the next.
    Frozen chunk{.first_ms = first_ms,
                 .stream = {},
                 .generation = ++generation_,
                 .ref = ref,
                 .span_ms = static_cast<uint32_t>(samples[end - 1].timestamp_ms - first_ms),
                 .exponent = line->plan.state.exponent,
                 .late = true,
                 .may_overlap = true};
    chunk.stream.Append(code.data(), bytes, &arena_);
    chunk.stream.count = static_cast<uint16_t>(end - begin);
    Enqueue(chunk, line);
  }
}

void Head::Freeze(SeriesRef begin, SeriesRef end, int64_t now_ms, bool everything) {
  TINYOBS_CHECK(staged_.empty());
  WriterMutexLock lock(&mutex_);
  const uint32_t now = static_cast<uint32_t>(now_ms) & kOpenedAtMask;
  end = std::min(end, ref_limit_);
  for (SeriesRef ref = begin; ref < end; ++ref) {
    OpenChunk* line = Find(ref);
    if (line == nullptr) {
      ref |= kPageLines - 1;  // nor its neighbours
      continue;
    }
    if (line->stream.count == 0 && !line->has_late) continue;
    const uint32_t age_ms = (now - line->opened_at_ms) & kOpenedAtMask;
    if (!everything && age_ms < max_age_ms_) continue;
    if (line->has_late) FreezeLate(ref, line);
    if (line->stream.count > 0) FreezeOpenNow(ref, line);
  }
  if (late_.empty()) late_ = {};
  ReportMemory();
}

void Head::ReleaseFrozen(size_t chunks) {
  WriterMutexLock lock(&mutex_);
  TINYOBS_CHECK(chunks <= frozen_.size());
  std::array<uint32_t, kSideBySide> chains;
  while (chunks > 0) {
    const size_t n = std::min(chunks, kSideBySide);
    for (size_t i = 0; i < n; ++i) {
      const EncodedStream& stream = frozen_.front().stream;
      chains[i] = stream.fragment;
      arena_.Prefetch(stream.fragment);
      stats_.samples -= stream.count;
      stats_.frozen_samples -= stream.count;
      frozen_.pop_front();
    }
    arena_.FreeChains({chains.data(), n});
    stats_.frozen_chunks -= n;
    frozen_front_ += static_cast<uint32_t>(n);
    chunks -= n;
  }
  ReportMemory();
}

// -------------------------------------------------------------------------------------------- pins

// Gathers stretches first and copies their bytes at the end, many at a time.
struct Head::Pinner {
  Pinner(const FragmentArena* arena, HeadPin* pin) : out(pin), copier(arena) { out->clear(); }

  void Add(SeriesRef ref, Generation generation, int64_t first_ms, const EncodedStream& stream,
           int8_t exponent) {
    out->stretches.push_back({.ref = ref,
                              .generation = generation,
                              .first_ms = first_ms,
                              .count = stream.count,
                              .offset = static_cast<uint32_t>(bytes),
                              .bytes = stream.bytes,
                              .exponent = exponent});
    copier.Add(stream, bytes);
    bytes += stream.bytes;
  }
  void AddFrozen(const Frozen& chunk) {
    Add(chunk.ref, chunk.generation, chunk.first_ms, chunk.stream, chunk.exponent);
    out->stretches.back().late = chunk.late;
    out->stretches.back().may_overlap = chunk.may_overlap;
  }
  void AddLate(SeriesRef ref, std::span<const Sample> samples) {
    const size_t offset = late_bytes.size();
    EncodeStream(samples, kNoExponent, &late_bytes);
    out->stretches.push_back({.ref = ref,
                              .generation = kLateGeneration,
                              .first_ms = samples.front().timestamp_ms,
                              .count = static_cast<uint32_t>(samples.size()),
                              .offset = static_cast<uint32_t>(offset),  // for the time being
                              .bytes = static_cast<uint32_t>(late_bytes.size() - offset),
                              .late = true,
                              .may_overlap = true,
                              .exponent = kNoExponent});
  }
  // False: more than offsets can say.
  bool Finish() {
    if (bytes + late_bytes.size() > UINT32_MAX) {
      out->clear();
      return false;
    }
    for (HeadPin::Stretch& stretch : out->stretches) {
      if (stretch.generation == kLateGeneration) stretch.offset += static_cast<uint32_t>(bytes);
    }
    out->bytes.reserve(bytes + late_bytes.size());
    out->bytes.resize(bytes);
    copier.Run(out->bytes.data());
    out->bytes += late_bytes;
    return true;
  }

  HeadPin* const out;
  StreamCopier copier;
  size_t bytes = 0;
  std::string late_bytes;  // go behind the others, of which the size is known beforehand
};

const Head::Frozen* Head::FindFrozen(uint32_t number, SeriesRef ref) const {
  // The number of a chunk that was released long ago may have come round again: then its new owner
  // is another series, because this one would have the new number.
  const uint32_t index = number - frozen_front_;
  return index < frozen_.size() && frozen_[index].ref == ref ? &frozen_[index] : nullptr;
}

absl::Status Head::Pin(TimeRange range,
                       const std::function<std::vector<SeriesRef>(SeriesRef ref_limit)>& locked,
                       HeadPin* out) {
  ReaderMutexLock lock(&mutex_);
  const std::vector<SeriesRef> refs = locked(ref_limit_);
  Pinner pinner(&arena_, out);
  std::vector<const Frozen*> frozen;
  for (size_t i = 0; i < refs.size(); ++i) {
    if (i + kLineAhead < refs.size()) __builtin_prefetch(Find(refs[i + kLineAhead]));
    const SeriesRef ref = refs[i];
    const OpenChunk* line = Find(ref);
    if (line == nullptr) continue;
    frozen.clear();
    for (const Frozen* chunk = FindFrozen(line->newest_frozen, ref); chunk != nullptr;
         chunk = FindFrozen(chunk->previous, ref)) {
      if (chunk->first_ms <= range.to_ms && chunk->first_ms + chunk->span_ms >= range.from_ms) {
        frozen.push_back(chunk);
      }
    }
    for (; !frozen.empty(); frozen.pop_back()) pinner.AddFrozen(*frozen.back());
    // The open chunk's last time is the leader's business; it is before the partition's end.
    if (line->stream.count > 0 && line->first_ms <= range.to_ms &&
        (line->first_ms >= range.from_ms || partitioning_.EndOf(line->first_ms) > range.from_ms)) {
      pinner.Add(ref, kOpenGeneration, line->first_ms, line->stream, kNoExponent);
    }
    if (line->has_late) {
      const std::vector<Sample>& samples = late_.find(ref)->second.samples;
      if (samples.front().timestamp_ms <= range.to_ms &&
          samples.back().timestamp_ms >= range.from_ms) {
        pinner.AddLate(ref, samples);
      }
    }
  }
  if (pinner.Finish()) return absl::OkStatus();
  return absl::ResourceExhaustedError(StrCat(
      "head: the ", refs.size(),
      " series of the query have more than 4 GiB of encoded samples in memory; ask for fewer "
      "series at a time"));
}

uint64_t Head::PinUnfrozen(SeriesRef begin, SeriesRef end, HeadPin* out) {
  ReaderMutexLock lock(&mutex_);
  Pinner pinner(&arena_, out);
  end = std::min(end, ref_limit_);
  for (SeriesRef ref = begin; ref < end; ++ref) {
    const OpenChunk* line = Find(ref);
    if (line == nullptr) {
      ref |= kPageLines - 1;  // nor its neighbours
      continue;
    }
    if (line->stream.count > 0) {
      pinner.Add(ref, kOpenGeneration, line->first_ms, line->stream, kNoExponent);
    }
    if (line->has_late) pinner.AddLate(ref, late_.find(ref)->second.samples);
  }
  TINYOBS_CHECK(pinner.Finish());
  return records_;
}

size_t Head::PeekFrozen(size_t limit_samples, HeadPin* out) {
  ReaderMutexLock lock(&mutex_);
  Pinner pinner(&arena_, out);
  size_t samples = 0;
  size_t chunks = 0;
  for (; chunks < frozen_.size() && samples < limit_samples; ++chunks) {
    pinner.AddFrozen(frozen_[chunks]);
    samples += std::max<size_t>(frozen_[chunks].stream.count, kLeastPeekedSamples);
  }
  TINYOBS_CHECK(pinner.Finish());
  return chunks;
}

// ------------------------------------------------------------------------------ restore and
// figures

absl::Status Head::Restore(SeriesRef ref, bool late, int64_t first_ms, uint32_t count,
                           std::string_view stream, int64_t now_ms) {
  TINYOBS_CHECK(staged_.empty());
  const auto refuse = [&](std::string_view why) {
    return absl::DataLossError(StrCat("head: ", count, late ? " late" : "", " samples of ref ", ref,
                                      " from ", first_ms, " ms: ", why));
  };
  Columns samples;
  DeltaState state;
  if (!DecodeStream(stream, first_ms, count, &samples, &state)) return refuse("damaged stream");
  const int64_t last_ms = samples.timestamps_ms.back();
  if (!partitioning_.Contains(first_ms) || !partitioning_.Contains(last_ms)) {
    return refuse("times without a partition");
  }
  OpenChunk* line = FindAsLeader(ref);
  if (line == nullptr) return refuse("no such series");
  ChunkPlan& plan = line->plan;
  WriterMutexLock lock(&mutex_);
  const bool empty = line->stream.count == 0 && !line->has_late;
  if (late) {
    if (line->has_late) return refuse("the series has late samples already");
    if (line->stream.count > 0 && last_ms > plan.state.last_ms) {
      return refuse("newer than the open chunk");
    }
    for (size_t i = 0; i < count; ++i) {
      PutLate(ref, line, {samples.timestamps_ms[i], samples.values[i]});
    }
    touched_late_.clear();
    plan.state.last_ms = std::max(plan.state.last_ms, last_ms);
  } else {
    if (line->stream.count > 0) return refuse("the series has an open chunk already");
    if (plan.state.last_ms > last_ms) return refuse("older than what the series has");
    if (count > kMaxStreamSamples) return refuse(StrCat("more than ", kMaxStreamSamples));
    if (last_ms >= partitioning_.EndOf(first_ms)) return refuse("of several partitions");
    std::string padded(stream);
    padded.append(sizeof(uint64_t), '\0');  // Append reads beyond
    line->first_ms = first_ms;
    line->stream.Append(padded.data(), stream.size(), &arena_);
    line->stream.count = static_cast<uint16_t>(count);
    stats_.samples += count;
    plan.state = state;
    plan.Remember(samples.values.back());
    plan.count = static_cast<uint16_t>(count);
    plan.segment = 0;
  }
  if (empty) line->opened_at_ms = static_cast<uint32_t>(now_ms) & kOpenedAtMask;
  // Whether the newest time has a late value too is no longer known, so nothing of it is dropped.
  plan.flags |= ChunkPlan::kRewritten;
  stats_.applied += count;
  stats_.oldest_ms = std::min(stats_.oldest_ms, first_ms);
  stats_.newest_ms = std::max(stats_.newest_ms, last_ms);
  if (late) SettleLate(ref);
  ReportMemory();
  return absl::OkStatus();
}

size_t Head::MemoryBytes() const {
  return living_pages_ * sizeof(Page) + pages_.capacity() * sizeof(pages_[0]) +
         arena_.MemoryBytes() + frozen_.size() * sizeof(Frozen) + late_bytes_ +
         late_.capacity() * (sizeof(SeriesRef) + sizeof(Late)) +
         staging_bytes_.load(std::memory_order_relaxed);
}

void Head::ReportMemory() {
  if (account_ != nullptr) account_->SetUsed(MemoryBytes());
}

SeriesRef Head::ref_limit() const {
  ReaderMutexLock lock(&mutex_);
  return ref_limit_;
}

void Head::WatchOldest() {
  WriterMutexLock lock(&mutex_);
  watched_oldest_ms_ = INT64_MAX;
}

void Head::SetOldest(int64_t oldest_ms) {
  WriterMutexLock lock(&mutex_);
  stats_.oldest_ms = std::min(oldest_ms, watched_oldest_ms_);
}

HeadStats Head::Stats() const {
  ReaderMutexLock lock(&mutex_);
  HeadStats stats = stats_;
  stats.bytes = MemoryBytes();
  return stats;
}

}  // namespace tinyobs::tsdb
