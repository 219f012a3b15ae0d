// The text exposition format on hostile texts: no crash, no line counted twice or lost, and a
// series that is accepted is written (Labels::ToString) and read again as the same one.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/check.h"
#include "lib/wire/exposition_parse.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace wire = tinyobs::wire;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  wire::ExpositionReader reader(text, 1'700'000'000'000, size % 2 == 1);
  wire::SeriesBatch batch;
  wire::WriteReport report;
  size_t samples = 0;
  while (reader.Next(&batch, &report)) {
    samples += batch.values.size();
    TINYOBS_CHECK(batch.series.size() == batch.values.size());
    TINYOBS_CHECK(batch.timestamps_ms.size() == batch.values.size());
    for (const auto& series : batch.series) {
      const auto labels = wire::ExpositionLabels(series.name);
      if (!labels.ok()) {
        TINYOBS_CHECK(absl::IsInvalidArgument(labels.status()));
        continue;
      }
      const auto again = wire::ExpositionLabels(labels->ToString());
      TINYOBS_CHECK(again.ok() && *again == *labels);
    }
    for (const auto& metadata : batch.metadata) TINYOBS_CHECK(!metadata.metric.empty());
  }
  TINYOBS_CHECK(samples + report.refused <= lines);
  TINYOBS_CHECK((report.refused == 0) == report.reasons.empty());
  return 0;
}
