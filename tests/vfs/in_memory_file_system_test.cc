// What the file system in memory does beyond the contract that all share
// (file_system_contract_test.cc): it counts its memory, and outlives its names.
#include "lib/vfs/in_memory_file_system.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/vfs/whole_file.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs {
namespace {

class InMemoryFileSystemTest : public ::testing::Test {
 protected:
  static constexpr size_t kLimit = 1 << 20;

  std::unique_ptr<WritableFile> Create(const std::string& path) {
    auto file = fs_->CreateWritable(path);
    EXPECT_OK(file);
    return file.ok() ? *std::move(file) : nullptr;
  }
  void Write(const std::string& path, const std::string& content) {
    const auto file = Create(path);
    ASSERT_OK(file->Append(content));
    ASSERT_OK(file->Close());
  }

  MemoryAccountant accountant_{kLimit};
  MemoryAccount* const account_ = accountant_.NewAccount("files");
  std::unique_ptr<FileSystem> fs_ = NewInMemoryFileSystem(account_);
};

TEST_F(InMemoryFileSystemTest, FilesAreChargedAndGivenBackWithTheLastNameAndHandle) {
  EXPECT_EQ(account_->used(), 0u);
  Write("a", std::string(100'000, 'x'));
  const size_t one = account_->used();
  EXPECT_GE(one, 100'000u);
  EXPECT_LE(one, 120'000u);
  EXPECT_EQ(fs_->FreeSpace(".").value(), kLimit - one);
  ASSERT_OK(fs_->LinkFile("a", "b"));
  EXPECT_EQ(account_->used(), one) << "one file, two names";
  ASSERT_OK_AND_ASSIGN(auto reader, fs_->OpenRandomAccess("b"));
  ASSERT_OK(fs_->DeleteFile("a"));
  ASSERT_OK(fs_->DeleteFile("b"));
  EXPECT_EQ(account_->used(), one);
  reader = nullptr;
  EXPECT_EQ(account_->used(), 0u);
}

TEST_F(InMemoryFileSystemTest, ReplacedAndEmptiedFilesGiveTheirMemoryBack) {
  Write("a", std::string(300'000, 'x'));
  Write("b", std::string(300'000, 'y'));
  ASSERT_OK(fs_->RenameFile("a", "b"));
  EXPECT_LT(account_->used(), 350'000u);
  Write("b", "short");
  EXPECT_LT(account_->used(), 20'000u);
}

TEST_F(InMemoryFileSystemTest, AtTheLimitAppendsAreRefusedAndReadsGoOn) {
  Write("a", std::string(kLimit / 2, 'x'));
  const auto file = Create("b");
  const absl::Status status = file->Append(std::string(kLimit, 'y'));
  EXPECT_CODE(status, absl::StatusCode::kResourceExhausted);
  EXPECT_NE(status.ToString().find("append b"), std::string::npos) << status;
  EXPECT_NE(status.ToString().find(std::to_string(kLimit)), std::string::npos) << status;
  EXPECT_LE(account_->used(), kLimit);
  ASSERT_OK_AND_ASSIGN(const std::string prefix, ReadWholeFile(fs_.get(), "b", kLimit));
  EXPECT_EQ(prefix, std::string(prefix.size(), 'y')) << "a prefix of what was appended";
  EXPECT_EQ(ReadWholeFile(fs_.get(), "a", kLimit).value(), std::string(kLimit / 2, 'x'));
  ASSERT_OK(fs_->DeleteFile("a"));
  EXPECT_OK(file->Append("more")) << "room again";
}

TEST_F(InMemoryFileSystemTest, AFolderMovesWithWhatIsInIt) {
  ASSERT_OK(fs_->CreateDirectories("x/y"));
  Write("x/y/file", "1");
  ASSERT_OK(fs_->RenameFile("x", "z"));
  EXPECT_EQ(ReadWholeFile(fs_.get(), "z/y/file", 10).value(), "1");
  EXPECT_FALSE(fs_->FileExists("x/y"));
  ASSERT_OK(fs_->CreateDirectories("w"));
  EXPECT_CODE(fs_->RenameFile("z", "w"), absl::StatusCode::kFailedPrecondition);
  EXPECT_CODE(fs_->RenameFile("z/y", "w/y"), absl::StatusCode::kFailedPrecondition);
  ASSERT_OK_AND_ASSIGN(auto roots, fs_->ListDirectory("."));
  std::sort(roots.begin(), roots.end());
  EXPECT_EQ(roots, (std::vector<std::string>{"w", "z"}));
}

TEST_F(InMemoryFileSystemTest, AFolderMayMoveToANameThatBeginsWithItsOwn) {
  ASSERT_OK(fs_->CreateDirectories("x"));
  Write("x/a", "1");
  ASSERT_OK(fs_->RenameFile("x", "x!"));  // sorts before "x/"
  EXPECT_EQ(ReadWholeFile(fs_.get(), "x!/a", 10).value(), "1");
  ASSERT_OK(fs_->RenameFile("x!", "x/") /* back */);
  EXPECT_EQ(ReadWholeFile(fs_.get(), "x/a", 10).value(), "1");
}

TEST_F(InMemoryFileSystemTest, ReadersSeeWholeAppendsInOrderWhileTheWriterWrites) {
  constexpr size_t kSteps = 2000, kStep = 100;
  const auto writer = Create("log");
  ASSERT_OK_AND_ASSIGN(const auto reader, fs_->OpenRandomAccess("log"));
  std::atomic<bool> wrong{false};
  std::thread reading([&] {
    std::string buffer(kSteps * kStep, '\0');
    for (size_t size = 0; size < buffer.size();) {
      size = reader->Read(0, buffer.size(), buffer.data()).value();
      if (size % kStep != 0) wrong = true;
      for (size_t i = 0; i < size; i += kStep) {
        if (buffer[i] != static_cast<char>(i / kStep)) wrong = true;
      }
    }
  });
  for (size_t i = 0; i < kSteps; ++i) {
    ASSERT_OK(writer->Append(std::string(kStep, static_cast<char>(i))));
  }
  reading.join();
  EXPECT_FALSE(wrong);
}

}  // namespace
}  // namespace tinyobs
