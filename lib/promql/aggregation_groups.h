// What Aggregation::Create makes: the kinds of aggregation that have files of their own.
#ifndef TINYOBS_LIB_PROMQL_AGGREGATION_GROUPS_H_
#define TINYOBS_LIB_PROMQL_AGGREGATION_GROUPS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "lib/promql/aggregation.h"
#include "lib/promql/group_index.h"
#include "lib/promql/label_sets.h"

namespace tinyobs::promql {

// Bytes of a group besides its columns: key, place in the index, the result's labels, vectors.
inline size_t GroupBytes(const GroupIndex& groups, size_t group) {
  return 192 + 2 * groups.key(group).size();
}

struct AggregationInput {
  LabelSubset subset;
  Steps steps;
  int workers;
  Budget* budget;
};

// kTopK and kBottomK; each k is convertible to int64.
std::unique_ptr<Aggregation> MakeTopK(AggregationInput input, bool bottom,
                                      const std::vector<double>& k);
std::unique_ptr<Aggregation> MakeQuantile(AggregationInput input, std::vector<double> phi);
// The subset has no `label`, nor has the result any other of this name.
std::unique_ptr<Aggregation> MakeCountValues(AggregationInput input, std::string label);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_AGGREGATION_GROUPS_H_
