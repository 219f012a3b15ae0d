// The command line against a server of the test: what it asks for, what it prints, and that its
// errors say what to do.
#include "tools/cli/cli.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sdk/loopback_server.h"

namespace tinyobs::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Result {
  int code = 0;
  std::string out;
  std::string err;
};

class CliTest : public ::testing::Test {
 protected:
  Result Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--server", server_.url()});
    return RunAsIs(arguments);
  }
  static Result RunAsIs(const std::vector<std::string>& arguments) {
    Result result;
    result.code = RunCli(arguments, &result.out, &result.err);
    return result;
  }

  LoopbackAnswer answer_;
  LoopbackServer server_{[this](const LoopbackRequest&) { return answer_; }};
};

TEST_F(CliTest, ListPrintsOneNameALine) {
  answer_.body = R"({"metrics":["host_load1","up"],"count":2})";
  const Result result = Run({"list"});
  EXPECT_EQ(result.code, kDone) << result.err;
  EXPECT_EQ(result.out, "host_load1\nup\n");
  EXPECT_EQ(server_.requests().at(0).target, "/v1/metrics/list");
}

TEST_F(CliTest, QueryPrintsTimeSeriesAndExactValue) {
  answer_.body = R"({"metrics":[
      {"name":"t","type":"gauge","value":0.1,"labels":{"room":"attic"},
       "timestamp":"2025-11-18T00:00:00.5Z"},
      {"name":"t","type":"gauge","value":3,"timestamp":"2025-11-18T00:00:01Z"}],"count":2})";
  const Result result = Run({"query", "t & u", "--since=90s"});
  EXPECT_EQ(result.code, kDone) << result.err;
  EXPECT_EQ(result.out,
            "2025-11-18T00:00:00.5Z  t{room=\"attic\"}  0.1\n"
            "2025-11-18T00:00:01Z  t  3\n");
  EXPECT_THAT(server_.requests().at(0).target,
              AllOf(HasSubstr("/v1/query?metric=t%20%26%20u&start=20"), HasSubstr("&end=20")));
}

TEST_F(CliTest, QueryWithoutSamplesPrintsNothing) {
  answer_.body = R"({"metrics":null,"count":0})";
  const Result result = Run({"query", "m"});
  EXPECT_EQ(result.code, kDone);
  EXPECT_THAT(result.out, IsEmpty());
}

TEST_F(CliTest, StatsPrintsRows) {
  answer_.body =
      R"({"TotalMetrics":9,"TotalSeries":4,"SizeBytes":900,"OldestMetric":"a","NewestMetric":"b"})";
  const Result result = Run({"stats"});
  EXPECT_EQ(result.code, kDone) << result.err;
  EXPECT_EQ(result.out, "samples  9\nseries   4\nbytes    900\noldest   a\nnewest   b\n");
}

TEST_F(CliTest, HealthFailsWhenTheServerIsNotWell) {
  answer_.body = R"({"status":"healthy","version":"1.0.0","uptime":"1m2.5s"})";
  Result result = Run({"health"});
  EXPECT_EQ(result.code, kDone);
  EXPECT_EQ(result.out, "healthy, version 1.0.0, up 1m2.5s\n");
  answer_ = {.code = 503, .body = R"({"status":"degraded","version":"1.0.0","uptime":"1s"})"};
  result = Run({"health"});
  EXPECT_EQ(result.code, kFailed);
  EXPECT_THAT(result.out, HasSubstr("degraded"));
  EXPECT_THAT(result.err, HasSubstr("503"));
}

TEST_F(CliTest, DownsamplePrintsWhatIsThereNow) {
  answer_.body = R"({"status":"success","duration":"1.5s","rows_written":24,"tiers":[
      {"resolution":"raw","samples":5760},{"resolution":"5m","windows":288},
      {"resolution":"1h","windows":24}]})";
  const Result result = Run({"downsample"});
  EXPECT_EQ(result.code, kDone) << result.err;
  EXPECT_EQ(result.out,
            "done in 1.5s, 24 rows of windows written\n"
            "raw  5760 samples\n5m   288 windows\n1h   24 windows\n");
  EXPECT_EQ(server_.requests().at(0).method, "POST");
  EXPECT_EQ(server_.requests().at(0).target, "/v1/admin/downsample");
  answer_ = {.code = 409, .body = R"({"error":"Conflict","message":"it is under way"})"};
  EXPECT_THAT(Run({"downsample"}).err, HasSubstr("409: it is under way"));
}

TEST_F(CliTest, IngestPostsOneSample) {
  answer_.body = R"({"status":"success","count":1})";
  const Result result = Run({"ingest", "t", "-2.5", "room=a=b", "floor=2", "--type", "counter"});
  EXPECT_EQ(result.code, kDone) << result.err;
  EXPECT_EQ(result.out, "stored t{floor=\"2\",room=\"a=b\"} = -2.5\n");
  const auto request = server_.requests().at(0);
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.target, "/v1/ingest");
  EXPECT_THAT(request.head, HasSubstr("Content-Type: application/json"));
  EXPECT_THAT(request.body, AllOf(HasSubstr("\"name\":\"t\""), HasSubstr("\"value\":-2.5"),
                                  HasSubstr("\"room\":\"a=b\""), HasSubstr("\"counter\"")));
}

TEST_F(CliTest, RefusalsCarryTheServersMessage) {
  answer_ = {.code = 400, .body = R"({"error":"Bad Request","message":"too \u001b[31m many"})"};
  const Result result = Run({"ingest", "t", "1"});
  EXPECT_EQ(result.code, kFailed);
  EXPECT_THAT(result.err, AllOf(HasSubstr("400"), HasSubstr("too ?[31m many")));
  EXPECT_THAT(result.err, Not(HasSubstr("\x1b")));
}

TEST_F(CliTest, AnswersOfOtherServersAreNotUnderstood) {
  for (const char* const body : {"", "<html>", "[]", "{}", R"({"metrics":7})"}) {
    answer_.body = body;
    EXPECT_EQ(Run({"list"}).code, kFailed) << body;
    EXPECT_EQ(Run({"stats"}).code, kFailed) << body;
    EXPECT_EQ(Run({"downsample"}).code, kFailed) << body;
  }
  answer_.body = R"({"metrics":[{"name":"m","value":"NaN"}]})";
  EXPECT_EQ(Run({"query", "m"}).code, kFailed);
}

TEST_F(CliTest, UnreachableServerSaysWhatToDo) {
  const Result result = RunAsIs({"list", "--server", UnusedUrl()});
  EXPECT_EQ(result.code, kFailed);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("127.0.0.1"), HasSubstr("tinyobs-serve"), HasSubstr("--server")));
}

TEST_F(CliTest, WrongUsageIsExplainedAndAsksNothing) {
  const std::vector<std::vector<std::string>> lines = {
      {},
      {"nonsense"},
      {"list", "extra"},
      {"query"},
      {"query", "m", "--since", "soon"},
      {"query", "m", "--sicne", "1h"},
      {"query", "m", "--since"},
      {"ingest", "m"},
      {"ingest", "m", "much"},
      {"ingest", "m", "nan"},
      {"ingest", "m", "1", "label"},
      {"ingest", "m", "1", "=v"},
      {"list", "--server", "localhost:8080"},
      {"list", "--server", "file:///etc/passwd"},
  };
  for (const auto& line : lines) {
    const Result result = RunAsIs(line);
    EXPECT_EQ(result.code, kUsage) << (line.empty() ? "" : line.back());
    EXPECT_THAT(result.err, HasSubstr("usage: tinyobs"));
    EXPECT_THAT(result.out, IsEmpty());
  }
  EXPECT_THAT(server_.requests(), IsEmpty());
}

TEST_F(CliTest, HelpNamesEveryVerb) {
  const Result result = RunAsIs({"help"});
  EXPECT_EQ(result.code, kDone);
  for (const char* const verb :
       {"list", "query", "stats", "health", "downsample", "ingest", "version"}) {
    EXPECT_THAT(result.out, HasSubstr(verb));
  }
  EXPECT_THAT(RunAsIs({"version"}).out, HasSubstr("tinyobs 0."));
}

}  // namespace
}  // namespace tinyobs::cli
