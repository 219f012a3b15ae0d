// The aggregations that need every value: quantile and count_values.
//
// quantile keeps the columns of a group as they came, one after another, and turns a few steps at a
// time into rows when it is finished. count_values keeps a column of counts for each value of a
// group: cheap for versions and states, for which it is made, and stopped by the budget for others.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include "lib/base/decimal.h"
#include "lib/base/status_macros.h"
#include "lib/promql/aggregation_groups.h"
#include "lib/promql/range_functions.h"

namespace tinyobs::promql {
namespace {

// The groups of one worker with a T each.
template <typename T>
struct Worker {
  explicit Worker(LabelSubset subset) : index(std::move(subset)) {}

  // The group of `labels`, made if it is new.
  absl::StatusOr<T*> Find(const Labels& labels, Budget* budget) {
    const size_t group = index.Of(labels);
    if (group == groups.size()) {
      TINYOBS_RETURN_IF_ERROR(budget->TakeBytes(GroupBytes(index, group)));
      groups.emplace_back();
    }
    return &groups[group];
  }

  absl::Status Take(uint64_t samples, Budget* budget) {
    TINYOBS_RETURN_IF_ERROR(budget->Take(samples));
    held += samples;
    return absl::OkStatus();
  }

  GroupIndex index;
  std::vector<T> groups;
  uint64_t held = 0;  // of the budget
};

class QuantileAggregation final : public Aggregation {
 public:
  QuantileAggregation(AggregationInput input, std::vector<double> phi)
      : phi_(std::move(phi)), budget_(input.budget) {
    for (int i = 0; i < input.workers; ++i) workers_.emplace_back(input.subset);
  }

  absl::Status Add(int worker, const Labels& labels, std::span<double> values) override {
    auto& mine = workers_[static_cast<size_t>(worker)];
    TINYOBS_ASSIGN_OR_RETURN(Blocks* const blocks, mine.Find(labels, budget_));
    TINYOBS_RETURN_IF_ERROR(mine.Take(values.size(), budget_));
    if (blocks->empty() || blocks->back().capacity() - blocks->back().size() < values.size()) {
      const size_t doubled = blocks->empty() ? 0 : 2 * blocks->back().capacity();
      blocks->emplace_back().reserve(std::max(values.size(), std::min(doubled, kMaxBlock)));
    }
    blocks->back().insert(blocks->back().end(), values.begin(), values.end());
    return absl::OkStatus();
  }

  absl::StatusOr<Vector> Finish() override {
    auto& all = workers_[0];
    std::vector<Blocks> joined;  // a group
    uint64_t held = 0;
    for (auto& worker : workers_) {
      for (size_t g = 0; g < worker.groups.size(); ++g) {
        const size_t group = all.index.OfKey(worker.index.key(g));
        if (group >= joined.size()) joined.resize(group + 1);
        std::move(worker.groups[g].begin(), worker.groups[g].end(),
                  std::back_inserter(joined[group]));
      }
      held += worker.held;
    }
    Vector result;
    for (size_t group = 0; group < joined.size(); ++group) {
      TINYOBS_RETURN_IF_ERROR(budget_->Check());
      TINYOBS_RETURN_IF_ERROR(budget_->Take(phi_.size()));
      result.push_back({all.index.LabelsOf(group), QuantilesOf(joined[group])});
      joined[group] = {};
    }
    budget_->GiveBack(held);
    workers_.clear();
    return result;
  }

 private:
  // Whole columns, one after another, in pieces so that growing copies nothing.
  using Blocks = std::vector<std::vector<double>>;
  static constexpr size_t kMaxBlock = 32'768;  // values, but for columns that are longer

  std::vector<double> QuantilesOf(const Blocks& blocks) const {
    constexpr size_t kBlock = 8;  // steps that share a cache line
    const size_t steps = phi_.size();
    std::vector<double> result(steps, Absent());
    std::vector<double> rows[kBlock];
    for (size_t from = 0; from < steps; from += kBlock) {
      const size_t count = std::min(kBlock, steps - from);
      for (const std::vector<double>& columns : blocks) {
        for (size_t at = from; at < columns.size(); at += steps) {
          for (size_t i = 0; i < count; ++i) {
            if (!IsAbsent(columns[at + i])) rows[i].push_back(columns[at + i]);
          }
        }
      }
      for (size_t i = 0; i < count; ++i) {
        if (!rows[i].empty()) result[from + i] = Quantile(phi_[from + i], rows[i]);
        rows[i].clear();
      }
    }
    return result;
  }

  const std::vector<double> phi_;  // a step
  Budget* const budget_;
  std::deque<Worker<Blocks>> workers_;
};

class CountValuesAggregation final : public Aggregation {
 public:
  CountValuesAggregation(AggregationInput input, std::string label)
      : label_(std::move(label)), steps_(input.steps.count), budget_(input.budget) {
    for (int i = 0; i < input.workers; ++i) workers_.emplace_back(input.subset);
  }

  absl::Status Add(int worker, const Labels& labels, std::span<double> values) override {
    auto& mine = workers_[static_cast<size_t>(worker)];
    TINYOBS_ASSIGN_OR_RETURN(Counts* const counts, mine.Find(labels, budget_));
    uint64_t last = std::bit_cast<uint64_t>(Absent());  // no value is that
    double* column = nullptr;
    for (size_t i = 0; i < values.size(); ++i) {
      if (IsAbsent(values[i])) continue;
      const uint64_t bits = std::bit_cast<uint64_t>(
          std::isnan(values[i]) ? std::numeric_limits<double>::quiet_NaN() : values[i]);
      if (bits != last) {
        Counted& found = (*counts)[bits];
        if (found.column.empty()) {
          TINYOBS_RETURN_IF_ERROR(budget_->TakeBytes(kValueBytes));
          TINYOBS_RETURN_IF_ERROR(mine.Take(steps_, budget_));
          found = {mine.held, std::vector<double>(steps_, Absent())};
        }
        column = found.column.data();
        last = bits;
      }
      column[i] = IsAbsent(column[i]) ? 1 : column[i] + 1;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Vector> Finish() override {
    auto& all = workers_[0];
    for (size_t i = 1; i < workers_.size(); ++i) {
      auto& other = workers_[i];
      for (size_t g = 0; g < other.groups.size(); ++g) {
        const size_t group = all.index.OfKey(other.index.key(g));
        if (group == all.groups.size()) all.groups.emplace_back();
        for (auto& [bits, from] : other.groups[g]) {
          from.order += all.held;
          Join(&from, &all.groups[group][bits]);
        }
      }
      all.held += other.held;
    }
    std::vector<std::pair<size_t, VectorSeries>> rows;
    for (size_t group = 0; group < all.groups.size(); ++group) {
      const Labels labels = all.index.LabelsOf(group);
      for (auto& [bits, counted] : all.groups[group]) {
        char text[kMostDecimalBytes];
        const char* const end = WriteDecimal(std::bit_cast<double>(bits), text);
        rows.push_back({counted.order,
                        {WithLabel(labels, label_, {text, static_cast<size_t>(end - text)}),
                         std::move(counted.column)}});
      }
    }
    std::sort(rows.begin(), rows.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    Vector result;
    for (auto& [order, row] : rows) result.push_back(std::move(row));
    budget_->GiveBack(all.held - result.size() * steps_);
    workers_.clear();
    return result;
  }

 private:
  static constexpr size_t kValueBytes = 128;  // besides the column: labels, place in the map
  struct Counted {
    size_t order = 0;  // of appearance; results come in it, so ties of topk end the same each time
    std::vector<double> column;
  };
  using Counts = absl::flat_hash_map<uint64_t, Counted>;  // by the bits of the value

  static void Join(Counted* from, Counted* to) {
    if (to->column.empty()) {
      *to = std::move(*from);
      return;
    }
    for (size_t i = 0; i < to->column.size(); ++i) {
      const double more = from->column[i];
      double& sum = to->column[i];
      if (!IsAbsent(more)) sum = IsAbsent(sum) ? more : sum + more;
    }
  }

  const std::string label_;
  const size_t steps_;
  Budget* const budget_;
  std::deque<Worker<Counts>> workers_;
};

}  // namespace

std::unique_ptr<Aggregation> MakeQuantile(AggregationInput input, std::vector<double> phi) {
  return std::make_unique<QuantileAggregation>(std::move(input), std::move(phi));
}

std::unique_ptr<Aggregation> MakeCountValues(AggregationInput input, std::string label) {
  return std::make_unique<CountValuesAggregation>(std::move(input), std::move(label));
}

}  // namespace tinyobs::promql
