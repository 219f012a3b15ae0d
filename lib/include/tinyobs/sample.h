// Sample and the columns that samples travel in.
#ifndef TINYOBS_SAMPLE_H_
#define TINYOBS_SAMPLE_H_

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

namespace tinyobs {

// One measurement. Every bit of `value` is kept: -0, denormals and the payload of a NaN.
struct Sample {
  int64_t timestamp_ms = 0;  // since the Unix epoch, UTC; may be negative
  double value = 0;
};

// The NaN that says "this series has ended" (Prometheus' staleness marker). Compare bits, not
// values.
inline constexpr uint64_t kStaleNanBits = 0x7ff0000000000002;
inline double StaleNan() { return std::bit_cast<double>(kStaleNanBits); }
inline bool IsStaleNan(double value) { return std::bit_cast<uint64_t>(value) == kStaleNanBits; }

// Samples of one series as two columns of equal length, sorted by time, each time once.
struct Columns {
  std::vector<int64_t> timestamps_ms;
  std::vector<double> values;

  size_t size() const { return timestamps_ms.size(); }
  bool empty() const { return timestamps_ms.empty(); }
  void Add(int64_t timestamp_ms, double value) {
    timestamps_ms.push_back(timestamp_ms);
    values.push_back(value);
  }
  void clear() {
    timestamps_ms.clear();
    values.clear();
  }
};

// What is known of a metric name. `type` is free text: the ingest endpoint stores what the client
// said
// ("counter", "gauge", "histogram", ...).
struct MetricMetadata {
  std::string type;
  std::string help;
  std::string unit;
  friend bool operator==(const MetricMetadata&, const MetricMetadata&) = default;
};

}  // namespace tinyobs

#endif  // TINYOBS_SAMPLE_H_
