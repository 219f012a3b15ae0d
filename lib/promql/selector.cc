// Selectors: series out of the Querier, by all workers, and what a selector makes of their samples.
#include <algorithm>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/promql/downsampled.h"
#include "lib/promql/evaluator.h"
#include "lib/promql/window_bounds.h"

namespace tinyobs::promql {

namespace {

// The instant vector rule: at each step the newest sample that is not older than the lookback; none
// if it is a staleness marker. Its value, or its time in seconds. False: no step has one.
template <bool kTimes>
bool FillNewest(const Columns& samples, const Steps& steps, int64_t lookback_ms,
                std::span<double> out) {
  const std::vector<int64_t>& times = samples.timestamps_ms;
  bool any = false;
  // `after`: the first sample that is newer than the step; searched for once. From then on it moves
  // as far as at the step before, mostly, which is tried first.
  size_t after = static_cast<size_t>(std::upper_bound(times.begin(), times.end(), steps.start_ms) -
                                     times.begin());
  size_t stride = 0;
  for (size_t i = 0; i < steps.count; ++i) {
    const int64_t end_ms = steps.At(i);
    const size_t before = after;
    if (stride > 1 && after + stride <= times.size() && times[after + stride - 1] <= end_ms) {
      after += stride;
    }
    while (after < times.size() && times[after] <= end_ms) ++after;
    stride = after - before;
    const bool found = after > 0 && times[after - 1] >= OldestInWindow(end_ms, lookback_ms);
    // A staleness marker is Absent().
    out[i] = found ? samples.values[after - 1] : Absent();
    if (IsAbsent(out[i])) continue;
    any = true;
    if (kTimes) out[i] = static_cast<double>(times[after - 1]) / 1000;
  }
  return any;
}

// `samples` without staleness markers; `scratch` holds what is left, if there are any.
const Columns& WithoutMarkers(const Columns& samples, Columns* scratch) {
  if (std::none_of(samples.values.begin(), samples.values.end(), IsStaleNan)) return samples;
  scratch->clear();
  for (size_t i = 0; i < samples.size(); ++i) {
    if (!IsStaleNan(samples.values[i])) {
      scratch->Add(samples.timestamps_ms[i], samples.values[i]);
    }
  }
  return *scratch;
}

}  // namespace

absl::Status Evaluator::ForEachSeries(const std::vector<Matcher>& matchers, TimeRange range,
                                      FunctionId use, int64_t length_ms, SetSink sink) {
  const SelectHints hints{.sorted = sorted_,
                          .resolution = options_.resolution,
                          .window_columns = WindowColumnsFor(use),
                          .windows_before = 2};
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<std::unique_ptr<SeriesSet>> sets,
                           querier_.SelectParts(matchers, range, hints, workers_));
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> found{0};
  const auto drain = [&](int worker, SeriesSet* set, uint64_t* samples) -> absl::Status {
    Resolution coarsest = Resolution::kRaw;
    while (!stop.load(std::memory_order_relaxed) && set->Next()) {
      TINYOBS_RETURN_IF_ERROR(budget_->Check());
      if (found.fetch_add(1, std::memory_order_relaxed) >= options_.max_series &&
          options_.max_series > 0) {
        return QueryLimitError(StrCat("a selector finds more than ", options_.max_series,
                                      " series (max_series): add matchers"));
      }
      *samples += set->columns().size();
      for (const Windows& windows : set->windows()) *samples += windows.size();
      coarsest = std::max(coarsest, set->resolution());
      TINYOBS_RETURN_IF_ERROR(sink(worker, *set));
    }
    NoteResolution(coarsest, length_ms);
    return set->status();
  };
  std::vector<absl::Status> ends(sets.size());
  const auto work = [&](size_t i) {
    uint64_t samples = 0;
    ends[i] = drain(static_cast<int>(i), sets[i].get(), &samples);
    if (!ends[i].ok()) stop.store(true, std::memory_order_relaxed);
    samples_read_.fetch_add(samples, std::memory_order_relaxed);
  };
  std::vector<std::thread> threads;
  size_t started = 1;
  try {
    for (; started < sets.size(); ++started) threads.emplace_back(work, started);
  } catch (const std::system_error&) {
    // No more threads to be had: this one does what is left.
  }
  for (size_t i = started; i < sets.size(); ++i) work(i);
  if (!sets.empty()) work(0);
  for (std::thread& thread : threads) thread.join();
  series_read_.fetch_add(found.load(), std::memory_order_relaxed);
  for (const absl::Status& end : ends) TINYOBS_RETURN_IF_ERROR(end);
  return absl::OkStatus();
}

void Evaluator::NoteResolution(Resolution resolution, int64_t length_ms) {
  if (resolution == Resolution::kRaw) return;
  MutexLock lock(&mutex_);
  coarsest_ = std::max(coarsest_, resolution);
  const std::string_view name = ResolutionName(resolution);
  if (ResolutionMs(resolution) > length_ms) {
    warnings_.insert(StrCat("some of the data is there as windows of ", name,
                            " only: where a shorter time is looked at it was widened"));
  } else if (resolution > options_.resolution) {
    warnings_.insert(StrCat("some of the data is there as windows of ", name, " only"));
  }
}

bool Evaluator::HasAt(const TimeModifiers& when) const {
  if (when.at == TimeModifiers::At::kTimestamp) return true;
  return when.at != TimeModifiers::At::kNone && !in_parameter_;
}

Steps Evaluator::Shifted(const Steps& steps, const TimeModifiers& when) const {
  int64_t start_ms = steps.start_ms;
  if (HasAt(when)) {
    start_ms = when.at == TimeModifiers::At::kTimestamp ? when.at_ms
               : when.at == TimeModifiers::At::kStart   ? query_.from_ms
                                                        : query_.to_ms;
  }
  return {ClampTime(ClampTime(start_ms) - when.offset_ms), steps.step_ms, steps.count};
}

TimeRange Evaluator::RangeToRead(const Steps& times, int64_t length_ms,
                                 const TimeModifiers& when) const {
  return {
      OldestInWindow(times.start_ms, length_ms),
      HasAt(when) ? times.start_ms : std::min(times.end_ms(), readable_until_ms_ - when.offset_ms)};
}

absl::Status Evaluator::StreamVector(const VectorExpr& vector, const Steps& steps, Content content,
                                     SeriesSink sink) {
  const Steps times = Shifted(steps, vector.when);
  const TimeRange range = RangeToRead(times, options_.lookback_ms, vector.when);
  std::vector<std::vector<double>> columns(static_cast<size_t>(workers_));
  const uint64_t held = steps.count * columns.size();
  TINYOBS_RETURN_IF_ERROR(budget_->Take(held));
  std::vector<Columns> scratch(columns.size());
  const absl::Status status = ForEachSeries(
      vector.matchers, range, FunctionId::kLastOverTime, options_.lookback_ms,
      [&](int worker, const SeriesSet& series) {
        std::vector<double>& column = columns[static_cast<size_t>(worker)];
        column.resize(steps.count);
        const Columns& samples =
            SamplesOf(series, FunctionId::kLastOverTime, 0, &scratch[static_cast<size_t>(worker)]);
        const int64_t lookback_ms =
            std::max(options_.lookback_ms, ResolutionMs(series.resolution()));
        const auto fill = content == Content::kTime ? FillNewest<true> : FillNewest<false>;
        if (!fill(samples, times, lookback_ms, column)) return absl::OkStatus();
        return sink(worker, series.labels(), std::span<double>(column));
      });
  budget_->GiveBack(held);
  return status;
}

absl::Status Evaluator::StreamRanges(const Expr& expr, const Steps& steps, FunctionId use,
                                     RangeSink sink) {
  if (steps.count == 0) return absl::OkStatus();
  switch (expr.kind) {
    case Expr::Kind::kParen:
      return StreamRanges(*As<ParenExpr>(expr).inner, steps, use, sink);
    case Expr::Kind::kMatrix:
      return StreamMatrix(As<MatrixExpr>(expr), steps, use, sink);
    case Expr::Kind::kSubquery:
      return StreamSubquery(As<SubqueryExpr>(expr), steps, sink);
    default:
      return absl::InternalError("an expression that is no range vector");
  }
}

absl::Status Evaluator::StreamMatrix(const MatrixExpr& matrix, const Steps& steps, FunctionId use,
                                     RangeSink sink) {
  const Steps windows = Shifted(steps, matrix.vector->when);
  const TimeRange range = RangeToRead(windows, matrix.range_ms, matrix.vector->when);
  std::vector<Columns> scratch(static_cast<size_t>(workers_));
  std::vector<Columns> points(scratch.size());
  return ForEachSeries(matrix.vector->matchers, range, use, matrix.range_ms,
                       [&](int worker, const SeriesSet& series) {
                         const auto i = static_cast<size_t>(worker);
                         const Columns& samples = WithoutMarkers(
                             SamplesOf(series, use, matrix.range_ms, &points[i]), &scratch[i]);
                         if (samples.empty()) return absl::OkStatus();
                         return sink(worker, series.labels(),
                                     {samples.timestamps_ms, samples.values, windows,
                                      matrix.range_ms, steps, ResolutionMs(series.resolution())});
                       });
}

absl::Status Evaluator::StreamSubquery(const SubqueryExpr& subquery, const Steps& steps,
                                       RangeSink sink) {
  const Steps windows = Shifted(steps, subquery.when);
  const int64_t step_ms = subquery.step_ms > 0 ? subquery.step_ms : options_.subquery_step_ms;
  // The inner steps are multiples of the step, whatever the outer ones are.
  const int64_t oldest_ms = OldestInWindow(windows.start_ms, subquery.range_ms);
  int64_t start_ms = oldest_ms / step_ms * step_ms;
  if (start_ms < oldest_ms) start_ms += step_ms;
  Steps inner{start_ms, step_ms, 1};
  if (start_ms <= windows.end_ms()) {
    inner.count += static_cast<size_t>((windows.end_ms() - start_ms) / step_ms);
  } else if (!IsInvariant(*subquery.inner)) {
    return absl::OkStatus();
  }  // else it is evaluated once in any case, as Prometheus does
  std::vector<Columns> scratch(static_cast<size_t>(workers_));
  const uint64_t held = inner.count * (1 + 2 * scratch.size());
  TINYOBS_RETURN_IF_ERROR(budget_->Take(held));
  std::vector<int64_t> times(inner.count);
  for (size_t i = 0; i < inner.count; ++i) times[i] = inner.At(i);
  const int64_t outer_until_ms = std::exchange(
      readable_until_ms_,
      HasAt(subquery.when) ? windows.start_ms : readable_until_ms_ - subquery.when.offset_ms);
  const absl::Status status = Stream(
      *subquery.inner, inner, [&](int worker, const Labels& labels, std::span<double> values) {
        if (std::none_of(values.begin(), values.end(), IsAbsent)) {
          return sink(worker, labels, {times, values, windows, subquery.range_ms, steps});
        }
        Columns& present = scratch[static_cast<size_t>(worker)];
        present.clear();
        for (size_t i = 0; i < values.size(); ++i) {
          if (!IsAbsent(values[i])) present.Add(times[i], values[i]);
        }
        return sink(worker, labels,
                    {present.timestamps_ms, present.values, windows, subquery.range_ms, steps});
      });
  readable_until_ms_ = outer_until_ms;
  budget_->GiveBack(held);
  return status;
}

}  // namespace tinyobs::promql
