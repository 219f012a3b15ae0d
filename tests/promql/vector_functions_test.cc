// Functions of instant vectors. What looks odd is what promtool 2.42 gives.
#include "lib/promql/vector_functions.h"

#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/status_macros.h"
#include "tests/promql/testing.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::promql {
namespace {

using Id = FunctionId;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();

double Of(Id id, double value, std::vector<double> args = {}) {
  std::vector<std::span<const double>> spans;
  for (const double& arg : args) spans.emplace_back(&arg, 1);
  ApplyElementFunction(id, spans, std::span(&value, 1));
  return value;
}

TEST(ElementFunctions, LeaveAbsentElementsAlone) {
  for (const Function& function : kFunctions) {
    if (!IsElementFunction(function.id)) continue;
    EXPECT_TRUE(IsAbsent(Of(function.id, Absent(), {1, 2}))) << function.name;
  }
  EXPECT_FALSE(IsElementFunction(IdOf("timestamp")));
  EXPECT_FALSE(IsElementFunction(IdOf("rate")));
}

TEST(ElementFunctions, Compute) {
  EXPECT_EQ(Of(IdOf("abs"), -2), 2);
  EXPECT_EQ(Of(IdOf("ceil"), -1.5), -1);
  EXPECT_EQ(Of(IdOf("floor"), -1.5), -2);
  EXPECT_EQ(Of(IdOf("exp"), 0), 1);
  EXPECT_EQ(Of(IdOf("ln"), 1), 0);
  EXPECT_EQ(Of(IdOf("ln"), 0), -kInfinity);
  EXPECT_TRUE(std::isnan(Of(IdOf("ln"), -1)));
  EXPECT_EQ(Of(IdOf("log2"), 8), 3);
  EXPECT_EQ(Of(IdOf("log2"), kInfinity), kInfinity);
  EXPECT_EQ(Of(IdOf("log2"), 0), -kInfinity);
  EXPECT_EQ(Of(IdOf("log10"), 1000), 3);
  EXPECT_EQ(Of(IdOf("sqrt"), 9), 3);
  EXPECT_EQ(Of(IdOf("sgn"), -3), -1);
  EXPECT_EQ(Of(IdOf("sgn"), 3), 1);
  EXPECT_TRUE(std::signbit(Of(IdOf("sgn"), -0.0)));
  EXPECT_DOUBLE_EQ(Of(IdOf("sin"), 1), 0.8414709848078965);
  EXPECT_DOUBLE_EQ(Of(IdOf("cos"), 1), 0.5403023058681398);
  EXPECT_DOUBLE_EQ(Of(IdOf("tan"), 1), 1.557407724654902);
  EXPECT_DOUBLE_EQ(Of(IdOf("asin"), 1), 1.5707963267948966);
  EXPECT_DOUBLE_EQ(Of(IdOf("acos"), 0), 1.5707963267948966);
  EXPECT_DOUBLE_EQ(Of(IdOf("atan"), 1), 0.7853981633974483);
  EXPECT_DOUBLE_EQ(Of(IdOf("sinh"), 1), 1.1752011936438014);
  EXPECT_DOUBLE_EQ(Of(IdOf("cosh"), 1), 1.5430806348152437);
  EXPECT_DOUBLE_EQ(Of(IdOf("tanh"), 1), 0.7615941559557649);
  EXPECT_DOUBLE_EQ(Of(IdOf("asinh"), 1), 0.881373587019543);
  EXPECT_DOUBLE_EQ(Of(IdOf("acosh"), 2), 1.3169578969248166);
  EXPECT_DOUBLE_EQ(Of(IdOf("atanh"), 0.5), 0.5493061443340548);
  EXPECT_DOUBLE_EQ(Of(IdOf("deg"), 1), 57.29577951308232);
  EXPECT_DOUBLE_EQ(Of(IdOf("rad"), 180), 3.141592653589793);
}

TEST(ElementFunctions, OfNativeHistogramsLeaveNothing) {
  for (const Id id : {IdOf("histogram_count"), IdOf("histogram_sum"), IdOf("histogram_fraction")}) {
    EXPECT_TRUE(IsAbsent(Of(id, 5, {0, 1})));
  }
}

TEST(Clamp, KeepsWithinItsBounds) {
  EXPECT_EQ(Of(IdOf("clamp"), 5, {1, 3}), 3);
  EXPECT_EQ(Of(IdOf("clamp"), 0, {1, 3}), 1);
  EXPECT_EQ(Of(IdOf("clamp_min"), 0, {1}), 1);
  EXPECT_EQ(Of(IdOf("clamp_max"), 5, {1}), 1);
  EXPECT_TRUE(IsAbsent(Of(IdOf("clamp"), 5, {3, 1})));
  EXPECT_TRUE(std::isnan(Of(IdOf("clamp_max"), kNan, {1})));
  EXPECT_EQ(Of(IdOf("clamp_max"), kNan, {-kInfinity}), -kInfinity);
  EXPECT_TRUE(std::isnan(Of(IdOf("clamp"), 5, {kNan, 1})));
}

TEST(Round, GoesToTheNearestAndUpInTheMiddle) {
  EXPECT_EQ(Of(IdOf("round"), 2.5), 3);
  EXPECT_EQ(Of(IdOf("round"), -2.5), -2);
  EXPECT_EQ(Of(IdOf("round"), 0.15, {0.1}), 0.2);
  EXPECT_EQ(Of(IdOf("round"), 17, {5}), 15);
  EXPECT_TRUE(std::isnan(Of(IdOf("round"), 7, {0})));
}

struct Date {
  double seconds, year, month, day, weekday, day_of_year, days_in_month, hour, minute;
};

TEST(Calendar, IsUtcForAnyNumberOfSeconds) {
  const Date kDates[] = {
      {0, 1970, 1, 1, 4, 1, 31, 0, 0},
      {-1, 1969, 12, 31, 3, 365, 31, 23, 59},
      {-0.9, 1970, 1, 1, 4, 1, 31, 0, 0},  // cut off towards zero
      {951'868'799, 2000, 2, 29, 2, 60, 29, 23, 59},
      {951'868'800, 2000, 3, 1, 3, 61, 31, 0, 0},
      {4'107'542'400, 2100, 3, 1, 1, 60, 31, 0, 0},
      {-62'135'596'801, 0, 12, 31, 0, 366, 31, 23, 59},
      {1e15, 31'690'708, 7, 5, 0, 187, 31, 1, 46},
      {kNan, 292'277'026'596, 12, 4, 0, 339, 31, 15, 30},
  };
  for (const Date& date : kDates) {
    SCOPED_TRACE(date.seconds);
    EXPECT_EQ(Of(IdOf("year"), date.seconds), date.year);
    EXPECT_EQ(Of(IdOf("month"), date.seconds), date.month);
    EXPECT_EQ(Of(IdOf("day_of_month"), date.seconds), date.day);
    EXPECT_EQ(Of(IdOf("day_of_week"), date.seconds), date.weekday);
    EXPECT_EQ(Of(IdOf("day_of_year"), date.seconds), date.day_of_year);
    EXPECT_EQ(Of(IdOf("days_in_month"), date.seconds), date.days_in_month);
    EXPECT_EQ(Of(IdOf("hour"), date.seconds), date.hour);
    EXPECT_EQ(Of(IdOf("minute"), date.seconds), date.minute);
  }
  EXPECT_EQ(Of(IdOf("year"), kInfinity), Of(IdOf("year"), kNan));
}

TEST(AbsentLabels, AreThoseThatEqualityNamesOnce) {
  const std::vector<Matcher> matchers = {
      Matcher::Metric("up"),       Matcher::Equal("a", "1"),    Matcher::Equal("once", "x"),
      Matcher::Equal("a", "1"),    Matcher::NotEqual("b", "1"), Matcher::Equal("b", "2"),
      Matcher::Equal("three", ""), Matcher::Equal("a", "1"),
  };
  EXPECT_EQ(AbsentLabels(matchers), TestLabels(R"({b="2",once="x"})"));
  EXPECT_EQ(AbsentLabels({}), Labels());
}

TEST(SortByValue, PutsNanLast) {
  Vector vector = TestVector({"{a=\"1\"} 2", "{a=\"2\"} NaN", "{a=\"3\"} -Inf", "{a=\"4\"} 2"});
  SortByValue(/*descending=*/false, &vector);
  ExpectVector(vector, {"{a=\"3\"} -Inf", "{a=\"1\"} 2", "{a=\"4\"} 2", "{a=\"2\"} NaN"});
  SortByValue(/*descending=*/true, &vector);
  ExpectVector(vector, {"{a=\"1\"} 2", "{a=\"4\"} 2", "{a=\"3\"} -Inf", "{a=\"2\"} NaN"});
}

TEST(SortByValue, TurnsNansRoundAsPrometheusDoes) {
  Vector vector = TestVector({"{a=\"1\"} NaN", "{a=\"2\"} 1", "{a=\"3\"} NaN", "{a=\"4\"} NaN"});
  SortByValue(/*descending=*/true, &vector);
  ExpectVector(vector, {"{a=\"2\"} 1", "{a=\"4\"} NaN", "{a=\"3\"} NaN", "{a=\"1\"} NaN"});
}

TEST(ScalarOfVector, IsTheOnlyElementOfTheStep) {
  const Vector vector = TestVector({"{a=\"1\"} 1 _ 3 _", "{a=\"2\"} _ 2 4 _"});
  std::vector<double> values(4);
  ScalarOfVector(vector, values);
  EXPECT_EQ(values[0], 1);
  EXPECT_EQ(values[1], 2);
  EXPECT_TRUE(std::isnan(values[2]) && !IsAbsent(values[2]));
  EXPECT_TRUE(std::isnan(values[3]) && !IsAbsent(values[3]));
}

absl::StatusOr<Labels> Replaced(const std::string& replacement, const std::string& regex,
                                const std::string& destination = "dst",
                                const std::string& source = "src") {
  const std::vector<std::string> texts = {destination, replacement, source, regex};
  Vector vector = {{TestLabels(R"(lr{dst="old",src="ab-cd"})"), {}}};
  TINYOBS_RETURN_IF_ERROR(LabelReplace(texts, &vector));
  return vector[0].labels;
}

// What became of dst="old".
std::string Destination(const std::string& replacement, const std::string& regex) {
  const auto labels = Replaced(replacement, regex);
  EXPECT_OK(labels);
  return labels.ok() ? std::string(labels->Get("dst")) : "";
}

TEST(LabelReplace, ExpandsReferencesAsGoDoes) {
  EXPECT_EQ(Destination("$1/${2}", "(.*)-(.*)"), "ab/cd");
  EXPECT_EQ(Destination("$1-${2}x$$ $3 $1x ${1", "(.*)-(?P<two>.*)"), "ab-cdx$   ${1");
  EXPECT_EQ(Destination("$two$two\u20ac${two}", "(.*)-(?P<two>.*)"), "cdcd\u20accd");
  EXPECT_EQ(Destination("$0", ".*"), "ab-cd");
  EXPECT_EQ(Destination("a$01b$999999999999", ".*"), "a");
  EXPECT_EQ(Destination("$", ".*"), "$");
  EXPECT_EQ(Destination("${}$-$$$", ".*"), "${}$-$$");
  EXPECT_EQ(Destination("$1", "(x)?.*"), "");
  EXPECT_EQ(Destination("a\\1", ".*"), "a\\1");
}

TEST(LabelReplace, NeedsTheWholeValueToMatch) {
  EXPECT_EQ(Destination("x", "b"), "old");
  EXPECT_EQ(Destination("x", "ab|ab-cd"), "x");
  EXPECT_EQ(Destination("", ".*"), "");
  ASSERT_OK_AND_ASSIGN(const Labels labels, Replaced("got$0", "", "__name__", "missing"));
  EXPECT_EQ(labels, TestLabels(R"(got{dst="old",src="ab-cd"})"));
}

TEST(LabelReplace, RefusesWithTheWordsOfPrometheus) {
  EXPECT_EQ(Replaced("x", "(", "1").status().message(),
            "invalid regular expression in label_replace(): (");
  EXPECT_EQ(Replaced("x", "b", "1").status().message(),
            "invalid destination label name in label_replace(): 1");
  EXPECT_CODE(Replaced("x", "a)|(b"), absl::StatusCode::kFailedPrecondition);
  EXPECT_CODE(Replaced("x", "b", ""), absl::StatusCode::kFailedPrecondition);
}

absl::StatusOr<Labels> Joined(const Labels& labels, const std::vector<std::string>& texts) {
  Vector vector = {{labels, {}}};
  TINYOBS_RETURN_IF_ERROR(LabelJoin(texts, &vector));
  return vector[0].labels;
}

TEST(LabelJoin, JoinsWhatIsThere) {
  const Labels labels = TestLabels(R"(lr{dst="old",src="ab"})");
  EXPECT_EQ(*Joined(labels, {"new", "-", "src", "dst", "none"}),
            TestLabels(R"(lr{dst="old",new="ab-old-",src="ab"})"));
  EXPECT_EQ(*Joined(labels, {"src", "-"}), TestLabels(R"(lr{dst="old"})"));
  EXPECT_EQ(*Joined(labels, {"dst", "-", "src"}), TestLabels(R"(lr{dst="ab",src="ab"})"));
  EXPECT_EQ(Joined(labels, {"1", "-", "2"}).status().message(),
            "invalid source label name in label_join(): 2");
  EXPECT_EQ(Joined(labels, {"1", "-", "a"}).status().message(),
            "invalid destination label name in label_join(): 1");
}

TEST(LabelJoin, RefusesWhatIsTooLong) {
  const std::string half(40'000, 'x');
  ASSERT_OK_AND_ASSIGN(const Labels labels, Labels::Create("m", {{"a", half}}));
  EXPECT_CODE(Joined(labels, {"b", "", "a", "a"}), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tinyobs::promql
