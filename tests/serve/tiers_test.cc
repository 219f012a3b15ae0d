// Goal: what ages stays visible: each resolution answers, says so, and the seams do not show.
// Method: the whole app over a real database in memory, on a clock moved by hand, without threads.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/strings.h"
#include "tinyobs/db.h"
#include "tools/serve/app.h"

namespace tinyobs::serve {
namespace {

constexpr int64_t kNow = 1'763'424'000'000;  // 2025-11-18T00:00:00Z
constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kDayMs = 24 * kHourMs;

class TiersTest : public testing::Test {
 protected:
  void Open(Options options = {}) {
    options.in_memory = true;
    options.background_threads = false;
    options.clock = &clock_;
    options.downsampling = true;
    auto db = Db::Open("db", options);
    ASSERT_TRUE(db.ok()) << db.status();
    db_ = *std::move(db);
    context_.db = db_.get();
    context_.clock = &clock_;
    context_.start_ms = kNow;
    context_.max_storage_bytes = options.max_storage_bytes;
    app_ = MakeApp(
        &context_, &counters_, AccessPolicy("127.0.0.1", 8080),
        [](std::string_view) { return std::nullopt; }, /*max_body_bytes=*/1 << 20);
  }

  HttpResponse Send(std::string_view method, std::string_view target, std::string body = "") {
    const size_t question = target.find('?');
    HttpRequest request{.method = std::string(method),
                        .path = std::string(target.substr(0, question)),
                        .query = "",
                        .headers = {{"Host", "localhost:8080"}},
                        .body = std::move(body)};
    if (question != std::string_view::npos)
      request.query = std::string(target.substr(question + 1));
    return app_(request);
  }
  std::string Get(std::string_view target) {
    const HttpResponse response = Send("GET", target);
    EXPECT_EQ(response.status, 200) << target << ": " << response.body;
    return response.body;
  }
  // /v1/query/range of `metric` in [from, to), seconds.
  std::string Range(std::string_view metric, int64_t from_ms, int64_t end_ms,
                    std::string_view more = "") {
    return Get(StrCat("/v1/query/range?metric=", metric, "&start=", from_ms / 1000,
                      "&end=", (end_ms - 1) / 1000, more));
  }

  // One sample every 15 s in [from, end): a gauge that is 1, 2, 3, 4 by turns, and a counter that
  // grows by 1 and restarts each day.
  void Fill(int64_t from_ms, int64_t end_ms) {
    const auto appender = db_->NewAppender();
    MetricMetadata counter;
    counter.type = "counter";
    ASSERT_TRUE(appender->SetMetadata("c", counter).ok());
    for (int64_t at_ms = from_ms; at_ms < end_ms; at_ms += 15'000) {
      const int64_t step = at_ms / 15'000;
      ASSERT_TRUE(appender->Add(Labels::Of("g"), at_ms, static_cast<double>(1 + step % 4)).ok());
      ASSERT_TRUE(appender->Add(Labels::Of("c"), at_ms, static_cast<double>(step % 5760)).ok());
    }
    const absl::Status stored = appender->Commit();
    ASSERT_TRUE(stored.ok()) << stored;
  }
  void Downsample() {
    const HttpResponse done = Send("POST", "/v1/admin/downsample");
    ASSERT_EQ(done.status, 200) << done.body;
  }
  void RunBackgroundWork() {
    for (int i = 0; i < 100'000; ++i) {
      const auto more = db_->RunBackgroundWork();
      ASSERT_TRUE(more.ok()) << more.status();
      if (!*more) return;
    }
    FAIL() << "there is always more to do";
  }

  ManualClock clock_{kNow};
  std::unique_ptr<Db> db_;
  HandlerContext context_;
  HttpCounters counters_;
  Handler app_;
};

size_t CountOf(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

bool Has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

TEST_F(TiersTest, EachResolutionAnswersAndSaysSo) {
  Open();
  Fill(kNow - 2 * kDayMs, kNow);
  Downsample();
  const std::string raw = Range("g", kNow - kHourMs, kNow, "&maxPoints=5000");
  EXPECT_EQ(CountOf(raw, "{\"t\":"), 240u);
  EXPECT_TRUE(Has(raw, "\"resolution\":\"raw\""));
  const std::string minutes = Range("g", kNow - kDayMs, kNow, "&resolution=5m");
  EXPECT_EQ(CountOf(minutes, "{\"t\":"), 288u);
  EXPECT_TRUE(Has(minutes, "\"resolution\":\"5m\""));
  EXPECT_TRUE(Has(minutes, StrCat("{\"t\":", kNow - kDayMs, ",\"v\":2.5}")));
  const std::string hours = Range("g", kNow - 2 * kDayMs, kNow, "&resolution=1h");
  EXPECT_EQ(CountOf(hours, "{\"t\":"), 48u);
  EXPECT_TRUE(Has(hours, "\"resolution\":\"1h\""));
  EXPECT_FALSE(Has(hours, "warnings"));
  // Without being told: 2 days at 100 points are 29 minutes each.
  EXPECT_TRUE(Has(Range("g", kNow - 2 * kDayMs, kNow, "&maxPoints=100"), "\"resolution\":\"5m\""));
}

TEST_F(TiersTest, EveryAggregateOfAnHour) {
  Open();
  Fill(kNow - kDayMs, kNow);
  Downsample();
  const auto hour = [&](std::string_view metric, std::string_view agg) {
    return Range(metric, kNow - kHourMs, kNow, StrCat("&resolution=1h&maxPoints=1&agg=", agg));
  };
  const auto point = [](double value) {
    return StrCat("\"points\":[{\"t\":", kNow - kHourMs, ",\"v\":", value, "}]");
  };
  EXPECT_TRUE(Has(hour("g", "avg"), point(2.5)));
  EXPECT_TRUE(Has(hour("g", "mean"), point(2.5)));
  EXPECT_TRUE(Has(hour("g", "sum"), point(600)));
  EXPECT_TRUE(Has(hour("g", "count"), point(240)));
  EXPECT_TRUE(Has(hour("g", "min"), point(1)));
  EXPECT_TRUE(Has(hour("g", "max"), point(4)));
  // A counter is its last value, at its own time, whether asked for or not.
  const std::string last = StrCat("\"points\":[{\"t\":", kNow - 15'000, ",\"v\":5759}]");
  EXPECT_TRUE(Has(hour("c", "last"), last)) << hour("c", "last");
  EXPECT_EQ(hour("c", ""), hour("c", "last"));
  EXPECT_TRUE(Has(hour("c", "min"), point(5520)));
}

TEST_F(TiersTest, TheLastHoursHaveTheStepOfTheRest) {
  Open();
  Fill(kNow - kDayMs, kNow);
  clock_.AdvanceMs(kHourMs);
  Fill(kNow, kNow + kHourMs);  // of a partition that is not over: there are no windows of it
  Downsample();
  const std::string body = Range("g", kNow - kDayMs, kNow + kHourMs, "&resolution=5m");
  EXPECT_EQ(CountOf(body, "{\"t\":"), 300u);
  EXPECT_EQ(CountOf(body, ",\"v\":2.5}"), 300u);
  // Who asks for samples gets them.
  EXPECT_EQ(CountOf(Range("g", kNow, kNow + kHourMs, "&resolution=raw"), "{\"t\":"), 240u);
}

TEST_F(TiersTest, AShortRangeOfTheHoursIsDrawnWithAWarning) {
  Open();
  Fill(kNow - kDayMs, kNow);
  Downsample();
  const int64_t from_ms = kNow - kHourMs + 600'000;
  const std::string body = Range("g", from_ms, from_ms + 600'001, "&resolution=1h");
  EXPECT_TRUE(Has(body, StrCat("\"points\":[{\"t\":", from_ms, ",\"v\":2.5}]"))) << body;
  EXPECT_TRUE(Has(body, "\"warnings\":[\"the range of 10m is shorter than a window")) << body;
}

TEST_F(TiersTest, QueryShowsWindowsAsTheOriginalDid) {
  Open();
  Fill(kNow - kDayMs, kNow);
  Downsample();
  const std::string body =
      Get("/v1/query?metric=c&resolution=1h&start=2025-11-17T22:00:00Z"
          "&end=2025-11-17T23:59:59Z");
  EXPECT_TRUE(Has(body, R"({"metrics":[{"name":"c","type":"gauge","value":5399.5,"labels":{)"
                        R"("__resolution__":"1h","__sum__":"1295880","__count__":"240",)"
                        R"("__min__":"5280","__max__":"5519"},)"
                        R"("timestamp":"2025-11-17T22:00:00Z"},)"))
      << body;
  EXPECT_TRUE(body.ends_with("\"count\":2}\n")) << body;
}

TEST_F(TiersTest, WhatIsTooOldForRawIsAnsweredFromWindowsAndNewSamplesOfThenAreRefused) {
  Options options;
  options.retention = {.raw_ms = kDayMs, .five_minutes_ms = 3 * kDayMs, .one_hour_ms = 0};
  Open(options);
  // A week, a day at a time, as it would come.
  for (int day = 0; day < 7; ++day) {
    Fill(clock_.NowMs() - kDayMs + 15'000, clock_.NowMs());
    Downsample();
    clock_.AdvanceMs(kDayMs);
    RunBackgroundWork();
  }
  const int64_t now_ms = clock_.NowMs();
  const std::string all = Range("g", kNow - kDayMs, now_ms, "&resolution=raw");
  EXPECT_TRUE(Has(all, "\"resolution\":\"1h\"")) << all.substr(0, 300);
  EXPECT_TRUE(Has(Range("g", now_ms - 3 * kDayMs, now_ms), "\"resolution\":\"5m\""));
  // Every sample counts once, whatever answers: 5759 a day.
  EXPECT_TRUE(Has(Range("g", kNow - kDayMs, now_ms, "&agg=count&maxPoints=1"),
                  StrCat(",\"v\":", 7 * 5759, "}]")))
      << Range("g", kNow - kDayMs, now_ms, "&agg=count&maxPoints=1");
  const auto old =
      Send("POST", "/v1/ingest",
           R"({"metrics":[{"name":"g","value":1,"timestamp":"2025-11-18T00:00:00Z"}]})");
  EXPECT_EQ(old.status, 400);
  EXPECT_TRUE(Has(old.body, "too old")) << old.body;
  EXPECT_TRUE(Has(Get("/v1/storage"), R"("resolution":"1h")"));
  EXPECT_FALSE(Has(Get("/metrics"), "tinyobs_partitions_expired_total{resolution=\"raw\"} 0\n"));
  EXPECT_EQ(Send("GET", "/v1/health").status, 200) << Send("GET", "/v1/health").body;
}

TEST_F(TiersTest, AFullDiskIs507AndRecoversByItself) {
  Options options;
  options.max_storage_bytes = 2 << 20;
  options.retention = {.raw_ms = kDayMs, .five_minutes_ms = kDayMs, .one_hour_ms = kDayMs};
  options.head_segment_bytes = 64 << 10;
  Open(options);
  HttpResponse answer;
  uint64_t noise = 88172645463325252u;
  for (int i = 0; i < 10'000 && answer.status == 200; ++i) {
    std::string body = "{\"metrics\":[";
    for (int j = 0; j < 100; ++j) {
      noise ^= noise << 13;
      noise ^= noise >> 7;
      noise ^= noise << 17;
      StrAppend(&body, j > 0 ? "," : "", "{\"name\":\"m", j, "\",\"value\":0.", noise, "}");
    }
    answer = Send("POST", "/v1/ingest", body + "]}");
    clock_.AdvanceMs(1'000);
    if (i % 50 == 0) RunBackgroundWork();
  }
  ASSERT_EQ(answer.status, 507) << answer.body;
  EXPECT_TRUE(Has(answer.body, "Storage limit exceeded: ")) << answer.body;
  EXPECT_TRUE(Has(answer.body, "--storage.full=drop-oldest")) << answer.body;
  EXPECT_EQ(Send("GET", "/v1/query?metric=m1").status, 200);
  for (int hour = 0; hour < 72; ++hour) {  // all of it expires
    clock_.AdvanceMs(kHourMs);
    RunBackgroundWork();
  }
  answer = Send("POST", "/v1/ingest", R"({"metrics":[{"name":"m","value":1}]})");
  EXPECT_EQ(answer.status, 200) << answer.body << Get("/v1/storage");
}

}  // namespace
}  // namespace tinyobs::serve
