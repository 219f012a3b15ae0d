// A query ends at its limits, says which one, and gives back what it held; it ends soon when it is
// told to.
#include <atomic>

#include "gtest/gtest.h"
#include "lib/base/memory_accountant.h"
#include "lib/promql/budget.h"
#include "lib/promql/evaluator.h"
#include "lib/promql/parser.h"
#include "tests/promql/testing.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::promql {
namespace {

class QueryLimitsTest : public ::testing::Test {
 protected:
  // With an account for the memory of queries.
  class AccountedQuerier : public TestQuerier {
   public:
    explicit AccountedQuerier(MemoryAccount* account) : account_(account) {}
    MemoryAccount* query_memory() const override { return account_; }

   private:
    MemoryAccount* const account_;
  };

  QueryLimitsTest() {
    for (int i = 0; i < 20; ++i) {
      querier_.Load(1000, "x{i=\"" + std::to_string(i) + "\"} 0+1x99");
    }
  }

  absl::Status Run(std::string_view query, const QueryOptions& options) {
    return QueryRange(querier_, query, 0, 99'000, 1000, options).status();
  }

  MemoryAccountant accountant_{1 << 20};
  MemoryAccount* const account_ = accountant_.NewAccount("queries");
  AccountedQuerier querier_{account_};
};

TEST_F(QueryLimitsTest, SamplesAreLimitedByWhatIsHeldNotByWhatIsRead) {
  // 20 series of 100 steps held, the steps themselves, and a column for each worker.
  EXPECT_OK(Run("x", {.max_samples = 2200}));
  const absl::Status status = Run("x", {.max_samples = 2199});
  EXPECT_CODE(status, absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(IsQueryLimit(status));
  EXPECT_NE(status.message().find("2199 (max_samples)"), absl::string_view::npos) << status;
  // An aggregation holds its groups alone.
  EXPECT_OK(Run("sum(x)", {.max_samples = 700}));
  EXPECT_CODE(Run("x + x", {.max_samples = 2200}), absl::StatusCode::kResourceExhausted);
  EXPECT_CODE(Run("sum_over_time(vector(1)[1h:1ms])", {.max_samples = 100'000}),
              absl::StatusCode::kResourceExhausted);
  EXPECT_CODE(Run("sum(sum_over_time(x[100y:1ms]))", {.max_samples = 0}),
              absl::StatusCode::kResourceExhausted);
}

TEST_F(QueryLimitsTest, SeriesAreLimitedForEachSelector) {
  EXPECT_OK(Run("sum(x) + sum(x)", {.max_series = 20}));
  for (const int threads : {1, 4}) {
    const absl::Status status = Run("sum(x)", {.max_series = 19, .threads = threads});
    EXPECT_TRUE(IsQueryLimit(status)) << status;
    EXPECT_NE(status.message().find("19 series (max_series)"), absl::string_view::npos) << status;
  }
}

TEST_F(QueryLimitsTest, MemoryIsLimitedOfTheQueryAndOfTheDatabase) {
  const absl::Status own = Run("x", {.max_memory_bytes = 10'000});
  EXPECT_TRUE(IsQueryLimit(own)) << own;
  EXPECT_NE(own.message().find("10000 bytes (max_memory_bytes)"), absl::string_view::npos) << own;
  account_->Charge((1 << 20) - 10'000);
  const absl::Status all = Run("x", {});
  EXPECT_CODE(all, absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(IsQueryLimit(all)) << all;
  account_->Release((1 << 20) - 10'000);
}

TEST_F(QueryLimitsTest, AfterwardsNothingIsChargedButTheAnswer) {
  const Steps steps{0, 1000, 100};
  for (const std::string_view query :
       {"x",
        "x + x",
        "sum by (i) (x)",
        "abs({i!=\"\"})",
        "topk(2, x)",
        "histogram_quantile(1, x)",
        "label_replace(x, \"i\", \"\", \"i\", \"1.*\")",
        "sort(x)",
        "absent(x)",
        "vector(scalar(x))",
        "max_over_time(x[1m:10s])",
        "x @ 5",
        "count_values(\"v\", x)",
        "x and x or x unless x",
        "x > 50",
        "(x > 200) + x",
        "topk(0, x)",
        "minute()",
        "quantile_over_time(scalar(x), x[10s])",
        "x * on() group_left sum(x)",
        "vector(1)",
        "histogram_quantile(1, label_replace(x, \"le\", \"$1\", \"i\", \"(.*)\"))"}) {
    ASSERT_OK_AND_ASSIGN(const ExprPtr expr, ParseExpr(query));
    const QueryOptions options{.threads = 2};
    Budget budget(&options, account_);
    Evaluator evaluator(querier_, options, {0, 99'000}, &budget);
    const auto vector = evaluator.Collect(*expr, steps);
    if (!vector.ok()) continue;  // two series of one name
    uint64_t held = 0;
    for (const VectorSeries& series : *vector) held += series.values.size();
    EXPECT_EQ(budget.samples(), held) << query;
    EXPECT_GE(account_->used(), held * sizeof(double)) << query;
  }
  EXPECT_EQ(account_->used(), 0u);
}

TEST_F(QueryLimitsTest, WhateverAFailedQueryHeldIsGivenBack) {
  for (const uint64_t limit : {150u, 300u, 1500u, 3000u, 4500u}) {
    (void)Run("label_replace(x, \"i\", \"\", \"\", \"\") + topk(2, x)",
              {.max_samples = limit, .threads = 2});
    EXPECT_EQ(account_->used(), 0u);
  }
}

TEST_F(QueryLimitsTest, AVectorIsChargedWithWhatItHolds) {
  const QueryOptions options;
  Budget budget(&options, account_);
  EXPECT_OK(budget.Take(100));
  EXPECT_OK(budget.Take(50));
  EXPECT_EQ(account_->used(), 150 * sizeof(double));
  budget.GiveBack(100);
  EXPECT_OK(budget.TakeBytes(7));
  EXPECT_EQ(account_->used(), 50 * sizeof(double) + 7);
  EXPECT_EQ(budget.peak_samples(), 150u);
}

TEST_F(QueryLimitsTest, CancellationStopsAllThreadsSoon) {
  for (const int threads : {1, 4}) {
    std::atomic<int> asked{0};
    QueryOptions options{.threads = threads};
    options.cancelled = [&] { return ++asked > 5; };
    EXPECT_CODE(Run("sum(x)", options), absl::StatusCode::kCancelled);
    EXPECT_LT(asked.load(), 5 + 20);
    EXPECT_EQ(account_->used(), 0u);
  }
}

TEST_F(QueryLimitsTest, FiguresSayWhatWasRead) {
  ASSERT_OK_AND_ASSIGN(const QueryResult result,
                       QueryRange(querier_, "sum(x)", 10'000, 19'000, 1000, {.lookback_ms = 1000}));
  EXPECT_EQ(result.stats.series_read, 20u);
  EXPECT_EQ(result.stats.samples_read, 20u * 11);
  EXPECT_GT(result.stats.peak_samples, 0u);
  EXPECT_LT(result.stats.peak_samples, 200u);
  EXPECT_EQ(result.stats.coarsest, Resolution::kRaw);
  EXPECT_TRUE(result.warnings.empty());
}

}  // namespace
}  // namespace tinyobs::promql
