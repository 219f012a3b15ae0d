// The aggregations that look at the order of values: quantile, topk and bottomk.
//
// quantile keeps the columns of a group as they came and turns a few steps at a time into rows when
// it is finished.
//
// topk has to choose among equal values as Prometheus does, which follows from the binary heap that
// it pushes a step's elements through, in the order of the series. Only an element that beats the
// k-th best before it ever enters that heap. So each worker runs such a heap a step and keeps what
// has been in it, which is all of these and few more (about k ln(n/k) of n in random order); in the
// end the workers' lists, one after another, go through one heap. bottomk is topk of the negated
// values.
#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/promql/aggregation_groups.h"
#include "lib/promql/range_functions.h"

namespace tinyobs::promql {
namespace {

struct QuantileGroup {
  std::vector<std::vector<double>> columns;

  absl::Status Open(AggregationContext*) { return absl::OkStatus(); }

  absl::Status Add(const Labels&, std::span<double> values, AggregationContext* context) {
    TINYOBS_RETURN_IF_ERROR(context->Take(values.size()));
    TINYOBS_RETURN_IF_ERROR(context->budget->TakeBytes(2 * sizeof(columns[0])));
    columns.emplace_back(values.begin(), values.end());
    return absl::OkStatus();
  }

  void Join(QuantileGroup later, const AggregationContext&) {
    std::move(later.columns.begin(), later.columns.end(), std::back_inserter(columns));
  }

  absl::Status Finish(Labels labels, AggregationContext* context, Vector* result) {
    TINYOBS_RETURN_IF_ERROR(context->Take(context->steps));
    result->push_back({std::move(labels), std::vector<double>(context->steps, Absent())});
    constexpr size_t kBlock = 8;  // steps that share a cache line
    std::vector<double> rows[kBlock];
    for (size_t from = 0; from < context->steps; from += kBlock) {
      const size_t count = std::min(kBlock, context->steps - from);
      for (const std::vector<double>& column : columns) {
        for (size_t i = 0; i < count; ++i) {
          if (!IsAbsent(column[from + i])) rows[i].push_back(column[from + i]);
        }
      }
      for (size_t i = 0; i < count; ++i) {
        if (rows[i].empty()) continue;
        result->back().values[from + i] = Quantile(context->parameter[from + i], rows[i]);
        rows[i].clear();
      }
    }
    return absl::OkStatus();
  }
};

struct Candidate {
  double value;
  size_t series;  // in the order in which they come
};

// The order of Prometheus' heap: NaN before everything, also before NaN.
bool Less(const Candidate& a, const Candidate& b) {
  return std::isnan(a.value) || a.value < b.value;
}

// What has been among the k largest of one group and step. The first k are those that are now, as a
// binary heap with the least on top that moves elements as Go's container/heap does.
class Candidates {
 public:
  // False: it is not among them.
  bool Offer(size_t k, Candidate candidate) {
    size_t at = items_.size();
    if (at < k) {
      items_.push_back(candidate);
    } else {
      if (k == 0 || !Less(items_[0], candidate)) return false;
      items_.push_back(items_[0]);
      at = k - 1;
      items_[0] = items_[at];
      for (size_t parent = 0, child = 1; child < at; parent = child, child = 2 * child + 1) {
        if (child + 1 < at && Less(items_[child + 1], items_[child])) ++child;
        if (!Less(items_[child], items_[parent])) break;
        std::swap(items_[child], items_[parent]);
      }
      items_[at] = candidate;
    }
    for (; at > 0 && Less(items_[at], items_[(at - 1) / 2]); at = (at - 1) / 2) {
      std::swap(items_[at], items_[(at - 1) / 2]);
    }
    return true;
  }

  // What one has to beat to get in; NaN: nothing.
  double Threshold(size_t k) const {
    return k == 0              ? std::numeric_limits<double>::infinity()
           : items_.size() < k ? std::numeric_limits<double>::quiet_NaN()
                               : items_[0].value;
  }

  // The k largest, the largest first, NaN last.
  std::span<const Candidate> Top(size_t k) {
    const std::span<Candidate> top = std::span(items_).first(std::min(k, items_.size()));
    constexpr size_t kInsertionSortMost = 12;  // as in Go: up to here, ties keep the heap's order
    if (top.size() > kInsertionSortMost) {
      std::stable_sort(top.begin(), top.end(), [](const Candidate& a, const Candidate& b) {
        return a.value > b.value || (!std::isnan(a.value) && std::isnan(b.value));
      });
      return top;
    }
    for (size_t i = 1; i < top.size(); ++i) {
      for (size_t j = i; j > 0 && Less(top[j - 1], top[j]); --j) std::swap(top[j - 1], top[j]);
    }
    return top;
  }

  // Everything, in the order in which it came.
  std::vector<Candidate>& InOrder() {
    std::sort(items_.begin(), items_.end(),
              [](const Candidate& a, const Candidate& b) { return a.series < b.series; });
    return items_;
  }

 private:
  std::vector<Candidate> items_;
};

template <int kSign>
struct TopGroup {
  std::vector<double> thresholds;  // a step
  std::vector<Candidates> steps;
  std::vector<Labels> series;  // those with a candidate

  // More than all series are all series.
  static size_t K(const AggregationContext& context, size_t step) {
    return static_cast<size_t>(std::clamp(context.parameter[step], 0.0, 4e9));
  }

  absl::Status Open(AggregationContext* context) {
    steps.resize(context->steps);
    for (size_t i = 0; i < steps.size(); ++i) {
      thresholds.push_back(steps[i].Threshold(K(*context, i)));
    }
    TINYOBS_RETURN_IF_ERROR(context->budget->TakeBytes(steps.size() * sizeof(Candidates)));
    return context->Take(steps.size());
  }

  absl::Status Add(const Labels& labels, std::span<double> values, AggregationContext* context) {
    uint64_t entered = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double value = values[i] * kSign;
      if (!(value > thresholds[i]) && !std::isnan(thresholds[i])) continue;
      if (IsAbsent(values[i])) continue;
      const size_t k = K(*context, i);
      steps[i].Offer(k, {value, series.size()});
      thresholds[i] = steps[i].Threshold(k);
      ++entered;
    }
    if (entered == 0) return absl::OkStatus();
    series.push_back(labels);
    TINYOBS_RETURN_IF_ERROR(
        context->budget->TakeBytes(sizeof(Labels) + labels.canonical_bytes().size()));
    return context->Take(entered * sizeof(Candidate) / sizeof(double));
  }

  void Join(TopGroup later, const AggregationContext& context) {
    for (size_t i = 0; i < steps.size(); ++i) {
      std::vector<Candidate>& mine = steps[i].InOrder();
      for (const Candidate& candidate : later.steps[i].InOrder()) {
        mine.push_back({candidate.value, candidate.series + series.size()});
      }
      Candidates joined;
      for (const Candidate& candidate : mine) joined.Offer(K(context, i), candidate);
      steps[i] = std::move(joined);
    }
    std::move(later.series.begin(), later.series.end(), std::back_inserter(series));
  }

  absl::Status Finish(Labels, AggregationContext* context, Vector* result) {
    std::vector<size_t> rows(series.size(), SIZE_MAX);
    for (size_t i = 0; i < steps.size(); ++i) {
      for (const Candidate& top : steps[i].Top(K(*context, i))) {
        size_t& row = rows[top.series];
        if (row == SIZE_MAX) {
          TINYOBS_RETURN_IF_ERROR(context->Take(steps.size()));
          row = result->size();
          result->push_back({std::move(series[top.series]), {}});
          result->back().values.resize(steps.size(), Absent());
        }
        (*result)[row].values[i] = top.value * kSign;
      }
    }
    return absl::OkStatus();
  }
};

}  // namespace

std::unique_ptr<Aggregation> MakeRanking(AggregateOp op, const LabelSubset& subset, int workers,
                                         size_t steps, std::vector<double> parameter,
                                         Budget* budget) {
  const auto make = [&]<typename Group>(Group) -> std::unique_ptr<Aggregation> {
    return std::make_unique<GroupedAggregation<Group>>(subset, workers, steps, std::move(parameter),
                                                       budget);
  };
  if (op == AggregateOp::kQuantile) return make(QuantileGroup());
  return op == AggregateOp::kTopK ? make(TopGroup<1>()) : make(TopGroup<-1>());
}

}  // namespace tinyobs::promql
