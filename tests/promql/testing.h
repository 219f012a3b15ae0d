// What tests of PromQL stand on: series written in a line each, held in memory behind a Querier,
// and a query's answer compared with lines.
//
//   TestQuerier querier;
//   querier.Load(30'000, R"(
//     http_requests{job="a"} 0+10x20 _ stale 5
//     http_requests{job="b"} 1 2 NaN -Inf
//   )");
//   ExpectInstant(querier, "sum by (job) (http_requests)", 60'000, {R"({job="a"} 20)", ...});
//
// The notation is the one of Prometheus' own test scripts: after the labels, one item a sample or
// more, the first at time 0 and each next an interval later.
//
//   5  1e3  NaN  -Inf   a value             a+bxN  a-bxN   N + 1 values: a, a+b, a+2b, ...
//   _                   no sample           axN            N + 1 times a
//   stale               staleness marker    _xN            N times no sample
#ifndef TINYOBS_TESTS_PROMQL_TESTING_H_
#define TINYOBS_TESTS_PROMQL_TESTING_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/promql/ast.h"
#include "lib/promql/vector.h"
#include "tinyobs/promql.h"
#include "tinyobs/querier.h"

namespace tinyobs::promql {

// `metric{a="b"}`, `{a="b"}`, `metric`, `{}`. Fails the test, and is empty, when it is none.
Labels TestLabels(std::string_view text);

// Labels and values of one line; Absent() where `_` stands.
VectorSeries TestSeries(std::string_view line);
// Of some: what a function of vectors takes.
Vector TestVector(const std::vector<std::string_view>& lines);

// Equal, both NaN, or within 1e-9 of each other relatively; Absent() equals itself only.
bool SameValue(double a, double b);
// The same labels in the same order with the same values.
void ExpectVector(const Vector& actual, const std::vector<std::string_view>& expected);

// Thread-safety: as a Querier once it is loaded.
class TestQuerier : public Querier {
 public:
  // Lines as above; empty ones are skipped.
  void Load(int64_t interval_ms, std::string_view lines);
  void Add(const Labels& labels, int64_t time_ms, double value);

  // Every Select and SelectParts so far: what was asked for.
  struct Asked {
    TimeRange range;
    SelectHints hints;
  };
  std::vector<Asked> asked() const;

  absl::StatusOr<std::unique_ptr<SeriesSet>> Select(const std::vector<Matcher>& matchers,
                                                    TimeRange range,
                                                    const SelectHints& hints = {}) const override;
  absl::StatusOr<std::unique_ptr<SeriesSet>> SelectAll(
      TimeRange range, const SelectHints& hints = {}) const override;
  absl::StatusOr<std::vector<std::unique_ptr<SeriesSet>>> SelectParts(
      const std::vector<Matcher>& matchers, TimeRange range, const SelectHints& hints,
      int parts) const override;
  absl::StatusOr<std::vector<Labels>> Series(const std::vector<Matcher>& matchers, TimeRange range,
                                             const ListHints& hints = {}) const override;
  absl::StatusOr<std::vector<std::string>> LabelNames(const std::vector<Matcher>& matchers,
                                                      TimeRange range,
                                                      const ListHints& hints = {}) const override;
  absl::StatusOr<std::vector<std::string>> LabelValues(std::string_view label,
                                                       const std::vector<Matcher>& matchers,
                                                       TimeRange range,
                                                       const ListHints& hints = {}) const override;
  MetricMetadata Metadata(std::string_view metric) const override;

 private:
  struct State;
  std::shared_ptr<State> state() const;
  mutable std::shared_ptr<State> state_;
};

// The answer at one time is these lines, in this order: `labels value` for a vector, `value` for a
// scalar, `"text"` for a string, `labels value@time_ms value@time_ms` for a matrix.
void ExpectInstant(const Querier& querier, std::string_view query, int64_t time_ms,
                   const std::vector<std::string>& lines, const QueryOptions& options = {});
// The answer from start to end: a line a series with a value, or `_`, for each step.
void ExpectRange(const Querier& querier, std::string_view query, int64_t start_ms, int64_t end_ms,
                 int64_t step_ms, const std::vector<std::string>& lines,
                 const QueryOptions& options = {});
// The query ends with this code, and its message has `part`.
void ExpectQueryError(const Querier& querier, std::string_view query, int64_t time_ms,
                      absl::StatusCode code, std::string_view part,
                      const QueryOptions& options = {});

// What the operator makes of two scalars, a comparison one with bool.
double ApplyScalar(BinaryOp op, double left, double right);

}  // namespace tinyobs::promql

#endif  // TINYOBS_TESTS_PROMQL_TESTING_H_
