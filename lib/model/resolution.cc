// The names of resolutions, as they stand in answers and options.
#include "lib/base/check.h"
#include "tinyobs/querier.h"

namespace tinyobs {

std::string_view ResolutionName(Resolution resolution) {
  switch (resolution) {
    case Resolution::kRaw:
      return "raw";
    case Resolution::kFiveMinutes:
      return "5m";
    case Resolution::kOneHour:
      return "1h";
  }
  TINYOBS_CHECK(false);
  return "";
}

}  // namespace tinyobs
