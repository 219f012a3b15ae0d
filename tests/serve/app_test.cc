// Goal: every route answers as the Go original's clients expect, limits and refusals included.
// Method: the whole app as one function over a fake database and a clock moved by hand.
#include "tools/serve/app.h"

#include <atomic>
#include <bit>
#include <cmath>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/strings.h"
#include "tests/serve/fake_db.h"
#include "tools/serve/compression.h"

namespace tinyobs::serve {
namespace {

constexpr int64_t kNow = 1'763'424'000'000;  // 2025-11-18T00:00:00Z
constexpr int64_t kDayMs = 86'400'000;

// A second passes each time it is looked at.
class TickingClock : public ManualClock {
 public:
  using ManualClock::ManualClock;
  int64_t MonotonicNs() const override { return 1'000'000'000 * ++ticks_; }

 private:
  mutable std::atomic<int64_t> ticks_{0};
};

class AppTest : public testing::Test {
 protected:
  AppTest() : clock_(kNow) {
    context_.db = &db_;
    context_.clock = &clock_;
    context_.start_ms = kNow - 62'500;
    context_.max_storage_bytes = 1 << 30;
    app_ = MakeApp(&context_, &counters_, AccessPolicy("127.0.0.1", 8080), FindPage,
                   /*max_body_bytes=*/1 << 20);
  }

  static std::optional<Page> FindPage(std::string_view path) {
    if (path == "/") return Page{"text/html; charset=utf-8", "<p>page</p>", "\"abc\""};
    return std::nullopt;
  }

  HttpResponse Send(std::string method, std::string_view target, std::string body = "",
                    HttpHeaders headers = {}) {
    HttpRequest request;
    request.method = std::move(method);
    const size_t question = target.find('?');
    request.path = std::string(target.substr(0, question));
    if (question != std::string_view::npos) {
      request.query = std::string(target.substr(question + 1));
    }
    request.headers = std::move(headers);
    if (request.Header("Host").empty()) request.headers.emplace_back("Host", "localhost:8080");
    request.body = std::move(body);
    return app_(request);
  }
  HttpResponse Get(std::string_view target) { return Send("GET", target); }
  HttpResponse Ingest(std::string_view body) {
    return Send("POST", "/v1/ingest", std::string(body));
  }

  FakeDb db_;
  ManualClock clock_;
  HandlerContext context_;
  HttpCounters counters_;
  Handler app_;
};

std::string Error(std::string_view error, std::string_view message) {
  return StrCat("{\"error\":\"", error, "\",\"message\":\"", message, "\"}\n");
}

// --- ingest

TEST_F(AppTest, IngestStoresAndAnswersTheCount) {
  const auto answer = Ingest(
      R"({"metrics":[{"name":"m","type":"gauge","value":1.5,"labels":{"service":"s"}},
      {"name":"n","type":"counter","value":2,"timestamp":"2025-11-17T23:59:59.5Z"}]})");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.Header("Content-Type"), "application/json");
  EXPECT_EQ(answer.body, "{\"status\":\"success\",\"count\":2}\n");
  EXPECT_EQ(Get("/v1/query").body,
            R"({"metrics":[{"name":"m","type":"gauge","value":1.5,"labels":{"service":"s"},)"
            R"("timestamp":"2025-11-18T00:00:00Z"},{"name":"n","type":"counter","value":2,)"
            R"("timestamp":"2025-11-17T23:59:59.5Z"}],"count":2})"
            "\n");
}

TEST_F(AppTest, IngestOfNothingIsASuccess) {
  EXPECT_EQ(Ingest("{}").body, "{\"status\":\"success\",\"count\":0}\n");
}

TEST_F(AppTest, IngestTakesOddKeysZeroTimeZonesExtraKeysAndTrailingText) {
  const auto answer = Ingest(
      R"({"Metrics":[{"NAME":"up","VALUE":2,"Timestamp":"0001-01-01T00:00:00Z","extra":{"a":[1]}},
      {"name":"z","value":3,"timestamp":"2025-11-18T01:59:00+02:00"}],"more":1} trailing)");
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(Get("/v1/query?metric=up").body, R"({"metrics":[{"name":"up","type":"","value":2,)"
                                             R"("timestamp":"2025-11-18T00:00:00Z"}],"count":1})"
                                             "\n");
  EXPECT_NE(Get("/v1/query?metric=z").body.find("\"timestamp\":\"2025-11-17T23:59:00Z\""),
            std::string::npos);
}

TEST_F(AppTest, IngestRefusalsStoreNothing) {
  std::string many = "{\"metrics\":[";
  for (int i = 0; i < 1001; ++i) StrAppend(&many, i > 0 ? "," : "", R"({"name":"m","value":1})");
  many += "]}";
  EXPECT_EQ(Ingest(many).body, Error("Bad Request", "too many metrics in request (max 1000)"));
  EXPECT_EQ(Ingest(many).status, 400);
  EXPECT_EQ(Ingest(R"({"metrics":[{"name":"good","value":1},{"name":"","value":1}]})").body,
            Error("Bad Request", "invalid metric at index 1: metric name cannot be empty"));
  EXPECT_NE(Ingest("{\"metrics\":[{\"name\":\"good\"}").body.find("\"message\":\"invalid JSON: "),
            std::string::npos);
  EXPECT_EQ(Ingest("").status, 400);
  EXPECT_EQ(db_.Stats().samples, 0u);
}

TEST_F(AppTest, IngestRefusalByTheDatabaseNamesTheSample) {
  db_.SetMaxTime(kNow);
  const auto answer = Ingest(
      R"({"metrics":[{"name":"a","value":1},{"name":"b","value":1,"timestamp":"2030-01-01T00:00:00Z"}]})");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.body,
            Error("Bad Request", "invalid metric at index 1: b is too far in the future"));
  EXPECT_EQ(db_.Stats().samples, 0u);
}

TEST_F(AppTest, SeriesLimitAnswersItsFiguresAndKnownSeriesPass) {
  db_.SetMaxSeries(2);
  EXPECT_EQ(Ingest(R"({"metrics":[{"name":"a","value":1},{"name":"b","value":1}]})").status, 200);
  const auto refused = Ingest(R"({"metrics":[{"name":"c","value":1}]})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_TRUE(refused.body.starts_with(
      R"({"error":"cardinality limit exceeded","current":2,"limit":2,"message":")"))
      << refused.body;
  EXPECT_EQ(Ingest(R"({"metrics":[{"name":"a","value":2}]})").status, 200);
  const auto mixed = Ingest(R"({"metrics":[{"name":"a","value":3},{"name":"d","value":1}]})");
  EXPECT_EQ(mixed.status, 400);
  EXPECT_EQ(Get("/v1/query?metric=a").body.find("\"value\":3"), std::string::npos);
}

TEST_F(AppTest, StorageLimitIs507AndSaysHowMuch) {
  db_.SetWriteError(absl::ResourceExhaustedError("no space"));
  db_.SetDiskBytes(1 << 30);
  const auto full = Ingest(R"({"metrics":[{"name":"a","value":1}]})");
  EXPECT_EQ(full.status, 507);
  EXPECT_EQ(full.body,
            Error("Insufficient Storage",
                  "Storage limit exceeded: 1073741824/1073741824 bytes used. Retention will make "
                  "room; sooner does a larger TINYOBS_MAX_STORAGE_GB, a shorter "
                  "--storage.retention.raw or --storage.full=drop-oldest (no space)"));
  db_.SetDiskBytes(5);
  EXPECT_EQ(Ingest(R"({"metrics":[{"name":"a","value":1}]})").body,
            Error("Insufficient Storage", "no space"));
}

TEST_F(AppTest, StoreErrorsMapToTheirCodes) {
  const char* const body = R"({"metrics":[{"name":"a","value":1}]})";
  db_.SetWriteError(absl::UnavailableError("disk"));
  EXPECT_EQ(Ingest(body).status, 503);
  EXPECT_EQ(Ingest(body).Header("Retry-After"), "1");
  db_.SetWriteError(absl::FailedPreconditionError("read-only"));
  EXPECT_EQ(Ingest(body).status, 503);
  db_.SetWriteError(absl::InternalError("bug"));
  EXPECT_EQ(Ingest(body).body, Error("Internal Server Error", "failed to store metrics: bug"));
}

TEST_F(AppTest, TypesAreWrittenOnlyWhenTheyChange) {
  Ingest(
      R"({"metrics":[{"name":"a","type":"gauge","value":1},{"name":"a","type":"gauge","value":2}]})");
  EXPECT_EQ(db_.metadata_writes(), 1);
  Ingest(R"({"metrics":[{"name":"a","type":"gauge","value":3}]})");
  EXPECT_EQ(db_.metadata_writes(), 1);
  Ingest(R"({"metrics":[{"name":"a","type":"odd word","value":3}]})");
  EXPECT_EQ(db_.metadata_writes(), 2);
  EXPECT_NE(Get("/v1/query").body.find("\"type\":\"odd word\""), std::string::npos);
}

TEST_F(AppTest, IngestTakesGzip) {
  const std::string body = Gzip(R"({"metrics":[{"name":"zipped","value":1}]})");
  EXPECT_EQ(Send("POST", "/v1/ingest", body, {{"Content-Encoding", "gzip"}}).status, 200);
  EXPECT_EQ(db_.Stats().samples, 1u);
  EXPECT_EQ(Send("POST", "/v1/ingest", body.substr(0, 20), {{"Content-Encoding", "gzip"}}).status,
            400);
  EXPECT_EQ(
      Send("POST", "/v1/ingest", Gzip(std::string(5 << 20, ' ')), {{"Content-Encoding", "gzip"}})
          .status,
      413);
  EXPECT_EQ(Send("POST", "/v1/ingest", "x", {{"Content-Encoding", "br"}}).status, 415);
}

TEST_F(AppTest, ASampleWithoutATypeKeepsTheTypeOfItsMetric) {
  Ingest(R"({"metrics":[{"name":"m","type":"gauge","value":1}]})");
  Ingest(R"({"metrics":[{"name":"m","value":2}]})");
  EXPECT_EQ(db_.Metadata("m").type, "gauge");
  Ingest(R"({"metrics":[{"name":"m","type":"counter","value":3},{"name":"m","value":4}]})");
  EXPECT_EQ(db_.Metadata("m").type, "counter");
}

TEST_F(AppTest, DecompressedBodiesTakeFromTheBudgetOfRequests) {
  ByteBudget budget(300'000);
  context_.request_bytes = &budget;
  app_ = MakeApp(&context_, &counters_, AccessPolicy("127.0.0.1", 8080), FindPage, 1 << 20);
  const std::string small = Gzip("{}" + std::string(100'000, ' '));
  const std::string large = Gzip("{}" + std::string(400'000, ' '));
  EXPECT_EQ(Send("POST", "/v1/ingest", small, {{"Content-Encoding", "gzip"}}).status, 200);
  EXPECT_EQ(budget.used(), 0u);
  const auto refused = Send("POST", "/v1/ingest", large, {{"Content-Encoding", "gzip"}});
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.Header("Retry-After"), "1");
  EXPECT_EQ(budget.used(), 0u);
  ASSERT_TRUE(budget.Take(250'000));  // another body
  EXPECT_EQ(Send("POST", "/v1/ingest", small, {{"Content-Encoding", "gzip"}}).status, 503);
}

// --- query

TEST_F(AppTest, QueryDefaultsToTheLastHourBothEndsIncluded) {
  db_.Put(Labels::Of("m"), kNow - 3'600'001, 1);
  db_.Put(Labels::Of("m"), kNow - 3'600'000, 2);
  db_.Put(Labels::Of("m"), kNow, 3);
  db_.Put(Labels::Of("m"), kNow + 1, 4);
  const std::string body = Get("/v1/query?metric=m").body;
  EXPECT_NE(body.find("\"count\":2"), std::string::npos) << body;
  EXPECT_NE(body.find("\"value\":2"), std::string::npos);
  EXPECT_NE(body.find("\"value\":3"), std::string::npos);
}

TEST_F(AppTest, QueryTakesAllFormsOfTime) {
  db_.Put(Labels::Of("m"), kNow - kDayMs, 1);
  for (const char* const times : {"start=2025-11-17T00:00:00Z&end=2025-11-17T00:00:01Z",
                                  "start=2025-11-17T00:00:00&end=2025-11-17T00:00:01",
                                  "start=2025-11-17T02:00:00%2B02:00&end=2025-11-17T02:00:01+02:00",
                                  "start=1763337600&end=1763337600.5"}) {
    EXPECT_NE(Get(StrCat("/v1/query?", times)).body.find("\"count\":1"), std::string::npos)
        << times;
  }
  // What cannot be read counts as absent.
  EXPECT_EQ(Get("/v1/query?start=yesterday").status, 200);
}

TEST_F(AppTest, QueryRefusesAnEmptyRange) {
  const std::string expected = Error("Bad Request", "start must be before end");
  EXPECT_EQ(Get("/v1/query?start=10&end=9").body, expected);
  EXPECT_EQ(Get("/v1/query?start=10&end=10").body, expected);
  EXPECT_EQ(Get("/v1/query?start=10&end=10").status, 400);
}

TEST_F(AppTest, QueryOfNothingIsAnEmptyList) {
  EXPECT_EQ(Get("/v1/query?metric=unknown").body, "{\"metrics\":[],\"count\":0}\n");
}

TEST_F(AppTest, QueryReturnsValuesBitIdenticalAndNullForNan) {
  db_.Put(Labels::Of("m"), kNow - 2, -0.0);
  db_.Put(Labels::Of("m"), kNow - 1, 0.1 + 0.2);
  db_.Put(Labels::Of("m"), kNow, std::nan(""));
  const std::string body = Get("/v1/query?metric=m").body;
  EXPECT_NE(body.find("\"value\":-0,"), std::string::npos) << body;
  EXPECT_NE(body.find("\"value\":0.30000000000000004,"), std::string::npos);
  EXPECT_NE(body.find("\"value\":null,"), std::string::npos);
}

TEST_F(AppTest, QueryLimitsAreNamed) {
  for (int i = 0; i < 100; ++i) db_.Put(Labels::Of("m"), kNow - i, i);
  context_.max_query_samples = 99;
  const auto samples = Get("/v1/query");
  EXPECT_EQ(samples.status, 422);
  EXPECT_NE(samples.body.find("more than 99 samples"), std::string::npos) << samples.body;
  context_.max_query_samples = 100;
  EXPECT_EQ(Get("/v1/query").status, 200);
  context_.max_answer_bytes = 1000;
  const auto bytes = Get("/v1/query");
  EXPECT_EQ(bytes.status, 422);
  EXPECT_NE(bytes.body.find("larger than 1000 bytes"), std::string::npos) << bytes.body;
  context_.max_answer_bytes = 1 << 20;
  TickingClock ticking(kNow);
  context_.clock = &ticking;
  context_.query_deadline_ms = 1500;
  const auto deadline = Get("/v1/query");
  EXPECT_EQ(deadline.status, 503);
  EXPECT_NE(deadline.body.find("longer than 1500 ms"), std::string::npos) << deadline.body;
  context_.query_deadline_ms = 500;
  const auto queue = Get("/v1/query");
  EXPECT_NE(queue.body.find("query timed out in query queue"), std::string::npos) << queue.body;
}

TEST_F(AppTest, TheAnswersLimitHoldsWithinOneSeries) {
  // 1000 samples are some 60 KB; the answer must stop at the limit, not at the end of the series.
  for (int i = 0; i < 1000; ++i) db_.Put(Labels::Of("m"), kNow - i, i);
  ByteBudget budget(10'000);
  context_.response_bytes = &budget;
  context_.max_answer_bytes = 8'000;
  EXPECT_EQ(Get("/v1/query").status, 422);  // and not 503: it never grew to the budget
  EXPECT_EQ(Get("/v1/query/range?metric=m").status, 422);
  EXPECT_EQ(budget.used(), 0u);
}

TEST_F(AppTest, GrowingAnswersTakeFromTheBudgetOfAnswers) {
  for (int i = 0; i < 1000; ++i) db_.Put(Labels::Of("m"), kNow - i, i);
  ByteBudget budget(100'000);
  context_.response_bytes = &budget;
  context_.max_answer_bytes = 90'000;
  {
    const auto first = Get("/v1/query");
    EXPECT_EQ(first.status, 200);
    EXPECT_GE(budget.used(), first.body.size());  // held until it is sent
    const auto second = Get("/v1/query");
    EXPECT_EQ(second.status, 503);
    EXPECT_EQ(second.Header("Retry-After"), "1");
    EXPECT_EQ(Get("/v1/query/range?metric=m").status, 503);
  }
  EXPECT_EQ(budget.used(), 0u);
  EXPECT_EQ(Get("/v1/query/range?metric=m").status, 200);
}

TEST_F(AppTest, QueryErrorsMapToTheirCodes) {
  db_.SetReadError(absl::DataLossError("block 7"));
  EXPECT_EQ(Get("/v1/query").body,
            Error("Internal Server Error", "failed to query metrics: block 7"));
  db_.SetReadError(absl::UnavailableError("disk"));
  EXPECT_EQ(Get("/v1/query/range?metric=m").status, 503);
  // As the file system reports it: nothing that a narrower range would help.
  db_.SetReadError(absl::ResourceExhaustedError("open 7.sst: Too many open files"));
  const auto handles = Get("/v1/query");
  EXPECT_EQ(handles.status, 503);
  EXPECT_EQ(handles.body.find("narrow"), std::string::npos) << handles.body;
}

// --- query range

TEST_F(AppTest, RangeDrawsEachSeries) {
  db_.Put(Labels::Of("m", {{"method", "GET"}, {"_hidden", "x"}}), kNow - 1000, 3.5);
  db_.Put(Labels::Of("m", {{"method", "PUT"}}), kNow, 4);
  db_.Put(Labels::Of("other"), kNow, 5);
  const auto answer = Get("/v1/query/range?metric=m");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.Header("Cache-Control"), "no-cache");
  EXPECT_NE(answer.body.find(R"({"metric":"m","labels":{"method":"GET"},)"
                             R"("points":[{"t":1763423999000,"v":3.5}],"resolution":"raw"})"),
            std::string::npos)
      << answer.body;
  EXPECT_NE(answer.body.find(R"("labels":{"method":"PUT"},"points":[{"t":1763424000000,"v":4}])"),
            std::string::npos);
  EXPECT_EQ(answer.body.find("other"), std::string::npos);
  EXPECT_EQ(Get("/v1/query/range?metric=none").body, "{\"data\":[]}\n");
}

TEST_F(AppTest, RangeSaysWhichResolutionAnswered) {
  db_.Put(Labels::Of("m"), kNow, 1);
  db_.SetResolution(Resolution::kFiveMinutes);
  EXPECT_NE(Get("/v1/query/range?metric=m").body.find("\"resolution\":\"5m\""), std::string::npos);
}

TEST_F(AppTest, RangeThinsOutToMaxPoints) {
  for (int i = 0; i < 100; ++i) db_.Put(Labels::Of("m"), kNow - 100 + i, i);
  EXPECT_EQ(Get("/v1/query/range?metric=m&maxPoints=2").body,
            R"({"data":[{"metric":"m","points":[{"t":1763423999900,"v":24.5},)"
            R"({"t":1763423999950,"v":74.5}],"resolution":"raw"}]})"
            "\n");
}

TEST_F(AppTest, RangeKeepsTheLastPointsOfACounterWhenAsked) {
  // A counter that grows by one a step and restarts at half of its way.
  for (int i = 0; i < 100; ++i) db_.Put(Labels::Of("m"), kNow - 100 + i, i < 45 ? 1000 + i : i);
  EXPECT_EQ(Get("/v1/query/range?metric=m&maxPoints=2&agg=last").body,
            R"({"data":[{"metric":"m","points":[{"t":1763423999949,"v":49},)"
            R"({"t":1763423999999,"v":99}],"resolution":"raw"}]})"
            "\n");
  EXPECT_EQ(Get("/v1/query/range?metric=m&maxPoints=2&agg=mean").body,
            Get("/v1/query/range?metric=m&maxPoints=2").body);
}

TEST_F(AppTest, RangeKeepsTheLastPointsOfACounterUnlessAskedOtherwise) {
  ASSERT_EQ(Ingest(R"({"metrics":[{"name":"m","type":"counter","value":1}]})").status, 200);
  for (int i = 0; i < 100; ++i) db_.Put(Labels::Of("m"), kNow - 100 + i, i);
  EXPECT_EQ(Get("/v1/query/range?metric=m&maxPoints=2").body,
            Get("/v1/query/range?metric=m&maxPoints=2&agg=last").body);
  EXPECT_NE(Get("/v1/query/range?metric=m&maxPoints=2&agg=avg").body.find("24.5"),
            std::string::npos);
}

TEST_F(AppTest, RangeAsksForTheResolutionThatSuitsThePoints) {
  const auto asked = [this](std::string_view query) {
    EXPECT_EQ(Get(StrCat("/v1/query/range?metric=m&", query)).status, 200) << query;
    return db_.last_hints().resolution;
  };
  EXPECT_EQ(asked("start=0&end=3600"), Resolution::kRaw);
  EXPECT_EQ(asked("start=0&end=299999"), Resolution::kRaw);
  EXPECT_EQ(asked("start=0&end=300000"), Resolution::kFiveMinutes);
  EXPECT_EQ(asked("start=0&end=3600000"), Resolution::kOneHour);
  EXPECT_EQ(asked("start=0&end=3600&maxPoints=12&resolution=auto"), Resolution::kFiveMinutes);
  EXPECT_EQ(asked("start=0&end=3600000&resolution=raw"), Resolution::kRaw);
  EXPECT_EQ(asked("start=0&end=3600&resolution=1h"), Resolution::kOneHour);
  EXPECT_EQ(Get("/v1/query?metric=m").status, 200);
  EXPECT_EQ(db_.last_hints().resolution, Resolution::kRaw);
  EXPECT_EQ(Get("/v1/query?metric=m&resolution=5m").status, 200);
  EXPECT_EQ(db_.last_hints().resolution, Resolution::kFiveMinutes);
  EXPECT_EQ(Get("/v1/query?metric=m&resolution=2h").status, 400);
}

TEST_F(AppTest, RangeWarnsWhenItIsShorterThanAWindow) {
  db_.Put(Labels::Of("m"), kNow - 1, 1);
  EXPECT_EQ(Get("/v1/query/range?metric=m").body.find("warnings"), std::string::npos);
  db_.SetResolution(Resolution::kOneHour);
  EXPECT_EQ(Get("/v1/query/range?metric=m").body.find("warnings"), std::string::npos);
  const std::string body =
      Get("/v1/query/range?metric=m&start=2025-11-17T23:59:00Z&end=2025-11-18T00:09:00Z").body;
  EXPECT_TRUE(body.ends_with(
      "\"resolution\":\"1h\"}],\"warnings\":[\"the range of 10m is shorter than a window of the "
      "resolution that answers it, 1h: a point is about all of its window\"]}\n"))
      << body;
}

TEST_F(AppTest, RangeRefusals) {
  context_.max_range_ms = 90 * kDayMs;
  const auto message = [this](std::string_view query) {
    const auto answer = Get(StrCat("/v1/query/range?", query));
    EXPECT_EQ(answer.status, 400) << query;
    return answer.body;
  };
  const auto bad = [](std::string_view text) { return Error("Bad Request", text); };
  EXPECT_EQ(message(""), bad("metric parameter required"));
  EXPECT_EQ(message(StrCat("metric=", std::string(257, 'm'))),
            bad("metric name too long (max 256 chars)"));
  EXPECT_EQ(message("metric=m&start=10&end=9"), bad("end must be after start"));
  EXPECT_EQ(message("metric=m&start=0&end=7776001"), bad("query window too large (max 90 days)"));
  EXPECT_EQ(message("metric=m&maxPoints=x"), bad("invalid maxPoints: \\\"x\\\" is not an integer"));
  EXPECT_EQ(message("metric=m&maxPoints=0"), bad("maxPoints must be between 1 and 5000"));
  EXPECT_EQ(message("metric=m&maxPoints=5001"), bad("maxPoints must be between 1 and 5000"));
  EXPECT_EQ(
      message("metric=m&agg=p99"),
      bad("invalid agg: \\\"p99\\\"; it must be mean (or avg), sum, count, min, max or last"));
  EXPECT_EQ(message("metric=m&resolution=1m"),
            bad("invalid resolution: \\\"1m\\\"; it must be raw, 5m, 1h or auto"));
  EXPECT_EQ(Get("/v1/query/range?metric=m&start=0&end=7776000").status, 200);
  EXPECT_EQ(Get("/v1/query/range?metric=m&start=10&end=10").status, 200);
  EXPECT_EQ(Get("/v1/query/range?metric=m&maxPoints=5000").status, 200);
}

// --- status

TEST_F(AppTest, ListHoldsTheNamesOfTheLastDay) {
  EXPECT_EQ(Get("/v1/metrics/list").body, "{\"metrics\":[],\"count\":0}\n");
  db_.Put(Labels::Of("b"), kNow, 1);
  db_.Put(Labels::Of("a", {{"x", "1"}}), kNow, 1);
  db_.Put(Labels::Of("a", {{"x", "2"}}), kNow, 1);
  db_.Put(Labels::Of("old"), kNow - kDayMs - 1, 1);
  EXPECT_EQ(Get("/v1/metrics/list").body, "{\"metrics\":[\"a\",\"b\"],\"count\":2}\n");
}

TEST_F(AppTest, StatsOfAnEmptyAndAFilledStore) {
  EXPECT_EQ(Get("/v1/stats").body,
            R"({"TotalMetrics":0,"TotalSeries":0,"SizeBytes":0,)"
            R"("OldestMetric":"0001-01-01T00:00:00Z","NewestMetric":"0001-01-01T00:00:00Z"})"
            "\n");
  db_.Put(Labels::Of("a"), kNow - 1000, 1);
  db_.Put(Labels::Of("a"), kNow, 1);
  db_.SetDiskBytes(900);
  EXPECT_EQ(Get("/v1/stats").body,
            R"({"TotalMetrics":2,"TotalSeries":1,"SizeBytes":900,)"
            R"("OldestMetric":"2025-11-17T23:59:59Z","NewestMetric":"2025-11-18T00:00:00Z"})"
            "\n");
  // Windows are older than samples; the empty tier says nothing.
  DbStats stats;
  stats.tiers.resize(3);
  stats.tiers[2].samples = 1;
  stats.tiers[2].oldest_ms = kNow - kDayMs;
  stats.tiers[2].newest_ms = kNow - kDayMs + 1000;
  db_.SetAgeing(stats);
  EXPECT_NE(Get("/v1/stats")
                .body.find(R"("OldestMetric":"2025-11-17T00:00:00Z",)"
                           R"("NewestMetric":"2025-11-18T00:00:00Z"})"),
            std::string::npos);
}

TEST_F(AppTest, HealthTurnsWithTheDatabase) {
  const auto good = Get("/v1/health");
  EXPECT_EQ(good.status, 200);
  EXPECT_NE(good.body.find(R"("status":"healthy")"), std::string::npos);
  EXPECT_NE(good.body.find(R"("uptime":"1m2.5s","compaction":{"healthy":true}})"),
            std::string::npos);
  EXPECT_EQ(Get("/-/healthy").status, 200);
  EXPECT_EQ(Get("/-/ready").status, 200);
  db_.SetBackgroundError("sync failed");
  const auto bad = Get("/v1/health");
  EXPECT_EQ(bad.status, 503);
  EXPECT_NE(bad.body.find(R"("status":"degraded")"), std::string::npos);
  EXPECT_NE(bad.body.find(R"("last_error":"sync failed")"), std::string::npos);
  EXPECT_EQ(Get("/-/ready").status, 503);
  EXPECT_EQ(Get("/-/healthy").status, 200);
}

TEST_F(AppTest, HealthAllowsDownsamplingOneMissedRunAndThreeFailures) {
  constexpr int64_t kHourMs = 3'600'000;
  context_.start_ms = kNow - 2 * kHourMs;
  DbStats stats;
  stats.downsampling.next_run_ms = kNow;
  db_.SetAgeing(stats);
  EXPECT_EQ(Get("/v1/health").status, 200);  // there was none yet
  clock_.AdvanceMs(1);
  EXPECT_EQ(Get("/v1/health").status, 503);

  stats.downsampling.last_success_ms = kNow - kHourMs;
  stats.downsampling.last_run_ms = kNow;
  stats.downsampling.consecutive_failures = 3;
  stats.downsampling.last_error = "block 7";
  db_.SetAgeing(stats);
  const auto good = Get("/v1/health");
  EXPECT_EQ(good.status, 200);
  EXPECT_NE(good.body.find(R"("compaction":{"healthy":true,"last_success":"2025-11-17T23:00:00Z",)"
                           R"("time_since_success":"1h0m0.001s",)"
                           R"("last_attempt":"2025-11-18T00:00:00Z","consecutive_errors":3,)"
                           R"("last_error":"block 7"}})"),
            std::string::npos)
      << good.body;
  stats.downsampling.consecutive_failures = 4;
  db_.SetAgeing(stats);
  EXPECT_EQ(Get("/v1/health").status, 503);
  stats.downsampling.next_run_ms = 0;  // it is off
  db_.SetAgeing(stats);
  EXPECT_EQ(Get("/v1/health").status, 200);
}

// --- admin

TEST_F(AppTest, DownsampleSaysWhatItDid) {
  db_.OnDownsample([this] { clock_.AdvanceMs(1'500); });
  DbStats stats;
  stats.tiers.resize(3);
  stats.tiers[1].samples = 7;
  db_.SetAgeing(stats);
  const auto done = Send("POST", "/v1/admin/downsample");
  EXPECT_EQ(done.status, 200);
  EXPECT_TRUE(done.body.starts_with(
      R"({"status":"success","duration":"1.5s","rows_written":1,"tiers":[{"resolution":"raw",)"))
      << done.body;
  EXPECT_NE(done.body.find(R"({"resolution":"5m","bytes":0,"partitions":0,"windows":7,)"),
            std::string::npos);
}

TEST_F(AppTest, DownsampleIsOneAtATimeAndItsErrorsHaveCodes) {
  HttpResponse second;
  db_.OnDownsample([&] { second = Send("POST", "/v1/admin/downsample"); });
  EXPECT_EQ(Send("POST", "/v1/admin/downsample").status, 200);
  EXPECT_EQ(second.status, 409);
  EXPECT_NE(second.body.find("\"error\":\"Conflict\""), std::string::npos) << second.body;

  db_.SetDownsampleStatus(absl::FailedPreconditionError("it is off"));
  const auto off = Send("POST", "/v1/admin/downsample");
  EXPECT_EQ(off.body, Error("Conflict", "failed to downsample: it is off"));
  EXPECT_EQ(off.status, 409);
  db_.SetDownsampleStatus(absl::DataLossError("block"));
  EXPECT_EQ(Send("POST", "/v1/admin/downsample").status, 500);
  db_.SetDownsampleStatus(absl::ResourceExhaustedError("disk"));
  EXPECT_EQ(Send("POST", "/v1/admin/downsample").status, 507);
  EXPECT_EQ(Get("/v1/admin/downsample").status, 404);
  EXPECT_EQ(Send("POST", "/v1/admin/downsample", "", {{"Origin", "http://evil.example"}}).status,
            403);
}

TEST_F(AppTest, StorageAndCardinality) {
  db_.SetDiskBytes(7);
  EXPECT_EQ(Get("/v1/storage").body, "{\"used_bytes\":7,\"max_bytes\":1073741824}\n");
  db_.Put(Labels::Of("c", {{"A", "1"}}), kNow, 1);
  db_.Put(Labels::Of("c", {{"x", "2"}}), kNow, 1);
  db_.Put(Labels::Of("d"), kNow, 1);
  const std::string expected =
      R"({"total_series":3,"unique_metrics":2,"max_series_metric":"c","max_series_count":2,)"
      R"("series_limit":10000,"per_metric_limit":0,"utilization_percent":0.03,)"
      R"("dry_run":false,"refused":{)";
  EXPECT_TRUE(Get("/v1/cardinality").body.starts_with(expected)) << Get("/v1/cardinality").body;
  db_.Put(Labels::Of("e"), kNow, 1);
  EXPECT_NE(Get("/v1/cardinality").body.find("\"total_series\":4"), std::string::npos);
}

TEST_F(AppTest, OwnMetricsArePrometheusText) {
  counters_.responses_by_class[2] = 5;
  DbStats stats;
  stats.tiers.resize(3);
  stats.tiers[0].waiting_partitions = 2;
  stats.tiers[0].complete_ms = kNow - 7'200'000;
  stats.tiers[1].bytes = 77;
  stats.tiers[1].complete_ms = kNow - 7'200'000;
  stats.retention.partitions_expired[2] = 5;
  stats.retention.partitions_dropped_for_room = 6;
  db_.SetAgeing(stats);
  const auto answer = Get("/metrics");
  EXPECT_EQ(answer.Header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_NE(answer.body.find("tinyobs_http_responses_total{class=\"2xx\"} 5\n"), std::string::npos);
  EXPECT_NE(answer.body.find("\ntinyobs_series 0\n"), std::string::npos);
  EXPECT_NE(answer.body.find("tinyobs_tier_bytes{resolution=\"5m\"} 77\n"), std::string::npos);
  EXPECT_NE(answer.body.find("tinyobs_tier_lag_seconds{resolution=\"raw\"} 7200\n"),
            std::string::npos);
  EXPECT_NE(answer.body.find("tinyobs_tier_lag_seconds{resolution=\"5m\"} 0\n"), std::string::npos);
  EXPECT_NE(answer.body.find("tinyobs_partitions_expired_total{resolution=\"1h\"} 5\n"),
            std::string::npos);
  EXPECT_NE(answer.body.find("\ntinyobs_partitions_dropped_for_room_total 6\n"), std::string::npos);
  EXPECT_NE(answer.body.find("\nprocess_resident_memory_bytes "), std::string::npos);
}

// --- routes and access

TEST_F(AppTest, UnknownPathsAndWrongMethodsAreGosNotFound) {
  for (const auto& [method, path] :
       std::vector<std::pair<std::string, std::string>>{{"GET", "/v1/nothing"},
                                                        {"GET", "/v1/ingest"},
                                                        {"POST", "/v1/query"},
                                                        {"PUT", "/v1/ingest"},
                                                        {"DELETE", "/v1/stats"},
                                                        {"POST", "/"},
                                                        {"OPTIONS", "/v1/nothing"},
                                                        {"GET", "/v1/query/"}}) {
    const auto answer = Send(method, path);
    EXPECT_EQ(answer.status, 404) << method << " " << path;
    EXPECT_EQ(answer.body, "404 page not found\n");
  }
}

TEST_F(AppTest, HeadIsAnsweredAsGet) {
  EXPECT_EQ(Send("HEAD", "/v1/health").status, 200);
  EXPECT_EQ(Send("HEAD", "/").status, 200);
  EXPECT_EQ(Send("HEAD", "/v1/ingest").status, 404);
}

TEST_F(AppTest, CorsHeadersOnlyForPagesOfThisMachine) {
  for (const char* const origin : {"http://localhost:8080", "http://127.0.0.1:8080",
                                   "http://localhost:3000", "http://127.0.0.1:3000"}) {
    const auto answer = Send("GET", "/v1/stats", "", {{"Origin", origin}});
    EXPECT_EQ(answer.Header("Access-Control-Allow-Origin"), origin);
    EXPECT_EQ(answer.Header("Access-Control-Allow-Methods"), "GET, POST, OPTIONS");
    EXPECT_EQ(answer.Header("Access-Control-Allow-Headers"), "Content-Type, Authorization");
    EXPECT_EQ(answer.Header("Access-Control-Allow-Credentials"), "true");
    EXPECT_EQ(Send("POST", "/v1/ingest", "{}", {{"Origin", origin}}).status, 200);
  }
  const auto foreign = Send("GET", "/v1/stats", "", {{"Origin", "http://evil.example"}});
  EXPECT_EQ(foreign.status, 200);
  EXPECT_EQ(foreign.Header("Access-Control-Allow-Origin"), "");
}

TEST_F(AppTest, PreflightIsAnswered) {
  const auto answer =
      Send("OPTIONS", "/v1/ingest", "",
           {{"Origin", "http://localhost:3000"}, {"Access-Control-Request-Method", "POST"}});
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer.Header("Access-Control-Allow-Origin"), "http://localhost:3000");
  EXPECT_EQ(answer.body, "");
}

TEST_F(AppTest, ForeignPagesCannotWrite) {
  for (const char* const origin :
       {"http://evil.example", "null", "http://localhost:9999", "https://localhost:3000"}) {
    EXPECT_EQ(
        Send("POST", "/v1/ingest", R"({"metrics":[{"name":"a","value":1}]})", {{"Origin", origin}})
            .status,
        403)
        << origin;
  }
  EXPECT_EQ(db_.Stats().samples, 0u);
  EXPECT_EQ(Send("POST", "/v1/ingest", "{}", {{"Origin", "http://localhost:8080"}}).status, 200);
}

TEST_F(AppTest, ForeignHostNamesAreRefusedOnLoopback) {
  for (const char* const host : {"evil.example", "evil.example:8080", "localhost.evil.example",
                                 "127.0.0.1.evil.example:8080", "[::2]:8080", "10.0.0.1",
                                 "127.0.0.2", "localhost:80@evil.example", "localhost:x",
                                 "localhost:1:2", "[::1]x", "[::1]:80@evil.example", "[::1"}) {
    EXPECT_EQ(Send("GET", "/v1/stats", "", {{"Host", host}}).status, 403) << host;
    EXPECT_EQ(Send("GET", "/", "", {{"Host", host}}).status, 403) << host;
  }
  for (const char* const host :
       {"localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9999", "[::1]", "[::1]:8080"}) {
    EXPECT_EQ(Send("GET", "/v1/stats", "", {{"Host", host}}).status, 200) << host;
  }
  const Handler open = MakeApp(&context_, &counters_, AccessPolicy("0.0.0.0", 8080), FindPage, 100);
  EXPECT_EQ(open({.method = "GET",
                  .path = "/v1/stats",
                  .query = "",
                  .headers = {{"Host", "metrics.home:8080"}},
                  .body = ""})
                .status,
            200);
}

TEST(AccessPolicy, AllowsTheListenAddressAsHost) {
  const AccessPolicy policy("127.0.0.2", 9000);
  EXPECT_TRUE(policy.HostAllowed("127.0.0.2:9000"));
  EXPECT_TRUE(policy.HostAllowed("localhost:9000"));
  EXPECT_FALSE(policy.HostAllowed("127.0.0.3:9000"));
  EXPECT_TRUE(AccessPolicy("::1", 9000).HostAllowed("[::1]:9000"));
}

TEST_F(AppTest, DashboardPagesCarryTagsAndPolicy) {
  const auto page = Get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.body, "<p>page</p>");
  EXPECT_EQ(page.Header("Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(page.Header("ETag"), "\"abc\"");
  EXPECT_EQ(page.Header("Content-Security-Policy"),
            "default-src 'self'; style-src 'self' 'unsafe-inline'");
  EXPECT_EQ(page.Header("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(page.Header("Cache-Control"), "no-cache");
  for (const char* const tags : {"\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"}) {
    const auto same = Send("GET", "/", "", {{"If-None-Match", tags}});
    EXPECT_EQ(same.status, 304) << tags;
    EXPECT_EQ(same.body, "");
  }
  EXPECT_EQ(Send("GET", "/", "", {{"If-None-Match", "\"old\""}}).status, 200);
  const auto moved = Get("/dashboard.html");
  EXPECT_EQ(moved.status, 302);
  EXPECT_EQ(moved.Header("Location"), "/");
}

TEST_F(AppTest, LargeAnswersAreCompressedForThoseWhoTakeIt) {
  for (int i = 0; i < 200; ++i) db_.Put(Labels::Of("m"), kNow - i, i);
  const std::string plain = Get("/v1/query").body;
  const auto zipped = Send("GET", "/v1/query", "", {{"Accept-Encoding", "deflate, gzip;q=0.5"}});
  EXPECT_EQ(zipped.Header("Content-Encoding"), "gzip");
  EXPECT_LT(zipped.body.size(), plain.size() / 5);
  EXPECT_EQ(*Gunzip(zipped.body, 1 << 20), plain);
  EXPECT_EQ(Send("GET", "/v1/query", "", {{"Accept-Encoding", "gzip;q=0"}}).body, plain);
  EXPECT_EQ(Get("/v1/query").Header("Vary"), "Accept-Encoding");
}

// What is a query may run on the thread of the sockets; what waits for the disk, or for minutes,
// may not.
TEST(KindOfRequestTest, CommitsAreShortQueriesAreQueriesAndAdministrationIsLong) {
  const auto kind = [](std::string_view path) {
    HttpRequest request;
    request.path = std::string(path);
    return KindOfRequest(request);
  };
  for (const std::string_view path : {"/v1/query", "/v1/query/range", "/api/v1/query_range",
                                      "/api/v1/label/job/values", "/prometheus/api/v1/series"}) {
    EXPECT_EQ(kind(path), RequestKind::kQuery) << path;
  }
  for (const std::string_view path : {"/v1/ingest", "/api/v1/write", "/api/v1/import/prometheus",
                                      "/v1/health", "/", "/v1/admin/downsample"}) {
    EXPECT_EQ(kind(path), RequestKind::kShort) << path;
  }
  EXPECT_EQ(kind("/api/v1/admin/tsdb/snapshot"), RequestKind::kLong);
  EXPECT_EQ(kind("/prometheus/api/v1/admin/tsdb/delete_series"), RequestKind::kLong);
}

}  // namespace
}  // namespace tinyobs::serve
