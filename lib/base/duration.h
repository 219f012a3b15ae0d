// Durations as people write them: "15s", "1h30m", "14d", "1y". The units are those of Prometheus,
// so that flags, the command line and queries read alike; a day is 24 hours and a year 365 days.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_BASE_DURATION_H_
#define TINYOBS_LIB_BASE_DURATION_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tinyobs {

// Whole numbers with the units y, w, d, h, m, s, ms, one or several: their sum in milliseconds.
// InvalidArgument: something else, zero, or more than a hundred years.
absl::StatusOr<int64_t> ParseDurationMs(std::string_view text);

// As ParseDurationMs reads it, with the units d, h, m, s, ms; "0" for zero. REQUIRES: not negative.
std::string FormatDurationMs(int64_t duration_ms);

}  // namespace tinyobs

#endif  // TINYOBS_LIB_BASE_DURATION_H_
