// Prometheus' remote write 1.0: the body of POST /api/v1/write after Snappy, a protobuf message
//
//   WriteRequest    { repeated TimeSeries timeseries = 1; repeated MetricMetadata metadata = 3; }
//   TimeSeries      { repeated Label labels = 1; repeated Sample samples = 2;
//                     repeated Exemplar exemplars = 3; repeated Histogram histograms = 4; }
//   Label           { string name = 1; string value = 2; }
//   Sample          { double value = 1; int64 timestamp = 2; }      milliseconds
//   MetricMetadata  { MetricType type = 1; string metric_family_name = 2; string help = 4;
//                     string unit = 5; }
//
// Read in place with protozero and not with generated classes, which would copy every label of
// every series into a string of its own before anybody has asked for one. Labels are only stepped
// over here: the bytes from the first to the last of a series are its name (series_batch.h).
//
// Any bit of a value is kept, the payload of a NaN included: it may be a staleness marker.
// Exemplars are ignored. Native histograms cannot be stored yet: counted, for the answer.
// Fields that are not known are skipped, as protobuf asks for.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_WIRE_REMOTE_WRITE_H_
#define TINYOBS_LIB_WIRE_REMOTE_WRITE_H_

#include <cstddef>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/wire/series_batch.h"
#include "tinyobs/labels.h"

namespace tinyobs::wire {

struct RemoteWrite {
  SeriesBatch batch;
  size_t histograms = 0;  // samples that were left out for being native histograms
};

// InvalidArgument: not such a message, or so many samples in so few bytes that they cannot be
// meant: a sample with time and value takes 9 bytes, and what is decoded must not be many times the
// body. Then `out` holds nothing of use. A series without samples is left out. Time and memory
// O(body), at most eight bytes of memory each.
absl::Status DecodeRemoteWrite(std::string_view body, RemoteWrite* out);

// The labels of a series, in any order. InvalidArgument: not labels, none, no metric name, or not
// what Labels::Create takes. Any UTF-8 may be in names: what is stored is not what a query can
// write without quotes, but that is for the sender to choose.
absl::StatusOr<Labels> RemoteWriteLabels(std::string_view name);

}  // namespace tinyobs::wire

#endif  // TINYOBS_LIB_WIRE_REMOTE_WRITE_H_
