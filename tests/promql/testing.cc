#include "tests/promql/testing.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "gtest/gtest.h"
#include "lib/base/mutex.h"
#include "lib/base/strings.h"
#include "lib/promql/binary.h"
#include "lib/promql/literals.h"
#include "lib/promql/parser.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::promql {

namespace {

double TestNumber(std::string_view text) {
  const bool negative = text.starts_with('-');
  const std::string_view digits = negative || text.starts_with('+') ? text.substr(1) : text;
  double value = 0;
  if (digits == "stale") return StaleNan();
  EXPECT_TRUE(ParseNumber(digits, &value)) << "no number: " << text;
  return negative ? -value : value;
}

// Where the labels of a line end.
size_t LabelsEnd(std::string_view line) {
  bool quoted = false;
  bool braces = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (quoted && line[i] == '\\') {
      ++i;
    } else if (line[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && line[i] == '{') {
      braces = true;
    } else if (!quoted && line[i] == '}') {
      return i + 1;
    } else if (!braces && line[i] == ' ') {
      return i;
    }
  }
  return line.size();
}

// Appends what one item stands for; `_` as Absent(), a staleness marker as `stale`.
void ExpandItem(std::string_view item, double stale, std::vector<double>* values) {
  size_t times = 0;
  if (const size_t x = item.rfind('x'); x != std::string_view::npos && !item.starts_with("0x")) {
    times = static_cast<size_t>(TestNumber(item.substr(x + 1)));
    item = item.substr(0, x);
    if (item != "_") ++times;
  } else {
    times = 1;
  }
  if (item == "_") {
    values->insert(values->end(), times, Absent());
    return;
  }
  // The sign of the increment, if there is one: not the first character, not that of an exponent.
  size_t sign = 1;
  while (sign < item.size() && !((item[sign] == '+' || item[sign] == '-') &&
                                 item[sign - 1] != 'e' && item[sign - 1] != 'E')) {
    ++sign;
  }
  const double first = item == "stale" ? stale : TestNumber(item.substr(0, sign));
  const double by = sign < item.size() ? TestNumber(item.substr(sign)) : 0;
  double value = first;
  for (size_t i = 0; i < times; ++i, value += by) values->push_back(value);
}

struct TestLine {
  Labels labels;
  std::vector<double> values;
};

// `stale`: what a staleness marker becomes, so that it differs from no sample.
TestLine ParseLine(std::string_view line, double stale) {
  TestLine parsed;
  const size_t end = LabelsEnd(line);
  parsed.labels = TestLabels(line.substr(0, end));
  std::istringstream items{std::string(line.substr(end))};
  for (std::string item; items >> item;) ExpandItem(item, stale, &parsed.values);
  return parsed;
}

std::string ValueText(double value) { return IsAbsent(value) ? "_" : NumberText(value); }

std::string LineOf(const VectorSeries& series) {
  std::string line = series.labels.ToString();
  for (const double value : series.values) StrAppend(&line, " ", ValueText(value));
  return line;
}

std::string LinesOf(const Vector& vector) {
  std::string lines;
  for (const VectorSeries& series : vector) StrAppend(&lines, "  ", LineOf(series), "\n");
  return lines;
}

bool SameVector(const Vector& a, const Vector& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const VectorSeries& left, const VectorSeries& right) {
                      return left.labels == right.labels &&
                             std::equal(left.values.begin(), left.values.end(),
                                        right.values.begin(), right.values.end(), SameValue);
                    });
}

Vector VectorOf(const std::vector<std::string>& lines) {
  return TestVector(std::vector<std::string_view>(lines.begin(), lines.end()));
}

// Takes some of a querier's series, in order.
class TestSeriesSet : public SeriesSet {
 public:
  using Series = std::pair<Labels, Columns>;
  explicit TestSeriesSet(std::vector<Series> series) : series_(std::move(series)) {}

  bool Next() override { return ++at_ <= series_.size(); }
  const Labels& labels() const override { return series_[at_ - 1].first; }
  const Columns& columns() const override { return series_[at_ - 1].second; }
  Resolution resolution() const override { return Resolution::kRaw; }
  absl::Status status() const override { return absl::OkStatus(); }

 private:
  const std::vector<Series> series_;
  size_t at_ = 0;
};

bool MatchesAll(const std::vector<Matcher>& matchers, const Labels& labels) {
  return std::all_of(matchers.begin(), matchers.end(),
                     [&](const Matcher& matcher) { return matcher.Matches(labels); });
}

}  // namespace

Labels TestLabels(std::string_view text) {
  if (text == "{}") return Labels();
  auto matchers = ParseSelector(text);
  EXPECT_OK(matchers) << text;
  if (!matchers.ok()) return Labels();
  std::vector<Labels::Pair> pairs;
  for (const Matcher& matcher : *matchers) pairs.emplace_back(matcher.label(), matcher.value());
  auto labels = Labels::Create(std::move(pairs));
  EXPECT_OK(labels) << text;
  return labels.ok() ? *std::move(labels) : Labels();
}

VectorSeries TestSeries(std::string_view line) {
  TestLine parsed = ParseLine(line, StaleNan());
  return {std::move(parsed.labels), std::move(parsed.values)};
}

Vector TestVector(const std::vector<std::string_view>& lines) {
  Vector vector;
  for (const std::string_view line : lines) vector.push_back(TestSeries(line));
  return vector;
}

bool SameValue(double a, double b) {
  if (IsAbsent(a) || IsAbsent(b)) return IsAbsent(a) && IsAbsent(b);
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (a == b) return true;
  return std::abs(a - b) <= 1e-9 * std::max(std::abs(a), std::abs(b));
}

void ExpectVector(const Vector& actual, const std::vector<std::string_view>& expected) {
  const Vector wanted = TestVector(expected);
  EXPECT_TRUE(SameVector(actual, wanted)) << "is\n"
                                          << LinesOf(actual) << "expected\n"
                                          << LinesOf(wanted);
}

struct TestQuerier::State {
  std::map<Labels, std::map<int64_t, double>> series;
  Mutex mutex;
  std::vector<Asked> asked ABSL_GUARDED_BY(mutex);
};

std::shared_ptr<TestQuerier::State> TestQuerier::state() const {
  if (state_ == nullptr) state_ = std::make_shared<State>();
  return state_;
}

void TestQuerier::Load(int64_t interval_ms, std::string_view lines) {
  // Any NaN that is none of the two that mean something here.
  const double marker = std::bit_cast<double>(kStaleNanBits + 1);
  std::istringstream in{std::string(lines)};
  for (std::string line; std::getline(in, line);) {
    const size_t begin = line.find_first_not_of(' ');
    if (begin == std::string::npos) continue;
    const TestLine parsed = ParseLine(std::string_view(line).substr(begin), marker);
    int64_t time_ms = 0;
    for (const double value : parsed.values) {
      const bool stale = std::bit_cast<uint64_t>(value) == kStaleNanBits + 1;
      if (!IsAbsent(value)) Add(parsed.labels, time_ms, stale ? StaleNan() : value);
      time_ms += interval_ms;
    }
  }
}

void TestQuerier::Add(const Labels& labels, int64_t time_ms, double value) {
  state()->series[labels][time_ms] = value;
}

std::vector<TestQuerier::Asked> TestQuerier::asked() const {
  MutexLock lock(&state()->mutex);
  return state()->asked;
}

absl::StatusOr<std::unique_ptr<SeriesSet>> TestQuerier::Select(const std::vector<Matcher>& matchers,
                                                               TimeRange range,
                                                               const SelectHints& hints) const {
  auto parts = SelectParts(matchers, range, hints, 1);
  if (!parts.ok()) return parts.status();
  return std::move((*parts)[0]);
}

absl::StatusOr<std::unique_ptr<SeriesSet>> TestQuerier::SelectAll(TimeRange range,
                                                                  const SelectHints& hints) const {
  return Select({}, range, hints);
}

absl::StatusOr<std::vector<std::unique_ptr<SeriesSet>>> TestQuerier::SelectParts(
    const std::vector<Matcher>& matchers, TimeRange range, const SelectHints& hints,
    int parts) const {
  {
    MutexLock lock(&state()->mutex);
    state()->asked.push_back({range, hints});
  }
  std::vector<TestSeriesSet::Series> found;
  for (const auto& [labels, samples] : state()->series) {
    if (!MatchesAll(matchers, labels)) continue;
    Columns columns;
    for (auto it = samples.lower_bound(range.from_ms);
         it != samples.end() && it->first <= range.to_ms; ++it) {
      columns.Add(it->first, it->second);
    }
    if (!columns.empty()) found.emplace_back(labels, std::move(columns));
  }
  // Who does not ask for an order gets the worst one.
  if (!hints.sorted) std::reverse(found.begin(), found.end());
  std::vector<std::vector<TestSeriesSet::Series>> divided(static_cast<size_t>(parts));
  for (size_t i = 0; i < found.size(); ++i) {
    divided[i * divided.size() / found.size()].push_back(std::move(found[i]));
  }
  std::vector<std::unique_ptr<SeriesSet>> sets;
  for (auto& part : divided) sets.push_back(std::make_unique<TestSeriesSet>(std::move(part)));
  return sets;
}

absl::StatusOr<std::vector<Labels>> TestQuerier::Series(const std::vector<Matcher>& matchers,
                                                        TimeRange, const ListHints&) const {
  std::vector<Labels> all;
  for (const auto& [labels, samples] : state()->series) {
    if (MatchesAll(matchers, labels)) all.push_back(labels);
  }
  return all;
}

absl::StatusOr<std::vector<std::string>> TestQuerier::LabelNames(
    const std::vector<Matcher>& matchers, TimeRange, const ListHints&) const {
  std::set<std::string> names;
  for (const auto& [labels, samples] : state()->series) {
    if (!MatchesAll(matchers, labels)) continue;
    for (const Label label : labels) names.emplace(label.name);
  }
  return std::vector<std::string>(names.begin(), names.end());
}

absl::StatusOr<std::vector<std::string>> TestQuerier::LabelValues(
    std::string_view label, const std::vector<Matcher>& matchers, TimeRange,
    const ListHints&) const {
  std::set<std::string> values;
  for (const auto& [labels, samples] : state()->series) {
    if (MatchesAll(matchers, labels) && labels.Has(label)) values.emplace(labels.Get(label));
  }
  return std::vector<std::string>(values.begin(), values.end());
}

MetricMetadata TestQuerier::Metadata(std::string_view) const { return {}; }

void ExpectInstant(const Querier& querier, std::string_view query, int64_t time_ms,
                   const std::vector<std::string>& lines, const QueryOptions& options) {
  SCOPED_TRACE(StrCat(query, " at ", time_ms));
  const auto result = Query(querier, query, time_ms, options);
  ASSERT_OK(result);
  std::vector<std::string> matrix;
  switch (result->type) {
    case QueryResult::Type::kScalar:
      EXPECT_EQ(result->scalar.timestamp_ms, time_ms);
      ASSERT_EQ(lines.size(), 1u);
      EXPECT_TRUE(SameValue(result->scalar.value, TestNumber(lines[0])))
          << "is " << NumberText(result->scalar.value) << ", expected " << lines[0];
      return;
    case QueryResult::Type::kString:
      EXPECT_EQ(std::vector<std::string>{QuoteText(result->string)}, lines);
      return;
    case QueryResult::Type::kVector: {
      Vector actual;
      for (const InstantSample& sample : result->vector) {
        EXPECT_EQ(sample.timestamp_ms, time_ms);
        actual.push_back({sample.labels, {sample.value}});
      }
      const Vector expected = VectorOf(lines);
      EXPECT_TRUE(SameVector(actual, expected)) << "is\n"
                                                << LinesOf(actual) << "expected\n"
                                                << LinesOf(expected);
      return;
    }
    case QueryResult::Type::kMatrix:
      for (const SeriesSamples& series : result->matrix) {
        std::string line = series.labels.ToString();
        for (size_t i = 0; i < series.samples.size(); ++i) {
          StrAppend(&line, " ", ValueText(series.samples.values[i]), "@",
                    series.samples.timestamps_ms[i]);
        }
        matrix.push_back(std::move(line));
      }
      EXPECT_EQ(matrix, lines);
  }
}

void ExpectRange(const Querier& querier, std::string_view query, int64_t start_ms, int64_t end_ms,
                 int64_t step_ms, const std::vector<std::string>& lines,
                 const QueryOptions& options) {
  SCOPED_TRACE(StrCat(query, " from ", start_ms, " to ", end_ms));
  const auto result = QueryRange(querier, query, start_ms, end_ms, step_ms, options);
  ASSERT_OK(result);
  ASSERT_EQ(result->type, QueryResult::Type::kMatrix);
  const Steps steps{start_ms, step_ms, static_cast<size_t>((end_ms - start_ms) / step_ms) + 1};
  Vector actual;
  for (const SeriesSamples& series : result->matrix) {
    EXPECT_FALSE(series.samples.empty());
    actual.push_back({series.labels, std::vector<double>(steps.count, Absent())});
    for (size_t i = 0; i < series.samples.size(); ++i) {
      const int64_t since_ms = series.samples.timestamps_ms[i] - start_ms;
      ASSERT_EQ(since_ms % step_ms, 0);
      ASSERT_LT(static_cast<size_t>(since_ms / step_ms), steps.count);
      actual.back().values[static_cast<size_t>(since_ms / step_ms)] = series.samples.values[i];
    }
  }
  const Vector expected = VectorOf(lines);
  EXPECT_TRUE(SameVector(actual, expected)) << "is\n"
                                            << LinesOf(actual) << "expected\n"
                                            << LinesOf(expected);
}

void ExpectQueryError(const Querier& querier, std::string_view query, int64_t time_ms,
                      absl::StatusCode code, std::string_view part, const QueryOptions& options) {
  const auto result = Query(querier, query, time_ms, options);
  EXPECT_CODE(result, code) << query;
  EXPECT_NE(result.status().ToString().find(part), std::string::npos)
      << query << ": " << result.status();
}

double ApplyScalar(BinaryOp op, double left, double right) {
  ApplyColumns(op, /*return_bool=*/true, /*swapped=*/false, /*keep_other=*/false, {&right, 1},
               {&left, 1});
  return left;
}

}  // namespace tinyobs::promql
