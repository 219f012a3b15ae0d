#include "bench/workload/devops.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <numeric>
#include <string>

namespace tinyobs::bench {
namespace {

constexpr size_t kSeriesOfHost = 100;

// The finalizer of SplitMix64: every bit of the answer depends on every bit of `x`.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// Takes a number from 0 to bound - 1 off the bits of `noise`.
int64_t Take(uint64_t* noise, uint64_t bound) {
  const auto number = static_cast<int64_t>(*noise % bound);
  *noise /= bound;
  return number;
}

// As Take, from -most to most.
int64_t TakeAround(uint64_t* noise, int64_t most) {
  return Take(noise, static_cast<uint64_t>(2 * most + 1)) - most;
}

// About as often near 10 as near 10 million, below 2^`bits`.
int64_t AnyMagnitude(uint64_t noise, uint64_t bits) {
  const int64_t shift = Take(&noise, bits);
  return static_cast<int64_t>(noise & ((uint64_t{2} << shift) - 1));
}

template <typename... Arguments>
std::string Text(const char* format, Arguments... arguments) {
  char text[64];
  std::snprintf(text, sizeof(text), format, arguments...);
  return text;
}

std::string MetricOf(size_t series) {
  return Text("node_metric_name_%03zu_total", series % kSeriesOfHost);
}
std::string InstanceOf(size_t series) {
  return Text("host-%06zu.example:9100", series / kSeriesOfHost);
}

}  // namespace

Labels DevopsLabels(size_t series) {
  return Labels::Of(MetricOf(series), {{"cluster", "prod-eu-1"},
                                       {"cpu", Text("%zu", series % 64)},
                                       {"device", Text("nvme%zun1", series % 7)},
                                       {"env", "prod"},
                                       {"instance", InstanceOf(series)},
                                       {"job", "node-exporter"},
                                       {"mode", Text("m%zu", series % 9)}});
}

DevopsSource::DevopsSource(const DevopsOptions& options)
    : options_(options), states_(options.series) {
  for (size_t i = 0; i < states_.size(); ++i) {
    const uint64_t noise = Mix(options_.seed ^ Mix(i));
    states_[i] = {AnyMagnitude(Mix(noise), 30), noise};
    if (i % kSeriesOfHost >= 98) {
      states_[i].x = std::bit_cast<int64_t>(10.0 + static_cast<double>(noise % 1000) / 11.0);
    }
  }
  if (!options_.random_order) return;
  order_.resize(states_.size());
  std::iota(order_.begin(), order_.end(), 0u);
  for (size_t i = order_.size(); i > 1; --i) {
    std::swap(order_[i - 1], order_[Mix(options_.seed + i) % i]);
  }
}

std::vector<Matcher> DevopsSource::SelectorOf(size_t series) const {
  return {Matcher::Metric(MetricOf(series)), Matcher::Equal("instance", InstanceOf(series))};
}

double DevopsSource::Next(size_t series, uint64_t noise) {
  State& state = states_[series];
  const size_t metric = series % kSeriesOfHost;
  if (metric < 20) {  // hundredths of seconds: a share of the time that passed
    const auto busy = static_cast<int64_t>(state.rate % 100) + TakeAround(&noise, 5);
    state.x += std::clamp<int64_t>(busy, 0, 100) * options_.step_ms / 1000 + Take(&noise, 3);
    return static_cast<double>(state.x) / 100;
  }
  if (metric < 35) {  // pages; three times in ten nothing changed
    if (Take(&noise, 10) < 7) state.x = std::max<int64_t>(0, state.x + TakeAround(&noise, 400));
    return static_cast<double>(state.x * 4096);
  }
  if (metric < 60) {  // events, of which some start again as their process does
    const int64_t mean = 1 + AnyMagnitude(state.rate, 17);
    state.x += std::max<int64_t>(0, mean + TakeAround(&noise, 1 + mean / 10));
    if (metric < 40 && Take(&noise, 5'000) == 0) state.x = 0;
    return static_cast<double>(state.x);
  }
  if (metric < 72) {  // tenths
    state.x += TakeAround(&noise, 5);
    return static_cast<double>(state.x % 1'000) / 10;
  }
  if (metric < 85) {  // a limit, a size, a state
    if (Take(&noise, 100) == 0) state.x = AnyMagnitude(noise, 30);
    return static_cast<double>(state.x);
  }
  if (metric < 98) {  // a bucket
    if (Take(&noise, 100) < static_cast<int64_t>(state.rate % 30)) state.x += 1 + Take(&noise, 3);
    return static_cast<double>(state.x);
  }
  const double value = std::bit_cast<double>(state.x) + static_cast<double>(noise >> 11) * 0x1p-53 -
                       0.5;  // uses every digit of a double
  state.x = std::bit_cast<int64_t>(value);
  return value;
}

void DevopsSource::Scrape(size_t number, SampleColumns* out) {
  const size_t count = states_.size();
  out->series.resize(count);
  out->timestamps_ms.resize(count);
  out->values.resize(count);
  const int64_t scrape_ms = options_.start_ms + static_cast<int64_t>(number) * options_.step_ms;
  const uint64_t scrape_seed = Mix(options_.seed + 0x5eed + number);
  for (size_t i = 0; i < count; ++i) {
    const uint32_t series = order_.empty() ? static_cast<uint32_t>(i) : order_[i];
    const uint64_t host = series / kSeriesOfHost;
    out->series[i] = series;
    out->timestamps_ms[i] =
        scrape_ms + static_cast<int64_t>(Mix(host) % static_cast<uint64_t>(options_.step_ms));
    out->values[i] = Next(series, Mix(scrape_seed ^ series));
  }
}

}  // namespace tinyobs::bench
