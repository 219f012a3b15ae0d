// What does a sample cost in bytes and in nanoseconds: encoded, decoded, aggregated in windows of
// five minutes, for each kind of series and chunks of 120, 512 and 1,024 samples?
//
// One line each: bytes a sample with all headers of the chunk (keys, blocks and Snappy come on top)
// and as a multiple of the Shannon bound of the generator; nanoseconds to encode (with the series'
// exponent remembered, and without); to decode to columns of one chunk, and of all, each as a
// multiple of copying the samples as they are, in the same run; to aggregate (count, sum, min, max,
// increase), and the same over plain columns; the same from summaries in windows of a week. The
// buffers are larger than a second-level cache; each figure is the least of nine passes.
//
// Then: what does a window of the tiers cost, in bytes and as a share of the raw chunks of the same
// time (samples 15 s apart, chunks of two hours, rows as they are once joined); in nanoseconds a
// window: made of raw chunks, encoded, decoded with all columns, sum and count only, max only,
// increase only.
//
//   bazel run -c opt //bench:chunk_bench [-- MILLIONS_OF_SAMPLES [KIND]]
#include <cstdio>
#include <cstdlib>
#include <string>

#include "bench/chunk_workloads.h"

namespace tinyobs::chunk {
namespace {

constexpr int kRepeats = 9;
constexpr int64_t kFiveMinutesMs = 300'000;
constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kWeekMs = int64_t{7} * 24 * 3'600'000;

void Measure(const SampleKind& kind, size_t chunk_samples, size_t samples) {
  const ChunkWorkload workload(kind, chunk_samples, samples);
  const auto fastest = [&](auto run) { return Fastest(kRepeats, run); };
  const double bound = ShannonBound(kind.name);
  const double bytes = workload.bytes_per_sample();
  const double encode = fastest([&] { return workload.EncodeNs(false); });
  const double hinted = fastest([&] { return workload.EncodeNs(true); });
  using Result = ChunkWorkload::Result;
  const double copy = fastest([&] { return workload.CopyColumnsNs(Result::kOneChunk); });
  const double decode = fastest([&] { return workload.DecodeNs(Result::kOneChunk); });
  const double copy_all = fastest([&] { return workload.CopyColumnsNs(Result::kAllSamples); });
  const double decode_all = fastest([&] { return workload.DecodeNs(Result::kAllSamples); });
  const double columns = fastest([&] { return workload.AggregateColumnsNs(kFiveMinutesMs); });
  const double aggregate = fastest([&] { return workload.AggregateNs(kFiveMinutesMs); });
  const double week = fastest([&] { return workload.AggregateNs(kWeekMs); });
  std::printf(
      "%-20s %5zu %6.3f %5.2f %6.1f %6.1f %6.2f %5.2f %5.2f %6.2f %5.2f %5.2f %6.2f %5.0f %6.2f "
      "%4.0f %% %5.2f\n",
      kind.name.c_str(), chunk_samples, bytes, bound == 0 ? 0 : bytes / bound, encode, hinted, copy,
      decode, decode / copy, copy_all, decode_all, decode_all / copy_all, aggregate,
      1000 / aggregate, columns, 100 * workload.summary_share(), week);
  std::fflush(stdout);
}

void MeasureTier(const SampleKind& kind, const char* tier, int64_t window_ms, size_t per_row) {
  const TierWorkload workload(kind, window_ms, per_row);
  const auto fastest = [&](auto run) { return Fastest(kRepeats, run); };
  const double raw = workload.raw_bytes_per_window();
  const double bytes = workload.bytes_per_window();
  std::printf("%-20s %3s %6zu %7.1f %6.2f %5.1f %% %6.0f %6.1f %6.1f %6.1f %6.1f %6.1f\n",
              kind.name.c_str(), tier, per_row, raw, bytes, 100 * bytes / raw,
              fastest([&] { return workload.AggregateNs(); }),
              fastest([&] { return workload.EncodeNs(); }),
              fastest([&] { return workload.DecodeNs(); }),
              fastest([&] { return workload.DecodeNs(kWindowSum | kWindowCount); }),
              fastest([&] { return workload.DecodeNs(kWindowMax); }),
              fastest([&] { return workload.DecodeNs(kWindowIncrease); }));
  std::fflush(stdout);
}

}  // namespace
}  // namespace tinyobs::chunk

int main(int argc, char** argv) {
  using namespace tinyobs::chunk;
  const size_t millions = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 4;
  const std::string only = argc > 2 ? argv[2] : "";
  if (millions == 0) {
    std::fprintf(stderr, "usage: chunk_bench [MILLIONS_OF_SAMPLES [KIND]]\n");
    return 2;
  }
  std::printf("%-20s %5s %6s %5s %6s %6s %6s %5s %5s %6s %5s %5s %6s %5s %6s %6s %5s\n",
              "ns/sample", "N", "bytes", "bound", "enc", "hinted", "memcpy", "dec", "ratio",
              "mc all", "all", "ratio", "5m agg", "M/s", "raw", "summ.", "week");
  constexpr size_t kEverydayKinds = 10;
  for (size_t i = 0; i < kEverydayKinds; ++i) {
    const SampleKind& kind = SampleKinds()[i];
    if (!only.empty() && kind.name != only) continue;
    for (const size_t n : {120, 512, 1024}) Measure(kind, n, millions * 1'000'000);
  }
  std::printf("%-20s %3s %6s %7s %6s %7s %6s %6s %6s %6s %6s %6s\n", "a window", "", "row of",
              "raw B", "bytes", "share", "agg ns", "enc", "dec", "avg", "max", "incr.");
  for (size_t i = 0; i < kEverydayKinds; ++i) {
    const SampleKind& kind = SampleKinds()[i];
    if (!only.empty() && kind.name != only) continue;
    MeasureTier(kind, "5m", kFiveMinutesMs, 288);
    MeasureTier(kind, "1h", kHourMs, 384);
  }
  return 0;
}
