// Times as text, RFC 3339: what the ingest body carries, what answers show, what URLs say.
//
// Own code instead of strptime or absl::ParseTime: this runs once per ingested sample, must not
// depend on a locale or a time zone database, and must tell the year-1 zero time of Go programs
// (which means "now") from a real time.
//
// Times are kept in milliseconds; finer decimals are read and cut towards the past.
//
// Thread-safety: pure.
#ifndef TINYOBS_LIB_WIRE_RFC3339_H_
#define TINYOBS_LIB_WIRE_RFC3339_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tinyobs::wire {

// 0001-01-01T00:00:00Z, Go's zero time.
inline constexpr int64_t kGoZeroTimeMs = -62'135'596'800'000;

struct Rfc3339Time {
  int64_t timestamp_ms = 0;  // since the Unix epoch, cut towards the past
  bool is_go_zero = false;   // exactly the zero time, to the nanosecond, in any zone
};

// "2006-01-02T15:04:05[.1 to 9 digits](Z|±hh:mm)", years 0000 to 9999, offsets up to ±23:59.
// Nothing before or after it. nullopt for anything else; a leap second (:60) is anything else.
std::optional<Rfc3339Time> ParseRfc3339(std::string_view text);

// A time in a URL: RFC 3339, the same without a zone (read as UTC), or Unix seconds, whole or
// decimal, within years 0000 to 9999. A space where the zone's plus belongs is a plus that the
// client forgot to escape.
std::optional<int64_t> ParseUrlTime(std::string_view text);

// UTC with as many decimals (0 to 3) as needed: "2025-11-18T00:00:00.123Z". Times outside years
// 0000 to 9999 are moved to the nearest end.
std::string FormatRfc3339(int64_t timestamp_ms);
void AppendRfc3339(int64_t timestamp_ms, std::string* out);

}  // namespace tinyobs::wire

#endif  // TINYOBS_LIB_WIRE_RFC3339_H_
