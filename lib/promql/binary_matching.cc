// Operators between two vectors: who belongs to whom, what the result is called, and when
// Prometheus refuses.
//
// Both sides are put into groups by their matching labels. Within a group one side is the "many"
// side (the left one, or the right one with group_right), whose columns are changed in place, and
// the other the "one" side, which must not have two values at a step. A group with more than one
// series on the "one" side is rare (series that took turns); each pair is then worked out where
// that series has values, into a column of its own.
//
// Labels of results can be the same only within a group, since they contain the matching labels;
// the exception is on(__name__), as names may be dropped afterwards.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/promql/binary.h"
#include "lib/promql/binary_columns.h"
#include "lib/promql/group_index.h"
#include "lib/promql/same_labels.h"

namespace tinyobs::promql {
namespace {

using Cardinality = VectorMatching::Cardinality;

// Series of both sides with the same matching labels, by position.
struct MatchGroup {
  std::vector<size_t> left;
  std::vector<size_t> right;
};

struct MatchGroups {
  GroupIndex index;
  std::vector<MatchGroup> groups;
};

MatchGroups GroupByMatchingLabels(const VectorMatching& matching, const Vector& left,
                                  const Vector& right) {
  MatchGroups all{GroupIndex(LabelSubset(matching.labels, matching.on)), {}};
  const auto group_of = [&](const VectorSeries& series) -> MatchGroup& {
    const size_t group = all.index.Of(series.labels);
    if (group == all.groups.size()) all.groups.emplace_back();
    return all.groups[group];
  };
  for (size_t i = 0; i < left.size(); ++i) group_of(left[i]).left.push_back(i);
  for (size_t i = 0; i < right.size(); ++i) group_of(right[i]).right.push_back(i);
  return all;
}

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool HasValue(const std::vector<double>& values) {
  return std::any_of(values.begin(), values.end(), [](double v) { return !IsAbsent(v); });
}

// present[i] = some series of `which` has a value at step i.
void MarkPresent(const Vector& vector, const std::vector<size_t>& which,
                 std::vector<bool>* present) {
  std::fill(present->begin(), present->end(), false);
  for (const size_t series : which) {
    const std::vector<double>& values = vector[series].values;
    for (size_t i = 0; i < values.size(); ++i) {
      if (!IsAbsent(values[i])) (*present)[i] = true;
    }
  }
}

// Leaves the values of `which` only where present[i] is `wanted`.
void KeepWhere(const std::vector<bool>& present, bool wanted, const std::vector<size_t>& which,
               Vector* vector) {
  for (const size_t series : which) {
    std::vector<double>& values = (*vector)[series].values;
    for (size_t i = 0; i < values.size(); ++i) {
      if (present[i] != wanted) values[i] = Absent();
    }
  }
}

absl::StatusOr<Vector> ApplySetOperator(const BinaryExpr& expr, size_t steps, Vector left,
                                        Vector right, Budget* budget) {
  std::vector<bool> present(steps);
  for (const MatchGroup& group : GroupByMatchingLabels(*expr.matching, left, right).groups) {
    if (group.left.empty() || (group.right.empty() && expr.op != BinaryOp::kAnd)) continue;
    if (expr.op == BinaryOp::kOr) {
      MarkPresent(left, group.left, &present);
      KeepWhere(present, false, group.right, &right);
    } else {
      MarkPresent(right, group.right, &present);
      KeepWhere(present, expr.op == BinaryOp::kAnd, group.left, &left);
    }
  }
  if (expr.op == BinaryOp::kOr) {
    std::move(right.begin(), right.end(), std::back_inserter(left));
    TINYOBS_RETURN_IF_ERROR(MergeSameLabels(&left, budget));
  } else {
    budget->GiveBack(right.size() * steps);
  }
  budget->GiveBack(steps * std::erase_if(left, [](const VectorSeries& series) {
                     return !HasValue(series.values);
                   }));
  return left;
}

class VectorMatcher {
 public:
  VectorMatcher(const BinaryExpr& expr, size_t steps, Vector left, Vector right, Budget* budget)
      : op_(expr.op),
        return_bool_(expr.return_bool),
        matching_(*expr.matching),
        swapped_(matching_.cardinality == Cardinality::kOneToMany),
        steps_(steps),
        budget_(budget),
        groups_(GroupByMatchingLabels(matching_, left, right)),
        many_(std::move(swapped_ ? right : left)),
        one_(std::move(swapped_ ? left : right)),
        result_labels_(matching_.labels, matching_.on),
        ignores_name_(!matching_.on && Contains(matching_.labels, kMetricName)),
        columns_held_(many_.size() + one_.size()) {}

  absl::StatusOr<Vector> Run() {
    for (size_t g = 0; g < groups_.groups.size(); ++g) {
      const std::vector<size_t>& one = OneSide(groups_.groups[g]);
      if (one.size() > 1) TINYOBS_RETURN_IF_ERROR(CheckOneSide(one, groups_.index.LabelsOf(g)));
    }
    for (const MatchGroup& group : groups_.groups) {
      if (group.left.empty() || group.right.empty()) continue;
      TINYOBS_RETURN_IF_ERROR(budget_->Check());
      TINYOBS_RETURN_IF_ERROR(Match(swapped_ ? group.right : group.left, OneSide(group)));
    }
    OrderAsManySide();
    if (matching_.on && Contains(matching_.labels, kMetricName)) {
      columns_held_ -= result_.size();
      TINYOBS_RETURN_IF_ERROR(MergeSameLabels(&result_, budget_));
      columns_held_ += result_.size();
    }
    budget_->GiveBack((columns_held_ - result_.size()) * steps_);
    return std::move(result_);
  }

 private:
  const std::vector<size_t>& OneSide(const MatchGroup& group) const {
    return swapped_ ? group.left : group.right;
  }

  absl::Status CheckOneSide(const std::vector<size_t>& one, const Labels& group) {
    std::vector<size_t> owner(steps_, SIZE_MAX);
    for (const size_t series : one) {
      for (size_t i = 0; i < steps_; ++i) {
        if (IsAbsent(one_[series].values[i])) continue;
        // Prometheus does not look at all where the other vector is empty.
        if (owner[i] != SIZE_MAX && ManySideHasValue(i)) {
          return absl::FailedPreconditionError(ToAbsl(
              StrCat("found duplicate series for the match group ", ErrorText(group), " on the ",
                     swapped_ ? "left" : "right", " hand-side of the operation: [",
                     ErrorText(one_[series].labels), ", ", ErrorText(one_[owner[i]].labels),
                     "];many-to-many matching not allowed: matching labels must be unique on one "
                     "side")));
        }
        owner[i] = series;
      }
    }
    return absl::OkStatus();
  }

  bool ManySideHasValue(size_t step) {
    if (many_present_.empty()) {
      std::vector<size_t> all(many_.size());
      std::iota(all.begin(), all.end(), 0);
      many_present_.resize(steps_);
      MarkPresent(many_, all, &many_present_);
    }
    return many_present_[step];
  }

  // Groups are looked at as a whole; which series come first decides among ties of topk.
  void OrderAsManySide() {
    if (std::is_sorted(many_of_result_.begin(), many_of_result_.end())) return;
    std::vector<size_t> places(result_.size());
    std::iota(places.begin(), places.end(), 0);
    std::stable_sort(places.begin(), places.end(), [this](size_t a, size_t b) {
      return many_of_result_[a] < many_of_result_[b];
    });
    Vector ordered;
    ordered.reserve(places.size());
    for (const size_t place : places) ordered.push_back(std::move(result_[place]));
    result_ = std::move(ordered);
  }

  // The members of one group, neither empty.
  absl::Status Match(const std::vector<size_t>& many, const std::vector<size_t>& one) {
    const bool alone = many.size() == 1 && one.size() == 1;
    if (!alone) rows_.clear();
    // With one series on the "many" side, no two pairs have a step in common.
    check_taken_ = matching_.cardinality == Cardinality::kOneToOne && many.size() > 1;
    if (check_taken_) taken_.assign(steps_, false);
    for (const size_t m : many) {
      now_ = m;
      VectorSeries& series = many_[m];
      if (one.size() == 1) {
        const VectorSeries& partner = one_[one[0]];
        ApplyColumns(op_, return_bool_, swapped_, /*keep_other=*/swapped_, partner.values,
                     series.values);
        TINYOBS_RETURN_IF_ERROR(
            Emit(ResultLabels(series.labels, partner.labels), alone, 0, steps_, &series.values));
        continue;
      }
      for (const size_t o : one) TINYOBS_RETURN_IF_ERROR(MatchPair(series, one_[o]));
    }
    return absl::OkStatus();
  }

  // Only where the partner has values, which is where no other partner has any.
  absl::Status MatchPair(const VectorSeries& series, const VectorSeries& partner) {
    const auto present = [](double v) { return !IsAbsent(v); };
    const std::vector<double>& theirs = partner.values;
    const auto first = std::find_if(theirs.begin(), theirs.end(), present);
    const auto last = std::find_if(theirs.rbegin(), theirs.rend(), present).base();
    if (first >= last) return absl::OkStatus();
    const auto begin = static_cast<size_t>(first - theirs.begin());
    const auto end = static_cast<size_t>(last - theirs.begin());
    TINYOBS_RETURN_IF_ERROR(budget_->Check());
    TINYOBS_RETURN_IF_ERROR(budget_->Take(steps_));
    ++columns_held_;
    std::vector<double> values(steps_, Absent());
    std::copy(series.values.begin() + begin, series.values.begin() + end, values.begin() + begin);
    ApplyColumns(op_, return_bool_, swapped_, /*keep_other=*/swapped_, {first, last},
                 std::span(values).subspan(begin, end - begin));
    return Emit(ResultLabels(series.labels, partner.labels), /*alone=*/false, begin, end, &values);
  }

  // Takes a column of the result, whose values are in [begin, end).
  absl::Status Emit(Labels labels, bool alone, size_t begin, size_t end,
                    std::vector<double>* values) {
    if (!HasValue(*values)) return absl::OkStatus();
    if (check_taken_) {
      for (size_t i = begin; i < end; ++i) {
        if (IsAbsent((*values)[i])) continue;
        if (taken_[i]) {
          return absl::FailedPreconditionError(
              "multiple matches for labels: many-to-one matching must be explicit "
              "(group_left/group_right)");
        }
        taken_[i] = true;
      }
    }
    if (!alone) {
      const auto [row, is_new] = rows_.try_emplace(labels.canonical_bytes(), result_.size());
      if (!is_new) return MergeInto(*values, begin, end, &result_[row->second].values);
    }
    result_.push_back({std::move(labels), std::move(*values)});
    many_of_result_.push_back(now_);
    return absl::OkStatus();
  }

  static absl::Status MergeInto(const std::vector<double>& values, size_t begin, size_t end,
                                std::vector<double>* into) {
    for (size_t i = begin; i < end; ++i) {
      if (IsAbsent(values[i])) continue;
      if (!IsAbsent((*into)[i])) {
        return absl::FailedPreconditionError(
            "multiple matches for labels: grouping labels must ensure unique matches");
      }
      (*into)[i] = values[i];
    }
    return absl::OkStatus();
  }

  // The order matters: a name that group_left brings over stays in arithmetic, not with bool.
  Labels ResultLabels(const Labels& many, const Labels& one) {
    const bool arithmetic_drops = DropsName(op_, /*return_bool=*/false);
    Labels labels;
    if (matching_.cardinality == Cardinality::kOneToOne) {
      labels = LabelsOfSubset(result_labels_.Of(many));
      if (matching_.on && arithmetic_drops) labels = WithoutName(labels);
      if (!matching_.on && !arithmetic_drops && !return_bool_ && !ignores_name_) {
        labels = WithLabel(labels, kMetricName, many.metric());
      }
    } else {
      labels = arithmetic_drops ? WithoutName(many) : many;
    }
    for (const std::string& name : matching_.include) {
      labels = WithLabel(labels, name, one.Get(name));
    }
    return return_bool_ ? WithoutName(labels) : labels;
  }

  const BinaryOp op_;
  const bool return_bool_;
  const VectorMatching& matching_;
  const bool swapped_;  // the "many" side is the right one
  const size_t steps_;
  Budget* const budget_;
  const MatchGroups groups_;
  Vector many_;
  Vector one_;
  LabelSubset result_labels_;
  const bool ignores_name_;
  size_t columns_held_;  // taken from the budget
  Vector result_;
  std::vector<size_t> many_of_result_;  // position on the "many" side, of each result
  size_t now_ = 0;                      // position of the one that is looked at

  std::vector<bool> many_present_;  // a step; empty until somebody asks
  // Of the group that is looked at: rows of the result by labels, and steps with a result.
  absl::flat_hash_map<std::string, size_t> rows_;
  std::vector<bool> taken_;
  bool check_taken_ = false;
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
