// tinyobs lsm: on a store of the test's own on disk, sound, live, damaged and hostile.
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tinyobs/file_system.h"
#include "tools/cli/cli.h"

namespace tinyobs::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

void WriteFile(const std::string& path, std::string_view content) {
  std::ofstream(path, std::ios::binary) << content;
}

class LsmCliTest : public ::testing::Test {
 protected:
  struct Result {
    int code = 0;
    std::string out;
    std::string err;
  };
  static Result Run(const std::vector<std::string>& arguments) {
    Result result;
    std::vector<std::string> all = {"lsm"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    result.code = RunCli(all, &result.out, &result.err);
    return result;
  }

  void SetUp() override {
    lsm::StoreOptions options;
    options.background_threads = false;
    auto store = lsm::Store::Open(folder_, options);
    ASSERT_OK(store);
    store_ = *std::move(store);
    ASSERT_OK(store_->Put("apple", std::string(1000, 'x')));
    ASSERT_OK(store_->Put(std::string("\0\1key", 5), "v\n"));
    ASSERT_OK(store_->Delete("gone"));
    ASSERT_OK(store_->Flush());
    ASSERT_OK(store_->Put("in the log", "1"));
    ASSERT_OK(store_->Delete("apple"));
    ASSERT_OK(store_->Sync());
    ASSERT_OK(store_->Put("last", "2"));
  }

  // The only file of the store whose name has `part`.
  std::string FileLike(std::string_view part) {
    auto names = FileSystem::Posix()->ListDirectory(folder_);
    std::string found;
    for (const std::string& name : *names) {
      if (name.find(part) != std::string::npos) found = StrCat(folder_, "/", name);
    }
    EXPECT_FALSE(found.empty()) << part;
    return found;
  }

  testing::TempDir temp_;
  const std::string folder_ = temp_.File("lsm");
  std::unique_ptr<lsm::Store> store_;
};

TEST_F(LsmCliTest, HelpIsEnoughToStart) {
  const Result result = Run({"--help"});
  EXPECT_EQ(result.code, kDone);
  for (const std::string_view command :
       {"stats", "verify", "repair", "dump-sst", "dump-wal", "dump-manifest", "--limit"}) {
    EXPECT_THAT(result.out, HasSubstr(std::string(command)));
  }
  std::string out, err;
  EXPECT_EQ(RunCli({"help"}, &out, &err), kDone);
  EXPECT_THAT(out, HasSubstr("tinyobs lsm --help"));
}

TEST_F(LsmCliTest, WrongUsageIsSaidSo) {
  EXPECT_EQ(Run({}).code, kUsage);
  EXPECT_EQ(Run({"stats"}).code, kUsage);
  EXPECT_EQ(Run({"fly", folder_}).code, kUsage);
  EXPECT_THAT(Run({"fly", folder_}).err, HasSubstr("unknown command 'fly'"));
  EXPECT_EQ(Run({"dump-sst", "x", "--limit", "many"}).code, kUsage);
  EXPECT_EQ(Run({"stats", folder_, "--server", "x"}).code, kUsage);
  EXPECT_THAT(Run({"stats"}).err, Not(HasSubstr("--server")));
  EXPECT_EQ(Run({"dump-wal", FileLike("MANIFEST-")}).code, kUsage);
}

TEST_F(LsmCliTest, NoStoreIsSaidSoAndWhatToGiveInstead) {
  for (const std::string command : {"stats", "verify", "repair"}) {
    const Result result = Run({command, temp_.path()});
    EXPECT_EQ(result.code, kFailed);
    EXPECT_THAT(result.err, HasSubstr("give the data folder of a server"));
    EXPECT_EQ(Run({command, "/does/not/exist"}).code, kFailed);
  }
  EXPECT_EQ(Run({"dump-sst", "/does/not/exist"}).code, kFailed);
  EXPECT_THAT(Run({"dump-sst", folder_}).err, HasSubstr("give one of the files in it"));
}

TEST_F(LsmCliTest, StatsOfALiveStore) {
  const Result result = Run({"stats", folder_});
  EXPECT_EQ(result.code, kDone) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("tables          1\n"), HasSubstr("log records     3\n"),
                                HasSubstr("last sequence   6\n"), HasSubstr("    0       1")));
  ASSERT_OK(store_->Put("still", "writable"));
}

TEST_F(LsmCliTest, ADataFolderOfAServerWillDo) {
  WriteFile(temp_.File("IDENTITY"), "");
  EXPECT_EQ(Run({"stats", temp_.path()}).out, Run({"stats", folder_}).out);
}

TEST_F(LsmCliTest, VerifyOfALiveStoreAndOfADamagedOne) {
  Result result = Run({"verify", folder_});
  EXPECT_EQ(result.code, kDone) << result.err;
  EXPECT_THAT(result.out,
              MatchesRegex("read 1 tables \\(3 entries, [0-9]+ bytes\\) and 1 logs \\(3 "
                           "records\\): all is well\n"));
  const std::string table = FileLike(".sst");
  std::string bytes = ReadFile(table);
  bytes[20] ^= 1;
  WriteFile(table, bytes);
  result = Run({"verify", folder_});
  EXPECT_EQ(result.code, kFailed);
  EXPECT_THAT(result.out, AllOf(HasSubstr("1 problem\n"), HasSubstr(table)));
  EXPECT_THAT(result.err, HasSubstr(StrCat("run: tinyobs lsm repair ", folder_)));
}

TEST_F(LsmCliTest, RepairNeedsTheStoreForItselfAndKeepsTheRest) {
  Result result = Run({"repair", folder_});
  EXPECT_EQ(result.code, kFailed);
  EXPECT_THAT(result.err, HasSubstr("Stop it first"));
  store_ = nullptr;
  const std::string table = FileLike(".sst");
  WriteFile(table, "nonsense");
  result = Run({"repair", folder_});
  EXPECT_EQ(result.code, kDone) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("kept 0 tables (0 entries) and 3 records of logs"),
                    HasSubstr(StrCat("put aside in ", folder_, "/lost:")), HasSubstr(table)));
  EXPECT_EQ(Run({"verify", folder_}).code, kDone);
  EXPECT_THAT(Run({"repair", folder_}).out, HasSubstr("nothing was damaged"));
}

TEST_F(LsmCliTest, DumpOfATable) {
  const Result result = Run({"dump-sst", FileLike(".sst")});
  EXPECT_EQ(result.code, kDone) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("entries         3\n"),
                                HasSubstr("\"\\x00\\x01key\" @2 put \"v\\x0a\"\n"),
                                HasSubstr("\"apple\" @1 put \"xxx"), HasSubstr("(1000 bytes)"),
                                HasSubstr("\"gone\" @3 delete")));
  EXPECT_LT(result.out.size(), 1000u);
  const Result one = Run({"dump-sst", FileLike(".sst"), "--limit", "1"});
  EXPECT_THAT(one.out, AllOf(Not(HasSubstr("\"apple\" @1 put \"")), HasSubstr("--limit")));
}

TEST_F(LsmCliTest, DumpOfALogAndAManifest) {
  Result result = Run({"dump-wal", FileLike(".log")});
  EXPECT_EQ(result.code, kDone) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("1 entries from sequence 4 on\n  put \"in the log\" \"1\"\n"),
                    HasSubstr("  delete \"apple\"\n"), HasSubstr("not sealed")));
  result = Run({"dump-manifest", FileLike("MANIFEST-")});
  EXPECT_EQ(result.code, kDone) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("last sequence 3"), HasSubstr("  + level 0 table "),
                                HasSubstr("3 entries, 1 deletions, sequences 1 to 3")));
  EXPECT_THAT(Run({"dump-manifest", FileLike("MANIFEST-"), "--limit=1"}).out, HasSubstr("--limit"));
}

TEST_F(LsmCliTest, HostileFilesAreRefusedAndNeverCrash) {
  const std::pair<std::string, std::string> files[] = {{"dump-sst", FileLike(".sst")},
                                                       {"dump-wal", FileLike(".log")},
                                                       {"dump-manifest", FileLike("MANIFEST-")}};
  for (const auto& [command, path] : files) {
    const std::string good = ReadFile(path);
    const std::string copy = temp_.File("hostile");
    for (const std::string& other :
         {std::string(), std::string("nonsense"), std::string(100000, '\xff'),
          good.substr(0, good.size() / 2)}) {
      WriteFile(copy, other);
      const Result result = Run({command, copy});
      EXPECT_NE(result.code, kUsage);
      if (other.size() != good.size() / 2) {
        EXPECT_EQ(result.code, kFailed) << command;
      }
    }
    for (size_t i = 0; i<good.size(); i += good.size()> 400 ? 7 : 1) {
      std::string damaged = good;
      damaged[i] ^= 0x41;
      WriteFile(copy, damaged);
      Run({command, copy});
    }
  }
}

}  // namespace
}  // namespace tinyobs::cli
