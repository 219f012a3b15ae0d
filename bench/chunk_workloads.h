// The loops that bench/chunk_bench measures, as plain functions: other benchmarks print their
// figures beside their own.
//
// A workload is many chunks of one kind of series, in one buffer larger than a second-level cache,
// and the same samples as plain columns. Every function goes once through all of it and returns the
// nanoseconds of a sample. Decoding is held against CopyColumns: 16 bytes a sample moved from
// memory into one chunk's room, the least that any reader of plain columns pays.
//
// Thread-safety: const functions of a workload may run concurrently; they time themselves by the
// clock on the wall.
#ifndef TINYOBS_BENCH_CHUNK_WORKLOADS_H_
#define TINYOBS_BENCH_CHUNK_WORKLOADS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/chunk/window.h"
#include "tests/chunk/sample_generators.h"
#include "tinyobs/sample.h"

namespace tinyobs::chunk {

class ChunkWorkload {
 public:
  // `samples` in chunks of `chunk_samples`; each chunk is a series of its own. Seeded.
  ChunkWorkload(const SampleKind& kind, size_t chunk_samples, size_t samples);

  double bytes_per_sample() const;
  // Chunks that carry a summary, 0 to 1.
  double summary_share() const;
  size_t samples() const { return columns_.size(); }

  double EncodeNs(bool hinted) const;
  // Into room for one chunk, again and again (what a cache holds), or into columns of all samples
  // (what a query of a long range returns; writing to memory is then part of either).
  enum class Result { kOneChunk, kAllSamples };
  double DecodeNs(Result result = Result::kOneChunk) const;
  double CopyColumnsNs(Result result = Result::kOneChunk) const;
  // Count, sum, min, max and increase of each window: from the chunks, and from the columns by the
  // loop one would write.
  double AggregateNs(int64_t window_ms) const;
  double AggregateColumnsNs(int64_t window_ms) const;

 private:
  size_t chunk_samples_;
  Columns columns_;  // one chunk's after the other's
  std::string bytes_;
  std::vector<std::string_view> chunks_;
};

// Series of half a month, 15 s apart, of one kind, and what downsampling makes of them: raw chunks
// of two hours, windows in rows of a day (5m) and of sixteen (1h), as they are when they are
// joined.
class TierWorkload {
 public:
  TierWorkload(const SampleKind& kind, int64_t window_ms, size_t windows_per_row);

  double raw_bytes_per_window() const;
  double bytes_per_window() const;
  // Nanoseconds of a window: from raw chunks to windows, to rows, all columns of those, some.
  double AggregateNs() const;
  double EncodeNs() const;
  double DecodeNs() const;
  double DecodeNs(uint32_t columns) const;

 private:
  int64_t window_ms_;
  size_t windows_per_row_;
  std::vector<std::vector<std::string>> chunks_;  // of each series
  std::vector<std::vector<Window>> windows_;
  std::vector<std::string> rows_;
  double count_ = 0;  // of windows
};

// The least of `repeats` runs: the machine's noise only ever adds.
double Fastest(int repeats, const std::function<double()>& run);

// Bytes a sample that no code can stay below on average (entropy of the generator's noise); 0 where
// nobody has worked it out.
double ShannonBound(const std::string& kind);

}  // namespace tinyobs::chunk

#endif  // TINYOBS_BENCH_CHUNK_WORKLOADS_H_
