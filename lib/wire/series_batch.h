// SeriesBatch: what a request that writes series holds, decoded but not copied.
//
// The decoders of several protocols fill it and SeriesWriter (lib/wire/series_writer.h) stores it,
// so neither knows the other. A series is named by the bytes it had on the wire: who sends a series
// once a minute sends the same bytes each time, and SeriesWriter knows them again without looking
// at a single label. What they mean is asked of the protocol (LabelsOf) only when they are new.
//
// Samples are two columns for the whole request, 16 bytes each.
//
// Thread-safety: plain data. Views point into the request.
#ifndef TINYOBS_LIB_WIRE_SERIES_BATCH_H_
#define TINYOBS_LIB_WIRE_SERIES_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tinyobs/appender.h"
#include "tinyobs/labels.h"

namespace tinyobs::wire {

struct SeriesBatch {
  struct Series {
    std::string_view name;  // its labels, in the form of the protocol
    size_t begin = 0;       // its samples, [begin, end) of the columns; never none
    size_t end = 0;
  };
  struct Metadata {
    std::string_view metric;
    // Empty: not said, so what is known stays.
    std::string_view type;
    std::string_view help;
    std::string_view unit;
  };

  // In the order of the request, and their samples without gaps: begin is the end before it.
  std::vector<Series> series;
  std::vector<int64_t> timestamps_ms;
  std::vector<double> values;
  std::vector<Metadata> metadata;

  // Keeps the memory.
  void clear() {
    series.clear();
    timestamps_ms.clear();
    values.clear();
    metadata.clear();
  }
};

// What became of a request.
struct WriteReport {
  static constexpr size_t kMostReasons = 3;

  uint64_t stored = 0;                         // samples
  uint64_t refused = 0;                        // samples
  std::vector<std::string> reasons = {};       // the first few
  std::optional<CardinalityLimit> limit = {};  // of series, if that is what refused some

  void Refuse(uint64_t samples, std::string_view reason) {
    refused += samples;
    if (reasons.size() < kMostReasons && (reasons.empty() || reasons.back() != reason)) {
      reasons.emplace_back(reason);
    }
  }
  void Add(const WriteReport& more) {
    stored += more.stored;
    refused += more.refused;
    for (const std::string& reason : more.reasons) Refuse(0, reason);
    if (!limit.has_value()) limit = more.limit;
  }
};

// What the bytes of SeriesBatch::Series::name mean. The same bytes must mean the same labels every
// time. InvalidArgument: they cannot be a series; the message says why and names what it can.
using LabelsOf = std::function<absl::StatusOr<Labels>(std::string_view name)>;

}  // namespace tinyobs::wire

#endif  // TINYOBS_LIB_WIRE_SERIES_BATCH_H_
