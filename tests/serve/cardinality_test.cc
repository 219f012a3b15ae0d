// A label explosion from end to end: somebody adds a UUID per request as a label, and sends 1,000
// requests a minute.
//
// Method: the whole app over a real database in memory, minutes passing on a clock moved by hand.
#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/strings.h"
#include "tools/serve/app.h"

namespace tinyobs::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int64_t kNow = 1'763'424'000'000;
constexpr int kRequestsAMinute = 1'000;
constexpr int kRequestsAPost = 100;

class CardinalityTest : public testing::Test {
 protected:
  void Start(Options options = {}) {
    options.in_memory = true;
    options.background_threads = false;
    options.clock = &clock_;
    options.logger = [this](std::string_view line) { log_.emplace_back(line); };
    auto db = Db::Open("db", options);
    ASSERT_TRUE(db.ok()) << db.status();
    db_ = *std::move(db);
    context_.db = db_.get();
    context_.clock = &clock_;
    context_.start_ms = kNow;
    app_ = MakeApp(
        &context_, &counters_, AccessPolicy("127.0.0.1", 8080),
        [](std::string_view) { return std::nullopt; }, /*max_body_bytes=*/1 << 20);
  }
  HttpResponse Send(std::string method, std::string path, std::string query, std::string body) {
    HttpRequest request;
    request.method = std::move(method);
    request.path = std::move(path);
    request.query = std::move(query);
    request.headers.emplace_back("Host", "localhost:8080");
    request.body = std::move(body);
    return app_(request);
  }
  HttpResponse Ingest(std::string metrics) {
    return Send("POST", "/v1/ingest", "", StrCat("{\"metrics\":[", metrics, "]}"));
  }
  HttpResponse Get(std::string path, std::string query = "") {
    return Send("GET", std::move(path), std::move(query), "");
  }
  std::string Uuid() {
    std::string text;
    for (int i = 0; i < 32; ++i) {
      if (i == 8 || i == 12 || i == 16 || i == 20) text.push_back('-');
      text.push_back("0123456789abcdef"[random_() % 16]);
    }
    return text;
  }
  // Of the program that everybody knows: two endpoints, and its memory.
  std::string Healthy() {
    return R"({"name":"memory_bytes","type":"gauge","value":1e6},)"
           R"({"name":"http_requests_total","type":"counter","value":5,)"
           R"("labels":{"endpoint":"/users","status":"200"}},)"
           R"({"name":"http_requests_total","type":"counter","value":5,)"
           R"("labels":{"endpoint":"/posts","status":"200"}})";
  }
  HttpResponse PostRequests() {
    std::string body;
    for (int i = 0; i < kRequestsAPost; ++i) {
      StrAppend(&body, i > 0 ? "," : "",
                R"({"name":"http_requests_total","type":"counter","value":1,"labels":{)"
                R"("endpoint":"/users","status":"200","request_id":")",
                Uuid(), "\"}}");
    }
    return Ingest(std::move(body));
  }

  std::mt19937 random_{42};
  ManualClock clock_{kNow};
  std::vector<std::string> log_;
  std::unique_ptr<Db> db_;
  HandlerContext context_;
  HttpCounters counters_;
  Handler app_;
};

TEST_F(CardinalityTest, ARequestIdIsRefusedAtTenThousandAndNamedAndTheOthersGoOn) {
  Start();  // with the defaults of a server
  ASSERT_EQ(Ingest(Healthy()).status, 200);
  int posts = 0;
  int refused = 0;
  HttpResponse last;
  for (int minute = 0; minute < 12; ++minute) {
    for (int i = 0; i < kRequestsAMinute / kRequestsAPost; ++i) {
      HttpResponse answer = PostRequests();
      ++posts;
      if (answer.status == 200) {
        ASSERT_EQ(refused, 0) << "accepted again";
        continue;
      }
      ++refused;
      last = std::move(answer);
    }
    clock_.AdvanceMs(60'000);
    // The healthy part of the program goes on throughout.
    ASSERT_EQ(Ingest(Healthy()).status, 200) << "minute " << minute;
    ASSERT_TRUE(db_->RunBackgroundWork().ok());
  }
  // 3 healthy series and 99 posts; the hundredth would be three too many.
  EXPECT_EQ(posts, 120);
  EXPECT_EQ(refused, 21);
  EXPECT_EQ(last.status, 400);
  EXPECT_THAT(last.body, StartsWith(R"({"error":"cardinality limit exceeded","current":9903,)"
                                    R"("limit":10000,"message":"cardinality limit exceeded: )"));
  EXPECT_THAT(last.body, HasSubstr("metric http_requests_total has 9902 of them, and its label "
                                   "request_id has about "));
  EXPECT_THAT(last.body, HasSubstr(": remove that label; first refused: http_requests_total{"));

  // 97 new series of other metrics fit, then no more; what is known goes on.
  for (int i = 0; i < 97; ++i) {
    ASSERT_EQ(
        Ingest(StrCat(R"({"name":"jobs_total","value":1,"labels":{"job":")", i, "\"}}")).status,
        200);
  }
  const HttpResponse full = Ingest(R"({"name":"newcomer","value":1})");
  EXPECT_EQ(full.status, 400);
  EXPECT_THAT(full.body, HasSubstr(R"("current":10000,"limit":10000)"));
  EXPECT_THAT(full.body, HasSubstr("request_id"));
  EXPECT_THAT(full.body, HasSubstr("first refused: newcomer"));
  // A request with a known and a new one is refused as a whole.
  EXPECT_EQ(Ingest(R"({"name":"memory_bytes","value":77},{"name":"newcomer","value":1})").status,
            400);
  EXPECT_THAT(Get("/v1/query", "metric=memory_bytes").body, Not(HasSubstr("\"value\":77")));
  EXPECT_EQ(Ingest(R"({"name":"memory_bytes","value":78})").status, 200);
  EXPECT_THAT(Get("/v1/query", "metric=memory_bytes").body, HasSubstr("\"value\":78"));

  const HttpResponse report = Get("/v1/cardinality");
  EXPECT_EQ(report.status, 200);
  EXPECT_THAT(report.body,
              StartsWith(R"({"total_series":10000,"unique_metrics":3,)"
                         R"("max_series_metric":"http_requests_total","max_series_count":9902,)"
                         R"("series_limit":10000,"per_metric_limit":0,"utilization_percent":100,)"
                         R"("dry_run":false,"refused":{"requests":23,"series":2102,)"));
  EXPECT_THAT(report.body, HasSubstr(R"("top_metrics":[{"metric":"http_requests_total",)"
                                     R"("series":9902,"labels":[{"label":"request_id","values":)"));
  EXPECT_THAT(report.body, HasSubstr(R"({"label":"endpoint","values":2})"));
  EXPECT_THAT(report.body, HasSubstr(R"({"metric":"jobs_total","series":97,)"));
  EXPECT_THAT(Get("/metrics").body, HasSubstr("\ntinyobs_series_refused_total 2102\n"));
  // The log says it, too, but not for each.
  EXPECT_GE(log_.size(), 1u);
  EXPECT_LE(log_.size(), 4u);
  EXPECT_THAT(log_[0], HasSubstr("request_id"));
}

TEST_F(CardinalityTest, ALimitPerMetricLeavesTheRoomToTheOthers) {
  Options options;
  options.max_series_per_metric = 1'000;
  Start(options);
  int status = 200;
  for (int i = 0; i < 20 && status == 200; ++i) status = PostRequests().status;
  const HttpResponse refused = PostRequests();
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.body, HasSubstr("\"current\":1000,\"limit\":1000,"));
  EXPECT_THAT(refused.body, HasSubstr("the limit per metric is 1000, and its label request_id"));
  EXPECT_EQ(Ingest(R"({"name":"newcomer","value":1})").status, 200);
  EXPECT_THAT(Get("/v1/cardinality").body, HasSubstr("\"per_metric_limit\":1000"));
}

TEST_F(CardinalityTest, ADryRunTakesEverythingAndTells) {
  Options options;
  options.max_series = 500;
  options.cardinality_dry_run = true;
  Start(options);
  for (int i = 0; i < 8; ++i) ASSERT_EQ(PostRequests().status, 200);
  EXPECT_THAT(Get("/v1/cardinality").body,
              HasSubstr(R"("utilization_percent":160,"dry_run":true,"refused":{"requests":3,)"
                        R"("series":300,)"));
  ASSERT_EQ(log_.size(), 1u);
  EXPECT_THAT(log_[0], HasSubstr("its label request_id has about"));
}

}  // namespace
}  // namespace tinyobs::serve
