// Aggregations that fold value after value into a few columns: sum, avg, count, min, max, group,
// stddev and stdvar; and Create, which knows the others.
//
// A fold is three small functions of one step (first value, next value, join of two workers); the
// loops around them are templates, so that the compiler sees one plain loop a fold. Nearly every
// series has a value at every step, and so has its group after the first one: that loop has no
// branch and runs as vector instructions.
//
// The arithmetic is Prometheus', value by value: avg is a running mean that cannot overflow and
// keeps an infinity, stddev is Welford's. Joining workers adds in another order than Prometheus
// does, which shows in the last digits only.
#include "lib/promql/aggregation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/model/text.h"
#include "lib/promql/aggregation_groups.h"
#include "lib/promql/literals.h"

namespace tinyobs::promql {
namespace {

// Each works on up to three columns of a group, of which the first is Absent() until there is a
// value.
struct SumFold {
  static constexpr size_t kColumns = 1;
  static void First(double v, double& sum, double&, double&) { sum = v; }
  static void Next(double v, double& sum, double&, double&) { sum += v; }
  static void Join(double from, double, double, double& sum, double&, double&) { sum += from; }
  static double Result(double sum, double, double) { return sum; }
};

struct CountFold : SumFold {
  static void First(double, double& count, double&, double&) { count = 1; }
  static void Next(double, double& count, double&, double&) { count += 1; }
};

struct GroupFold : SumFold {
  static void First(double, double& one, double&, double&) { one = 1; }
  static void Next(double, double&, double&, double&) {}
  static void Join(double, double, double, double&, double&, double&) {}
};

// A NaN gives way to any number.
struct MinFold : SumFold {
  static void Next(double v, double& min, double&, double&) { min = min <= v || v != v ? min : v; }
  static void Join(double from, double, double, double& min, double& b, double& c) {
    Next(from, min, b, c);
  }
};

struct MaxFold : SumFold {
  static void Next(double v, double& max, double&, double&) { max = max >= v || v != v ? max : v; }
  static void Join(double from, double, double, double& max, double& b, double& c) {
    Next(from, max, b, c);
  }
};

struct AvgFold {
  static constexpr size_t kColumns = 2;
  static void First(double v, double& mean, double& count, double&) {
    mean = v;
    count = 1;
  }
  static void Next(double v, double& mean, double& count, double&) {
    constexpr double kInf = std::numeric_limits<double>::infinity();
    count += 1;
    const double next = mean + (v / count - mean / count);
    // The sum above would make NaN of an infinity and a number.
    const bool stays = (std::fabs(mean) == kInf) & ((std::fabs(v) < kInf) | (v == mean));
    mean = stays ? mean : next;
  }
  static void Join(double from_mean, double from_count, double, double& mean, double& count,
                   double&) {
    const double all = count + from_count;
    mean = mean * (count / all) + from_mean * (from_count / all);
    count = all;
  }
  static double Result(double mean, double, double) { return mean; }
};

struct StdvarFold {
  static constexpr size_t kColumns = 3;
  static void First(double v, double& mean, double& count, double& squares) {
    mean = v;
    count = 1;
    squares = 0;
  }
  static void Next(double v, double& mean, double& count, double& squares) {
    count += 1;
    const double delta = v - mean;
    mean += delta / count;
    squares += delta * (v - mean);
  }
  static void Join(double from_mean, double from_count, double from_squares, double& mean,
                   double& count, double& squares) {
    count += from_count;
    const double delta = from_mean - mean;
    mean += delta * (from_count / count);
    squares += from_squares + delta * (from_mean - mean) * from_count;
  }
  static double Result(double, double count, double squares) { return squares / count; }
};

struct StddevFold : StdvarFold {
  static double Result(double, double count, double squares) { return std::sqrt(squares / count); }
};

struct FoldGroup {
  std::vector<double> columns;  // one after another
  bool full = false;            // no step is absent, and no minimum or maximum is NaN
};

// x - x is zero for all but NaN and infinities. Eight sums, since they may go side by side.
bool AllFinite(std::span<const double> values) {
  constexpr size_t kSums = 8;
  double sums[kSums] = {};
  const size_t whole = values.size() - values.size() % kSums;
  for (size_t i = 0; i < whole; i += kSums) {
    for (size_t j = 0; j < kSums; ++j) sums[j] += values[i + j] - values[i + j];
  }
  double rest = 0;
  for (size_t i = whole; i < values.size(); ++i) rest += values[i] - values[i];
  for (const double sum : sums) rest += sum;
  return rest == 0;
}

template <typename Fold>
void AddTo(std::span<const double> values, FoldGroup* group) {
  const size_t n = values.size();
  const double* __restrict v = values.data();
  double* __restrict a = group->columns.data();
  double* __restrict b = Fold::kColumns > 1 ? a + n : a;
  double* __restrict c = Fold::kColumns > 2 ? b + n : a;
  const bool dense = AllFinite(values);
  if (dense && group->full) {
    for (size_t i = 0; i < n; ++i) Fold::Next(v[i], a[i], b[i], c[i]);
    return;
  }
  for (size_t i = 0; i < n; ++i) {
    if (IsAbsent(v[i])) continue;
    if (IsAbsent(a[i])) {
      Fold::First(v[i], a[i], b[i], c[i]);
    } else {
      Fold::Next(v[i], a[i], b[i], c[i]);
    }
  }
  group->full = group->full || dense;
}

template <typename Fold>
void JoinTo(const FoldGroup& from, size_t n, FoldGroup* to) {
  constexpr size_t kB = Fold::kColumns > 1 ? 1 : 0;
  constexpr size_t kC = Fold::kColumns > 2 ? 2 : 0;
  const double* f = from.columns.data();
  double* t = to->columns.data();
  for (size_t i = 0; i < n; ++i, ++f, ++t) {
    if (IsAbsent(*f)) continue;
    if (IsAbsent(*t)) {
      for (size_t column = 0; column < Fold::kColumns; ++column) t[column * n] = f[column * n];
    } else {
      Fold::Join(f[0], f[kB * n], f[kC * n], t[0], t[kB * n], t[kC * n]);
    }
  }
}

// Leaves the result as the only column.
template <typename Fold>
void FinishGroup(size_t n, FoldGroup* group) {
  if constexpr (Fold::kColumns > 1) {
    constexpr size_t kC = Fold::kColumns > 2 ? 2 : 0;
    double* a = group->columns.data();
    for (size_t i = 0; i < n; ++i, ++a) {
      if (!IsAbsent(*a)) *a = Fold::Result(*a, a[n], a[kC * n]);
    }
    group->columns.resize(n);
    group->columns.shrink_to_fit();
  }
}

struct FoldFunctions {
  size_t columns;
  void (*add)(std::span<const double> values, FoldGroup* group);
  void (*join)(const FoldGroup& from, size_t n, FoldGroup* to);
  void (*finish)(size_t n, FoldGroup* group);
};
template <typename Fold>
constexpr FoldFunctions kFunctions = {Fold::kColumns, &AddTo<Fold>, &JoinTo<Fold>,
                                      &FinishGroup<Fold>};

FoldFunctions FunctionsOf(AggregateOp op) {
  switch (op) {
    case AggregateOp::kSum:
      return kFunctions<SumFold>;
    case AggregateOp::kAvg:
      return kFunctions<AvgFold>;
    case AggregateOp::kMin:
      return kFunctions<MinFold>;
    case AggregateOp::kMax:
      return kFunctions<MaxFold>;
    case AggregateOp::kGroup:
      return kFunctions<GroupFold>;
    case AggregateOp::kStddev:
      return kFunctions<StddevFold>;
    case AggregateOp::kStdvar:
      return kFunctions<StdvarFold>;
    default:
      return kFunctions<CountFold>;
  }
}

class FoldAggregation final : public Aggregation {
 public:
  FoldAggregation(AggregationInput input, AggregateOp op)
      : functions_(FunctionsOf(op)), steps_(input.steps.count), budget_(input.budget) {
    for (int i = 0; i < input.workers; ++i) workers_.emplace_back(input.subset);
  }

  absl::Status Add(int worker, const Labels& labels, std::span<double> values) override {
    Worker& mine = workers_[static_cast<size_t>(worker)];
    const size_t group = mine.index.Of(labels);
    if (group == mine.groups.size()) {
      TINYOBS_RETURN_IF_ERROR(budget_->TakeBytes(GroupBytes(mine.index, group)));
      TINYOBS_RETURN_IF_ERROR(budget_->Take(functions_.columns * steps_));
      mine.groups.emplace_back().columns.resize(functions_.columns * steps_, Absent());
    }
    functions_.add(values, &mine.groups[group]);
    return absl::OkStatus();
  }

  absl::StatusOr<Vector> Finish() override {
    Worker& all = workers_[0];
    size_t columns = all.groups.size() * functions_.columns;
    for (size_t i = 1; i < workers_.size(); ++i) {
      Worker& other = workers_[i];
      columns += other.groups.size() * functions_.columns;
      for (size_t g = 0; g < other.groups.size(); ++g) {
        const size_t group = all.index.OfKey(other.index.key(g));
        if (group == all.groups.size()) {
          all.groups.push_back(std::move(other.groups[g]));
        } else {
          functions_.join(other.groups[g], steps_, &all.groups[group]);
        }
      }
    }
    Vector result;
    result.reserve(all.groups.size());
    for (size_t g = 0; g < all.groups.size(); ++g) {
      functions_.finish(steps_, &all.groups[g]);
      result.push_back({all.index.LabelsOf(g), std::move(all.groups[g].columns)});
    }
    budget_->GiveBack((columns - result.size()) * steps_);
    workers_.clear();
    return result;
  }

 private:
  struct Worker {
    explicit Worker(LabelSubset subset) : index(std::move(subset)) {}
    GroupIndex index;
    std::vector<FoldGroup> groups;
  };

  const FoldFunctions functions_;
  const size_t steps_;
  Budget* const budget_;
  std::deque<Worker> workers_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Aggregation>> Aggregation::Create(const AggregateExpr& expr,
                                                                 Steps steps,
                                                                 std::vector<double> parameter,
                                                                 std::string label, int workers,
                                                                 Budget* budget) {
  std::vector<std::string> names = expr.grouping;
  const auto input = [&] {
    return AggregationInput{LabelSubset(std::move(names), !expr.without), steps, workers, budget};
  };
  switch (expr.op) {
    case AggregateOp::kTopK:
    case AggregateOp::kBottomK:
      for (const double k : parameter) {
        // The limits are the doubles next to those of int64.
        if (!(k <= 9223372036854774784.0 && k >= -9223372036854775808.0)) {
          return absl::FailedPreconditionError(
              ToAbsl(StrCat("Scalar value ", NumberText(k), " overflows int64")));
        }
      }
      return MakeTopK(input(), expr.op == AggregateOp::kBottomK, parameter);
    case AggregateOp::kQuantile:
      return MakeQuantile(input(), std::move(parameter));
    case AggregateOp::kCountValues: {
      if (!IsPlainLabelName(label)) {
        std::string message = "invalid label name ";
        AppendQuoted(label, &message);
        return absl::FailedPreconditionError(message);
      }
      const bool named = std::find(names.begin(), names.end(), label) != names.end();
      // What `without` takes away, it takes away from the result, too: then values do not matter.
      if (expr.without && (named || label == kMetricName)) {
        return std::make_unique<FoldAggregation>(input(), AggregateOp::kCount);
      }
      if (expr.without) {
        names.push_back(label);
      } else {
        std::erase(names, label);
      }
      return MakeCountValues(input(), std::move(label));
    }
    default:
      return std::make_unique<FoldAggregation>(input(), expr.op);
  }
}

}  // namespace tinyobs::promql
