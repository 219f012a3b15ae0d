// Goal: POST /api/v1/import/prometheus stores every good line, and says which were not.
#include "gmock/gmock.h"
#include "tests/serve/app_testing.h"
#include "tools/serve/compression.h"

namespace tinyobs::serve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

class ImportTest : public AppOverDb {
 protected:
  HttpResponse Import(std::string text, std::string_view query = "", HttpHeaders headers = {}) {
    return Send("POST", StrCat("/api/v1/import/prometheus", query), std::move(text),
                std::move(headers));
  }
};

TEST_F(ImportTest, LinesAndMetadata) {
  Start();
  const auto answer =
      Import("# HELP m A metric.\n# TYPE m counter\nm{a=\"b\"} 1\nm 2 1763424000005\nn 3 -1\n");
  EXPECT_EQ(answer.status, 204);
  EXPECT_THAT(Stored(), ElementsAre(Pair("m", "5=2"), Pair("m{a=\"b\"}", "0=1"),
                                    Pair("n", "-1763424000001=3")));
  EXPECT_EQ(db_->Metadata("m"), (MetricMetadata{"counter", "A metric.", ""}));
}

TEST_F(ImportTest, TheSameTextAgainChangesNothing) {
  Start();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Import("m 1\nm{a=\"b\"} 2").status, 204);
  EXPECT_THAT(Stored(), ElementsAre(Pair("m", "0=1"), Pair("m{a=\"b\"}", "0=2")));
}

TEST_F(ImportTest, BadLinesAreNamedAndTheOthersStored) {
  Start();
  for (int i = 0; i < 2; ++i) {  // fresh series, then known ones
    const auto answer = Import("a 1\nb\nc.d 2\n\n{x=\"y\"} 3\ne 4 99999999999999\nf 5\n");
    EXPECT_EQ(answer.status, 400);
    EXPECT_THAT(answer.body,
                StartsWith(R"({"error":"Bad Request","message":"2 samples stored, 4 refused: )"
                           R"(line 2: a value must follow)"));
    EXPECT_THAT(answer.body, HasSubstr("line 3: a metric name that needs quotes"));
    EXPECT_THAT(answer.body, HasSubstr("line 5: a metric name is missing"));
    EXPECT_THAT(Stored(), ElementsAre(Pair("a", "0=1"), Pair("f", "0=5")));
  }
}

TEST_F(ImportTest, TimestampAndExtraLabels) {
  Start();
  EXPECT_EQ(Import("m{job=\"x\"} 1\nm 2 1763424000009", "?timestamp=1763424000007").status, 204);
  EXPECT_EQ(Import("m{job=\"x\"} 3", "?extra_label=job=y&extra_label=z=a%3Db").status, 204);
  EXPECT_EQ(Import("m{job=\"x\"} 4", "?extra_label=job=q").status, 204);
  EXPECT_THAT(Stored(),
              ElementsAre(Pair("m", "9=2"), Pair("m{job=\"q\"}", "0=4"),
                          Pair("m{job=\"x\"}", "7=1"), Pair("m{job=\"y\",z=\"a=b\"}", "0=3")));
  EXPECT_EQ(Import("m 1", "?timestamp=soon").status, 400);
  EXPECT_EQ(Import("m 1", "?extra_label=job").status, 400);
  EXPECT_EQ(Import("m 1", "?extra_label==x").status, 400);
}

TEST_F(ImportTest, GzipAndOpenMetrics) {
  Start();
  EXPECT_EQ(Import(Gzip("m 1\n"), "", {{"Content-Encoding", "gzip"}}).status, 204);
  EXPECT_EQ(Import("m 2 1763424000.001 # {trace_id=\"x\"} 1\nm 3 1763424001\n# EOF\n", "",
                   {{"Content-Type", "application/openmetrics-text; version=1.0.0"}})
                .status,
            204);
  EXPECT_THAT(Stored(), ElementsAre(Pair("m", "0=1 1=2 1000=3")));
}

TEST_F(ImportTest, NothingIsASuccess) {
  Start();
  EXPECT_EQ(Import("").status, 204);
  EXPECT_EQ(Import("# nothing\n\n").status, 204);
  EXPECT_THAT(Stored(), IsEmpty());
}

TEST_F(ImportTest, SeriesBeyondTheLimitAreRefusedAndTheOthersStored) {
  Options options;
  options.max_series = 2;
  Start(options);
  const auto answer = Import("a 1\nb 1\nc 1\na 2 1763424000001");
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body,
              StartsWith(R"({"error":"cardinality limit exceeded","current":0,"limit":2,)"));
  EXPECT_THAT(Stored(), ElementsAre(Pair("a", "0=1 1=2"), Pair("b", "0=1")));
}

}  // namespace
}  // namespace tinyobs::serve
