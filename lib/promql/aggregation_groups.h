// The frame of all aggregations: series find their group, a group is whatever the operator makes of
// it.
//
// A Group is a struct with
//   Status Open(AggregationContext*)                  once, when its first series comes
//   Status Add(const Labels&, span, AggregationContext*)    each series
//   void Join(Group later, const AggregationContext&) the same group of the next worker
//   Status Finish(Labels, AggregationContext*, Vector* result)  appends what came out
// and takes what it holds from the context, which gives back what is not the result's.
#ifndef TINYOBS_LIB_PROMQL_AGGREGATION_GROUPS_H_
#define TINYOBS_LIB_PROMQL_AGGREGATION_GROUPS_H_

#include <atomic>
#include <cstddef>
#include <deque>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/status_macros.h"
#include "lib/promql/aggregation.h"
#include "lib/promql/group_index.h"

namespace tinyobs::promql {

// What all groups of an aggregation share.
struct AggregationContext {
  absl::Status Take(uint64_t samples) {
    TINYOBS_RETURN_IF_ERROR(budget->Take(samples));
    held.fetch_add(samples, std::memory_order_relaxed);
    return absl::OkStatus();
  }

  const size_t steps;
  const std::vector<double> parameter;  // a value a step, if the operator has one
  Budget* const budget;
  std::atomic<uint64_t> held{0};  // samples, of the budget
};

template <typename Group>
class GroupedAggregation : public Aggregation {
 public:
  GroupedAggregation(const LabelSubset& subset, int workers, size_t steps,
                     std::vector<double> parameter, Budget* budget)
      : context_{steps, std::move(parameter), budget} {
    for (int i = 0; i < workers; ++i) workers_.emplace_back(subset);
  }

  absl::Status Add(int worker, const Labels& labels, std::span<double> values) override {
    Worker& mine = workers_[static_cast<size_t>(worker)];
    TINYOBS_ASSIGN_OR_RETURN(Group* const group, At(&mine, mine.index.Of(labels)));
    return group->Add(labels, values, &context_);
  }

  absl::StatusOr<Vector> Finish() override {
    Worker& all = workers_[0];
    for (size_t i = 1; i < workers_.size(); ++i) {
      Worker& other = workers_[i];
      for (size_t g = 0; g < other.groups.size(); ++g) {
        const size_t group = all.index.OfKey(other.index.key(g));
        if (group == all.groups.size()) {
          all.groups.push_back(std::move(other.groups[g]));
        } else {
          all.groups[group].Join(std::move(other.groups[g]), context_);
        }
      }
    }
    Vector result;
    for (size_t g = 0; g < all.groups.size(); ++g) {
      TINYOBS_RETURN_IF_ERROR(context_.budget->Check());
      TINYOBS_RETURN_IF_ERROR(
          Group(std::move(all.groups[g])).Finish(all.index.LabelsOf(g), &context_, &result));
    }
    context_.budget->GiveBack(context_.held - result.size() * context_.steps);
    workers_.clear();
    return result;
  }

 protected:
  struct Worker {
    explicit Worker(const LabelSubset& subset) : index(subset) {}
    GroupIndex index;
    std::vector<Group> groups;
  };

  // The group of this number, which may be a new one.
  absl::StatusOr<Group*> At(Worker* worker, size_t number) {
    if (number == worker->groups.size()) {
      // Key, place in the index, the result's labels, vectors.
      const size_t bytes = 192 + 2 * worker->index.key(number).size();
      TINYOBS_RETURN_IF_ERROR(context_.budget->TakeBytes(bytes));
      TINYOBS_RETURN_IF_ERROR(worker->groups.emplace_back().Open(&context_));
    }
    return &worker->groups[number];
  }

  AggregationContext context_;
  std::deque<Worker> workers_;
};

// In aggregation_ranks.cc: kTopK, kBottomK (each k is convertible to int64) and kQuantile.
std::unique_ptr<Aggregation> MakeRanking(AggregateOp op, const LabelSubset& subset, int workers,
                                         size_t steps, std::vector<double> parameter,
                                         Budget* budget);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_AGGREGATION_GROUPS_H_
