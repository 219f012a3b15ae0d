// The test double's own promises: what a crash keeps and loses, which operation fails when.
#include "tests/testing/memory_file_system.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/vfs/whole_file.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::testing {
namespace {

class MemoryFileSystemTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(fs_.CreateDirectories("/d")); }

  std::unique_ptr<WritableFile> Create(const std::string& path) {
    auto file = fs_.CreateWritable(path);
    EXPECT_OK(file);
    return file.ok() ? *std::move(file) : nullptr;
  }
  // Synced, and so is its name.
  void WriteDurably(const std::string& path, const std::string& content) {
    const auto file = Create(path);
    ASSERT_OK(file->Append(content));
    ASSERT_OK(file->Sync());
    ASSERT_OK(fs_.SyncDirectory(DirectoryOf(path)));
  }

  MemoryFileSystem fs_;
};

TEST_F(MemoryFileSystemTest, ACrashKeepsSyncedBytesAndLosesTheRest) {
  const auto file = Create("/d/f");
  ASSERT_OK(file->Append("synced"));
  ASSERT_OK(file->Sync());
  ASSERT_OK(fs_.SyncDirectory("/d"));
  ASSERT_OK(file->Append(" lost"));
  fs_.Crash();
  EXPECT_EQ(fs_.Contents("/d/f").value(), "synced");
}

TEST_F(MemoryFileSystemTest, ACrashLosesNamesWhoseFolderWasNotSynced) {
  const auto file = Create("/d/f");
  ASSERT_OK(file->Append("synced"));
  ASSERT_OK(file->Sync());
  fs_.Crash();
  EXPECT_EQ(fs_.Files(), std::vector<std::string>{});
  EXPECT_TRUE(fs_.FileExists("/d"));
}

TEST_F(MemoryFileSystemTest, AnUnsyncedRenameIsUndoneByACrash) {
  WriteDurably("/d/old", "old");
  WriteDurably("/d/tmp", "new");
  ASSERT_OK(fs_.RenameFile("/d/tmp", "/d/old"));
  const auto after_crash = fs_.CloneAfterCrash();
  EXPECT_EQ(after_crash->Contents("/d/old").value(), "old");
  EXPECT_EQ(after_crash->Contents("/d/tmp").value(), "new");
  ASSERT_OK(fs_.SyncDirectory("/d"));
  fs_.Crash();
  EXPECT_EQ(fs_.Contents("/d/old").value(), "new");
  EXPECT_FALSE(fs_.FileExists("/d/tmp"));
}

TEST_F(MemoryFileSystemTest, AnUnsyncedDeleteIsUndoneByACrash) {
  WriteDurably("/d/f", "x");
  ASSERT_OK(fs_.DeleteFile("/d/f"));
  EXPECT_EQ(fs_.CloneAfterCrash()->Files(), std::vector<std::string>{"/d/f"});
  ASSERT_OK(fs_.SyncDirectory("/d"));
  EXPECT_EQ(fs_.CloneAfterCrash()->Files(), std::vector<std::string>{});
}

TEST_F(MemoryFileSystemTest, SyncingOneFolderDoesNotSyncAnother) {
  ASSERT_OK(fs_.CreateDirectories("/e"));
  WriteDurably("/d/f", "x");
  ASSERT_OK(fs_.RenameFile("/d/f", "/e/f"));
  ASSERT_OK(fs_.SyncDirectory("/d"));
  EXPECT_EQ(fs_.CloneAfterCrash()->Files(), std::vector<std::string>{}) << "gone here, not there";
  ASSERT_OK(fs_.SyncDirectory("/e"));
  EXPECT_EQ(fs_.CloneAfterCrash()->Files(), std::vector<std::string>{"/e/f"});
}

TEST_F(MemoryFileSystemTest, AnUnsyncedTruncationMayBringTheOldBytesBack) {
  WriteDurably("/d/f", "old");
  const auto file = Create("/d/f");
  ASSERT_OK(file->Append("new"));
  EXPECT_EQ(fs_.CloneAfterCrash()->Contents("/d/f").value(), "old");
  EXPECT_EQ(fs_.CloneAfterCrash({.keep_bytes = Keep::kAll})->Contents("/d/f").value(), "new");
  ASSERT_OK(file->Sync());
  EXPECT_EQ(fs_.CloneAfterCrash()->Contents("/d/f").value(), "new");
}

TEST_F(MemoryFileSystemTest, ATornCrashKeepsEveryPrefixUnderSomeSeed) {
  WriteDurably("/d/f", "");
  const auto file = Create("/d/f");
  ASSERT_OK(file->Sync());
  ASSERT_OK(file->Append("abc"));
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const CrashOptions options{.keep_bytes = Keep::kTorn, .seed = seed};
    const std::string content = fs_.CloneAfterCrash(options)->Contents("/d/f").value();
    EXPECT_EQ(content, fs_.CloneAfterCrash(options)->Contents("/d/f").value()) << "same seed";
    seen.insert(content);
  }
  EXPECT_EQ(seen, (std::set<std::string>{"", "a", "ab", "abc"}));
}

TEST_F(MemoryFileSystemTest, TornNamesAreAPrefixOfTheChangesInTheirOrder) {
  Create("/d/1");
  Create("/d/2");
  std::set<std::vector<std::string>> seen;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    seen.insert(fs_.CloneAfterCrash({.keep_names = Keep::kTorn, .seed = seed})->Files());
  }
  EXPECT_EQ(seen, (std::set<std::vector<std::string>>{{}, {"/d/1"}, {"/d/1", "/d/2"}}));
}

TEST_F(MemoryFileSystemTest, AReorderedCrashKeepsAnyPagesOfWhatWasNotSynced) {
  const auto file = Create("/d/f");
  ASSERT_OK(file->Append("ABCDEF"));
  ASSERT_OK(file->Sync());
  ASSERT_OK(fs_.SyncDirectory("/d"));
  ASSERT_OK(file->Append("ghijklmnop"));
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    const CrashOptions options{.keep_bytes = Keep::kReordered, .seed = seed, .page_bytes = 4};
    const std::string content = fs_.CloneAfterCrash(options)->Contents("/d/f").value();
    EXPECT_EQ(content, fs_.CloneAfterCrash(options)->Contents("/d/f").value()) << "same seed";
    EXPECT_EQ(content.substr(0, 6), "ABCDEF") << "synced";
    EXPECT_LE(content.size(), 16u);
    seen.insert(content);
  }
  const auto zeros = [](size_t count) { return std::string(count, '\0'); };
  for (const std::string& expected :
       {std::string("ABCDEF"), std::string("ABCDEFghijklmnop"), std::string("ABCDEFghi"),
        "ABCDEF" + zeros(2) + "ijklmnop", "ABCDEFgh" + zeros(4) + "mnop", "ABCDEF" + zeros(10),
        "ABCDEF" + zeros(2) + "ijkl" + zeros(1)}) {
    EXPECT_EQ(seen.count(expected), 1u) << expected;
  }
  // Old bytes of the disk: neither what was written nor zeros.
  EXPECT_TRUE(std::any_of(seen.begin(), seen.end(), [](const std::string& content) {
    return content.size() > 8 && content.substr(6, 2) != "gh" && content[6] != '\0';
  }));
}

TEST_F(MemoryFileSystemTest, ReorderedNamesAreAnySubsetOfTheChanges) {
  WriteDurably("/d/old", "old");
  Create("/d/1");
  Create("/d/2");
  ASSERT_OK(fs_.DeleteFile("/d/old"));
  std::set<std::vector<std::string>> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    seen.insert(fs_.CloneAfterCrash({.keep_names = Keep::kReordered, .seed = seed})->Files());
  }
  EXPECT_EQ(seen.size(), 8u);
  EXPECT_EQ(seen.count({"/d/2", "/d/old"}), 1u);
  EXPECT_EQ(seen.count({"/d/1"}), 1u);
}

TEST_F(MemoryFileSystemTest, AReorderedRenameHasTheOldFileOrTheNewAndPerhapsBothNames) {
  WriteDurably("/d/CURRENT", "old");
  WriteDurably("/d/tmp", "new");
  ASSERT_OK(fs_.RenameFile("/d/tmp", "/d/CURRENT"));
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const auto left = fs_.CloneAfterCrash({.keep_names = Keep::kReordered, .seed = seed});
    seen.insert(left->Contents("/d/CURRENT").value() + (left->FileExists("/d/tmp") ? " tmp" : ""));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"old tmp", "new tmp", "new"}));
}

TEST_F(MemoryFileSystemTest, ARenamedFolderTakesItsFilesAlongAndComesBackWhenTheRenameIsLost) {
  ASSERT_OK(fs_.CreateDirectories("/d/a"));
  WriteDurably("/d/a/durable", "x");
  const auto late = Create("/d/a/late");
  ASSERT_OK(late->Append("y"));
  ASSERT_OK(late->Sync());
  ASSERT_OK(fs_.RenameFile("/d/a", "/d/b"));
  EXPECT_EQ(fs_.Files(), (std::vector<std::string>{"/d/b/durable", "/d/b/late"}));
  EXPECT_FALSE(fs_.FileExists("/d/a"));
  EXPECT_EQ(fs_.CloneAfterCrash()->Files(), std::vector<std::string>{"/d/a/durable"});
  ASSERT_OK(fs_.SyncDirectory("/d"));
  EXPECT_EQ(fs_.CloneAfterCrash()->Files(), std::vector<std::string>{"/d/b/durable"});
  ASSERT_OK(fs_.SyncDirectory("/d/b"));
  fs_.Crash();
  EXPECT_EQ(fs_.Contents("/d/b/late").value(), "y");
  ASSERT_OK(fs_.CreateDirectories("/d/c"));
  EXPECT_CODE(fs_.RenameFile("/d/b", "/d/c"), absl::StatusCode::kFailedPrecondition);
}

TEST_F(MemoryFileSystemTest, TwoNamesOfOneFileStayOneFileAfterACrash) {
  WriteDurably("/d/a", "x");
  ASSERT_OK(fs_.LinkFile("/d/a", "/d/b"));
  ASSERT_OK(fs_.SyncDirectory("/d"));
  fs_.Crash();
  ASSERT_OK(fs_.SetContents("/d/a", "changed"));
  EXPECT_EQ(fs_.Contents("/d/b").value(), "changed");
  EXPECT_EQ(fs_.UsedBytes(), 7u);
}

TEST_F(MemoryFileSystemTest, HandlesAndLocksOfBeforeTheCrashAreDead) {
  WriteDurably("/d/f", "x");
  const auto writer = Create("/d/g");
  auto reader = fs_.OpenRandomAccess("/d/f").value();
  auto lock = fs_.LockFile("/d/LOCK").value();
  fs_.Crash();
  char byte;
  EXPECT_CODE(reader->Read(0, 1, &byte), absl::StatusCode::kUnavailable);
  EXPECT_CODE(writer->Append("x"), absl::StatusCode::kUnavailable);
  auto next = fs_.LockFile("/d/LOCK");
  EXPECT_OK(next);
  lock.reset();
  EXPECT_CODE(fs_.LockFile("/d/LOCK"), absl::StatusCode::kFailedPrecondition)
      << "the old lock must not release the new one";
}

TEST_F(MemoryFileSystemTest, AfterAPowerCutNothingChangesUntilTheCrash) {
  const auto file = Create("/d/f");
  ASSERT_OK(fs_.SyncDirectory("/d"));
  const uint64_t before = fs_.Changes();
  fs_.PowerCutAfter(2);
  EXPECT_OK(file->Append("a"));
  EXPECT_FALSE(fs_.PowerIsCut());
  EXPECT_OK(file->Sync());
  EXPECT_TRUE(fs_.PowerIsCut());
  EXPECT_CODE(file->Append("b"), absl::StatusCode::kUnavailable);
  EXPECT_CODE(fs_.DeleteFile("/d/f"), absl::StatusCode::kUnavailable);
  EXPECT_OK(fs_.FileSize("/d/f")) << "reads go on";
  EXPECT_EQ(fs_.Changes(), before + 2);
  fs_.Crash();
  EXPECT_EQ(fs_.Contents("/d/f").value(), "a");
  EXPECT_OK(fs_.DeleteFile("/d/f"));
}

TEST_F(MemoryFileSystemTest, TheNthOperationOfAKindFails) {
  fs_.AddFault({.operation = Operation::kAppend,
                .path_contains = "wal",
                .skip = 1,
                .count = 2,
                .error = absl::UnavailableError("bad sector")});
  const auto wal = Create("/d/wal");
  const auto other = Create("/d/other");
  EXPECT_OK(other->Append("x"));
  EXPECT_OK(wal->Append("1"));
  EXPECT_OK(other->Append("x"));
  const absl::Status status = wal->Append("2");
  EXPECT_CODE(status, absl::StatusCode::kUnavailable);
  EXPECT_NE(status.ToString().find("/d/wal: bad sector"), std::string::npos) << status;
  EXPECT_CODE(wal->Append("3"), absl::StatusCode::kUnavailable);
  EXPECT_OK(wal->Append("4"));
  EXPECT_EQ(fs_.Contents("/d/wal").value(), "14");
  EXPECT_EQ(fs_.Count(Operation::kAppend), 6u);
}

TEST_F(MemoryFileSystemTest, ATornAppendLeavesSomeOfItsBytes) {
  for (const uint32_t percent : {0u, 25u, 50u, 100u}) {
    fs_.AddFault({.operation = Operation::kAppend, .torn = true, .torn_percent = percent});
    const auto file = Create("/d/f");
    EXPECT_CODE(file->Append("abcd"), absl::StatusCode::kUnavailable);
    EXPECT_EQ(fs_.Contents("/d/f").value(), std::string("abcd").substr(0, percent / 25));
  }
}

TEST_F(MemoryFileSystemTest, EveryKindOfOperationCanFail) {
  WriteDurably("/d/f", "x");
  const auto file = Create("/d/g");
  const auto reader = fs_.OpenRandomAccess("/d/f").value();
  for (int i = 0; i < kOperationCount; ++i) {
    fs_.AddFault({.operation = static_cast<Operation>(i), .count = MemoryFileSystem::kUnlimited});
  }
  constexpr auto kUnavailable = absl::StatusCode::kUnavailable;
  char byte;
  EXPECT_CODE(fs_.CreateWritable("/d/h"), kUnavailable);
  EXPECT_CODE(file->Append("x"), kUnavailable);
  EXPECT_CODE(file->Sync(), kUnavailable);
  EXPECT_CODE(fs_.DeleteFile("/d/f"), kUnavailable);
  EXPECT_CODE(fs_.RenameFile("/d/f", "/d/h"), kUnavailable);
  EXPECT_CODE(fs_.LinkFile("/d/f", "/d/h"), kUnavailable);
  EXPECT_CODE(fs_.CreateDirectories("/e"), kUnavailable);
  EXPECT_CODE(fs_.DeleteDirectory("/d/.."), absl::StatusCode::kNotFound);
  EXPECT_CODE(fs_.SyncDirectory("/d"), kUnavailable);
  EXPECT_CODE(fs_.OpenRandomAccess("/d/f"), kUnavailable);
  EXPECT_CODE(reader->Read(0, 1, &byte), kUnavailable);
  EXPECT_CODE(file->Close(), kUnavailable);
  EXPECT_CODE(fs_.ListDirectory("/d"), kUnavailable);
  EXPECT_CODE(fs_.FileSize("/d/f"), kUnavailable);
  EXPECT_CODE(fs_.FreeSpace("/d"), kUnavailable);
  EXPECT_CODE(fs_.LockFile("/d/LOCK"), kUnavailable);
  fs_.ClearFaults();
  EXPECT_EQ(fs_.Files(), (std::vector<std::string>{"/d/f", "/d/g"})) << "nothing happened";
}

TEST_F(MemoryFileSystemTest, AFailedSyncKillsTheFile) {
  const auto file = Create("/d/f");
  ASSERT_OK(fs_.SyncDirectory("/d"));
  ASSERT_OK(file->Append("x"));
  fs_.AddFault({.operation = Operation::kSync});
  EXPECT_CODE(file->Sync(), absl::StatusCode::kUnavailable);
  EXPECT_CODE(file->Sync(), absl::StatusCode::kFailedPrecondition);
  EXPECT_CODE(file->Append("y"), absl::StatusCode::kFailedPrecondition);
  fs_.Crash();
  EXPECT_EQ(fs_.Contents("/d/f").value(), "");
}

TEST_F(MemoryFileSystemTest, AFullDiskTakesWhatFitsAndRecoversWhenFreed) {
  WriteDurably("/d/old", "12345678");
  fs_.SetCapacityBytes(10);
  EXPECT_EQ(fs_.FreeSpace("/d").value(), 2u);
  const auto file = Create("/d/f");
  EXPECT_CODE(file->Append("abc"), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(fs_.Contents("/d/f").value(), "ab");
  ASSERT_OK(fs_.DeleteFile("/d/old"));
  EXPECT_OK(file->Append("cdefgh"));
  EXPECT_EQ(fs_.UsedBytes(), 8u);
}

TEST_F(MemoryFileSystemTest, ReplacingAWholeFileSurvivesACrashAfterEachStep) {
  WriteDurably("/d/CURRENT", "old");
  for (uint64_t step = 0;; ++step) {
    SCOPED_TRACE(step);
    const auto fs = fs_.CloneAfterCrash();
    fs->PowerCutAfter(step);
    const absl::Status status = ReplaceWholeFile(fs.get(), "/d/CURRENT", "new");
    for (const Keep names : {Keep::kNothing, Keep::kAll}) {
      const auto after = fs->CloneAfterCrash({.keep_names = names});
      const std::string content = after->Contents("/d/CURRENT").value();
      EXPECT_TRUE(content == "new" || (!status.ok() && content == "old")) << content;
    }
    if (status.ok()) {
      EXPECT_EQ(step, 5u) << "create, append, sync, rename, sync folder";
      break;
    }
  }
}

}  // namespace
}  // namespace tinyobs::testing
