// Operators between two vectors: who belongs to whom, what the result is called, and when
// Prometheus refuses.
//
// One side is the "many" side (the left one, or the right one with group_right), the other the
// "one" side, whose series are put into groups by their matching labels; no group may have two
// values at a step. Each series of the "many" side then takes its group's series in turn, mostly
// one, and the columns of the result are made in place of its own.
//
// Labels of results can be the same only within a group, since they contain the matching labels;
// the exception is on(__name__), as names may be dropped afterwards.
#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/promql/binary.h"
#include "lib/promql/group_index.h"
#include "lib/promql/same_labels.h"

namespace tinyobs::promql {
namespace {

using Cardinality = VectorMatching::Cardinality;

// The group of each series.
std::vector<size_t> GroupsOf(const Vector& vector, GroupIndex* groups) {
  std::vector<size_t> numbers;
  numbers.reserve(vector.size());
  for (const VectorSeries& series : vector) numbers.push_back(groups->Of(series.labels));
  return numbers;
}

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

// Sets present[i] where there is a value.
void MarkPresent(const std::vector<double>& values, std::vector<bool>* present) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!IsAbsent(values[i])) (*present)[i] = true;
  }
}

// and, or, unless. What one side has decides what is left of the other, which for `or` is the right
// one.
absl::StatusOr<Vector> ApplySetOperator(const BinaryExpr& expr, size_t steps, Vector left,
                                        Vector right, Budget* budget) {
  const bool is_or = expr.op == BinaryOp::kOr;
  Vector& cut = is_or ? right : left;
  const Vector& mask = is_or ? left : right;
  GroupIndex index(LabelSubset(expr.matching->labels, expr.matching->on));
  const std::vector<size_t> mask_groups = GroupsOf(mask, &index);
  const std::vector<size_t> cut_groups = GroupsOf(cut, &index);
  // Whether a group of the mask has a value, step by step; empty for groups that it has not.
  std::vector<std::vector<bool>> present(index.size());
  for (size_t m = 0; m < mask.size(); ++m) {
    present[mask_groups[m]].resize(steps);
    MarkPresent(mask[m].values, &present[mask_groups[m]]);
  }
  for (size_t c = 0; c < cut.size(); ++c) {
    std::vector<bool>& steps_present = present[cut_groups[c]];
    if (steps_present.empty() && expr.op != BinaryOp::kAnd) continue;
    steps_present.resize(steps);
    for (size_t i = 0; i < steps; ++i) {
      if (steps_present[i] != (expr.op == BinaryOp::kAnd)) cut[c].values[i] = Absent();
    }
  }
  if (is_or) {
    std::move(right.begin(), right.end(), std::back_inserter(left));
    TINYOBS_RETURN_IF_ERROR(MergeSameLabels(&left, budget));
  } else {
    budget->GiveBack(right.size() * steps);
  }
  budget->GiveBack(steps * std::erase_if(left, [](const VectorSeries& series) {
                     return !AnyPresent(series.values);
                   }));
  return left;
}

class VectorMatcher {
 public:
  VectorMatcher(const BinaryExpr& expr, size_t steps, Vector left, Vector right, Budget* budget)
      : expr_(expr),
        matching_(*expr.matching),
        swapped_(matching_.cardinality == Cardinality::kOneToMany),
        steps_(steps),
        budget_(budget),
        many_(std::move(swapped_ ? right : left)),
        one_(std::move(swapped_ ? left : right)),
        index_(LabelSubset(matching_.labels, matching_.on)),
        result_labels_(matching_.labels, matching_.on),
        columns_held_(many_.size() + one_.size()) {}

  absl::StatusOr<Vector> Run() {
    const std::vector<size_t> one_groups = GroupsOf(one_, &index_);
    const std::vector<size_t> many_groups = GroupsOf(many_, &index_);
    std::vector<Group> groups(index_.size());
    for (size_t o = 0; o < one_.size(); ++o) groups[one_groups[o]].one.push_back(o);
    for (const size_t g : many_groups) ++groups[g].many;
    for (size_t g = 0; g < groups.size(); ++g) {
      if (groups[g].one.size() > 1) TINYOBS_RETURN_IF_ERROR(CheckOneSide(groups[g].one, g));
    }
    for (size_t m = 0; m < many_.size(); ++m) {
      TINYOBS_RETURN_IF_ERROR(budget_->Check());
      Group& group = groups[many_groups[m]];
      for (const size_t o : group.one) {
        if (group.one.size() > 1) {
          TINYOBS_RETURN_IF_ERROR(budget_->Take(steps_));
          ++columns_held_;
        }
        // The last partner may have the column itself.
        std::vector<double> values =
            o == group.one.back() ? std::move(many_[m].values) : many_[m].values;
        ApplyColumns(expr_.op, expr_.return_bool, swapped_, /*keep_other=*/swapped_, one_[o].values,
                     values);
        if (AnyPresent(values)) {
          TINYOBS_RETURN_IF_ERROR(
              Emit(ResultLabels(many_[m].labels, one_[o].labels), std::move(values), &group));
        } else if (group.one.size() > 1) {
          budget_->GiveBack(steps_);
          --columns_held_;
        }
      }
    }
    if (matching_.on && Contains(matching_.labels, kMetricName)) {
      columns_held_ -= result_.size();
      TINYOBS_RETURN_IF_ERROR(MergeSameLabels(&result_, budget_));
      columns_held_ += result_.size();
    }
    budget_->GiveBack((columns_held_ - result_.size()) * steps_);
    return std::move(result_);
  }

 private:
  struct Group {
    std::vector<size_t> one;
    size_t many = 0;
    // If several pairs are in it: rows of the result by labels, and steps with a result.
    absl::flat_hash_map<std::string, size_t> rows;
    std::vector<bool> taken;
  };

  // Of a group with several series on the "one" side.
  absl::Status CheckOneSide(const std::vector<size_t>& one, size_t group) {
    if (many_present_.empty()) {
      many_present_.resize(steps_);
      for (const VectorSeries& many : many_) MarkPresent(many.values, &many_present_);
    }
    std::vector<size_t> owner(steps_, SIZE_MAX);
    for (const size_t series : one) {
      for (size_t i = 0; i < steps_; ++i) {
        if (IsAbsent(one_[series].values[i])) continue;
        // Prometheus does not look at all where the other vector is empty.
        if (owner[i] != SIZE_MAX && many_present_[i]) {
          return absl::FailedPreconditionError(ToAbsl(StrCat(
              "found duplicate series for the match group ", ErrorText(index_.LabelsOf(group)),
              " on the ", swapped_ ? "left" : "right", " hand-side of the operation: [",
              ErrorText(one_[series].labels), ", ", ErrorText(one_[owner[i]].labels),
              "];many-to-many matching not allowed: matching labels must be unique on one "
              "side")));
        }
        owner[i] = series;
      }
    }
    return absl::OkStatus();
  }

  // Takes a column of the result.
  absl::Status Emit(Labels labels, std::vector<double> values, Group* group) {
    // With one series on the "many" side, no two pairs have a step in common.
    if (matching_.cardinality == Cardinality::kOneToOne && group->many > 1) {
      group->taken.resize(steps_);
      for (size_t i = 0; i < steps_; ++i) {
        if (IsAbsent(values[i])) continue;
        if (group->taken[i]) {
          return absl::FailedPreconditionError(
              "multiple matches for labels: many-to-one matching must be explicit "
              "(group_left/group_right)");
        }
        group->taken[i] = true;
      }
    }
    if (group->many * group->one.size() > 1) {
      const auto [row, is_new] = group->rows.try_emplace(labels.canonical_bytes(), result_.size());
      if (!is_new) {
        if (MergeColumn(values, &result_[row->second].values)) return absl::OkStatus();
        return absl::FailedPreconditionError(
            "multiple matches for labels: grouping labels must ensure unique matches");
      }
    }
    result_.push_back({std::move(labels), std::move(values)});
    return absl::OkStatus();
  }

  // The order matters: a name that group_left brings over stays in arithmetic, not with bool.
  Labels ResultLabels(const Labels& many, const Labels& one) {
    const bool arithmetic_drops = DropsName(expr_.op, /*return_bool=*/false);
    Labels labels;
    if (matching_.cardinality == Cardinality::kOneToOne) {
      labels = LabelsOfSubset(result_labels_.Of(many));
      if (matching_.on && arithmetic_drops) labels = WithoutName(labels);
      if (!matching_.on && !arithmetic_drops && !expr_.return_bool &&
          !Contains(matching_.labels, kMetricName)) {
        labels = WithLabel(labels, kMetricName, many.metric());
      }
    } else {
      labels = arithmetic_drops ? WithoutName(many) : many;
    }
    for (const std::string& name : matching_.include) {
      labels = WithLabel(labels, name, one.Get(name));
    }
    return expr_.return_bool ? WithoutName(labels) : labels;
  }

  const BinaryExpr& expr_;
  const VectorMatching& matching_;
  const bool swapped_;  // the "many" side is the right one
  const size_t steps_;
  Budget* const budget_;
  Vector many_;
  const Vector one_;
  GroupIndex index_;
  LabelSubset result_labels_;
  std::vector<bool> many_present_;  // a step; empty until somebody asks
  size_t columns_held_;             // taken from the budget
  Vector result_;
};

}  // namespace

absl::StatusOr<Vector> ApplyVectorVector(const BinaryExpr& expr, Steps steps, Vector left,
                                         Vector right, Budget* budget) {
  if (IsSetOp(expr.op)) {
    return ApplySetOperator(expr, steps.count, std::move(left), std::move(right), budget);
  }
  return VectorMatcher(expr, steps.count, std::move(left), std::move(right), budget).Run();
}

}  // namespace tinyobs::promql
