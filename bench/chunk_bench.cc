// What does a sample cost in bytes and in nanoseconds, to encode and to decode, for each kind of
// series?
//
// Each run goes through 200 chunks of different series, more than a first-level cache holds, so
// that decoding is not measured on one hot chunk. Reported per sample: time (the column
// "ns_per_sample") and bytes of the chunk, all headers included; keys, blocks and Snappy come on
// top. `memcpy` is the floor for decoding: 16 bytes a sample moved.
//
//   bazel run -c opt //bench:chunk_bench -- --benchmark_filter=decode/.*/120
#include <benchmark/benchmark.h>

#include <cstring>
#include <string>
#include <vector>

#include "lib/base/check.h"
#include "lib/chunk/chunk.h"
#include "tests/chunk/sample_generators.h"

namespace tinyobs::chunk {
namespace {

constexpr size_t kChunks = 200;

std::vector<Columns> SeriesOf(const SampleKind& kind, size_t n) {
  Random random(42);
  std::vector<Columns> series;
  for (size_t i = 0; i < kChunks; ++i) series.push_back(kind.generate(&random, n));
  return series;
}

std::vector<std::string> Encoded(const std::vector<Columns>& series) {
  Encoder encoder;
  std::vector<std::string> chunks;
  for (const Columns& columns : series) {
    encoder.Encode(columns.timestamps_ms, columns.values, &chunks.emplace_back());
  }
  return chunks;
}

void Report(benchmark::State& state, size_t n, const std::vector<std::string>& chunks) {
  size_t bytes = 0;
  for (const std::string& chunk : chunks) bytes += chunk.size();
  const auto samples = static_cast<double>(n * kChunks);
  state.counters["bytes_per_sample"] = static_cast<double>(bytes) / samples;
  // Printed with a unit prefix: 1.5n = 1.5 ns.
  state.counters["s_per_sample"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * samples,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void Encode(benchmark::State& state, const SampleKind& kind, bool hinted) {
  const auto n = static_cast<size_t>(state.range(0));
  const auto series = SeriesOf(kind, n);
  Encoder encoder;
  std::vector<ExponentHint> hints(kChunks);
  std::string out;
  for (auto _ : state) {
    for (size_t i = 0; i < kChunks; ++i) {
      out.clear();
      encoder.Encode(series[i].timestamps_ms, series[i].values, &out, hinted ? &hints[i] : nullptr);
      benchmark::DoNotOptimize(out.data());
    }
  }
  Report(state, n, Encoded(series));
}

void DecodeAll(benchmark::State& state, const SampleKind& kind) {
  const auto n = static_cast<size_t>(state.range(0));
  const auto chunks = Encoded(SeriesOf(kind, n));
  Columns out;
  for (auto _ : state) {
    for (const std::string& chunk : chunks) {
      out.clear();
      TINYOBS_CHECK(Decode(chunk, &out).ok());
      benchmark::DoNotOptimize(out.values.data());
    }
  }
  Report(state, n, chunks);
}

// The same amount of samples copied as they are.
void Copy(benchmark::State& state, const SampleKind& kind) {
  const auto n = static_cast<size_t>(state.range(0));
  const auto series = SeriesOf(kind, n);
  Columns out = series[0];
  for (auto _ : state) {
    for (const Columns& columns : series) {
      std::memcpy(out.timestamps_ms.data(), columns.timestamps_ms.data(), 8 * n);
      std::memcpy(out.values.data(), columns.values.data(), 8 * n);
      benchmark::DoNotOptimize(out.values.data());
      benchmark::ClobberMemory();
    }
  }
  Report(state, n, {});
}

void RegisterAll() {
  constexpr size_t kEverydayKinds = 10;
  for (size_t i = 0; i < kEverydayKinds; ++i) {
    const SampleKind& kind = SampleKinds()[i];
    const auto sizes = [](benchmark::internal::Benchmark* b) { b->Arg(120)->Arg(1024); };
    sizes(benchmark::RegisterBenchmark(("encode/" + kind.name).c_str(), Encode, kind, false));
    sizes(benchmark::RegisterBenchmark(("encode_hinted/" + kind.name).c_str(), Encode, kind, true));
    sizes(benchmark::RegisterBenchmark(("decode/" + kind.name).c_str(), DecodeAll, kind));
  }
  benchmark::RegisterBenchmark("memcpy", Copy, SampleKinds()[0])->Arg(120)->Arg(1024);
}

}  // namespace
}  // namespace tinyobs::chunk

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  tinyobs::chunk::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
