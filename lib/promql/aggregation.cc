// Aggregations that fold value after value into a few columns: sum, avg, count,
// min, max, group, stddev, stdvar and count_values; and Create, which knows the
// others.
//
// A fold is three small functions of one step (first value, next value, join of
// two workers); the loops around them are templates, so that the compiler sees
// one plain loop a fold. What is absent is chosen at the end of a step, not
// asked for before it: the loop has no branch and runs as vector instructions.
//
// The arithmetic is Prometheus', value by value: avg is a running mean that
// cannot overflow and keeps an infinity, stddev is Welford's. Joining workers
// adds in another order than Prometheus does, which shows in the last digits
// only.
#include "lib/promql/aggregation.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/base/decimal.h"
#include "lib/model/text.h"
#include "lib/promql/aggregation_groups.h"
#include "lib/promql/literals.h"

namespace tinyobs::promql {
namespace {

// Each is one step of a group: doubles, a column each, the first of which is
// Absent() until there is a value.
struct SumFold {
  double sum;
  void First(double value) { sum = value; }
  void Next(double value) { sum += value; }
  void Join(SumFold later) { sum += later.sum; }
  double Result() const { return sum; }
};

struct CountFold : SumFold {
  void First(double) { sum = 1; }
  void Next(double) { sum += 1; }
};

struct GroupFold : CountFold {
  void Next(double) {}
  void Join(GroupFold) {}
};

// A NaN gives way to any number.
struct MinFold : SumFold {
  void Next(double value) { sum = sum <= value || value != value ? sum : value; }
  void Join(MinFold later) { Next(later.sum); }
};

struct MaxFold : SumFold {
  void Next(double value) { sum = sum >= value || value != value ? sum : value; }
  void Join(MaxFold later) { Next(later.sum); }
};

struct AvgFold {
  double mean;
  double count;
  void First(double value) { *this = {value, 1}; }
  void Next(double value) {
    constexpr double kInf = std::numeric_limits<double>::infinity();
    count += 1;
    const double next = mean + (value / count - mean / count);
    // The sum above would make NaN of an infinity and a number.
    const bool stays = (std::fabs(mean) == kInf) & ((std::fabs(value) < kInf) | (value == mean));
    mean = stays ? mean : next;
  }
  void Join(AvgFold later) {
    const double all = count + later.count;
    mean = mean * (count / all) + later.mean * (later.count / all);
    count = all;
  }
  double Result() const { return mean; }
};

struct StdvarFold {
  double mean;
  double count;
  double squares;
  void First(double value) { *this = {value, 1, 0}; }
  void Next(double value) {
    count += 1;
    const double delta = value - mean;
    mean += delta / count;
    squares += delta * (value - mean);
  }
  void Join(StdvarFold later) {
    count += later.count;
    const double delta = later.mean - mean;
    mean += delta * (later.count / count);
    squares += later.squares + delta * (later.mean - mean) * later.count;
  }
  double Result() const { return squares / count; }
};

struct StddevFold : StdvarFold {
  double Result() const { return std::sqrt(squares / count); }
};

// The folds of one group.
template <typename Fold>
struct FoldGroup {
  static constexpr size_t kColumns = sizeof(Fold) / sizeof(double);
  using Row = std::array<double, kColumns>;
  std::vector<double> columns;  // one after another

  Fold Load(size_t step, size_t steps) const {
    Row row;
    for (size_t c = 0; c < kColumns; ++c) row[c] = columns[c * steps + step];
    return std::bit_cast<Fold>(row);
  }

  absl::Status Open(AggregationContext* context) {
    columns.resize(kColumns * context->steps, Absent());
    return context->Take(columns.size());
  }

  absl::Status Add(const Labels&, std::span<double> values, AggregationContext*) {
    const size_t n = values.size();
    for (size_t i = 0; i < n; ++i) {
      const bool is_absent = IsAbsent(values[i]);
      const bool is_first = IsAbsent(columns[i]);
      const Fold before = Load(i, n);
      Fold first;
      first.First(values[i]);
      Fold next = before;
      next.Next(values[i]);
      const auto kept = std::bit_cast<Row>(before);
      const auto begun = std::bit_cast<Row>(first);
      const auto added = std::bit_cast<Row>(next);
      for (size_t c = 0; c < kColumns; ++c) {
        columns[c * n + i] = is_absent ? kept[c] : is_first ? begun[c] : added[c];
      }
    }
    return absl::OkStatus();
  }

  void Join(FoldGroup later, const AggregationContext& context) {
    const size_t n = context.steps;
    for (size_t i = 0; i < n; ++i) {
      if (IsAbsent(later.columns[i])) continue;
      Fold fold = later.Load(i, n);
      if (!IsAbsent(columns[i])) {
        fold = Load(i, n);
        fold.Join(later.Load(i, n));
      }
      const auto row = std::bit_cast<Row>(fold);
      for (size_t c = 0; c < kColumns; ++c) columns[c * n + i] = row[c];
    }
  }

  absl::Status Finish(Labels labels, AggregationContext* context, Vector* result) {
    const size_t n = context->steps;
    for (size_t i = 0; i < n; ++i) {
      if (!IsAbsent(columns[i])) columns[i] = Load(i, n).Result();
    }
    columns.resize(n);
    columns.shrink_to_fit();
    result->push_back({std::move(labels), std::move(columns)});
    return absl::OkStatus();
  }
};

template <typename Fold>
std::unique_ptr<Aggregation> MakeFold(const LabelSubset& subset, int workers, size_t steps,
                                      Budget* budget) {
  return std::make_unique<GroupedAggregation<FoldGroup<Fold>>>(subset, workers, steps,
                                                               std::vector<double>(), budget);
}
// In the order of AggregateOp.
constexpr decltype(&MakeFold<SumFold>) kMakeFold[] = {
    MakeFold<SumFold>, MakeFold<AvgFold>,   MakeFold<CountFold>,  MakeFold<MinFold>,
    MakeFold<MaxFold>, MakeFold<GroupFold>, MakeFold<StddevFold>, MakeFold<StdvarFold>};

// count_values: a count for each value of a group, which has the value as a
// label. Cheap for versions and states, for which it is made, and stopped by
// the budget for others.
class CountValues final : public GroupedAggregation<FoldGroup<CountFold>> {
 public:
  // The subset has no `label`, nor has the result any other of this name.
  CountValues(const LabelSubset& subset, std::string label, int workers, size_t steps,
              Budget* budget)
      : GroupedAggregation(subset, workers, steps, {}, budget),
        label_(std::move(label)),
        subsets_(static_cast<size_t>(workers), {GroupIndex(subset), {}}) {}

  absl::Status Add(int worker, const Labels& labels, std::span<double> values) override {
    Worker& mine = workers_[static_cast<size_t>(worker)];
    Subsets& subsets = subsets_[static_cast<size_t>(worker)];
    const size_t subset = subsets.index.Of(labels);
    uint64_t last = std::bit_cast<uint64_t>(Absent());  // no value is that
    double* counts = nullptr;
    for (size_t i = 0; i < values.size(); ++i) {
      if (IsAbsent(values[i])) continue;
      const double value =
          std::isnan(values[i]) ? std::numeric_limits<double>::quiet_NaN() : values[i];
      if (const auto bits = std::bit_cast<uint64_t>(value); bits != last) {
        if (subset == subsets.counts.size()) subsets.counts.emplace_back();
        const auto [known, is_new] = subsets.counts[subset].try_emplace(bits);
        if (is_new) {
          char text[kMostDecimalBytes];
          const auto length = static_cast<size_t>(WriteDecimal(value, text) - text);
          const Labels group = WithLabel(subsets.index.LabelsOf(subset), label_, {text, length});
          TINYOBS_ASSIGN_OR_RETURN(auto* const count,
                                   At(&mine, mine.index.OfKey(group.canonical_bytes())));
          known->second = count->columns.data();
        }
        counts = known->second;
        last = bits;
      }
      counts[i] = IsAbsent(counts[i]) ? 1 : counts[i] + 1;
    }
    return absl::OkStatus();
  }

 private:
  // Of one worker: what is left of labels, and for each of these the counts by
  // the bits of values.
  struct Subsets {
    GroupIndex index;
    std::vector<absl::flat_hash_map<uint64_t, double*>> counts;
  };
  const std::string label_;
  std::deque<Subsets> subsets_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Aggregation>> Aggregation::Create(const AggregateExpr& expr,
                                                                 Steps steps,
                                                                 std::vector<double> parameter,
                                                                 std::string label, int workers,
                                                                 Budget* budget) {
  const auto subset = [&] { return LabelSubset(expr.grouping, !expr.without); };
  const auto fold = [&](AggregateOp op) {
    return kMakeFold[static_cast<size_t>(op)](subset(), workers, steps.count, budget);
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
      [[fallthrough]];
    case AggregateOp::kQuantile:
      return MakeRanking(expr.op, subset(), workers, steps.count, std::move(parameter), budget);
    case AggregateOp::kCountValues:
      break;
    default:
      return fold(expr.op);
  }
  if (!IsPlainLabelName(label)) {
    std::string message = "invalid label name ";
    AppendQuoted(label, &message);
    return absl::FailedPreconditionError(message);
  }
  // What `without` takes away, it takes away from the result, too: then values
  // do not matter.
  std::vector<std::string> names = expr.grouping;
  const bool named = std::erase(names, label) > 0;
  if (expr.without && (named || label == kMetricName)) return fold(AggregateOp::kCount);
  if (expr.without) names.push_back(label);
  return std::make_unique<CountValues>(LabelSubset(std::move(names), !expr.without), label, workers,
                                       steps.count, budget);
}

}  // namespace tinyobs::promql
