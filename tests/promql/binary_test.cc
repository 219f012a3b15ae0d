// Binary operators against tables by hand.
#include "lib/promql/binary.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "lib/promql/parser.h"
#include "tests/promql/testing.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::promql {
namespace {

using Lines = std::vector<std::string_view>;
constexpr double kInf = HUGE_VAL;

TEST(ApplyScalar, ArithmeticIsThatOfGo) {
  EXPECT_EQ(ApplyScalar(BinaryOp::kAdd, 1, 2), 3);
  EXPECT_EQ(ApplyScalar(BinaryOp::kSub, 1, 2), -1);
  EXPECT_EQ(ApplyScalar(BinaryOp::kMul, 3, 2), 6);
  EXPECT_EQ(ApplyScalar(BinaryOp::kDiv, 1, 0), kInf);
  EXPECT_TRUE(std::isnan(ApplyScalar(BinaryOp::kDiv, 0, 0)));
  EXPECT_EQ(ApplyScalar(BinaryOp::kMod, -5, 3), -2);
  EXPECT_EQ(ApplyScalar(BinaryOp::kMod, 5, -3), 2);
  EXPECT_EQ(ApplyScalar(BinaryOp::kMod, 5, kInf), 5);
  EXPECT_TRUE(std::isnan(ApplyScalar(BinaryOp::kMod, 5, 0)));
  EXPECT_TRUE(std::isnan(ApplyScalar(BinaryOp::kMod, kInf, 5)));
  EXPECT_EQ(ApplyScalar(BinaryOp::kPow, 2, 10), 1024);
  EXPECT_EQ(ApplyScalar(BinaryOp::kPow, NAN, 0), 1);
  EXPECT_EQ(ApplyScalar(BinaryOp::kPow, 1, NAN), 1);
  EXPECT_EQ(ApplyScalar(BinaryOp::kPow, -1, kInf), 1);
  EXPECT_TRUE(std::isnan(ApplyScalar(BinaryOp::kPow, -8, 1.0 / 3)));
  EXPECT_EQ(ApplyScalar(BinaryOp::kAtan2, 0, -1), M_PI);
}

// The values are Prometheus'; the nearest doubles would be 1e308, 1e-5 and so on.
TEST(ApplyScalar, PowersToWholeNumbersAreThoseOfGoToTheLastBit) {
  EXPECT_EQ(ApplyScalar(BinaryOp::kPow, 10, 308), 1.0000000000000006e308);
  EXPECT_NE(ApplyScalar(BinaryOp::kPow, 10, 308), std::pow(10, 308));
  EXPECT_EQ(ApplyScalar(BinaryOp::kPow, 1.1, -17), 0.19784466890013502);
  EXPECT_EQ(ApplyScalar(BinaryOp::kPow, -2.5, 7), -610.3515625);
  EXPECT_EQ(ApplyScalar(BinaryOp::kPow, 10, 309), kInf);
  EXPECT_EQ(ApplyScalar(BinaryOp::kPow, -10, 309), -kInf);
  EXPECT_EQ(ApplyScalar(BinaryOp::kPow, 10, -323), 1e-323);
  EXPECT_EQ(ApplyScalar(BinaryOp::kPow, 10, -400), 0);
  EXPECT_EQ(ApplyScalar(BinaryOp::kPow, -1, 0x1p62), 1);
  EXPECT_EQ(ApplyScalar(BinaryOp::kPow, 2, 0x1p70), kInf);
  EXPECT_EQ(ApplyScalar(BinaryOp::kPow, 5e-324, 2), 0);
}

TEST(ApplyScalar, ComparisonsGiveZeroOrOne) {
  EXPECT_EQ(ApplyScalar(BinaryOp::kEqual, 1, 1), 1);
  EXPECT_EQ(ApplyScalar(BinaryOp::kNotEqual, 1, 1), 0);
  EXPECT_EQ(ApplyScalar(BinaryOp::kLess, 1, 2), 1);
  EXPECT_EQ(ApplyScalar(BinaryOp::kGreater, 1, 2), 0);
  EXPECT_EQ(ApplyScalar(BinaryOp::kLessOrEqual, 2, 2), 1);
  EXPECT_EQ(ApplyScalar(BinaryOp::kGreaterOrEqual, 1, 2), 0);
  EXPECT_EQ(ApplyScalar(BinaryOp::kEqual, NAN, NAN), 0);
  EXPECT_EQ(ApplyScalar(BinaryOp::kNotEqual, NAN, NAN), 1);
}

void ExpectVectorScalar(BinaryOp op, bool return_bool, bool scalar_on_left, std::string_view values,
                        std::string_view scalar, std::string_view expected) {
  VectorSeries series = TestSeries(values);
  ApplyColumns(op, return_bool, scalar_on_left, /*keep_other=*/false, TestSeries(scalar).values,
               series.values);
  ExpectVector({series}, {expected});
}

TEST(ApplyColumns, ArithmeticLeavesGaps) {
  ExpectVectorScalar(BinaryOp::kSub, false, false, "m 1 _ 3 NaN", "m 1 2 3 4", "m 0 _ 0 NaN");
  ExpectVectorScalar(BinaryOp::kSub, false, true, "m 1 _ 3 NaN", "m 2 2 3 4", "m 1 _ 0 NaN");
  ExpectVectorScalar(BinaryOp::kPow, false, true, "m 1 _ 3 0", "m 2 2 2 NaN", "m 2 _ 8 1");
}

TEST(ApplyColumns, ComparisonKeepsTheVectorsValueOnEitherSide) {
  ExpectVectorScalar(BinaryOp::kGreater, false, false, "m 1 _ 3 NaN", "m 2x3", "m _ _ 3 _");
  ExpectVectorScalar(BinaryOp::kGreater, false, true, "m 1 _ 3 NaN", "m 2x3", "m 1 _ _ _");
  ExpectVectorScalar(BinaryOp::kLessOrEqual, false, true, "m 1 2 3", "m 2x2", "m _ 2 3");
  ExpectVectorScalar(BinaryOp::kGreaterOrEqual, false, true, "m 1 2 3", "m 2x2", "m 1 2 _");
  ExpectVectorScalar(BinaryOp::kLess, false, true, "m 1 2 3", "m 2x2", "m _ _ 3");
  ExpectVectorScalar(BinaryOp::kNotEqual, false, true, "m 1 2 NaN", "m 2x2", "m 1 _ NaN");
  ExpectVectorScalar(BinaryOp::kEqual, false, true, "m 1 2 NaN", "m 2x2", "m _ 2 _");
}

TEST(ApplyColumns, BoolGivesZeroOrOneAndLeavesGaps) {
  ExpectVectorScalar(BinaryOp::kGreater, true, false, "m 1 _ 3 NaN", "m 2x3", "m 0 _ 1 0");
  ExpectVectorScalar(BinaryOp::kGreater, true, true, "m 1 _ 3 NaN", "m 2x3", "m 1 _ 0 0");
}

TEST(DropsName, ArithmeticDoesOtherThanAtan2) {
  EXPECT_TRUE(DropsName(BinaryOp::kAdd, false));
  EXPECT_TRUE(DropsName(BinaryOp::kPow, false));
  EXPECT_FALSE(DropsName(BinaryOp::kAtan2, false));
  EXPECT_FALSE(DropsName(BinaryOp::kEqual, false));
  EXPECT_TRUE(DropsName(BinaryOp::kEqual, true));
}

// `text` is a binary operator between two vectors, whatever they are called.
absl::StatusOr<Vector> Applied(std::string_view text, const Lines& left, const Lines& right) {
  auto parsed = ParseExpr(text);
  if (!parsed.ok()) return parsed.status();
  const size_t steps = TestSeries(left.empty() ? right[0] : left[0]).values.size();
  QueryOptions options;
  Budget budget(&options, nullptr);
  if (auto taken = budget.Take((left.size() + right.size()) * steps); !taken.ok()) return taken;
  auto result = ApplyVectorVector(As<BinaryExpr>(**parsed), {0, 1'000, steps}, TestVector(left),
                                  TestVector(right), &budget);
  if (!result.ok()) return result;
  // What is held is the result: once that is given back, there is room for everything.
  budget.GiveBack(result->size() * steps);
  EXPECT_OK(budget.Take(options.max_samples)) << text;
  std::sort(result->begin(), result->end(),
            [](const VectorSeries& a, const VectorSeries& b) { return a.labels < b.labels; });
  return result;
}

void ExpectApplied(std::string_view text, const Lines& left, const Lines& right,
                   const Lines& expected) {
  SCOPED_TRACE(text);
  auto result = Applied(text, left, right);
  ASSERT_OK(result);
  ExpectVector(*result, expected);
}

void ExpectRefused(std::string_view text, const Lines& left, const Lines& right,
                   std::string_view message) {
  SCOPED_TRACE(text);
  const auto result = Applied(text, left, right);
  EXPECT_CODE(result, absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(result.status().message(), absl::string_view(message.data(), message.size()));
}

constexpr std::string_view kSameLabels = "vector cannot contain metrics with the same labelset";
constexpr std::string_view kManyToOneMustBeExplicit =
    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
constexpr std::string_view kMustBeUnique =
    "multiple matches for labels: grouping labels must ensure unique matches";

const Lines kLeft = {R"(l{a="1",b="1"} 10 20 30)", R"(l{a="1",b="2"} 11 _ 31)",
                     R"(l{a="2",b="1"} 12 22 32)"};
const Lines kRight = {R"(r{a="1",b="1"} 1 2 _)", R"(r{a="2",b="1"} 3 4 50)",
                      R"(r{a="3",b="1"} 5 6 7)"};

TEST(OneToOne, MatchesAllLabelsButTheName) {
  ExpectApplied("l - r", kLeft, kRight, {R"({a="1",b="1"} 9 18 _)", R"({a="2",b="1"} 9 18 -18)"});
  ExpectApplied("l > r", kLeft, kRight, {R"(l{a="1",b="1"} 10 20 _)", R"(l{a="2",b="1"} 12 22 _)"});
  ExpectApplied("l > bool r", kLeft, kRight, {R"({a="1",b="1"} 1 1 _)", R"({a="2",b="1"} 1 1 0)"});
  ExpectApplied("l atan2 r", {"l 0 1"}, {"r 1 0"}, {"l 0 1.5707963267948966"});
}

TEST(OneToOne, OnLeavesOnlyTheseLabels) {
  const Lines left = {R"(l{a="1",b="1"} 10 20)", R"(l{a="2",b="1"} 12 22)"};
  ExpectApplied("l * on (a) r", left, kRight, {R"({a="1"} 10 40)", R"({a="2"} 36 88)"});
  ExpectApplied("l > on (a) r", left, kRight, {R"({a="1"} 10 20)", R"({a="2"} 12 22)"});
  ExpectApplied("l > on (a, __name__) l", left, left, {});
  ExpectApplied("l >= on (a, __name__) l", left, left, {R"(l{a="1"} 10 20)", R"(l{a="2"} 12 22)"});
  ExpectApplied("l + on (a, __name__) l", left, left, {R"({a="1"} 20 40)", R"({a="2"} 24 44)"});
}

TEST(OneToOne, IgnoringLeavesTheOthersAndAComparisonTheName) {
  const Lines left = {R"(l{a="1",b="1"} 10 20)", R"(l{a="2",b="1"} 12 22)"};
  const Lines right = {R"(r{a="1",b="7"} 1 2)", R"(r{a="2",b="8"} 3 4)"};
  ExpectApplied("l * ignoring (b) r", left, right, {R"({a="1"} 10 40)", R"({a="2"} 36 88)"});
  ExpectApplied("l > ignoring (b) r", left, right, {R"(l{a="1"} 10 20)", R"(l{a="2"} 12 22)"});
  ExpectApplied("l > bool ignoring (b) r", left, right, {R"({a="1"} 1 1)", R"({a="2"} 1 1)"});
  ExpectApplied("l > ignoring (b, __name__) r", left, right,
                {R"({a="1"} 10 20)", R"({a="2"} 12 22)"});
}

TEST(OneToOne, SeriesThatTakeTurnsBecomeOne) {
  ExpectApplied("l + on (a) r", {R"(l{a="1",b="1"} 10 _ _)", R"(l{a="1",b="2"} _ 20 30)"},
                {R"(r{a="1",c="1"} 1 2 _)", R"(r{a="1",c="2"} _ _ 3)"}, {R"({a="1"} 11 22 33)"});
  ExpectApplied("x == ignoring (b) r", {R"(l{b="1"} 1 _ _)", R"(m{b="2"} _ 2 3)"},
                {R"(r{b="1"} 1 2 _)", R"(r{b="2"} _ _ 3)"}, {"l 1 _ _", "m _ 2 3"});
}

TEST(OneToOne, TwoOnTheRightAtOnceAreRefused) {
  ExpectRefused(
      "l + on (a) r", {R"(l{a="1"} 1)"}, {R"(r{a="1",c="1"} 1)", R"(r{a="1",c="2"} 1)"},
      R"(found duplicate series for the match group {a="1"} on the right hand-side of the )"
      R"(operation: [{__name__="r", a="1", c="2"}, {__name__="r", a="1", c="1"}];)"
      "many-to-many matching not allowed: matching labels must be unique on one side");
}

TEST(OneToOne, NobodyLooksAtTheRightWhereTheLeftIsEmpty) {
  const Lines right = {R"(r{a="1",c="1"} 1 1)", R"(r{a="1",c="2"} 1 _)"};
  ExpectApplied("l + on (a) r", {R"(l{a="1"} _ 1)"}, right, {R"({a="1"} _ 2)"});
  // ... but does where it has values of another group.
  EXPECT_FALSE(Applied("l + on (a) r", {R"(l{a="1"} _ 1)", R"(l{a="2"} 1 _)"}, right).ok());
}

TEST(OneToOne, TwoOnTheLeftAtOnceAreRefused) {
  ExpectRefused("l + on (a) r", kLeft, kRight, kManyToOneMustBeExplicit);
  // Not those that a comparison takes out.
  ExpectApplied("l > on (a) r", {R"(l{a="1",b="1"} 1)", R"(l{a="1",b="2"} 9)"}, {R"(r{a="1"} 5)"},
                {R"({a="1"} 9)"});
  ExpectRefused("l > bool on (a) r", {R"(l{a="1",b="1"} 1)", R"(l{a="1",b="2"} 9)"},
                {R"(r{a="1"} 5)"}, kManyToOneMustBeExplicit);
}

TEST(OneToOne, TheSameLabelsAfterTheNameIsDroppedAreRefused) {
  const Lines both = {"l 1 _", "m _ 2"};
  ExpectApplied("x + on (__name__) x", both, both, {"{} 2 4"});
  ExpectRefused("x + on (__name__) x", {"l 1", "m 2"}, {"l 1", "m 2"}, kSameLabels);
}

TEST(ManyToOne, KeepsTheLabelsOfTheManySide) {
  const Lines right = {R"(r{a="1",c="x"} 1 2 3)", R"(r{a="2",c="y"} 4 5 6)"};
  ExpectApplied(
      "l * on (a) group_left r", kLeft, right,
      {R"({a="1",b="1"} 10 40 90)", R"({a="1",b="2"} 11 _ 93)", R"({a="2",b="1"} 48 110 192)"});
  ExpectApplied(
      "l > on (a) group_left r", kLeft, right,
      {R"(l{a="1",b="1"} 10 20 30)", R"(l{a="1",b="2"} 11 _ 31)", R"(l{a="2",b="1"} 12 22 32)"});
  ExpectApplied("l < bool on (a) group_left r", kLeft, right,
                {R"({a="1",b="1"} 0 0 0)", R"({a="1",b="2"} 0 _ 0)", R"({a="2",b="1"} 0 0 0)"});
}

TEST(ManyToOne, TakesLabelsOverFromTheOneSide) {
  const Lines left = {R"(l{a="1",b="1"} 10 20)", R"(l{a="1",b="2"} 11 21)"};
  ExpectApplied("l * on (a) group_left (c, b2) r", left, {R"(r{a="1",c="x"} 1 2)"},
                {R"({a="1",b="1",c="x"} 10 40)", R"({a="1",b="2",c="x"} 11 42)"});
  // One that is not there is taken away.
  ExpectRefused("l * on (a) group_left (b) r", left, {R"(r{a="1",c="x"} 1 2)"}, kMustBeUnique);
  ExpectApplied("l * on (a) group_left (__name__) r", {R"(l{a="1"} 2)"}, {R"(r{a="1"} 3)"},
                {R"(r{a="1"} 6)"});
  ExpectApplied("l > bool on (a) group_left (__name__) r", {R"(l{a="1"} 2)"}, {R"(r{a="1"} 3)"},
                {R"({a="1"} 0)"});
}

TEST(ManyToOne, PartnersThatTakeTurnsMakeSeriesOfTheirOwn) {
  const Lines right = {R"(r{a="1",v="old"} 1 1 _ _)", R"(r{a="1",v="new"} _ _ 2 2)"};
  ExpectApplied("l * on (a) group_left (v) r", {R"(l{a="1",b="1"} 1 2 3 _)"}, right,
                {R"({a="1",b="1",v="new"} _ _ 6 _)", R"({a="1",b="1",v="old"} 1 2 _ _)"});
  ExpectApplied("l * on (a) group_left r",
                {R"(l{a="1",b="1"} 1 2 3 _)", R"(l{a="1",b="2"} _ 1 1 1)"}, right,
                {R"({a="1",b="1"} 1 2 6 _)", R"({a="1",b="2"} _ 1 2 2)"});
}

TEST(OneToMany, IsTheMirrorImage) {
  const Lines left = {R"(l{a="1",c="x"} 1 2 3)", R"(l{a="2",c="y"} 4 5 6)"};
  ExpectApplied("l - on (a) group_right (c) r", left, kRight,
                {R"({a="1",b="1",c="x"} 0 0 _)", R"({a="2",b="1",c="y"} 1 1 -44)"});
  // The value that stays is the left one, the labels are those of the right.
  ExpectApplied("l >= on (a) group_right r", left, kRight,
                {R"(r{a="1",b="1"} 1 2 _)", R"(r{a="2",b="1"} 4 5 _)"});
  ExpectRefused(
      "l + on (a) group_right r", {R"(l{a="1",c="1"} 1)", R"(l{a="1",c="2"} 1)"}, {R"(r{a="1"} 1)"},
      R"(found duplicate series for the match group {a="1"} on the left hand-side of the )"
      R"(operation: [{__name__="l", a="1", c="2"}, {__name__="l", a="1", c="1"}];)"
      "many-to-many matching not allowed: matching labels must be unique on one side");
}

TEST(SetOperators, LookAtEachStep) {
  ExpectApplied("l and r", kLeft, kRight,
                {R"(l{a="1",b="1"} 10 20 _)", R"(l{a="2",b="1"} 12 22 32)"});
  ExpectApplied("l unless r", kLeft, kRight,
                {R"(l{a="1",b="1"} _ _ 30)", R"(l{a="1",b="2"} 11 _ 31)"});
  ExpectApplied("l or r", kLeft, kRight,
                {R"(l{a="1",b="1"} 10 20 30)", R"(l{a="1",b="2"} 11 _ 31)",
                 R"(l{a="2",b="1"} 12 22 32)", R"(r{a="3",b="1"} 5 6 7)"});
}

TEST(SetOperators, OnAndIgnoring) {
  ExpectApplied(
      "l and on (a) r", kLeft, kRight,
      {R"(l{a="1",b="1"} 10 20 _)", R"(l{a="1",b="2"} 11 _ _)", R"(l{a="2",b="1"} 12 22 32)"});
  ExpectApplied("l unless ignoring (a) r", kLeft, kRight, {R"(l{a="1",b="2"} 11 _ 31)"});
  ExpectApplied("l or on () r", {"l _ 1 _"}, {R"(r{a="1"} 1 2 3)", R"(r{a="2"} _ 4 5)"},
                {"l _ 1 _", R"(r{a="1"} 1 _ 3)", R"(r{a="2"} _ _ 5)"});
}

TEST(SetOperators, OrMergesTheSameSeries) {
  ExpectApplied("x or y", {"m 1 _ _"}, {"m 5 6 _"}, {"m 1 6 _"});
}

TEST(SetOperators, EmptySides) {
  ExpectApplied("l and r", kLeft, {}, {});
  ExpectApplied("l unless r", {"l 1 2"}, {}, {"l 1 2"});
  ExpectApplied("l or r", {}, {"r 1 2"}, {"r 1 2"});
  ExpectApplied("l + r", {}, {"r 1 2"}, {});
  ExpectApplied("l + r", {"l 1 2"}, {}, {});
}

}  // namespace
}  // namespace tinyobs::promql
