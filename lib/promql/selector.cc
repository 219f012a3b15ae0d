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
#include "lib/promql/sliding_fold.h"

namespace tinyobs::promql {

namespace {

// The instant vector rule: at each step the newest sample that is not older than the lookback; none
// if it is a staleness marker. Its value, or its time in seconds. False: no step has one.
bool FillNewest(const Columns& samples, const Steps& steps, int64_t lookback_ms, bool times,
                std::span<double> out) {
  bool any = false;
  ForEachWindow({samples.timestamps_ms, samples.values, steps, lookback_ms, steps},
                [&](size_t i, Window window) {
                  // A staleness marker is Absent().
                  out[i] = window.size() == 0 ? Absent() : samples.values[window.end - 1];
                  if (IsAbsent(out[i])) return;
                  any = true;
                  if (!times) return;
                  out[i] = static_cast<double>(samples.timestamps_ms[window.end - 1]) / 1000;
                });
  return any;
}

// Leaves out what is no sample; `scratch` holds the others, if there is any.
void LeaveOutMarkers(RangeInput* input, Columns* scratch) {
  if (std::none_of(input->values.begin(), input->values.end(), IsStaleNan)) return;
  scratch->clear();
  for (size_t i = 0; i < input->values.size(); ++i) {
    if (!IsStaleNan(input->values[i])) scratch->Add(input->times_ms[i], input->values[i]);
  }
  input->times_ms = scratch->timestamps_ms;
  input->values = scratch->values;
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

absl::Status Evaluator::StreamVector(const SelectorExpr& vector, const Steps& steps,
                                     SeriesSink sink) {
  Steps times = Shifted(steps, vector.when);
  int64_t newest_lookback_ms = options_.lookback_ms;
  if (times_wanted_ && HasAt(vector.when)) {
    // For timestamp(x @ t offset d) Prometheus 2.42 reads the samples for t - d and looks for the
    // newest at t: only what both see is found.
    times.start_ms += std::min<int64_t>(vector.when.offset_ms, 0);
    newest_lookback_ms -= std::abs(vector.when.offset_ms);
    if (newest_lookback_ms < 0) return absl::OkStatus();
  }
  const TimeRange range = RangeToRead(times, newest_lookback_ms, vector.when);
  std::vector<std::vector<double>> columns(static_cast<size_t>(workers_));
  const uint64_t held = steps.count * columns.size();
  TINYOBS_RETURN_IF_ERROR(budget_->Take(held));
  std::vector<Columns> scratch(columns.size());
  const absl::Status status = ForEachSeries(
      vector.matchers, range, IdOf("last_over_time"), options_.lookback_ms,
      [&](int worker, const SeriesSet& series) {
        std::vector<double>& column = columns[static_cast<size_t>(worker)];
        column.resize(steps.count);
        const Columns& samples =
            SamplesOf(series, IdOf("last_over_time"), 0, &scratch[static_cast<size_t>(worker)]);
        const int64_t lookback_ms = std::max(newest_lookback_ms, ResolutionMs(series.resolution()));
        if (!FillNewest(samples, times, lookback_ms, times_wanted_, column)) {
          return absl::OkStatus();
        }
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
      return StreamRanges(*expr.args[0], steps, use, sink);
    case Expr::Kind::kMatrix:
      return StreamMatrix(As<SelectorExpr>(expr), steps, use, sink);
    case Expr::Kind::kSubquery:
      return StreamSubquery(As<SubqueryExpr>(expr), steps, sink);
    default:
      return absl::InternalError("an expression that is no range vector");
  }
}

absl::Status Evaluator::StreamMatrix(const SelectorExpr& matrix, const Steps& steps, FunctionId use,
                                     RangeSink sink) {
  const Steps windows = Shifted(steps, matrix.when);
  const TimeRange range = RangeToRead(windows, matrix.range_ms, matrix.when);
  std::vector<Columns> scratch(static_cast<size_t>(workers_));
  std::vector<Columns> points(scratch.size());
  return ForEachSeries(
      matrix.matchers, range, use, matrix.range_ms, [&](int worker, const SeriesSet& series) {
        const auto i = static_cast<size_t>(worker);
        const Columns& samples = SamplesOf(series, use, matrix.range_ms, &points[i]);
        RangeInput input{samples.timestamps_ms, samples.values, windows,
                         matrix.range_ms,       steps,          ResolutionMs(series.resolution())};
        LeaveOutMarkers(&input, &scratch[i]);
        return input.times_ms.empty() ? absl::OkStatus() : sink(worker, series.labels(), input);
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
  } else if (!IsInvariant(*subquery.args[0])) {
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
      *subquery.args[0], inner, [&](int worker, const Labels& labels, std::span<double> values) {
        RangeInput input{times, values, windows, subquery.range_ms, steps};
        LeaveOutMarkers(&input, &scratch[static_cast<size_t>(worker)]);
        return sink(worker, labels, input);
      });
  readable_until_ms_ = outer_until_ms;
  budget_->GiveBack(held);
  return status;
}

}  // namespace tinyobs::promql
