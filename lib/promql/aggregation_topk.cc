// topk and bottomk: the k largest elements of each group, with labels of their own, step by step.
//
// Which of several equal values stay, and in which order they come, follows from the binary heap
// that Prometheus pushes a step's elements through, in the order of the series. Only an element
// that beats the k-th best before it ever enters that heap. So each worker keeps, a step, those
// that beat the k-th best of *its own* before them, which are all of these and few more (about
// k ln(n/k) of n in random order); Finish puts the workers' lists together in the order of labels
// and runs the heap over them. With workers that see their series in that order the answer is
// Prometheus', ties included, however many workers there are.
//
// bottomk is topk of the negated values.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/promql/aggregation_groups.h"

namespace tinyobs::promql {
namespace {

struct Candidate {
  double value;
  uint32_t series;
};

// The order of Prometheus' heap: NaN before everything, also before NaN.
bool Less(const Candidate& a, const Candidate& b) {
  return std::isnan(a.value) || a.value < b.value;
}

// A binary heap with the least on top that moves elements as Go's container/heap does.
class Heap {
 public:
  void Push(Candidate candidate) {
    size_t at = items_.size();
    items_.push_back(candidate);
    while (at > 0) {
      const size_t parent = (at - 1) / 2;
      if (!Less(items_[at], items_[parent])) break;
      std::swap(items_[at], items_[parent]);
      at = parent;
    }
  }

  void Pop() {
    std::swap(items_.front(), items_.back());
    items_.pop_back();
    const size_t size = items_.size();
    for (size_t at = 0, child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && Less(items_[child + 1], items_[child])) ++child;
      if (!Less(items_[child], items_[at])) break;
      std::swap(items_[at], items_[child]);
      at = child;
    }
  }

  // Keeps the k largest of `candidates`; the largest first, NaN last.
  const std::vector<Candidate>& Top(size_t k, const std::vector<Candidate>& candidates) {
    items_.clear();
    for (const Candidate& candidate : candidates) {
      if (items_.size() == k) {
        if (!Less(items_[0], candidate)) continue;
        if (k == 1) {
          items_[0] = candidate;
          continue;
        }
        Pop();
      }
      Push(candidate);
    }
    Sort();
    return items_;
  }

 private:
  void Sort() {
    constexpr size_t kInsertionSortMost = 12;  // as in Go: up to here, ties keep the heap's order
    if (items_.size() > kInsertionSortMost) {
      std::stable_sort(items_.begin(), items_.end(), [](const Candidate& a, const Candidate& b) {
        return a.value > b.value || (!std::isnan(a.value) && std::isnan(b.value));
      });
      return;
    }
    for (size_t i = 1; i < items_.size(); ++i) {
      for (size_t j = i; j > 0 && Less(items_[j - 1], items_[j]); --j) {
        std::swap(items_[j - 1], items_[j]);
      }
    }
  }

  std::vector<Candidate> items_;
};

// What one group has seen at one step.
struct Seen {
  std::vector<Candidate> candidates;
  size_t refresh_at = 0;  // when the threshold is worked out again
};

struct TopGroup {
  // What an element must beat, a step: the k-th best when it was last worked out. NaN: everything
  // enters. +Inf where k < 1.
  std::vector<double> threshold;
  std::vector<Seen> steps;
};

class TopKAggregation final : public Aggregation {
 public:
  TopKAggregation(AggregationInput input, bool bottom, const std::vector<double>& k)
      : sign_(bottom ? -1 : 1), budget_(input.budget) {
    // More than all series are all series.
    for (const double each : k) k_.push_back(static_cast<size_t>(std::clamp(each, 0.0, 4e9)));
    for (int i = 0; i < input.workers; ++i) workers_.emplace_back(input.subset);
  }

  absl::Status Add(int worker, const Labels& labels, std::span<double> values) override {
    Worker& mine = workers_[static_cast<size_t>(worker)];
    const size_t number = mine.index.Of(labels);
    if (number == mine.groups.size()) {
      TINYOBS_RETURN_IF_ERROR(
          budget_->TakeBytes(GroupBytes(mine.index, number) + k_.size() * sizeof(Seen)));
      TINYOBS_RETURN_IF_ERROR(Take(&mine, k_.size()));
      mine.groups.push_back(NewGroup());
    }
    TopGroup& group = mine.groups[number];
    const auto series = static_cast<uint32_t>(mine.series.size());
    uint64_t entered = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double threshold = group.threshold[i];
      const double value = values[i] * sign_;
      if (!(value > threshold) && !std::isnan(threshold)) continue;
      if (IsAbsent(values[i])) continue;
      Seen& seen = group.steps[i];
      seen.candidates.push_back({value, series});
      if (seen.candidates.size() == seen.refresh_at) group.threshold[i] = Refresh(k_[i], &seen);
      ++entered;
    }
    if (entered == 0) return absl::OkStatus();
    mine.series.push_back(labels);
    TINYOBS_RETURN_IF_ERROR(budget_->TakeBytes(sizeof(Labels) + labels.canonical_bytes().size()));
    return Take(&mine, entered * sizeof(Candidate) / sizeof(double));
  }

  absl::StatusOr<Vector> Finish() override {
    const std::vector<uint32_t> ranks = JoinWorkers();
    Worker& all = workers_[0];
    Vector result;
    std::vector<uint32_t> rows(all.series.size(), UINT32_MAX);
    Heap heap;
    const std::vector<size_t> order = SortCandidates(ranks);
    for (size_t step = 0; step < k_.size(); ++step) {
      for (const size_t group : order) {
        const std::vector<Candidate>& candidates = all.groups[group].steps[step].candidates;
        for (const Candidate& top : heap.Top(k_[step], candidates)) {
          uint32_t& row = rows[top.series];
          if (row == UINT32_MAX) {
            TINYOBS_RETURN_IF_ERROR(budget_->Take(k_.size()));
            row = static_cast<uint32_t>(result.size());
            result.push_back({std::move(all.series[top.series]), {}});
            result.back().values.resize(k_.size(), Absent());
          }
          result[row].values[step] = top.value * sign_;
        }
      }
    }
    budget_->GiveBack(all.held);
    workers_.clear();
    return result;
  }

 private:
  struct Worker {
    explicit Worker(LabelSubset subset) : index(std::move(subset)) {}
    GroupIndex index;
    std::vector<TopGroup> groups;
    std::vector<Labels> series;  // those with a candidate
    uint64_t held = 0;           // of the budget
  };

  absl::Status Take(Worker* worker, uint64_t samples) {
    TINYOBS_RETURN_IF_ERROR(budget_->Take(samples));
    worker->held += samples;
    return absl::OkStatus();
  }

  TopGroup NewGroup() const {
    TopGroup group;
    group.threshold.resize(k_.size(), std::numeric_limits<double>::quiet_NaN());
    group.steps.resize(k_.size());
    for (size_t i = 0; i < k_.size(); ++i) {
      group.steps[i].refresh_at = k_[i];
      if (k_[i] == 0) group.threshold[i] = std::numeric_limits<double>::infinity();
    }
    return group;
  }

  // The k-th best of what was seen. The next time is so much later that all of them together cost
  // O(1) a candidate.
  static double Refresh(size_t k, Seen* seen) {
    std::vector<Candidate> copy = seen->candidates;
    const auto kth = copy.begin() + static_cast<ptrdiff_t>(k - 1);
    std::nth_element(copy.begin(), kth, copy.end(), [](const Candidate& a, const Candidate& b) {
      return a.value > b.value || (!std::isnan(a.value) && std::isnan(b.value));
    });
    seen->refresh_at += std::max(k, seen->refresh_at / 2);
    return kth->value;
  }

  // Moves everything to the first worker. Returns the place of each series in the order of labels.
  std::vector<uint32_t> JoinWorkers() {
    Worker& all = workers_[0];
    for (size_t i = 1; i < workers_.size(); ++i) {
      Worker& other = workers_[i];
      const auto offset = static_cast<uint32_t>(all.series.size());
      std::move(other.series.begin(), other.series.end(), std::back_inserter(all.series));
      for (size_t g = 0; g < other.groups.size(); ++g) {
        const size_t group = all.index.OfKey(other.index.key(g));
        if (group == all.groups.size()) all.groups.push_back(NewGroup());
        for (size_t step = 0; step < k_.size(); ++step) {
          auto& to = all.groups[group].steps[step].candidates;
          for (const Candidate& candidate : other.groups[g].steps[step].candidates) {
            to.push_back({candidate.value, candidate.series + offset});
          }
          other.groups[g].steps[step].candidates = {};
        }
      }
      all.held += other.held;
    }
    std::vector<uint32_t> order(all.series.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](uint32_t a, uint32_t b) { return all.series[a] < all.series[b]; });
    std::vector<uint32_t> ranks(order.size());
    for (uint32_t rank = 0; rank < order.size(); ++rank) ranks[order[rank]] = rank;
    return ranks;
  }

  // Puts each list in the order of labels, and returns the groups in the order of their first
  // element at the first step.
  std::vector<size_t> SortCandidates(const std::vector<uint32_t>& ranks) {
    const auto by_rank = [&](const Candidate& a, const Candidate& b) {
      return ranks[a.series] < ranks[b.series];
    };
    std::vector<TopGroup>& groups = workers_[0].groups;
    for (TopGroup& group : groups) {
      for (Seen& seen : group.steps) {
        if (!std::is_sorted(seen.candidates.begin(), seen.candidates.end(), by_rank)) {
          std::sort(seen.candidates.begin(), seen.candidates.end(), by_rank);
        }
      }
    }
    const auto first = [&](size_t group) {
      const std::vector<Candidate>& candidates = groups[group].steps[0].candidates;
      return candidates.empty() ? UINT32_MAX : ranks[candidates[0].series];
    };
    std::vector<size_t> order(groups.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return first(a) < first(b); });
    return order;
  }

  const double sign_;
  Budget* const budget_;
  std::vector<size_t> k_;  // a step
  std::deque<Worker> workers_;
};

}  // namespace

std::unique_ptr<Aggregation> MakeTopK(AggregationInput input, bool bottom,
                                      const std::vector<double>& k) {
  return std::make_unique<TopKAggregation>(std::move(input), bottom, k);
}

}  // namespace tinyobs::promql
