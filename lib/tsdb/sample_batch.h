// SampleBatch: samples of many series as three columns, the form in which a commit travels from the
// appender to the head and from the log back into it.
//
// Columns and not a vector of structs, because each stage touches one or two of them: planning
// looks at refs only, a scrape has the same time throughout, and nothing is padded (20 B a sample).
//
// Order is meaning: of two samples of one series and time the later one counts.
#ifndef TINYOBS_LIB_TSDB_SAMPLE_BATCH_H_
#define TINYOBS_LIB_TSDB_SAMPLE_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lib/tsdb/key_schema.h"

namespace tinyobs::tsdb {

struct SampleBatch {
  std::vector<SeriesRef> refs;  // all of equal length
  std::vector<int64_t> timestamps_ms;
  std::vector<double> values;

  size_t size() const { return refs.size(); }
  bool empty() const { return refs.empty(); }

  void Add(SeriesRef ref, int64_t timestamp_ms, double value) {
    refs.push_back(ref);
    timestamps_ms.push_back(timestamp_ms);
    values.push_back(value);
  }
  void resize(size_t count) {
    refs.resize(count);
    timestamps_ms.resize(count);
    values.resize(count);
  }
  // Those of the series of which `goes(ref)` is true.
  template <typename Goes>
  void EraseIf(Goes goes) {
    size_t kept = 0;
    for (size_t i = 0; i < size(); ++i) {
      if (goes(refs[i])) continue;
      refs[kept] = refs[i];
      timestamps_ms[kept] = timestamps_ms[i];
      values[kept++] = values[i];
    }
    resize(kept);
  }
  // Keeps the memory.
  void clear() { resize(0); }
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_SAMPLE_BATCH_H_
