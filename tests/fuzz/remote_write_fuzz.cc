// Remote write on hostile bodies: no crash, memory within a few times the body, and what is
// accepted keeps every promise of lib/wire/remote_write.h.
#include <cstdint>
#include <string_view>

#include "lib/base/check.h"
#include "lib/wire/remote_write.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace wire = tinyobs::wire;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  wire::RemoteWrite decoded;
  const absl::Status read = wire::DecodeRemoteWrite(body, &decoded);
  const wire::SeriesBatch& batch = decoded.batch;
  TINYOBS_CHECK(batch.values.size() <= 1024 + size / 8);
  if (!read.ok()) {
    TINYOBS_CHECK(absl::IsInvalidArgument(read));
    return 0;
  }
  TINYOBS_CHECK(batch.timestamps_ms.size() == batch.values.size());
  size_t end = 0;
  for (const auto& series : batch.series) {
    TINYOBS_CHECK(series.begin == end && series.end > series.begin);
    end = series.end;
    TINYOBS_CHECK(series.name.empty() ||
                  (series.name.data() >= body.data() &&
                   series.name.data() + series.name.size() <= body.data() + body.size()));
    const auto labels = wire::RemoteWriteLabels(series.name);
    TINYOBS_CHECK(labels.ok() || absl::IsInvalidArgument(labels.status()));
    TINYOBS_CHECK(!labels.ok() || !labels->metric().empty());
  }
  TINYOBS_CHECK(end == batch.values.size());
  for (const auto& metadata : batch.metadata) TINYOBS_CHECK(!metadata.metric.empty());
  return 0;
}
