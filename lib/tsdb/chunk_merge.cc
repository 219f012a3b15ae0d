#include "lib/tsdb/chunk_merge.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/status_macros.h"

namespace tinyobs::tsdb {

bool ChunkMerger::Fits(std::string_view key, const chunk::Header& header) const {
  if (held_ == 0) return true;
  if (members_[0].key.compare(0, kSeriesPrefixBytes, key.substr(0, kSeriesPrefixBytes)) != 0) {
    return false;
  }
  // What overlaps is merged even if it makes more than one chunk.
  const size_t limit = header.first_ms <= last_ms_ ? chunk::kMaxSamples : kMergedChunkSamples;
  return samples_ + header.count <= limit;
}

absl::Status ChunkMerger::Add(std::string_view key, std::string_view value, const Emit& emit) {
  const auto stored = ParseStoredChunk(key, partitioning_, value);
  if (!stored.ok()) {
    TINYOBS_RETURN_IF_ERROR(Flush(emit));
    return EmitRow(key, value, emit);
  }
  if (!Fits(key, stored->header)) TINYOBS_RETURN_IF_ERROR(Flush(emit));
  if (held_ == 0) hint_ = chunk::ExponentHint();
  if (held_ == members_.size()) members_.emplace_back();
  members_[held_].key.assign(key);
  members_[held_].value.assign(value);
  ++held_;
  samples_ += stored->header.count;
  last_ms_ = std::max(last_ms_, stored->header.last_ms);
  return absl::OkStatus();
}

absl::Status ChunkMerger::Finish(const Emit& emit) { return Flush(emit); }

bool ChunkMerger::Merge() {
  if (held_ < 2) return false;
  merger_.Start({});
  for (size_t i = 0; i < held_; ++i) {
    const auto stored = ParseStoredChunk(members_[i].key, partitioning_, members_[i].value);
    if (!stored.ok() || !AddStoredChunk(*stored, &merger_).ok()) return false;
  }
  merger_.Finish(&columns_, &runs_);
  return true;
}

std::vector<std::pair<size_t, size_t>> ChunkMerger::Cuts() const {
  // A cut is made where a member begins: from its key on, that is where its key says.
  std::vector<std::pair<size_t, size_t>> cuts;
  const std::vector<int64_t>& times = columns_.timestamps_ms;
  size_t begin = 0, owner = 0;
  size_t end = 0, next_owner = 0;  // the last possible cut
  for (size_t i = 1; i <= held_; ++i) {
    size_t at = times.size();
    if (i < held_) {
      ChunkKey key;
      TINYOBS_CHECK(DecodeChunkKey(members_[i].key, &key));
      const int64_t time = partitioning_.StartOfNumber(key.partition) + key.offset_ms;
      at = static_cast<size_t>(std::lower_bound(times.begin(), times.end(), time) - times.begin());
    }
    if (at - begin > kMergedChunkSamples && end > begin) {
      cuts.emplace_back(end, owner);
      begin = end;
      owner = next_owner;
    }
    end = at;
    next_owner = i;
  }
  cuts.emplace_back(times.size(), owner);
  return cuts;
}

absl::Status ChunkMerger::Flush(const Emit& emit) {
  const size_t held = held_;
  if (!Merge()) {
    for (size_t i = 0; i < held; ++i) {
      TINYOBS_RETURN_IF_ERROR(EmitRow(members_[i].key, members_[i].value, emit));
    }
  } else {
    size_t begin = 0;
    auto run = runs_.begin();
    std::vector<GenerationRun> runs;
    for (const auto& [end, owner] : Cuts()) {
      runs.clear();
      for (size_t left = end - begin; left > 0;) {
        const size_t taken = std::min(left, run->samples);
        runs.push_back({run->generation, taken});
        left -= taken;
        run->samples -= taken;
        if (run->samples == 0) ++run;
      }
      value_.clear();
      EncodeStoredChunk(
          runs, std::span<const int64_t>(columns_.timestamps_ms).subspan(begin, end - begin),
          std::span<const double>(columns_.values).subspan(begin, end - begin), &encoder_, &value_,
          &hint_);
      TINYOBS_RETURN_IF_ERROR(EmitRow(members_[owner].key, value_, emit));
      begin = end;
    }
  }
  held_ = 0;
  samples_ = 0;
  last_ms_ = INT64_MIN;
  return absl::OkStatus();
}

absl::Status ChunkMerger::EmitRow(std::string_view key, std::string_view value, const Emit& emit) {
  if (rows_ != nullptr) ++*rows_;
  return emit(key, value);
}

std::unique_ptr<lsm::CompactionMerger> PartitionMerge::NewMerger() {
  MutexLock lock(&mutex_);
  if (thread_ != std::this_thread::get_id()) return nullptr;
  rows_ = 0;
  return std::make_unique<ChunkMerger>(partitioning_, &rows_);
}

void PartitionMerge::Begin() {
  MutexLock lock(&mutex_);
  thread_ = std::this_thread::get_id();
  rows_ = 0;
}

uint64_t PartitionMerge::End() {
  MutexLock lock(&mutex_);
  thread_ = std::thread::id();
  return rows_;
}

}  // namespace tinyobs::tsdb
