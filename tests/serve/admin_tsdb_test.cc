// Goal: the admin routes do what Prometheus' do, and only when they are allowed to.
#include <filesystem>

#include "gmock/gmock.h"
#include "tests/serve/app_testing.h"
#include "tests/testing/temp_dir.h"

namespace tinyobs::serve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Pair;

class AdminTest : public AppOverDb {
 protected:
  void SetUp() override { context_.admin_api = true; }
  void Import(std::string text) {
    ASSERT_EQ(Send("POST", "/api/v1/import/prometheus", std::move(text)).status, 204);
  }
  HttpResponse Delete(std::string_view query) {
    return Send("POST", StrCat("/api/v1/admin/tsdb/delete_series", query));
  }
};

TEST_F(AdminTest, DisabledAsInPrometheus) {
  context_.admin_api = false;
  Start();
  Import("a 1\n");
  for (const char* route : {"delete_series?match[]=a", "snapshot", "clean_tombstones"}) {
    for (const char* method : {"POST", "PUT"}) {
      const auto answer = Send(method, StrCat("/api/v1/admin/tsdb/", route));
      EXPECT_EQ(answer.status, 503);
      EXPECT_EQ(answer.body,
                R"({"status":"error","errorType":"unavailable","error":"admin APIs disabled"})");
    }
    EXPECT_EQ(Send("GET", StrCat("/api/v1/admin/tsdb/", route)).status, 405);
  }
  EXPECT_THAT(Stored(), ElementsAre(Pair("a", "0=1")));
}

TEST_F(AdminTest, DeletesTheSeriesThatMatchInARange) {
  Start();
  Import("a{i=\"1\"} 1\na{i=\"1\"} 2 1763424001000\nb 3\nc 4\n");
  EXPECT_EQ(Delete("?match[]=a&match[]=c&start=1763424000.5").status, 204);
  EXPECT_THAT(Stored(), ElementsAre(Pair("a{i=\"1\"}", "0=1"), Pair("b", "0=3"), Pair("c", "0=4")));
  EXPECT_EQ(Delete("?match[]=a%7Bi=%221%22%7D&match[]=c").status, 204);
  EXPECT_THAT(Stored(), ElementsAre(Pair("b", "0=3")));
  // The sender goes on.
  Import("a{i=\"1\"} 5\n");
  EXPECT_THAT(Stored(), ElementsAre(Pair("a{i=\"1\"}", "0=5"), Pair("b", "0=3")));
}

TEST_F(AdminTest, ParametersAreReadBeforeAnythingIsDeleted) {
  Start();
  Import("a 1\n");
  EXPECT_THAT(Delete("").body, HasSubstr("no match[] parameter provided"));
  EXPECT_EQ(Delete("?match[]=a&match[]=%7B").status, 400);
  EXPECT_EQ(Delete("?match[]=a&match[]=%7Bx=%22%22%7D").status, 400);  // everything
  EXPECT_EQ(Delete("?match[]=a&start=never").status, 400);
  EXPECT_THAT(Stored(), ElementsAre(Pair("a", "0=1")));
}

TEST_F(AdminTest, ASnapshotIsADatabase) {
  const testing::TempDir dir;
  Start({}, dir.path());
  Import("a 1\n");
  const auto answer = Send("POST", "/api/v1/admin/tsdb/snapshot");
  EXPECT_EQ(answer.status, 200);
  ASSERT_THAT(answer.body, MatchesRegex("\\{\"status\":\"success\",\"data\":\\{\"name\":"
                                        "\"20251118T000000Z-[0-9a-f]{16}\"\\}\\}"));
  Import("a 2 1763424000001\n");
  const std::string name = answer.body.substr(answer.body.find("2025"), 33);
  auto copy = Db::Open(StrCat(dir.path(), "/snapshots/", name));
  ASSERT_TRUE(copy.ok()) << copy.status();
  ASSERT_TRUE(db_->Close().ok());
  db_ = *std::move(copy);
  EXPECT_THAT(Stored(), ElementsAre(Pair("a", "0=1")));
}

TEST_F(AdminTest, ADatabaseWithSnapshotsIsOpenedAgain) {
  const testing::TempDir dir;
  Start({}, dir.path());
  Import("a 1\n");
  EXPECT_EQ(Send("PUT", "/api/v1/admin/tsdb/snapshot").status, 200);
  EXPECT_EQ(Send("PUT", "/api/v1/admin/tsdb/snapshot").status, 200);
  ASSERT_TRUE(db_->Close().ok());
  Start({}, dir.path());
  EXPECT_THAT(Stored(), ElementsAre(Pair("a", "0=1")));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path() + "/snapshots"), {}), 2);
}

TEST_F(AdminTest, WhatCannotBeCopiedSaysSo) {
  const testing::TempDir dir;
  Start();  // in memory
  context_.storage_path = dir.path();
  const auto answer = Send("POST", "/api/v1/admin/tsdb/snapshot");
  EXPECT_EQ(answer.status, 422);
  EXPECT_THAT(answer.body, HasSubstr("a database in memory cannot be copied"));
}

TEST_F(AdminTest, ThereAreNoTombstonesToClean) {
  Start();
  EXPECT_EQ(Send("POST", "/api/v1/admin/tsdb/clean_tombstones").status, 204);
}

}  // namespace
}  // namespace tinyobs::serve
