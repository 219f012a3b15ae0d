// Expiry: partitions leave as files, nothing is rewritten, and no crash leaves half of a drop.
#include "tests/tsdb/chunk_store_testing.h"
#include "tinyobs/file_system.h"

namespace tinyobs::tsdb {
namespace {

// Passes everything on to a MemoryFileSystem and counts the bytes that are written.
class CountingFileSystem final : public FileSystem {
 public:
  explicit CountingFileSystem(FileSystem* base) : base_(base) {}
  uint64_t bytes_written() const { return bytes_written_; }

  absl::StatusOr<std::unique_ptr<WritableFile>> CreateWritable(const std::string& path) override {
    auto file = base_->CreateWritable(path);
    TINYOBS_RETURN_IF_ERROR(file.status());
    return std::make_unique<CountingFile>(*std::move(file), &bytes_written_);
  }
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenRandomAccess(
      const std::string& path) override {
    return base_->OpenRandomAccess(path);
  }
  absl::Status DeleteFile(const std::string& path) override { return base_->DeleteFile(path); }
  absl::Status RenameFile(const std::string& from, const std::string& to) override {
    return base_->RenameFile(from, to);
  }
  absl::Status LinkFile(const std::string& from, const std::string& to) override {
    return base_->LinkFile(from, to);
  }
  absl::Status CreateDirectories(const std::string& path) override {
    return base_->CreateDirectories(path);
  }
  absl::Status DeleteDirectory(const std::string& path) override {
    return base_->DeleteDirectory(path);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    return base_->SyncDirectory(path);
  }
  absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) override {
    return base_->ListDirectory(path);
  }
  absl::StatusOr<uint64_t> FileSize(const std::string& path) override {
    return base_->FileSize(path);
  }
  bool FileExists(const std::string& path) override { return base_->FileExists(path); }
  absl::StatusOr<uint64_t> FreeSpace(const std::string& path) override {
    return base_->FreeSpace(path);
  }
  absl::StatusOr<std::unique_ptr<FileLock>> LockFile(const std::string& path) override {
    return base_->LockFile(path);
  }

 private:
  class CountingFile final : public WritableFile {
   public:
    CountingFile(std::unique_ptr<WritableFile> base, uint64_t* bytes)
        : base_(std::move(base)), bytes_(bytes) {}
    absl::Status Append(std::string_view bytes) override {
      *bytes_ += bytes.size();
      return base_->Append(bytes);
    }
    absl::Status Preallocate(uint64_t bytes) override { return base_->Preallocate(bytes); }
    absl::Status Sync() override { return base_->Sync(); }
    absl::Status Close() override { return base_->Close(); }

   private:
    const std::unique_ptr<WritableFile> base_;
    uint64_t* const bytes_;
  };

  FileSystem* const base_;
  uint64_t bytes_written_ = 0;
};

class ExpiryTest : public ChunkStoreTest {
 protected:
  // One chunk of each of seven series in each of the partitions [first, end).
  void Fill(int64_t first, int64_t end, int samples = 20) {
    for (int64_t partition = first; partition < end; ++partition) {
      for (SeriesId id = kSeries - 3; id <= kSeries + 3; ++id) {
        Write(Regular(partition * kPartitionMs, 10, samples, static_cast<double>(id % 7)), id);
      }
    }
  }
  void Expire(Model* model, int64_t time_ms) const {
    for (auto& [series, samples] : *model) {
      samples.erase(samples.begin(), samples.lower_bound(partitioning_.StartOf(time_ms)));
    }
  }
};

TEST_F(ExpiryTest, DroppingHalfOfTheDataWritesNextToNothing) {
  CountingFileSystem disk(&disk_);
  Close();
  lsm::StoreOptions options = Options();
  options.file_system = &disk;
  auto store = lsm::Store::Open("counted", options);
  ASSERT_OK(store);
  store_ = *std::move(store);
  chunks_.emplace(store_.get(), partitioning_, &merge_);
  ASSERT_OK(chunks_->Load());
  for (int64_t partition = 0; partition < 24; ++partition) {
    std::vector<std::pair<SeriesId, Samples>> batch;
    for (SeriesId id = 0; id < 500; ++id) {
      Samples samples;
      for (int i = 0; i < 60; ++i) {
        samples[partition * kPartitionMs + i * 10] = static_cast<double>(id * 7919 % 1000) * i / 7;
      }
      batch.emplace_back(id << 32, samples);
    }
    ASSERT_OK(TryWrite(batch));
    ASSERT_OK(store_->Flush());
  }
  const uint64_t disk_bytes = store_->Stats().disk_bytes;
  const uint64_t before = disk.bytes_written();
  ASSERT_GT(before, 800'000u);
  const auto dropped = chunks_->DropBefore(AllBefore(12 * kPartitionMs));
  ASSERT_OK(dropped);
  EXPECT_EQ(*dropped, 12u);
  EXPECT_LT(disk.bytes_written() - before, 64u << 10);
  EXPECT_LT(disk.bytes_written() - before, 8u << 10);
  EXPECT_LT(store_->Stats().disk_bytes, disk_bytes * 52 / 100);
  EXPECT_EQ(chunks_->Totals().samples, 12u * 500 * 60);
  EXPECT_EQ(chunks_->Totals().chunks, 12u * 500);
  EXPECT_EQ(chunks_->Totals().oldest_ms, 12 * kPartitionMs);
  EXPECT_EQ(Keys().size(), 12u * 500);
  Close();
}

TEST_F(ExpiryTest, OnlyPartitionsThatAreWhollyBeforeGo) {
  Fill(-2, 3);
  for (const int64_t time : {int64_t{-20'001}, int64_t{-20'000}, int64_t{-10'001}}) {
    EXPECT_EQ(*chunks_->DropBefore(AllBefore(time)), 0u);
  }
  EXPECT_EQ(*chunks_->DropBefore(AllBefore(-10'000)), 1u);
  EXPECT_EQ(*chunks_->DropBefore(AllBefore(19'999)), 2u);
  Expire(&model_, 19'999);
  Check();
  EXPECT_EQ(chunks_->Partitions({}), (std::vector<uint32_t>{Number(1), Number(2)}));
  durable_ = model_;
  Crash();
  Check();
}

// Also what was in the memtable only, and what lies in several levels.
TEST_F(ExpiryTest, NothingOfADroppedPartitionComesBack) {
  Fill(0, 3);
  Flush();
  ASSERT_OK(store_->CompactRange("", ""));
  Write({{5, 1}});
  Flush();
  Write({{7, 1}, {15, 2}});
  EXPECT_EQ(*chunks_->DropBefore(AllBefore(10'000)), 1u);
  Expire(&model_, 10'000);
  Check();
  // A late chunk makes the partition anew, alone.
  Write({{6, 6}});
  Check();
  EXPECT_EQ(chunks_->Totals().oldest_ms, 6);
  Flush();
  Crash();
  Check();
}

TEST_F(ExpiryTest, ReadersGoOnWithWhatTheyBeganWith) {
  Fill(0, 3);
  const auto snapshot = store_->NewSnapshot();
  const auto partitions = chunks_->Partitions({});
  const Model before = WithoutEmpty(model_);
  EXPECT_EQ(*chunks_->DropBefore(AllBefore(20'000)), 2u);
  EXPECT_EQ(ReadAll({}, snapshot.get(), partitions), before);
  EXPECT_EQ(ReadAll({}, snapshot.get(), partitions, 1), before);
}

TEST_F(ExpiryTest, IdleSeriesOfItsTimeGoWithIt) {
  Fill(1, 2);
  const std::string idle = ChunkPrefix(Tier::kIdle, Number(0)) + "series";
  const std::string warm = ChunkPrefix(Tier::kIdle, Number(1)) + "series";
  ASSERT_OK(store_->Put(idle, "c"));
  ASSERT_OK(store_->Put(warm, "w"));
  EXPECT_EQ(*chunks_->DropBefore(AllBefore(10'000)), 0u);
  std::string value;
  EXPECT_OK(store_->Get(idle, &value));  // nobody said that there are any
  EXPECT_EQ(*chunks_->DropBefore(AllBefore(10'000), /*idle_too=*/true), 0u);
  EXPECT_CODE(store_->Get(idle, &value), absl::StatusCode::kNotFound);
  EXPECT_OK(store_->Get(warm, &value));
}

TEST_F(ExpiryTest, ADropThatFailedIsFinishedByTheNext) {
  Fill(0, 3);
  Flush();
  disk_.AddFault({.operation = testing::Operation::kSync, .path_contains = "MANIFEST", .skip = 1});
  EXPECT_CODE(chunks_->DropBefore(AllBefore(20'000)), absl::StatusCode::kUnavailable);
  disk_.ClearFaults();
  ASSERT_OK(store_->Resume());
  Expire(&model_, 20'000);
  Check();
  EXPECT_EQ(Keys().size(), 21u);
  Write({{5, 5}});  // late; its partition has expired and goes too
  EXPECT_EQ(*chunks_->DropBefore(AllBefore(20'000)), 1u);
  Expire(&model_, 20'000);
  Check();
  EXPECT_EQ(Keys().size(), 7u);
}

// After each operation in turn. Afterwards all of the partitions are there or none, with counts
// that fit, and no file holds what nobody counts.
TEST_F(ExpiryTest, PowerMayFailAtAnyMoment) {
  for (const testing::Keep keep :
       {testing::Keep::kNothing, testing::Keep::kReordered, testing::Keep::kAll}) {
    bool done = false;
    for (uint64_t changes = 0; !done; ++changes) {
      SCOPED_TRACE(changes);
      Close();
      disk_.~MemoryFileSystem();
      new (&disk_) testing::MemoryFileSystem();
      model_.clear();
      Open();
      Fill(0, 4);
      Flush();
      disk_.PowerCutAfter(changes);
      done = chunks_->DropBefore(AllBefore(20'000)).ok();
      Crash({.keep_bytes = keep, .keep_names = keep, .seed = changes});
      const bool dropped = chunks_->Partitions({}).size() == 2;
      EXPECT_TRUE(dropped || !done);
      if (dropped) Expire(&model_, 20'000);
      Check();
      ASSERT_EQ(Keys().size(), dropped ? 14u : 28u);
      // Late data for what was dropped stays, whatever comes.
      Write({{3, 3}});
      Flush();
      Crash();
      Check();
      ASSERT_LT(changes, 1000u);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace tinyobs::tsdb
