// The chunk decoder on hostile bytes: refusal leaves no trace; what decodes is valid samples, and
// encoding those and decoding again gives the same samples, bit for bit. What can be decoded can be
// aggregated, with as many samples in the windows as there are without staleness markers (unless a
// summary is believed that lies); what cannot be decoded harms no aggregate either.
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "lib/base/check.h"
#include "lib/chunk/aggregate.h"
#include "lib/chunk/chunk.h"
#include "lib/chunk/decimal.h"

namespace {

using namespace tinyobs;

// All samples but one at the end of time, in windows of a minute if they are not too many, and one.
void Aggregate(std::string_view bytes, const Columns* decoded) {
  static auto* const aggregator = new chunk::WindowAggregator;
  for (const uint64_t width : {uint64_t{60'000}, UINT64_MAX}) {
    aggregator->Begin(INT64_MIN, INT64_MAX, width);
    const absl::Status status = aggregator->AddChunk(bytes);
    TINYOBS_CHECK(status.ok() || decoded == nullptr);
    uint64_t count = 0;
    for (const chunk::Window& window : aggregator->Finish()) {
      TINYOBS_CHECK(window.first_ms <= window.last_ms && window.count > 0);
      count += window.count;
    }
    TINYOBS_CHECK(count <= chunk::kMaxSamples);
    if (decoded == nullptr) continue;
    uint64_t samples = 0;
    for (size_t i = 0; i < decoded->size(); ++i) {
      samples += decoded->timestamps_ms[i] != INT64_MAX && !IsStaleNan(decoded->values[i]);
    }
    TINYOBS_CHECK(count == samples);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Columns columns;
  const absl::Status status = chunk::Decode(bytes, &columns);
  const auto header = chunk::ReadHeader(bytes);
  const auto summary = chunk::ReadSummary(bytes);
  TINYOBS_CHECK(summary.ok() == header.ok());
  Aggregate(bytes, status.ok() ? &columns : nullptr);
  if (!status.ok()) {
    TINYOBS_CHECK(absl::IsDataLoss(status) || absl::IsFailedPrecondition(status));
    TINYOBS_CHECK(columns.empty() && columns.values.empty());
    return 0;
  }
  TINYOBS_CHECK(header.ok());
  TINYOBS_CHECK(header->count == columns.size() && columns.values.size() == columns.size());
  TINYOBS_CHECK(header->first_ms == columns.timestamps_ms.front());
  TINYOBS_CHECK(header->last_ms == columns.timestamps_ms.back());

  std::string encoded;
  chunk::Encoder().Encode(columns.timestamps_ms, columns.values, &encoded);
  // Our own summaries do not lie: that of the new chunk is what its samples say.
  const auto own = chunk::ReadSummary(encoded);
  TINYOBS_CHECK(own.ok());
  if (own->has_value()) {
    TINYOBS_CHECK(chunk::FromDecimal((*own)->first, (*own)->exponent) == columns.values.front());
    TINYOBS_CHECK(chunk::FromDecimal((*own)->last, (*own)->exponent) == columns.values.back());
    for (const double value : columns.values) {
      TINYOBS_CHECK(value >= chunk::FromDecimal((*own)->min, (*own)->exponent));
      TINYOBS_CHECK(value <= chunk::FromDecimal((*own)->max, (*own)->exponent));
    }
  }
  Columns again;
  TINYOBS_CHECK(chunk::Decode(encoded, &again).ok());
  TINYOBS_CHECK(again.timestamps_ms == columns.timestamps_ms);
  TINYOBS_CHECK(std::memcmp(again.values.data(), columns.values.data(), 8 * again.size()) == 0);
  return 0;
}
