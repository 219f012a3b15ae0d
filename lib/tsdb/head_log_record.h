// One record of the head log: everything one commit brings, as bytes.
//
// A record is what makes a batch all or nothing: it is framed and checksummed as a whole by the log
// below, so after a crash it is there or it is not. Series are named by ref; the record that first
// names one carries its labels. Samples are close to each other in three ways, and each is used:
// refs follow one another in scrape order, times repeat, values are whole numbers or short decimals
// more often than not. FORMAT.md has the bytes.
//
// Thread-safety: pure functions over buffers of the caller.
#ifndef TINYOBS_LIB_TSDB_HEAD_LOG_RECORD_H_
#define TINYOBS_LIB_TSDB_HEAD_LOG_RECORD_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/tsdb/key_schema.h"
#include "tinyobs/sample.h"

namespace tinyobs::tsdb {

struct RefSample {
  SeriesRef ref = 0;
  int64_t timestamp_ms = 0;
  double value = 0;
};

struct NewSeries {
  SeriesRef ref = 0;
  SeriesId id = 0;
  std::string canonical_labels;
};

struct NamedMetadata {
  std::string metric;
  MetricMetadata metadata;
};

// One commit. Samples are applied in order, so of two with the same series and time the later wins.
struct CommitRecord {
  std::vector<NewSeries> new_series;  // ascending by ref
  std::vector<NamedMetadata> metadata;
  std::vector<RefSample> samples;

  void clear() {
    new_series.clear();
    metadata.clear();
    samples.clear();
  }
};

// Appends the record to `out`.
void EncodeCommit(const CommitRecord& record, std::string* out);

// Replaces `record`. DataLoss: not a whole valid record. FailedPrecondition: of a newer version.
// Allocates in proportion to the size of `bytes`; labels are not checked here.
absl::Status DecodeCommit(std::string_view bytes, CommitRecord* record);

// The pieces, shared with the checkpoint.
void PutMetadata(const MetricMetadata& metadata, std::string* out);
class SampleWriter {
 public:
  explicit SampleWriter(std::string* out) : out_(out) {}
  void Put(const RefSample& sample);

 private:
  std::string* const out_;
  RefSample previous_;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_HEAD_LOG_RECORD_H_
