// Goal: Prometheus' clients get from us what Prometheus 2.42 answers, in its words and its codes;
// limits refuse and say so. Method: the whole app over a real database in memory, whole bodies; the
// expected ones of errors and empty answers were taken from Prometheus itself.
#include <atomic>
#include <cmath>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/strings.h"
#include "tinyobs/db.h"
#include "tools/serve/app.h"
#include "tools/serve/compression.h"

namespace tinyobs::serve {
namespace {

constexpr int64_t kNow = 1'763'424'000'500;
constexpr int64_t kNowS = kNow / 1000;
constexpr std::string_view kForm = "application/x-www-form-urlencoded";

// A second passes each time it is looked at.
class TickingClock : public ManualClock {
 public:
  using ManualClock::ManualClock;
  int64_t MonotonicNs() const override { return 1'000'000'000 * ++ticks_; }

 private:
  mutable std::atomic<int64_t> ticks_{0};
};

class PrometheusApiTest : public testing::Test {
 protected:
  PrometheusApiTest() : clock_(kNow) {
    Options options;
    options.in_memory = true;
    options.background_threads = false;
    options.clock = &clock_;
    auto db = Db::Open("db", options);
    EXPECT_TRUE(db.ok()) << db.status();
    db_ = *std::move(db);
    context_.db = db_.get();
    context_.clock = &clock_;
    context_.start_ms = kNow - 1000;
    app_ = MakeApp(
        &context_, &counters_, AccessPolicy("127.0.0.1", 8080),
        [](std::string_view) { return std::nullopt; }, /*max_body_bytes=*/1 << 20);
  }

  void Put(const Labels& labels, int64_t timestamp_ms, double value) {
    const auto appender = db_->NewAppender();
    ASSERT_TRUE(appender->Add(labels, timestamp_ms, value).ok());
    ASSERT_TRUE(appender->Commit().ok());
  }
  // requests_total of three series and temperature of one, at the last whole minute.
  void Fill() {
    Put(Labels::Of("requests_total", {{"job", "a"}, {"path", "/"}}), kNow - 30'500, 1);
    Put(Labels::Of("requests_total", {{"job", "a"}, {"path", "/x"}}), kNow - 30'500, 2.5);
    Put(Labels::Of("requests_total", {{"job", "b"}, {"path", "/"}}), kNow - 30'500, NAN);
    Put(Labels::Of("temperature", {{"room", "attic"}}), kNow - 30'500, 21.5);
  }

  HttpResponse Send(HttpRequest request) {
    request.headers.emplace_back("Host", "localhost:8080");
    return app_(request);
  }
  HttpResponse Get(std::string_view target) {
    const size_t question = target.find('?');
    HttpRequest request;
    request.method = "GET";
    request.path = std::string(target.substr(0, question));
    if (question != std::string_view::npos) {
      request.query = std::string(target.substr(question + 1));
    }
    return Send(std::move(request));
  }
  HttpResponse Api(std::string_view target) { return Get(StrCat("/api/v1/", target)); }
  HttpResponse Post(std::string_view path, std::string body, std::string_view type = kForm) {
    HttpRequest request;
    request.method = "POST";
    request.path = std::string(path);
    request.headers = {{"Content-Type", std::string(type)}};
    request.body = std::move(body);
    return Send(std::move(request));
  }

  void ExpectData(std::string_view target, std::string_view data) {
    const HttpResponse answer = Api(target);
    EXPECT_EQ(answer.status, 200) << target;
    EXPECT_EQ(answer.Header("Content-Type"), "application/json");
    EXPECT_EQ(answer.body, StrCat("{\"status\":\"success\",\"data\":", data, "}")) << target;
  }
  void ExpectError(std::string_view target, int status, std::string_view type,
                   std::string_view error) {
    const HttpResponse answer = Api(target);
    EXPECT_EQ(answer.status, status) << target;
    EXPECT_EQ(answer.body, StrCat("{\"status\":\"error\",\"errorType\":\"", type, "\",\"error\":\"",
                                  error, "\"}"))
        << target;
  }

  TickingClock ticking_{kNow};
  ManualClock clock_;
  std::unique_ptr<Db> db_;
  HandlerContext context_;
  HttpCounters counters_;
  Handler app_;
};

// --- queries

TEST_F(PrometheusApiTest, MistakesAreSaidInPrometheusWords) {
  const std::string bad = "bad_data";
  const std::string no_time = R"(cannot parse \"x\" to a valid timestamp)";
  const struct {
    std::string_view target;
    std::string error;
  } kCases[] = {
      {"query", R"(invalid parameter \"query\": 1:1: parse error: no expression found in input)"},
      {"query?query=sum(",
       R"(invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis)"},
      {"query?query=1&time=x",
       R"(invalid parameter \"time\": Invalid time value for 'time': )" + no_time},
      {"query?query=1&timeout=x",
       R"(invalid parameter \"timeout\": cannot parse \"x\" to a valid duration)"},
      {"query?query=rate(nope)",
       R"(invalid parameter \"query\": 1:6: parse error: expected type range vector in call to )"
       R"(function \"rate\", got instant vector)"},
      {"query_range?query=1",
       R"(invalid parameter \"start\": cannot parse \"\" to a valid timestamp)"},
      {"query_range?query=1&start=0&end=10",
       R"(invalid parameter \"step\": cannot parse \"\" to a valid duration)"},
      {"query_range?query=1&start=10&end=0&step=5",
       R"(invalid parameter \"end\": end timestamp must not be before start time)"},
      {"query_range?query=1&start=0&end=10&step=0",
       R"(invalid parameter \"step\": zero or negative query resolution step widths are not )"
       R"(accepted. Try a positive integer)"},
      {"query_range?query=1&start=0&end=10&step=NaN",
       R"(invalid parameter \"step\": zero or negative query resolution step widths are not )"
       R"(accepted. Try a positive integer)"},
      {"query_range?query=1&start=0&end=10&step=1e30",
       R"(invalid parameter \"step\": cannot parse \"1e30\" to a valid duration. It overflows )"
       R"(int64)"},
      {"query_range?query=1&start=0&end=11001&step=1",
       "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
       "resolution (?step=XX)"},
      {"query_range?query=nope[5m]&start=0&end=10&step=5",
       R"(invalid expression type \"range vector\" for range query, must be Scalar or instant )"
       R"(Vector)"},
      {"query_range?query=%22a%22&start=0&end=10&step=5",
       R"(invalid expression type \"string\" for range query, must be Scalar or instant Vector)"},
      {"query_range?query=sum(&start=0&end=10&step=5",
       "1:5: parse error: unclosed left parenthesis"},
      {"query_range?query=1&start=10&end=310&step=0.0001",
       "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
       "resolution (?step=XX)"},
      {"query?query=%22a%ffb%22",
       R"(invalid parameter \"query\": 1:1: parse error: invalid UTF-8 rune)"},
      {"series", "no match[] parameter provided"},
      {"series?match[]=up&match[]={}",
       R"(invalid parameter \"match[]\": match[] must contain at least one non-empty matcher)"},
      {"labels?match[]={a=%22%22}", "match[] must contain at least one non-empty matcher"},
      {"series?match[]=up{",
       R"(invalid parameter \"match[]\": 1:4: parse error: unexpected end of input inside braces)"},
      {"series?match[]=up&start=x",
       R"(invalid parameter \"start\": Invalid time value for 'start': )" + no_time},
      {"labels?match[]=up{", "1:4: parse error: unexpected end of input inside braces"},
      {"label/0a/values", R"(invalid label name: \"0a\")"},
      {"label/a-b/values", R"(invalid label name: \"a-b\")"},
      {"label/a/values?start=x",
       R"(invalid parameter \"start\": Invalid time value for 'start': )" + no_time},
      {"metadata?limit=x", "limit must be a number"},
      {"query_exemplars", "1:1: parse error: no expression found in input"},
      {"query_exemplars?query=up&start=2&end=1",
       "end timestamp must not be before start timestamp"},
      {"rules?type=x", R"(invalid parameter \"type\": not supported value \"x\")"},
      {"format_query?query=sum(",
       R"(invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis)"},
      {"query?query=1&limit=-1", R"(invalid parameter \"limit\": limit must be non-negative)"},
  };
  for (const auto& [target, error] : kCases) ExpectError(target, 400, bad, error);
  // A step that no time can take: there an error of Go's, a division by zero.
  ExpectError("query_range?query=1&start=0&end=0.01&step=0.0009", 422, "execution",
              "query resolution step widths below 1ms are not accepted");
  EXPECT_EQ(Api("nope").status, 404);
}

TEST_F(PrometheusApiTest, WrongMethodsSayWhichAreRight) {
  const auto send = [this](std::string_view method, std::string_view path) {
    HttpRequest request;
    request.method = std::string(method);
    request.path = std::string(path);
    return Send(std::move(request));
  };
  const struct {
    std::string_view method;
    std::string_view path;
    std::string_view allowed;
  } kCases[] = {{"PUT", "/api/v1/query", "GET, OPTIONS, POST"},
                {"DELETE", "/prometheus/api/v1/series", "GET, OPTIONS, POST"},
                {"POST", "/api/v1/label/job/values", "GET, OPTIONS"},
                {"GET", "/api/v1/write", "OPTIONS, POST"},
                {"GET", "/api/v1/admin/tsdb/snapshot", "OPTIONS, POST, PUT"}};
  for (const auto& [method, path, allowed] : kCases) {
    const HttpResponse answer = send(method, path);
    EXPECT_EQ(answer.status, 405) << path;
    EXPECT_EQ(answer.Header("Allow"), allowed) << path;
    EXPECT_EQ(answer.body, "Method Not Allowed\n");
  }
  EXPECT_EQ(send("OPTIONS", "/api/v1/query").status, 204);
  EXPECT_EQ(send("OPTIONS", "/api/v1/nothing").status, 204);
  EXPECT_EQ(send("DELETE", "/api/v1/nothing").status, 404);
  // Prometheus refuses HEAD; what answers GET may be asked with HEAD, says HTTP, so we do.
  EXPECT_EQ(send("HEAD", "/api/v1/labels").status, 200);
}

TEST_F(PrometheusApiTest, PathsThatAreNotCleanAreMoved) {
  for (const auto& [path, clean] : std::vector<std::pair<std::string_view, std::string_view>>{
           {"//api/v1/labels?a=b", "/api/v1/labels?a=b"},
           {"/api/v1//labels", "/api/v1/labels"},
           {"/api/./v1/labels?match[]=x%2F%2Fy", "/api/v1/labels?match[]=x%2F%2Fy"},
           {"/api/v1/../../../x//", "/x/"},
           {"/..", "/"},
           {"/api/v1/label//values", "/api/v1/label/values"}}) {
    const HttpResponse answer = Get(path);
    EXPECT_EQ(answer.status, 301) << path;
    EXPECT_EQ(answer.Header("Location"), clean) << path;
  }
  EXPECT_EQ(Get("/api/v1/label/values").status, 404);
  EXPECT_EQ(Get("/.well-known/x").status, 404);
}

TEST_F(PrometheusApiTest, ExemplarsNeedASelector) {
  for (const std::string_view none : {"1", "time()", "vector(1)", "%22up%22", "%22%5C%22type%22"}) {
    const HttpResponse answer = Api(StrCat("query_exemplars?query=", none));
    EXPECT_EQ(answer.status, 204) << none;
    EXPECT_EQ(answer.body, "");
  }
  for (const std::string_view some : {"up", "rate(up[5m])", "1%2Bsum(up)", "up[5m:1m]"}) {
    ExpectData(StrCat("query_exemplars?query=", some), "[]");
  }
}

TEST_F(PrometheusApiTest, NothingIsListedWhereThereIsNoData) {
  Fill();
  for (const std::string_view list :
       {"series?match[]=temperature", "labels?", "label/job/values?"}) {
    for (const int64_t end : {kNowS - 31, int64_t{0}}) {
      ExpectData(StrCat(list, "&start=-5&end=", end), "[]");
    }
    ExpectData(StrCat(list, "&start=", kNowS - 29), "[]");
    EXPECT_NE(Api(StrCat(list, "&start=", kNowS - 30, "&end=", kNowS)).body.find("a"),
              std::string::npos);
  }
  ExpectData(StrCat("series?match[]=temperature&start=", kNowS - 30, "&end=", kNowS - 30),
             R"([{"__name__":"temperature","room":"attic"}])");
}

TEST_F(PrometheusApiTest, EmptyAnswersHaveTheirShapes) {
  ExpectData("query?query=nope", R"({"resultType":"vector","result":[]})");
  ExpectData("query?query=nope[5m]", R"({"resultType":"matrix","result":[]})");
  ExpectData("query_range?query=nope&start=0&end=10&step=5",
             R"({"resultType":"matrix","result":[]})");
  for (const std::string_view list :
       {"series?match[]=up", "labels", "label/__name__/values", "label/nope/values",
        "query_exemplars?query=up", "targets/metadata", "series?match[]=up&start=5&end=1"}) {
    ExpectData(list, "[]");
  }
  ExpectData("metadata", "{}");
  ExpectData("rules", R"({"groups":[]})");
  ExpectData("alerts", R"({"alerts":[]})");
  ExpectData("targets", R"({"activeTargets":[],"droppedTargets":[]})");
  ExpectData("scrape_pools", R"({"scrapePools":[]})");
  ExpectData("alertmanagers", R"({"activeAlertmanagers":[],"droppedAlertmanagers":[]})");
  ExpectData("status/walreplay", R"({"min":0,"max":0,"current":0})");
  ExpectData("status/config", R"({"yaml":""})");
  ExpectData("status/tsdb", R"({"headStats":{"numSeries":0,"numLabelPairs":0,"chunkCount":0,)"
                            R"("minTime":9223372036854775807,"maxTime":-9223372036854775808},)"
                            R"("seriesCountByMetricName":[],"labelValueCountByLabelName":[],)"
                            R"("memoryInBytesByLabelName":[],"seriesCountByLabelValuePair":[]})");
}

TEST_F(PrometheusApiTest, InstantQueriesAnswerEachType) {
  Fill();
  ExpectData("query?query=1", StrCat(R"({"resultType":"scalar","result":[)", kNowS, R"(.5,"1"]})"));
  ExpectData("query?query=%22%3Ca%3E%22&time=1.5",
             R"({"resultType":"string","result":[1.5,"\u003ca\u003e"]})");
  ExpectData("query?query=requests_total",
             StrCat(R"({"resultType":"vector","result":[)",
                    R"({"metric":{"__name__":"requests_total","job":"a","path":"/"},"value":[)",
                    kNowS, R"(.500,"1"]},)",
                    R"({"metric":{"__name__":"requests_total","job":"a","path":"/x"},"value":[)",
                    kNowS, R"(.500,"2.5"]},)",
                    R"({"metric":{"__name__":"requests_total","job":"b","path":"/"},"value":[)",
                    kNowS, R"(.500,"NaN"]}]})"));
  ExpectData("query?query=temperature[1m]",
             StrCat(R"({"resultType":"matrix","result":[)",
                    R"({"metric":{"__name__":"temperature","room":"attic"},"values":[[)",
                    kNowS - 30, R"(,"21.5"]]}]})"));
}

TEST_F(PrometheusApiTest, AnswersGiveTheirMemoryBack) {
  Fill();
  for (const std::string_view query : {"requests_total", "requests_total[1m]", "nope%2B1"}) {
    EXPECT_EQ(Api(StrCat("query?query=", query)).status, 200);
    EXPECT_EQ(Get(StrCat("/v1/query/instant?query=", query)).status, 200);
  }
  context_.max_promql_answer_bytes = 100;
  EXPECT_EQ(Api("query?query=requests_total").status, 422);
  EXPECT_EQ(db_->Stats().memory.query_bytes, 0u);
}

TEST_F(PrometheusApiTest, RangeQueriesAnswerAMatrix) {
  ExpectData("query_range?query=1&start=0&end=10&step=5",
             R"({"resultType":"matrix","result":[{"metric":{},)"
             R"("values":[[0,"1"],[5,"1"],[10,"1"]]}]})");
  ExpectData("query_range?query=1&start=0&end=1&step=500ms",
             R"({"resultType":"matrix","result":[{"metric":{},)"
             R"("values":[[0,"1"],[0.500,"1"],[1,"1"]]}]})");
  ExpectData("query_range?query=1&start=1970-01-01T00:00:00Z&end=1e1&step=1y",
             R"({"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"]]}]})");
  EXPECT_EQ(Api("query_range?query=1&start=0&end=11000&step=1").status, 200);
}

TEST_F(PrometheusApiTest, TimesAreReadAsPrometheusReadsThem) {
  for (const auto& [time, seconds] : std::vector<std::pair<std::string, std::string>>{
           {"1.5", "1.5"},
           {"1.0005", "1"},
           {"0.057", "0.057"},
           {"1e3", "1000"},
           {"-1.5", "-1.5"},
           {"%2B2", "2"},
           {"2026-01-01T00:00:00Z", "1767225600"},
           {"2026-01-01T00:00:00.25%2B01:00", "1767222000.25"},
           {"-62135596800", "-62135596800"},  // no time at all, for clients in Go
           {"1_000", "1000"},
           {"0x1p4", "16"},
           {"1e-400", "0"},
           {"2026-01-01T00:00:00,25Z", "1767225600.25"},
           {"2026-01-01T1:00:00Z", "1767229200"},
           // Further than any clock, and no numbers: the ends of time.
           {"1e30", "10000000000000"},
           {"-1e30", "-10000000000000"},
           {"Inf", "10000000000000"},
           {"-inf", "-10000000000000"},
           {"NaN", "-10000000000000"},
           {"292277025-08-18T07:12:54.999999999Z", "10000000000000"},
           {"-292273086-05-16T16:47:06Z", "-10000000000000"}}) {
    ExpectData(StrCat("query?query=1&time=", time),
               StrCat(R"({"resultType":"scalar","result":[)", seconds, R"(,"1"]})"));
  }
  for (const std::string_view time :
       {"1e400", "2026-01-01", "2026-01-01t00:00:00Z", "2026-01-01T00:00:00z", "1s", "1.5.5",
        "0x10", "1__0", "%2B-5"}) {
    EXPECT_EQ(Api(StrCat("query?query=1&time=", time)).status, 400) << time;
  }
}

TEST_F(PrometheusApiTest, FormsAndUrlsAreReadTogetherAndFormsWin) {
  const std::string three =
      R"({"status":"success","data":{"resultType":"scalar","result":[3,"1"]}})";
  EXPECT_EQ(Post("/api/v1/query", "query=1&time=3").body, three);
  EXPECT_EQ(
      Post("/api/v1/query", "query=1&time=3", "Application/X-WWW-Form-Urlencoded; charset=utf-8")
          .body,
      three);
  HttpRequest both;
  both.method = "POST";
  both.path = "/api/v1/query";
  both.query = "query=2&time=3";
  both.body = "query=1";
  both.headers = {{"Content-Type", std::string(kForm)}};
  EXPECT_EQ(Send(both).body, three);
  EXPECT_EQ(Post("/api/v1/query", "query=1&time=3", "text/plain").status, 400);
  EXPECT_EQ(Post("/api/v1/query_range", "query=1&start=0&end=1&step=1").status, 200);
  for (const std::string_view path : {"series", "labels"}) {
    EXPECT_EQ(Post(StrCat("/api/v1/", path), "match[]=up").body,
              R"({"status":"success","data":[]})");
  }
  EXPECT_EQ(Get("/prometheus/api/v1/query?query=1&time=3").body, three);
  EXPECT_EQ(Get("/prometheus/-/ready").status, 200);
  EXPECT_EQ(Get("/prometheusapi/v1/query?query=1").status, 404);
}

TEST_F(PrometheusApiTest, FormsOfForeignPagesAreRefused) {
  HttpRequest request;
  request.method = "POST";
  request.path = "/api/v1/query";
  request.headers = {{"Content-Type", std::string(kForm)}, {"Origin", "http://evil.example"}};
  request.body = "query=1";
  EXPECT_EQ(Send(request).status, 403);
}

TEST_F(PrometheusApiTest, LimitStatsAndLookbackAreHeeded) {
  Fill();
  const std::string limited = Api("query?query=requests_total&limit=1").body;
  EXPECT_NE(limited.find(R"(,"warnings":["results truncated due to limit"]})"), std::string::npos)
      << limited;
  EXPECT_EQ(limited.find(R"("path":"/x")"), std::string::npos);
  EXPECT_EQ(Api("query?query=requests_total&limit=3").body.find("warnings"), std::string::npos);
  EXPECT_NE(Api("query?query=requests_total&stats=all").body.find(R"("totalQueryableSamples":3,)"),
            std::string::npos);
  EXPECT_EQ(Api("query?query=temperature&lookback_delta=30s").body,
            R"({"status":"success","data":{"resultType":"vector","result":[]}})");
  EXPECT_NE(Api("query?query=temperature&lookback_delta=31").body.find("21.5"), std::string::npos);
  ExpectError("query?query=1&lookback_delta=x", 400, "bad_data",
              R"(error parsing lookback delta duration: cannot parse \"x\" to a valid duration)");
  for (const std::string_view resolution : {"0s", "5m", "1h", "auto", "300"}) {
    EXPECT_EQ(Api(StrCat("query?query=1&max_source_resolution=", resolution)).status, 200);
  }
  EXPECT_EQ(Api("query?query=1&max_source_resolution=x").status, 400);
}

TEST_F(PrometheusApiTest, WhatCannotBeExecutedIs422) {
  Fill();
  const HttpResponse answer = Api("query?query=requests_total%20%2B%20on(job)%20requests_total");
  EXPECT_EQ(answer.status, 422);
  EXPECT_TRUE(answer.body.starts_with(
      R"({"status":"error","errorType":"execution","error":"found duplicate series for the)"))
      << answer.body;
}

TEST_F(PrometheusApiTest, QueriesEndInTime) {
  Fill();
  context_.clock = &ticking_;
  ExpectError("query?query=requests_total&timeout=3", 503, "timeout",
              "query timed out in expression evaluation");
  ExpectError("query?query=requests_total&timeout=0", 503, "timeout",
              "query timed out in query queue");
  HttpRequest waited;
  waited.method = "GET";
  waited.path = "/api/v1/query";
  waited.query = "query=1";
  waited.received_ns = 1;
  context_.clock = &clock_;
  EXPECT_NE(Send(waited).body.find("query timed out in query queue"), std::string::npos);
}

TEST_F(PrometheusApiTest, WorkStopsWhenTheClientIsGone) {
  HttpRequest request;
  request.method = "GET";
  request.path = "/api/v1/query";
  request.query = "query=1";
  request.abandoned = std::make_shared<std::atomic<bool>>(true);
  const HttpResponse answer = Send(request);
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.body,
            R"({"status":"error","errorType":"canceled","error":"query was canceled in query)"
            R"( queue"})");
}

TEST_F(PrometheusApiTest, TooManyOrTooLargeIsRefused) {
  Fill();
  context_.clock = &ticking_;
  context_.promql_max_concurrency = 0;
  ExpectError("query?query=1&timeout=3s", 503, "timeout", "query timed out in query queue");
  context_.clock = &clock_;
  context_.promql_max_concurrency = 20;

  context_.max_promql_answer_bytes = 150;
  ExpectError("query?query=requests_total", 422, "execution", "answer is larger than 150 bytes");
  EXPECT_EQ(Api("series?match[]=requests_total").status, 422);
  context_.max_promql_answer_bytes = 1 << 20;
  ByteBudget budget(100);
  context_.response_bytes = &budget;
  // Of all answers, and there is no other.
  EXPECT_EQ(Api("query?query=requests_total").status, 422);
  EXPECT_EQ(budget.used(), 0u);
  context_.response_bytes = nullptr;

  context_.promql_max_samples = 2;
  const HttpResponse samples = Api("query?query=requests_total");
  EXPECT_EQ(samples.status, 422);
  EXPECT_NE(samples.body.find(R"("errorType":"execution")"), std::string::npos);
}

TEST_F(PrometheusApiTest, LargeAnswersAreCompressed) {
  HttpRequest request;
  request.method = "GET";
  request.path = "/api/v1/query_range";
  request.query = "query=1&start=0&end=11000&step=1";
  const std::string plain = Send(request).body;
  request.headers = {{"Accept-Encoding", "gzip"}};
  const HttpResponse packed = Send(request);
  EXPECT_EQ(packed.Header("Content-Encoding"), "gzip");
  EXPECT_LT(packed.body.size(), plain.size() / 2);
  EXPECT_EQ(*Gunzip(packed.body, 1 << 20), plain);
}

// --- what there is

TEST_F(PrometheusApiTest, SeriesLabelsAndValuesAreListed) {
  Fill();
  Put(Labels::Of("odd", {{"room", "\"\\\n\xE2\x82\xAC"}}), kNow - 60'000, 1);
  ExpectData("series?match[]={job=%22b%22}&match[]=temperature&match[]={path=%22/%22}",
             R"([{"__name__":"requests_total","job":"a","path":"/"},)"
             R"({"__name__":"requests_total","job":"b","path":"/"},)"
             R"({"__name__":"temperature","room":"attic"}])");
  ExpectData("labels", R"(["__name__","job","path","room"])");
  ExpectData("labels?match[]=temperature", R"(["__name__","room"])");
  ExpectData("label/__name__/values", R"(["odd","requests_total","temperature"])");
  ExpectData("label/room/values", "[\"\\\"\\\\\\n\xE2\x82\xAC\",\"attic\"]");
  ExpectData("label/path/values?match[]={job=%22a%22}&match[]={job=%22b%22}", R"(["/","/x"])");
  ExpectData(
      "label/room/values?start=-292273086-05-16T16:47:06Z&"
      "end=292277025-08-18T07:12:54.999999999Z&match[]=temperature",
      R"(["attic"])");
  EXPECT_EQ(Api("labels?limit=2").body, R"({"status":"success","data":["__name__","job"],)"
                                        R"("warnings":["results truncated due to limit"]})");
  EXPECT_EQ(Api("series?match[]=requests_total&limit=1").body,
            R"({"status":"success","data":[{"__name__":"requests_total","job":"a","path":"/"}],)"
            R"("warnings":["results truncated due to limit"]})");
  ExpectData("labels?limit=4", R"(["__name__","job","path","room"])");
}

TEST_F(PrometheusApiTest, MetadataIsWhatWasStored) {
  const auto appender = db_->NewAppender();
  ASSERT_TRUE(appender->Add(Labels::Of("a_total"), kNow, 1).ok());
  ASSERT_TRUE(appender->SetMetadata("a_total", {"counter", "Some \"help\".", ""}).ok());
  for (const std::string_view part : {"h_bucket", "h_but_other", "h_count", "h_sum"}) {
    ASSERT_TRUE(appender->Add(Labels::Of(part), kNow, 1).ok());
  }
  ASSERT_TRUE(appender->SetMetadata("h", {"histogram", "", "seconds"}).ok());
  ASSERT_TRUE(appender->Commit().ok());
  const std::string a = R"("a_total":[{"type":"counter","help":"Some \"help\".","unit":""}])";
  const std::string h = R"("h":[{"type":"histogram","help":"","unit":"seconds"}])";
  ExpectData("metadata", StrCat("{", a, ",", h, "}"));
  ExpectData("metadata?limit=1", StrCat("{", a, "}"));
  ExpectData("metadata?limit=0", "{}");
  ExpectData("metadata?limit=-1", StrCat("{", a, ",", h, "}"));
  ExpectData("metadata?metric=h", StrCat("{", h, "}"));
  ExpectData("metadata?metric=nope", "{}");
}

TEST_F(PrometheusApiTest, StatusCountsLabels) {
  Fill();
  const std::string status = Api("status/tsdb").body;
  EXPECT_NE(status.find(R"("numSeries":4,"numLabelPairs":7,)"), std::string::npos) << status;
  EXPECT_NE(status.find(R"("seriesCountByMetricName":[{"name":"requests_total","value":3},)"
                        R"({"name":"temperature","value":1}])"),
            std::string::npos)
      << status;
  EXPECT_NE(status.find(R"("labelValueCountByLabelName":[{"name":"__name__","value":2},)"
                        R"({"name":"job","value":2},{"name":"path","value":2},)"
                        R"({"name":"room","value":1}])"),
            std::string::npos)
      << status;
  EXPECT_NE(status.find(R"("seriesCountByLabelValuePair":[)"
                        R"({"name":"__name__=requests_total","value":3},)"
                        R"({"name":"job=a","value":2},{"name":"path=/","value":2},)"),
            std::string::npos)
      << status;
  EXPECT_NE(Api("status/buildinfo").body.find(R"("version":"2.42.0)"), std::string::npos);
  EXPECT_NE(Api("status/flags").body.find(R"("query.timeout":"2m")"), std::string::npos);
  EXPECT_NE(Api("status/runtimeinfo").body.find(R"("startTime":"2025-11-17T23:59:59.5Z")"),
            std::string::npos);
}

// --- expressions

TEST_F(PrometheusApiTest, ExpressionsAreFormattedAndTakenApart) {
  ExpectData("format_query?query=foo/bar", R"("foo / bar")");
  ExpectData("parse_query?query=sum%20by(a)(rate(x{b!=%22c%22}[5m]%20offset%201m))",
             R"({"type":"aggregation","op":"sum","expr":{"type":"call","func":{"name":"rate",)"
             R"("argTypes":["matrix"],"variadic":0,"returnType":"vector"},"args":[)"
             R"({"type":"matrixSelector","range":300000,"name":"x","matchers":[)"
             R"({"name":"b","value":"c","type":"!="},{"name":"__name__","value":"x","type":"="}],)"
             R"("offset":60000,"timestamp":null,"startOrEnd":null}]},"param":null,)"
             R"("grouping":["a"],"without":false})");
  const std::string tree =
      Api("parse_query?query=-x@end()*on(a)group_left(b)max_over_time((y)[1h:5m]@1.5)").body;
  for (const std::string_view part :
       {R"({"type":"unaryExpr","op":"-","expr":{"type":"vectorSelector","name":"x",)",
        R"("timestamp":null,"startOrEnd":"end"})",
        R"("bool":false,"matching":{"card":"many-to-one","labels":["a"],"on":true,)"
        R"("include":["b"]})",
        R"({"type":"subquery","expr":{"type":"parenExpr","expr":{"type":"vectorSelector")",
        R"("range":3600000,"step":300000,"offset":0,"timestamp":1500,"startOrEnd":null})"}) {
    EXPECT_NE(tree.find(part), std::string::npos) << part << " in " << tree;
  }
}

// --- the original's routes

TEST_F(PrometheusApiTest, TheOriginalsInstantRouteHasBothKeys) {
  Fill();
  EXPECT_EQ(Get("/v1/query/instant?query=temperature").body,
            StrCat(R"({"status":"success","data":{"resultType":"vector","result":[)",
                   R"({"metric":{"__name__":"temperature","room":"attic"},"value":[)", kNowS,
                   R"(.500,"21.5"],"values":[[)", kNowS,
                   R"(.500,"21.5"]]}]},"query":"temperature"})", "\n"));
  EXPECT_EQ(Post("/v1/query/instant", "query=temperature").status, 200);
  const HttpResponse missing = Get("/v1/query/instant");
  EXPECT_EQ(missing.status, 400);
  EXPECT_EQ(missing.body,
            "{\"error\":\"Bad Request\",\"message\":\"query parameter is required\"}\n");
  EXPECT_NE(Get("/v1/query/instant?query=sum(").body.find("query parse error: 1:5: "),
            std::string::npos);
}

TEST_F(PrometheusApiTest, TheOriginalsExecuteRouteTakesJson) {
  const auto execute = [this](std::string body) {
    return Post("/v1/query/execute", std::move(body), "application/json");
  };
  EXPECT_EQ(
      execute(R"({"Query":"1","start":"1970-01-01T00:00:00Z","end":30,"step":"15s"} trailing)")
          .body,
      "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},"
      "\"values\":[[0,\"1\"],[15,\"1\"],[30,\"1\"]]}]},\"query\":\"1\"}\n");
  Fill();
  EXPECT_NE(execute(R"({"query":"temperature"})").body.find("\"21.5\""), std::string::npos);
  const auto expect_refused = [&](std::string body, std::string_view message) {
    const HttpResponse answer = execute(std::move(body));
    EXPECT_EQ(answer.status, 400) << answer.body;
    EXPECT_NE(answer.body.find(message), std::string::npos) << answer.body;
  };
  expect_refused("", "invalid JSON: ");
  expect_refused("[1]", "invalid JSON: ");
  expect_refused(std::string(100'000, '['), "invalid JSON: ");
  expect_refused("{}", "query parameter is required");
  expect_refused(R"({"query":"1","step":"x"})", "invalid step duration: ");
  expect_refused(R"({"query":"sum("})", "query parse error: ");
  expect_refused(R"({"query":"1","start":"10","end":"5"})", "must not be before");
}

}  // namespace
}  // namespace tinyobs::serve
