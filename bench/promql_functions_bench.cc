// What does a function of a range vector cost a sample?
//
// One series of 5,760 samples 15 s apart (a day), windows of five minutes and of an hour at steps
// of 15 s, a minute and an hour (the last do not overlap for five minutes). Counters are reset now
// and then, gauges wander. Items are samples, so "items_per_second" is samples a second; `ns` is
// nanoseconds a sample.
//
//   bazel run -c opt //bench:promql_functions_bench
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "lib/promql/functions.h"
#include "lib/promql/range_functions.h"

namespace tinyobs::promql {
namespace {

constexpr size_t kSamples = 5'760;
constexpr int64_t kScrapeMs = 15'000;

struct Columns {
  std::vector<int64_t> times_ms;
  std::vector<double> values;
};

Columns MakeSeries(bool counter) {
  std::mt19937_64 random(7);
  Columns series;
  double value = 1000;
  for (size_t i = 0; i < kSamples; ++i) {
    const double step = std::uniform_real_distribution<double>(-10, 10)(random);
    value = !counter ? value + step : random() % 1000 == 0 ? 0 : value + std::abs(step);
    series.times_ms.push_back(1'700'000'000'000 + static_cast<int64_t>(i) * kScrapeMs);
    series.values.push_back(value);
  }
  return series;
}

void Run(benchmark::State& state, FunctionId id, bool counter) {
  const Columns series = MakeSeries(counter);
  RangeInput input;
  input.times_ms = series.times_ms;
  input.values = series.values;
  input.range_ms = state.range(0) * 1000;
  input.windows = {series.times_ms.front(), state.range(1) * 1000, 0};
  input.windows.count = kSamples * kScrapeMs / static_cast<size_t>(input.windows.step_ms);
  input.steps = input.windows;
  const std::vector<double> half(input.windows.count, 0.5);
  const std::vector<std::span<const double>> args = {half, half};
  std::vector<double> out(input.windows.count);
  RangeScratch scratch;
  for (auto _ : state) {
    benchmark::DoNotOptimize(EvalRange(id, input, args, &scratch, out));
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kSamples));
  state.counters["ns"] = benchmark::Counter(
      static_cast<double>(kSamples) * 1e-9,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void RegisterAll() {
  for (const Function& function : kFunctions) {
    if (!IsRangeFunction(function.id)) continue;
    const FunctionId id = function.id;
    const bool counter =
        id == IdOf("rate") || id == IdOf("increase") || id == IdOf("irate") || id == IdOf("resets");
    benchmark::RegisterBenchmark(
        std::string(function.name).c_str(),
        [id, counter](benchmark::State& state) { Run(state, id, counter); })
        ->ArgNames({"range_s", "step_s"})
        ->Args({300, 15})
        ->Args({300, 60})
        ->Args({300, 3600})
        ->Args({3600, 60});
  }
}

}  // namespace
}  // namespace tinyobs::promql

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  tinyobs::promql::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
