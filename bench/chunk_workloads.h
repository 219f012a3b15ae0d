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

// The least of `repeats` runs: the machine's noise only ever adds.
double Fastest(int repeats, const std::function<double()>& run);

// Bytes a sample that no code can stay below on average (entropy of the generator's noise); 0 where
// nobody has worked it out.
double ShannonBound(const std::string& kind);

}  // namespace tinyobs::chunk

#endif  // TINYOBS_BENCH_CHUNK_WORKLOADS_H_
