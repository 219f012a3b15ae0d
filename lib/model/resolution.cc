// Resolutions: their names, as they stand in answers and options, and which one is for what step.
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

Resolution ChooseResolution(int64_t step_ms) {
  for (const Resolution coarse : {Resolution::kOneHour, Resolution::kFiveMinutes}) {
    if (step_ms >= ResolutionMs(coarse)) return coarse;
  }
  return Resolution::kRaw;
}

}  // namespace tinyobs
