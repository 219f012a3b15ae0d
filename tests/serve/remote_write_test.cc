// Goal: POST /api/v1/write does to a sender what the specification promises: 204 for what is
// stored, a code it may try again on only when that helps, and nothing lost that could be kept.
#include <bit>

#include "gmock/gmock.h"
#include "tests/serve/app_testing.h"
#include "tests/serve/fake_db.h"
#include "tests/testing/write_request.h"

namespace tinyobs::serve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

class RemoteWriteTest : public AppOverDb {
 protected:
  static HttpHeaders Headers() {
    return {{"Content-Encoding", "snappy"},
            {"Content-Type", "application/x-protobuf"},
            {"X-Prometheus-Remote-Write-Version", "0.1.0"}};
  }
  HttpResponse Write(const WriteRequest& request) { return Write(request.Snappy(), Headers()); }
  HttpResponse Write(std::string body, HttpHeaders headers) {
    return Send("POST", "/api/v1/write", std::move(body), std::move(headers));
  }
  static WriteRequest Up(double value = 1) {
    return WriteRequest().Series({{"__name__", "up"}, {"job", "a"}}, {{kNow, value}});
  }
};

TEST_F(RemoteWriteTest, StoresAndAnswersNoContent) {
  Start();
  for (int64_t t = 0; t < 2; ++t) {
    const auto answer = Write(WriteRequest()
                                  .Series({{"__name__", "up"}, {"job", "a"}}, {{kNow + t, 1}})
                                  .Series({{"job", "b"}, {"__name__", "up"}}, {{kNow + t, 0}}));
    EXPECT_EQ(answer.status, 204);
    EXPECT_EQ(answer.body, "");
  }
  EXPECT_THAT(Stored(),
              ElementsAre(Pair("up{job=\"a\"}", "0=1 1=1"), Pair("up{job=\"b\"}", "0=0 1=0")));
}

TEST_F(RemoteWriteTest, StalenessMarkersKeepEveryBit) {
  Start();
  const double payload = std::bit_cast<double>(uint64_t{0x7ff8000000abcdef});
  EXPECT_EQ(
      Write(WriteRequest().Series({{"__name__", "m"}},
                                  {{kNow, StaleNan()}, {kNow + 1, payload}, {kNow + 2, -0.0}}))
          .status,
      204);
  const auto set = db_->SelectAll({});
  ASSERT_TRUE(set.ok() && (*set)->Next());
  const Columns& columns = (*set)->columns();
  ASSERT_EQ(columns.size(), 3u);
  EXPECT_TRUE(IsStaleNan(columns.values[0]));
  EXPECT_EQ(std::bit_cast<uint64_t>(columns.values[1]), 0x7ff8000000abcdef);
  EXPECT_EQ(std::bit_cast<uint64_t>(columns.values[2]), uint64_t{1} << 63);
}

TEST_F(RemoteWriteTest, OldSendersLeaveTheHeadersOut) {
  Start();
  EXPECT_EQ(Write(Up().Snappy(), {}).status, 204);
  EXPECT_EQ(Write(Up().Snappy(), {{"Content-Encoding", "Snappy"}}).status, 204);
  EXPECT_THAT(Stored(), ElementsAre(Pair("up{job=\"a\"}", "0=1")));
}

TEST_F(RemoteWriteTest, OtherEncodingsAndMessagesAreUnsupportedMediaTypes) {
  Start();
  const auto status = [&](std::string_view name, std::string_view value) {
    HttpHeaders headers = Headers();
    for (auto& [key, old] : headers) {
      if (key == name) old = std::string(value);
    }
    const auto answer = Write(Up().Snappy(), headers);
    return StrCat(answer.status, " ", answer.body);
  };
  EXPECT_THAT(status("Content-Encoding", "zstd"), StartsWith("415"));
  EXPECT_THAT(status("Content-Type", "application/json"), StartsWith("415"));
  EXPECT_THAT(status("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
              HasSubstr("remote write 2.0 is not supported"));
  EXPECT_EQ(status("Content-Type", "application/x-protobuf;proto=prometheus.WriteRequest"), "204 ");
  EXPECT_THAT(Stored(), ElementsAre(Pair("up{job=\"a\"}", "0=1")));
}

TEST_F(RemoteWriteTest, BodiesThatAreNoSnappyOrLieAboutTheirLength) {
  Start();
  const auto status = [&](std::string body) { return Write(std::move(body), Headers()).status; };
  EXPECT_EQ(status(""), 400);
  EXPECT_EQ(status("not snappy"), 400);
  EXPECT_EQ(status("\xff\xff\xff\xff\x0f"), 400);             // 4 GiB in five bytes
  EXPECT_EQ(status(std::string("\x80\x80\x20\0x", 5)), 400);  // 512 KiB in five
  const std::string large(kMaxBodyBytes + 1, 'x');
  std::string packed;
  snappy::Compress(large.data(), large.size(), &packed);
  EXPECT_EQ(status(packed), 413);
  EXPECT_EQ(Write(packed, {}).status, 413);
  std::string cut = Up().Snappy();
  cut.pop_back();
  EXPECT_EQ(status(cut), 400);
  std::string garbage;
  snappy::Compress("garbage", 7, &garbage);
  const auto answer = Write(garbage, Headers());
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("not a WriteRequest"));
  EXPECT_THAT(Stored(), IsEmpty());
}

TEST_F(RemoteWriteTest, TheBudgetOfAllBodiesHoldsForWhatIsUnpacked) {
  Start();
  const std::string zeros(1 << 18, '\0');
  std::string packed;
  snappy::Compress(zeros.data(), zeros.size(), &packed);
  ByteBudget budget(1 << 17);
  context_.request_bytes = &budget;
  app_ = MakeApp(
      &context_, &counters_, AccessPolicy("127.0.0.1", 8080),
      [](std::string_view) { return std::nullopt; }, kMaxBodyBytes);
  for (const HttpHeaders& headers : {Headers(), HttpHeaders()}) {
    const auto answer = Write(packed, headers);
    EXPECT_EQ(answer.status, 503);
    EXPECT_EQ(answer.Header("Retry-After"), "1");
  }
  EXPECT_EQ(budget.used(), 0u);
  EXPECT_EQ(Write(Up()).status, 204);
}

TEST_F(RemoteWriteTest, TheGoodPartIsStoredAndTheRestExplained) {
  Options options;
  options.retention.raw_ms = kHour;
  Start(options);
  const auto answer = Write(WriteRequest()
                                .Series({{"__name__", "a"}}, {{kNow - 2 * kHour, 1}, {kNow, 2}})
                                .Series({{"__name__", "b"}, {"x", "1"}, {"x", "2"}}, {{kNow, 1}})
                                .Series({{"job", "nameless"}}, {{kNow, 1}})
                                .Series({{"__name__", "c"}}, {{kNow, 3}}));
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, StartsWith(R"({"error":"Bad Request","message":"2 samples stored, )"
                                      R"(3 refused: label \"x\" is given twice; )"));
  EXPECT_THAT(answer.body, HasSubstr("is too old"));
  EXPECT_THAT(answer.body, HasSubstr(R"("stored":2,"refused":3})"));
  EXPECT_THAT(Stored(), ElementsAre(Pair("a", "0=2"), Pair("c", "0=3")));
}

TEST_F(RemoteWriteTest, AtTheSeriesLimitTheLabelToBlameIsNamed) {
  Options options;
  options.max_series = 100;
  Start(options);
  WriteRequest request;
  for (int i = 0; i < 150; ++i) {
    request.Series({{"__name__", "requests"}, {"request_id", StrCat("id-", i)}}, {{kNow, 1}});
  }
  EXPECT_EQ(Write(request).status, 400);
  EXPECT_EQ(Stored().size(), 100u);
  const auto answer = Write(request);
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body,
              StartsWith(R"({"error":"cardinality limit exceeded","current":100,"limit":100,)"
                         R"("message":"100 samples stored, 50 refused: )"));
  EXPECT_THAT(answer.body, HasSubstr("label request_id has about"));
}

TEST_F(RemoteWriteTest, NativeHistogramsAreCountedAndExemplarsIgnored) {
  Start();
  const auto answer = Write(WriteRequest()
                                .Series({{"__name__", "h"}}, {}, /*histograms=*/2)
                                .Series({{"__name__", "a"}}, {{kNow, 1}}));
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("1 samples stored, 2 refused: native histograms"));
  EXPECT_THAT(Stored(), ElementsAre(Pair("a", "0=1")));
}

TEST_F(RemoteWriteTest, MetadataIsKept) {
  Start();
  EXPECT_EQ(Write(WriteRequest().Metadata(1, "requests", "Answered.", "requests")).status, 204);
  EXPECT_EQ(db_->Metadata("requests"), (MetricMetadata{"counter", "Answered.", "requests"}));
}

TEST_F(RemoteWriteTest, WhatPassesIsWorthAnotherTry) {
  FakeDb fake;
  context_.db = &fake;
  context_.clock = &clock_;
  app_ = MakeApp(
      &context_, &counters_, AccessPolicy("127.0.0.1", 8080),
      [](std::string_view) { return std::nullopt; }, kMaxBodyBytes);
  EXPECT_EQ(Write(Up()).status, 204);
  fake.SetWriteError(absl::UnavailableError("disk"));
  EXPECT_EQ(Write(Up()).status, 503);
  fake.SetWriteError(absl::ResourceExhaustedError("disk full"));
  EXPECT_EQ(Write(Up()).status, 507);
  fake.SetWriteError(absl::InternalError("bug"));
  EXPECT_EQ(Write(Up()).status, 500);
}

TEST_F(RemoteWriteTest, OnlyPost) {
  Start();
  EXPECT_EQ(Send("GET", "/api/v1/write").status, 405);
}

}  // namespace
}  // namespace tinyobs::serve
