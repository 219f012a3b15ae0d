// Small appends to preallocated space: some go through a shared mapping, some through write, and
// the file must not show which. On a real folder, as only the operating system's files do this.
#include <sys/vfs.h>

#include <cstdint>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tinyobs/file_system.h"

namespace tinyobs {
namespace {

FileSystem* Fs() { return FileSystem::Posix(); }

bool IsMapped(const std::string& path) {
  std::ifstream file("/proc/self/maps");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  return text.find(path) != std::string::npos;
}

// A file and what it must hold.
class Appended {
 public:
  explicit Appended(const std::string& path) : path_(path) {
    auto file = Fs()->CreateWritable(path);
    EXPECT_OK(file);
    if (file.ok()) file_ = *std::move(file);
  }
  WritableFile* operator->() { return file_.get(); }

  void Append(std::mt19937_64* random, size_t bytes) {
    std::string text(bytes, '\0');
    for (char& byte : text) byte = static_cast<char>(1 + (*random)() % 255);  // no zeros
    ASSERT_OK(file_->Append(text));
    expected_ += text;
    was_mapped_ = was_mapped_ || IsMappedNow();
  }
  void Preallocate(uint64_t bytes) {
    ASSERT_OK(file_->Preallocate(bytes));
    allocated_end_ = bytes == 0 ? 0 : expected_.size() + bytes;
  }
  // What was appended, then nothing but zeros.
  void Check(bool is_cut) const {
    ASSERT_OK_AND_ASSIGN(const auto reader, Fs()->OpenRandomAccess(path_));
    ASSERT_OK_AND_ASSIGN(const uint64_t size, reader->Size());
    ASSERT_GE(size, expected_.size());
    if (is_cut) {
      ASSERT_EQ(size, expected_.size());
    }
    std::string found(size, '\0');
    ASSERT_OK_AND_ASSIGN(const size_t count, reader->Read(0, size, found.data()));
    ASSERT_EQ(count, size);
    const std::string_view all(found);
    // Not EXPECT_EQ: nobody reads megabytes.
    ASSERT_TRUE(all.substr(0, expected_.size()) == expected_) << "differs at " << Difference(all);
    ASSERT_EQ(all.find_first_not_of('\0', expected_.size()), std::string_view::npos);
  }
  uint64_t size() const { return expected_.size(); }
  uint64_t allocated_end() const { return allocated_end_; }
  bool was_mapped() const { return was_mapped_; }

 private:
  bool IsMappedNow() {
    return ++appends_ % 50 == 0 && IsMapped(path_);  // looking costs more than an append
  }
  size_t Difference(std::string_view found) const {
    size_t at = 0;
    while (at < expected_.size() && found[at] == expected_[at]) ++at;
    return at;
  }

  const std::string path_;
  std::unique_ptr<WritableFile> file_;
  std::string expected_;
  uint64_t allocated_end_ = 0;
  uint64_t appends_ = 0;
  bool was_mapped_ = false;
};

size_t RandomSize(std::mt19937_64* random) {
  switch ((*random)() % 100) {
    case 0:
      return 40'000;
    case 1:
      return 32 << 10;  // the most that goes through the mapping
    default:
      return 1 + (*random)() % ((*random)() % 2 == 0 ? 200 : 5000);
  }
}

TEST(MappedTail, HoldsExactlyWhatWasAppendedWhateverHappensBetween) {
  constexpr uint64_t kSeed = 97;
  RecordProperty("seed", std::to_string(kSeed));
  std::mt19937_64 random(kSeed);
  testing::TempDir folder;
  for (int round = 0; round < 2; ++round) {
    SCOPED_TRACE(StrCat("seed ", kSeed, ", round ", round));
    Appended file(folder.File(StrCat("log", round)));
    for (int i = 0; i < 4000; ++i) {
      // As a log does: before the end is reached, most often.
      if (file.size() + 6000 > file.allocated_end() && random() % 4 != 0) {
        file.Preallocate(round == 0 ? 1 << 20 : 1 + random() % 300'000);
      }
      file.Append(&random, RandomSize(&random));
      if (HasFatalFailure()) return;
      if (random() % 150 == 0) {
        ASSERT_OK(file->Sync());
      }
      if (random() % 500 == 0) {
        file.Preallocate(0);
        file.Check(true);
      }
      if (random() % 400 == 0) file.Check(false);
      if (HasFatalFailure()) return;
    }
    file.Check(false);
    ASSERT_OK(file->Close());
    file.Check(true);
    ASSERT_OK(file->Close());
    RecordProperty(StrCat("mapped", round), file.was_mapped());
  }
}

// What the other tests are worth: they say nothing of a mapping that is never made.
TEST(MappedTail, IsUsedWhereTheFileSystemIsKnown) {
  testing::TempDir folder;
  struct statfs info;
  ASSERT_EQ(::statfs(folder.path().c_str(), &info), 0);
  if (info.f_type != 0xEF53 && info.f_type != 0x01021994) GTEST_SKIP() << "not ext4 or tmpfs";
  std::mt19937_64 random(1);
  Appended file(folder.File("log"));
  file.Preallocate(1 << 20);
  // A pause of this process ends a burst, so one may not be enough.
  for (int i = 0; i < 5000 && !file.was_mapped(); ++i) file.Append(&random, 100);
  if (!file.was_mapped()) GTEST_SKIP() << "this kernel has no MADV_POPULATE_WRITE";
  file.Check(false);
  file.Preallocate(0);
  EXPECT_FALSE(IsMapped(folder.File("log")));  // pages behind the end must not be touched
  file.Append(&random, 100);
  ASSERT_OK(file->Close());
  file.Check(true);
  EXPECT_FALSE(IsMapped(folder.File("log")));
}

TEST(MappedTail, GoesOnBeyondThePreallocatedEnd) {
  std::mt19937_64 random(2);
  testing::TempDir folder;
  // Ends within a page, at one, at the end of a window, and within the next window.
  for (const uint64_t bytes : {1u, 4095u, 4096u, 10'000u, 256u << 10, (256u << 10) + 77}) {
    SCOPED_TRACE(bytes);
    Appended file(folder.File(StrCat("log", bytes)));
    file.Append(&random, 10);
    file.Preallocate(bytes);
    while (file.size() < bytes + 20'000) {
      file.Append(&random, 1 + random() % 600);
      ASSERT_FALSE(HasFatalFailure());
    }
    file.Check(true);  // nothing is left of the zeros
    file.Preallocate(100'000);
    for (int i = 0; i < 40; ++i) file.Append(&random, 300);
    file.Check(false);
    ASSERT_OK(file->Close());
    file.Check(true);
  }
}

// Bytes of the last page behind the end can be mapped, but nothing that is put there is in the
// file.
TEST(MappedTail, SpaceThatWasCutIsWrittenAnew) {
  std::mt19937_64 random(5);
  testing::TempDir folder;
  Appended file(folder.File("log"));
  file.Preallocate(2000);
  for (int i = 0; i < 20; ++i) file.Append(&random, 10);
  file.Preallocate(0);
  for (int i = 0; i < 30; ++i) file.Append(&random, 50);
  ASSERT_OK(file->Close());
  file.Check(true);
}

TEST(MappedTail, TwoFilesAtOnceKeepApart) {
  std::mt19937_64 random(3);
  testing::TempDir folder;
  Appended first(folder.File("first"));
  Appended second(folder.File("second"));
  first.Preallocate(2 << 20);
  second.Preallocate(300'000);
  for (int i = 0; i < 3000; ++i) {
    Appended& file = random() % 3 == 0 ? second : first;
    file.Append(&random, 1 + random() % 900);
    ASSERT_FALSE(HasFatalFailure());
    if (i == 1500) second.Preallocate(1 << 20);
  }
  first.Check(false);
  second.Check(false);
  ASSERT_OK(first->Close());
  for (int i = 0; i < 100; ++i) second.Append(&random, 100);
  ASSERT_OK(second->Close());
  first.Check(true);
  second.Check(true);
}

TEST(MappedTail, APreallocateThatFailsLeavesTheFileAsUsableAsBefore) {
  std::mt19937_64 random(4);
  testing::TempDir folder;
  for (const uint64_t before : {0, 200'000}) {
    SCOPED_TRACE(before);
    Appended file(folder.File(StrCat("log", before)));
    file.Append(&random, 10);
    file.Preallocate(before);
    for (int i = 0; i < 100; ++i) file.Append(&random, 200);
    EXPECT_FALSE(file->Preallocate(INT64_MAX).ok());  // no file may be so large
    for (int i = 0; i < 2000; ++i) file.Append(&random, 200);
    ASSERT_FALSE(HasFatalFailure());
    file.Check(false);
    ASSERT_OK(file->Sync());
    file.Preallocate(50'000);
    for (int i = 0; i < 400; ++i) file.Append(&random, 200);
    file.Check(false);
    ASSERT_OK(file->Close());
    file.Check(true);
  }
}

}  // namespace
}  // namespace tinyobs
