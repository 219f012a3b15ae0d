// Times from bodies and URLs: what is read is within four-digit years and survives being written.
#include <cstdint>
#include <string_view>

#include "lib/base/check.h"
#include "lib/wire/rfc3339.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace wire = tinyobs::wire;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto time = wire::ParseRfc3339(text);
  const auto url_time = wire::ParseUrlTime(text);
  // A zone offset may move a time of the first or last day over the end.
  constexpr int64_t kDayMs = 86'400'000;
  constexpr int64_t kFirstMs = -62'167'219'200'000;
  constexpr int64_t kLastMs = 253'402'300'799'999;
  if (time.has_value()) {
    TINYOBS_CHECK(time->timestamp_ms >= kFirstMs - kDayMs);
    TINYOBS_CHECK(time->timestamp_ms <= kLastMs + kDayMs);
    TINYOBS_CHECK(url_time == time->timestamp_ms);
  }
  if (url_time.has_value() && *url_time >= kFirstMs && *url_time <= kLastMs) {
    const auto again = wire::ParseRfc3339(wire::FormatRfc3339(*url_time));
    TINYOBS_CHECK(again.has_value() && again->timestamp_ms == *url_time);
  }
  return 0;
}
