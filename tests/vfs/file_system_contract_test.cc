// What every FileSystem must do, run against the operating system's, against the one in memory, and
// against the test double: what the double gets wrong, every test that relies on it would get wrong
// too.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/vfs/counting_file_system.h"
#include "lib/vfs/in_memory_file_system.h"
#include "lib/vfs/whole_file.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tinyobs/file_system.h"

namespace tinyobs {
namespace {

class PosixFixture {
 public:
  FileSystem* file_system() { return FileSystem::Posix(); }
  std::string root() const { return directory_.path(); }

 private:
  testing::TempDir directory_;
};

class MemoryFixture {
 public:
  MemoryFixture() { EXPECT_OK(file_system_.CreateDirectories(root())); }
  FileSystem* file_system() { return &file_system_; }
  std::string root() const { return "/root"; }

 private:
  testing::MemoryFileSystem file_system_;
};

class InMemoryFixture {
 public:
  InMemoryFixture() { EXPECT_OK(file_system_->CreateDirectories(root())); }
  FileSystem* file_system() { return file_system_.get(); }
  std::string root() const { return "/root"; }

 private:
  const std::unique_ptr<FileSystem> file_system_ = NewInMemoryFileSystem(nullptr);
};

// Whatever a test does, at its end the count is what counting anew gives.
template <typename Base>
class CountingFixture {
 public:
  ~CountingFixture() {
    const CountingFileSystem counted(base_.file_system(), root());
    EXPECT_EQ(counting_.bytes(), counted.bytes());
  }
  FileSystem* file_system() { return &counting_; }
  std::string root() const { return base_.root() + "/counted"; }

 private:
  static std::string Created(FileSystem* base, const std::string& path) {
    EXPECT_OK(base->CreateDirectories(path));
    return path;
  }
  Base base_;
  CountingFileSystem counting_{base_.file_system(), Created(base_.file_system(), root())};
};

template <typename Fixture>
class FileSystemContract : public ::testing::Test {
 protected:
  FileSystem* fs() { return fixture_.file_system(); }
  std::string Path(const std::string& name) const { return fixture_.root() + "/" + name; }
  std::string root() const { return fixture_.root(); }

  void Write(const std::string& path, const std::string& content) {
    ASSERT_OK_AND_ASSIGN(const auto file, fs()->CreateWritable(path));
    ASSERT_OK(file->Append(content));
    ASSERT_OK(file->Close());
  }
  std::string Content(const std::string& path) {
    const auto content = ReadWholeFile(fs(), path, 1 << 20);
    return content.ok() ? *content : content.status().ToString();
  }
  std::vector<std::string> List(const std::string& path) {
    auto names = fs()->ListDirectory(path);
    EXPECT_OK(names);
    if (!names.ok()) return {};
    std::sort(names->begin(), names->end());
    return *names;
  }

  Fixture fixture_;
};

using Fixtures = ::testing::Types<PosixFixture, InMemoryFixture, MemoryFixture,
                                  CountingFixture<PosixFixture>, CountingFixture<MemoryFixture>>;
TYPED_TEST_SUITE(FileSystemContract, Fixtures);

TYPED_TEST(FileSystemContract, AppendedBytesAreReadBackAtAnyOffset) {
  const std::string path = this->Path("file");
  ASSERT_OK_AND_ASSIGN(const auto writer, this->fs()->CreateWritable(path));
  ASSERT_OK(writer->Append("hello "));
  ASSERT_OK(writer->Append(""));
  ASSERT_OK(writer->Append("world"));
  ASSERT_OK(writer->Sync());

  ASSERT_OK_AND_ASSIGN(const auto reader, this->fs()->OpenRandomAccess(path));
  char buffer[16] = {};
  EXPECT_EQ(reader->Read(6, 5, buffer).value(), 5u);
  EXPECT_EQ(std::string(buffer, 5), "world");
  EXPECT_EQ(reader->Read(9, 16, buffer).value(), 2u) << "short only where the file ends";
  EXPECT_EQ(std::string(buffer, 2), "ld");
  EXPECT_EQ(reader->Read(11, 16, buffer).value(), 0u);
  EXPECT_EQ(reader->Read(1000, 16, buffer).value(), 0u);
  EXPECT_EQ(reader->Size().value(), 11u);
  EXPECT_EQ(this->fs()->FileSize(path).value(), 11u);
}

TYPED_TEST(FileSystemContract, AReaderSeesAFileGrow) {
  const std::string path = this->Path("file");
  ASSERT_OK_AND_ASSIGN(const auto writer, this->fs()->CreateWritable(path));
  ASSERT_OK_AND_ASSIGN(const auto reader, this->fs()->OpenRandomAccess(path));
  EXPECT_EQ(reader->Size().value(), 0u);
  ASSERT_OK(writer->Append("abc"));
  EXPECT_EQ(reader->Size().value(), 3u);
  char buffer[3];
  EXPECT_EQ(reader->Read(0, 3, buffer).value(), 3u);
}

TYPED_TEST(FileSystemContract, PreallocatedZerosAreOverwrittenByAppendsAndCutAtClose) {
  const std::string path = this->Path("f");
  ASSERT_OK_AND_ASSIGN(const auto file, this->fs()->CreateWritable(path));
  ASSERT_OK(file->Append("abc"));
  const absl::Status status = file->Preallocate(5000);
  if (!status.ok()) GTEST_SKIP() << status;  // not every file system can
  EXPECT_EQ(this->fs()->FileSize(path).value(), 5003u);
  EXPECT_EQ(this->Content(path), "abc" + std::string(5000, '\0'));
  ASSERT_OK(file->Append("defg"));
  ASSERT_OK(file->Sync());
  EXPECT_EQ(this->Content(path), "abcdefg" + std::string(4996, '\0'));
  const std::string large(6000, 'x');  // beyond what was allocated
  ASSERT_OK(file->Append(large));
  ASSERT_OK(file->Preallocate(100));
  ASSERT_OK(file->Preallocate(0));
  EXPECT_EQ(this->Content(path), "abcdefg" + large);
  ASSERT_OK(file->Preallocate(100));
  ASSERT_OK(file->Append("h"));
  ASSERT_OK(file->Close());
  EXPECT_EQ(this->Content(path), "abcdefg" + large + "h");
}

TYPED_TEST(FileSystemContract, CreatingAnExistingFileEmptiesIt) {
  const std::string path = this->Path("file");
  this->Write(path, "old content");
  this->Write(path, "new");
  EXPECT_EQ(this->Content(path), "new");
}

TYPED_TEST(FileSystemContract, BytesWithZerosAndMegabytesSurvive) {
  std::string content(3 << 20, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * i >> 7);
  const std::string path = this->Path("file");
  this->Write(path, content);
  const auto read = ReadWholeFile(this->fs(), path, content.size());
  ASSERT_OK(read);
  EXPECT_TRUE(*read == content);
}

TYPED_TEST(FileSystemContract, MissingFilesAndFoldersAreNotFound) {
  const std::string path = this->Path("none");
  const std::string inside = this->Path("none/file");
  constexpr auto kNotFound = absl::StatusCode::kNotFound;
  EXPECT_CODE(this->fs()->OpenRandomAccess(path), kNotFound);
  EXPECT_CODE(this->fs()->CreateWritable(inside), kNotFound);
  EXPECT_CODE(this->fs()->DeleteFile(path), kNotFound);
  EXPECT_CODE(this->fs()->RenameFile(path, this->Path("other")), kNotFound);
  EXPECT_CODE(this->fs()->LinkFile(path, this->Path("other")), kNotFound);
  EXPECT_CODE(this->fs()->DeleteDirectory(path), kNotFound);
  EXPECT_CODE(this->fs()->SyncDirectory(path), kNotFound);
  EXPECT_CODE(this->fs()->ListDirectory(path), kNotFound);
  EXPECT_CODE(this->fs()->FileSize(path), kNotFound);
  EXPECT_CODE(this->fs()->FreeSpace(path), kNotFound);
  EXPECT_CODE(this->fs()->LockFile(inside), kNotFound);
  EXPECT_FALSE(this->fs()->FileExists(path));
}

TYPED_TEST(FileSystemContract, MessagesNameThePath) {
  const absl::Status status = this->fs()->OpenRandomAccess(this->Path("none")).status();
  EXPECT_NE(status.ToString().find(this->Path("none")), std::string::npos) << status;
}

TYPED_TEST(FileSystemContract, FoldersAreNotFiles) {
  const std::string folder = this->Path("folder");
  ASSERT_OK(this->fs()->CreateDirectories(folder));
  constexpr auto kFailedPrecondition = absl::StatusCode::kFailedPrecondition;
  EXPECT_CODE(this->fs()->OpenRandomAccess(folder), kFailedPrecondition);
  EXPECT_CODE(this->fs()->CreateWritable(folder), kFailedPrecondition);
  this->Write(this->Path("file"), "x");
  EXPECT_CODE(this->fs()->ListDirectory(this->Path("file")), kFailedPrecondition);
  EXPECT_CODE(this->fs()->CreateDirectories(this->Path("file")), kFailedPrecondition);
  EXPECT_CODE(this->fs()->SyncDirectory(this->Path("file")), kFailedPrecondition);
}

TYPED_TEST(FileSystemContract, RenameReplacesTheTarget) {
  this->Write(this->Path("a"), "new");
  this->Write(this->Path("b"), "old");
  ASSERT_OK(this->fs()->RenameFile(this->Path("a"), this->Path("b")));
  EXPECT_EQ(this->Content(this->Path("b")), "new");
  EXPECT_FALSE(this->fs()->FileExists(this->Path("a")));
  EXPECT_OK(this->fs()->SyncDirectory(this->root()));
}

TYPED_TEST(FileSystemContract, AnOpenFileOutlivesItsName) {
  this->Write(this->Path("a"), "content");
  ASSERT_OK_AND_ASSIGN(const auto reader, this->fs()->OpenRandomAccess(this->Path("a")));
  ASSERT_OK(this->fs()->DeleteFile(this->Path("a")));
  char buffer[7];
  EXPECT_EQ(reader->Read(0, 7, buffer).value(), 7u);
  EXPECT_EQ(std::string(buffer, 7), "content");
}

TYPED_TEST(FileSystemContract, ALinkIsASecondNameOfTheSameFile) {
  this->Write(this->Path("a"), "content");
  ASSERT_OK(this->fs()->LinkFile(this->Path("a"), this->Path("b")));
  EXPECT_CODE(this->fs()->LinkFile(this->Path("a"), this->Path("b")),
              absl::StatusCode::kAlreadyExists);
  ASSERT_OK(this->fs()->DeleteFile(this->Path("a")));
  EXPECT_EQ(this->Content(this->Path("b")), "content");
}

TYPED_TEST(FileSystemContract, FoldersAreCreatedWithTheirParentsAndListed) {
  ASSERT_OK(this->fs()->CreateDirectories(this->Path("x/y/z/")));
  ASSERT_OK(this->fs()->CreateDirectories(this->Path("x/y/z"))) << "there already";
  this->Write(this->Path("x/y/file"), "1");
  EXPECT_EQ(this->List(this->Path("x/y")), (std::vector<std::string>{"file", "z"}));
  EXPECT_EQ(this->List(this->Path("x/y/z")), std::vector<std::string>{});
  EXPECT_CODE(this->fs()->DeleteDirectory(this->Path("x/y")), absl::StatusCode::kFailedPrecondition)
      << "not empty";
  EXPECT_OK(this->fs()->DeleteDirectory(this->Path("x/y/z")));
  EXPECT_EQ(this->List(this->Path("x/y")), std::vector<std::string>{"file"});
}

TYPED_TEST(FileSystemContract, AClosedFileRefusesEverythingButClose) {
  ASSERT_OK_AND_ASSIGN(const auto file, this->fs()->CreateWritable(this->Path("file")));
  ASSERT_OK(file->Close());
  EXPECT_OK(file->Close());
  EXPECT_CODE(file->Append("x"), absl::StatusCode::kFailedPrecondition);
  EXPECT_CODE(file->Sync(), absl::StatusCode::kFailedPrecondition);
}

TYPED_TEST(FileSystemContract, ALockExcludesASecondOpenerOfTheSameProcess) {
  const std::string path = this->Path("LOCK");
  ASSERT_OK_AND_ASSIGN(auto lock, this->fs()->LockFile(path));
  EXPECT_TRUE(this->fs()->FileExists(path));
  EXPECT_CODE(this->fs()->LockFile(path), absl::StatusCode::kFailedPrecondition);
  EXPECT_CODE(this->fs()->LockFile(path), absl::StatusCode::kFailedPrecondition)
      << "a refused try must not release the lock";
  EXPECT_OK(this->fs()->LockFile(this->Path("other")));
  lock.reset();
  EXPECT_OK(this->fs()->LockFile(path));
}

TYPED_TEST(FileSystemContract, FreeSpaceIsKnown) {
  EXPECT_GT(this->fs()->FreeSpace(this->root()).value(), 0u);
}

TYPED_TEST(FileSystemContract, WholeFilesAreReplacedAndReadWithinALimit) {
  const std::string path = this->Path("CURRENT");
  ASSERT_OK(ReplaceWholeFile(this->fs(), path, "one"));
  ASSERT_OK(ReplaceWholeFile(this->fs(), path, "second"));
  EXPECT_EQ(ReadWholeFile(this->fs(), path, 6).value(), "second");
  EXPECT_CODE(ReadWholeFile(this->fs(), path, 5), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(this->List(this->root()), std::vector<std::string>{"CURRENT"}) << "no leftovers";
}

}  // namespace
}  // namespace tinyobs
