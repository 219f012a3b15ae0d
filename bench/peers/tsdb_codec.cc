// The rows of tsdb_bench about the chunk codec: means over the ten everyday kinds of series, in
// chunks as they are sealed and as they are merged. bench/chunk_bench shows each kind by itself.
#include <algorithm>
#include <cstdio>
#include <string>

#include "bench/chunk_workloads.h"
#include "bench/peers/tsdb_workloads.h"
#include "tests/chunk/sample_generators.h"

namespace tinyobs::bench {
namespace {

constexpr size_t kEverydayKinds = 10;
constexpr int64_t kWindowMs = 300'000;

}  // namespace

void RunCodec(const TsdbOptions& options, const Recorder& record) {
  for (const size_t chunk_samples : {120, 512}) {
    double decode_ns = 0;
    double copy_ns = 0;
    double aggregate_ns = 0;
    double bytes = 0;
    for (size_t i = 0; i < kEverydayKinds; ++i) {
      const chunk::ChunkWorkload work(chunk::SampleKinds()[i], chunk_samples,
                                      options.codec_samples);
      const int repeats = 5;
      decode_ns += chunk::Fastest(repeats, [&] { return work.DecodeNs(); });
      copy_ns += chunk::Fastest(repeats, [&] { return work.CopyColumnsNs(); });
      aggregate_ns += chunk::Fastest(repeats, [&] { return work.AggregateNs(kWindowMs); });
      bytes += work.bytes_per_sample();
    }
    const std::string bench = "codec_" + std::to_string(chunk_samples);
    const auto figure = [&](const char* metric, bool higher, double value) {
      record({bench, metric, higher, "tinyobs", value});
      std::fprintf(stderr, "  %-8s %-16s %-18s %14.3f\n", "tinyobs", bench.c_str(), metric, value);
    };
    figure("decode_memcpy_ratio", false, decode_ns / copy_ns);
    figure("aggregated_samples_per_s", true, 1e9 * kEverydayKinds / aggregate_ns);
    figure("bytes_per_sample", false, bytes / kEverydayKinds);
  }
}

}  // namespace tinyobs::bench
