#include "bench/chunk_workloads.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>

#include "lib/base/check.h"
#include "lib/chunk/aggregate.h"
#include "lib/chunk/chunk.h"

namespace tinyobs::chunk {
namespace {

// Keeps the compiler from leaving out what computes `value`.
template <typename T>
void Use(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

template <typename Run>
double NsOf(double samples, Run run) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  run();
  const std::chrono::duration<double, std::nano> took = Clock::now() - start;
  return took.count() / samples;
}

}  // namespace

ChunkWorkload::ChunkWorkload(const SampleKind& kind, size_t chunk_samples, size_t samples)
    : chunk_samples_(chunk_samples) {
  constexpr size_t kDistinct = 2000;  // generating takes longer than measuring
  const size_t count = std::max<size_t>(1, samples / chunk_samples);
  Random random(42);
  Encoder encoder;
  std::vector<size_t> ends;
  for (size_t i = 0; i < count; ++i) {
    Columns chunk;
    if (i < kDistinct) {
      chunk = kind.generate(&random, chunk_samples);
    } else {
      const auto at = static_cast<ptrdiff_t>((i - kDistinct) * chunk_samples);
      const auto end = at + static_cast<ptrdiff_t>(chunk_samples);
      chunk.timestamps_ms.assign(columns_.timestamps_ms.begin() + at,
                                 columns_.timestamps_ms.begin() + end);
      chunk.values.assign(columns_.values.begin() + at, columns_.values.begin() + end);
    }
    for (size_t j = 0; j < chunk.size(); ++j) columns_.Add(chunk.timestamps_ms[j], chunk.values[j]);
    encoder.Encode(chunk.timestamps_ms, chunk.values, &bytes_);
    ends.push_back(bytes_.size());
  }
  size_t from = 0;
  for (const size_t end : ends) {
    chunks_.push_back(std::string_view(bytes_).substr(from, end - from));
    from = end;
  }
}

double ChunkWorkload::bytes_per_sample() const {
  return static_cast<double>(bytes_.size()) / static_cast<double>(samples());
}

double ChunkWorkload::summary_share() const {
  const auto with = std::count_if(chunks_.begin(), chunks_.end(), [](std::string_view chunk) {
    return ReadSummary(chunk).value().has_value();
  });
  return static_cast<double>(with) / static_cast<double>(chunks_.size());
}

double ChunkWorkload::EncodeNs(bool hinted) const {
  Encoder encoder;
  std::string out;
  std::vector<ExponentHint> hints(chunks_.size());
  const size_t n = chunk_samples_;
  const auto run = [&] {
    for (size_t i = 0; i < chunks_.size(); ++i) {
      out.clear();
      encoder.Encode(std::span(columns_.timestamps_ms).subspan(i * n, n),
                     std::span(columns_.values).subspan(i * n, n), &out, &hints[i]);
      Use(out.data());
      if (!hinted) hints[i] = {};
    }
  };
  if (hinted) run();
  return NsOf(static_cast<double>(samples()), run);
}

double ChunkWorkload::DecodeNs(Result result) const {
  Columns out = columns_;  // so that its pages are there
  out.clear();
  return NsOf(static_cast<double>(samples()), [&] {
    for (const std::string_view chunk : chunks_) {
      if (result == Result::kOneChunk) out.clear();
      TINYOBS_CHECK(Decode(chunk, &out).ok());
      Use(out.values.data());
    }
  });
}

double ChunkWorkload::CopyColumnsNs(Result result) const {
  const size_t n = chunk_samples_;
  Columns out = columns_;
  return NsOf(static_cast<double>(samples()), [&] {
    for (size_t at = 0; at < columns_.size(); at += n) {
      const size_t to = result == Result::kOneChunk ? 0 : at;
      std::memcpy(out.timestamps_ms.data() + to, columns_.timestamps_ms.data() + at, 8 * n);
      std::memcpy(out.values.data() + to, columns_.values.data() + at, 8 * n);
      Use(out.values.data());
    }
  });
}

double ChunkWorkload::AggregateNs(int64_t window_ms) const {
  WindowAggregator aggregator;
  const auto [least, greatest] =
      std::minmax_element(columns_.timestamps_ms.begin(), columns_.timestamps_ms.end());
  const int64_t start = *least - *least % window_ms;
  const int64_t end = *greatest + 1;
  return NsOf(static_cast<double>(samples()), [&] {
    for (const std::string_view chunk : chunks_) {
      aggregator.Begin(start, end, static_cast<uint64_t>(window_ms), false);
      TINYOBS_CHECK(aggregator.AddChunk(chunk).ok());
      Use(aggregator.Finish().data());
    }
  });
}

double ChunkWorkload::AggregateColumnsNs(int64_t window_ms) const {
  struct Window {
    uint64_t count = 0;
    double sum = 0;
    double min = std::numeric_limits<double>::infinity();
    double max = -std::numeric_limits<double>::infinity();
    double increase = 0;
  };
  std::vector<Window> windows;
  return NsOf(static_cast<double>(samples()), [&] {
    for (size_t at = 0; at < columns_.size(); at += chunk_samples_) {
      windows.clear();
      int64_t edge = std::numeric_limits<int64_t>::min();
      double before = 0;
      for (size_t i = at; i < at + chunk_samples_; ++i) {
        const int64_t time = columns_.timestamps_ms[i];
        const double value = columns_.values[i];
        if (time >= edge) {
          edge = time / window_ms * window_ms + window_ms;
          windows.emplace_back();
          before = value;
        }
        Window& window = windows.back();
        ++window.count;
        window.sum += value;
        window.min = std::min(window.min, value);
        window.max = std::max(window.max, value);
        window.increase += value < before ? value : value - before;
        before = value;
      }
      Use(windows.data());
    }
  });
}

TierWorkload::TierWorkload(const SampleKind& kind, int64_t window_ms, size_t windows_per_row)
    : window_ms_(window_ms), windows_per_row_(windows_per_row) {
  constexpr size_t kSeries = 20;
  constexpr int64_t kIntervalMs = 15'000;
  constexpr size_t kPartition = 7'200'000 / kIntervalMs;
  constexpr size_t kSamples = 16 * 12 * kPartition;
  Random random(42);
  Encoder encoder;
  for (size_t i = 0; i < kSeries; ++i) {
    Columns columns = kind.generate(&random, kSamples);
    // From the first window on, but at a moment of each target's own, as scrapes are.
    const int64_t phase = random.Between(0, kIntervalMs - 1);
    const int64_t shift = 3'600'000 - columns.timestamps_ms[0] % 3'600'000 + phase;
    for (int64_t& time : columns.timestamps_ms) time += shift;
    std::vector<std::string>& chunks = chunks_.emplace_back();
    for (size_t at = 0; at < kSamples; at += kPartition) {
      encoder.Encode(std::span(columns.timestamps_ms).subspan(at, kPartition),
                     std::span(columns.values).subspan(at, kPartition), &chunks.emplace_back());
    }
  }
  for (const std::vector<std::string>& chunks : chunks_) {
    WindowAggregator aggregator;
    aggregator.Begin(0, std::numeric_limits<int64_t>::max(), static_cast<uint64_t>(window_ms));
    for (const std::string& chunk : chunks) TINYOBS_CHECK(aggregator.AddChunk(chunk).ok());
    windows_.push_back(aggregator.Finish());
    ForgetRiseOfGauge(windows_.back());
    const std::span<const Window> windows = windows_.back();
    count_ += static_cast<double>(windows.size());
    for (size_t at = 0; at < windows.size(); at += windows_per_row_) {
      EncodeWindows(windows.subspan(at, std::min(windows_per_row_, windows.size() - at)), window_ms,
                    &rows_.emplace_back());
    }
  }
}

double TierWorkload::raw_bytes_per_window() const {
  size_t bytes = 0;
  for (const auto& chunks : chunks_) {
    for (const std::string& chunk : chunks) bytes += chunk.size();
  }
  return static_cast<double>(bytes) / count_;
}

double TierWorkload::bytes_per_window() const {
  size_t bytes = 0;
  for (const std::string& row : rows_) bytes += row.size();
  return static_cast<double>(bytes) / count_;
}

double TierWorkload::AggregateNs() const {
  WindowAggregator aggregator;
  return NsOf(count_, [&] {
    for (const auto& chunks : chunks_) {
      aggregator.Begin(0, std::numeric_limits<int64_t>::max(), static_cast<uint64_t>(window_ms_));
      for (const std::string& chunk : chunks) TINYOBS_CHECK(aggregator.AddChunk(chunk).ok());
      Use(aggregator.Finish().data());
    }
  });
}

double TierWorkload::EncodeNs() const {
  std::string out;
  return NsOf(count_, [&] {
    for (const std::span<const Window> windows : windows_) {
      for (size_t at = 0; at < windows.size(); at += windows_per_row_) {
        out.clear();
        EncodeWindows(windows.subspan(at, std::min(windows_per_row_, windows.size() - at)),
                      window_ms_, &out);
        Use(out.data());
      }
    }
  });
}

double TierWorkload::DecodeNs() const {
  std::vector<Window> out;
  return NsOf(count_, [&] {
    for (const std::string& row : rows_) {
      out.clear();
      TINYOBS_CHECK(DecodeWindows(row, window_ms_, &out).ok());
      Use(out.data());
    }
  });
}

double TierWorkload::DecodeNs(uint32_t columns) const {
  constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();
  Windows out;
  return NsOf(count_, [&] {
    for (const std::string& row : rows_) {
      out.start_ms.clear();
      out.count.clear();
      out.sum.clear();
      out.max.clear();
      out.increase.clear();
      TINYOBS_CHECK(DecodeWindows(row, window_ms_, columns, 0, kEnd, &out).ok());
      Use(out.start_ms.data());
    }
  });
}

double Fastest(int repeats, const std::function<double()>& run) {
  double least = run();
  for (int i = 1; i < repeats; ++i) least = std::min(least, run());
  return least;
}

double ShannonBound(const std::string& kind) {
  // Normal noise of deviation s in steps of one: log2(s * sqrt(2 pi e)) bits.
  const auto normal_bits = [](double log2_deviation) { return log2_deviation + 2.0471; };
  // The counter's deviation is sqrt(15 * 10^(4u)), u uniform in [0, 1).
  const double counter = normal_bits((std::log2(15) + 2 * std::log2(10)) / 2) / 8;
  if (kind == "int_counter") return counter;
  if (kind == "jittered_times") return counter + std::log2(7) / 8;
  if (kind == "cpu_seconds") return normal_bits(std::log2(40)) / 8;
  if (kind == "one_decimal_walk") return std::log2(11) / 8;
  if (kind == "three_decimals_walk") return std::log2(199) / 8;
  if (kind == "pages_of_bytes") return normal_bits(std::log2(300)) / 8;
  // Deviation 0.1 in steps of the last bit of values that start uniform in [0, 100).
  if (kind == "full_precision") return normal_bits(std::log2(0.1) + 52 - 4.72) / 8;
  return 0;
}

}  // namespace tinyobs::chunk
