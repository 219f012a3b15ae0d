// Prometheus' text exposition format, the reading side: the body of POST /api/v1/import/prometheus.
//
//   # HELP http_requests_total Requests answered.
//   # TYPE http_requests_total counter
//   http_requests_total{code="200"} 1027 1395066363000
//
// Line by line, and a line that is no sample is left out and reported with its number: the others
// are none the worse for it. Of a series only the end is searched here; its labels are read when
// its bytes are new (series_batch.h).
//
// OpenMetrics is taken as far as it is the same: # UNIT is metadata, # EOF and exemplars are
// ignored. A time is milliseconds in an integer, or seconds if it has a point or an exponent, or if
// the sender says that the text is OpenMetrics. Names that are not plain stand in quotes:
// {"my.metric","my label"="x"}.
//
// Thread-safety: one thread; the functions are pure.
#ifndef TINYOBS_LIB_WIRE_EXPOSITION_PARSE_H_
#define TINYOBS_LIB_WIRE_EXPOSITION_PARSE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/wire/series_batch.h"
#include "tinyobs/labels.h"

namespace tinyobs::wire {

class ExpositionReader {
 public:
  // `text` must outlive the batches. Samples without a time get `default_ms`.
  ExpositionReader(std::string_view text, int64_t default_ms, bool is_openmetrics)
      : rest_(text), default_ms_(default_ms), is_openmetrics_(is_openmetrics) {}

  // The next lines, as many as have some ten thousand samples, so that memory does not grow with
  // the text; those that are no samples go to `report`. False, and an empty batch, at the end. The
  // batch is valid until the next call.
  bool Next(SeriesBatch* batch, WriteReport* report);

 private:
  void ReadComment(std::string_view line, SeriesBatch* batch);
  // Empty: it was taken. Else what is wrong with it.
  std::string_view ReadSample(std::string_view line, SeriesBatch* batch);

  std::string_view rest_;
  const int64_t default_ms_;
  const bool is_openmetrics_;
  size_t line_number_ = 0;
  std::deque<std::string> texts_;  // of a batch: help that was escaped
};

// The labels behind a name of ExpositionReader, with `extra` labels in place of its own of the same
// name. InvalidArgument says what is wrong.
absl::StatusOr<Labels> ExpositionLabels(std::string_view name,
                                        std::span<const Labels::Pair> extra = {});

}  // namespace tinyobs::wire

#endif  // TINYOBS_LIB_WIRE_EXPOSITION_PARSE_H_
