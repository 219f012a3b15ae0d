// What a Querier does that does not say otherwise.
#include "tinyobs/querier.h"

#include <utility>

#include "lib/base/status_macros.h"

namespace tinyobs {

absl::StatusOr<std::vector<std::unique_ptr<SeriesSet>>> Querier::SelectParts(
    const std::vector<Matcher>& matchers, TimeRange range, const SelectHints& hints,
    int parts) const {
  TINYOBS_ASSIGN_OR_RETURN(std::unique_ptr<SeriesSet> all, Select(matchers, range, hints));
  std::vector<std::unique_ptr<SeriesSet>> sets;
  sets.push_back(std::move(all));
  return sets;
}

}  // namespace tinyobs
