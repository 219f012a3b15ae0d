// The storage limit: what is on disk stays below it while a database is written to and compacts,
// commits are refused or the oldest data goes, and it recovers by itself.
//
// Method: a disk that remembers the most it ever held, looked at after every append.
#include <algorithm>
#include <atomic>
#include <thread>

#include "tests/tsdb/ageing_testing.h"

namespace tinyobs::tsdb {
namespace {

// Forwards to another disk.
class PeakFileSystem final : public FileSystem {
 public:
  explicit PeakFileSystem(testing::MemoryFileSystem* disk) : disk_(disk) {}

  uint64_t peak_bytes() const { return peak_bytes_; }

  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenRandomAccess(
      const std::string& path) override {
    return disk_->OpenRandomAccess(path);
  }
  absl::StatusOr<std::unique_ptr<WritableFile>> CreateWritable(const std::string& path) override {
    auto file = disk_->CreateWritable(path);
    if (!file.ok()) return file;
    return std::unique_ptr<WritableFile>(new File(this, *std::move(file)));
  }
  absl::Status DeleteFile(const std::string& path) override { return disk_->DeleteFile(path); }
  absl::Status RenameFile(const std::string& from, const std::string& to) override {
    return disk_->RenameFile(from, to);
  }
  absl::Status LinkFile(const std::string& from, const std::string& to) override {
    return disk_->LinkFile(from, to);
  }
  absl::Status CreateDirectories(const std::string& path) override {
    return disk_->CreateDirectories(path);
  }
  absl::Status DeleteDirectory(const std::string& path) override {
    return disk_->DeleteDirectory(path);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    return disk_->SyncDirectory(path);
  }
  absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) override {
    return disk_->ListDirectory(path);
  }
  absl::StatusOr<uint64_t> FileSize(const std::string& path) override {
    return disk_->FileSize(path);
  }
  bool FileExists(const std::string& path) override { return disk_->FileExists(path); }
  absl::StatusOr<uint64_t> FreeSpace(const std::string& path) override {
    return disk_->FreeSpace(path);
  }
  absl::StatusOr<std::unique_ptr<FileLock>> LockFile(const std::string& path) override {
    return disk_->LockFile(path);
  }

 private:
  class File final : public WritableFile {
   public:
    File(PeakFileSystem* owner, std::unique_ptr<WritableFile> file)
        : owner_(owner), file_(std::move(file)) {}
    absl::Status Append(std::string_view bytes) override {
      absl::Status status = file_->Append(bytes);
      owner_->Look();
      return status;
    }
    absl::Status Sync() override { return file_->Sync(); }
    absl::Status Preallocate(uint64_t bytes) override {
      absl::Status status = file_->Preallocate(bytes);
      owner_->Look();
      return status;
    }
    absl::Status Close() override { return file_->Close(); }

   private:
    PeakFileSystem* const owner_;
    const std::unique_ptr<WritableFile> file_;
  };
  void Look() {
    const uint64_t bytes = disk_->UsedBytes();
    for (uint64_t most = peak_bytes_; most < bytes;) peak_bytes_.compare_exchange_weak(most, bytes);
  }

  testing::MemoryFileSystem* const disk_;
  std::atomic<uint64_t> peak_bytes_{0};
};

class SizeLimitTest : public AgeingTest {
 protected:
  static constexpr int kSeries = 20;

  SizeLimitTest() {
    options_.file_system = &peak_;
    options_.memory_budget_bytes = 4 << 20;
    options_.max_storage_bytes = 2 << 20;
    options_.sync_policy = SyncPolicy::kNone;
  }
  // A scrape of values that do not compress, now; refused ones are not tried again.
  absl::Status Scrape() {
    const auto appender = db_->NewAppender();
    for (int i = 0; i < kSeries; ++i) {
      noise_ = noise_ * 6364136223846793005u + 1442695040888963407u;
      EXPECT_OK(appender->Add(Gauge(StrCat(i)), clock_.NowMs(),
                              static_cast<double>(noise_ >> 11) * 0x1p-53));
    }
    const absl::Status status = appender->Commit();
    written_ += status.ok() ? kSeries : 0;
    return status;
  }
  // Returns how many were refused.
  uint64_t Scrapes(int64_t until_ms, int64_t step_ms = 15'000) {
    uint64_t refused = 0;
    while (clock_.NowMs() < until_ms) {
      const absl::Status status = Scrape();
      if (!status.ok()) {
        EXPECT_CODE(status, absl::StatusCode::kResourceExhausted);
        ++refused;
      }
      clock_.AdvanceMs(step_ms);
      Work();
    }
    return refused;
  }
  uint64_t SamplesThere() const {
    uint64_t samples = 0;
    for (const auto& [series, count] : SamplesIn(*db_, Resolution::kRaw)) samples += count;
    return samples;
  }

  PeakFileSystem peak_{&disk_};
  uint64_t noise_ = 1;
  uint64_t written_ = 0;
};

TEST_F(SizeLimitTest, CommitsAreRefusedBelowTheLimitWhateverIsCompacted) {
  options_.max_storage_bytes = 1 << 20;
  Open();
  const uint64_t refused = Scrapes(kEpochMs + 2 * kDayMs);
  EXPECT_GT(refused, 0u);
  EXPECT_LE(peak_.peak_bytes(), options_.max_storage_bytes);
  // Most of it can be used.
  EXPECT_GE(peak_.peak_bytes(), options_.max_storage_bytes / 4 * 3);
  EXPECT_EQ(SamplesThere(), written_);
  EXPECT_EQ(db_->Stats().background_error, "");
  EXPECT_EQ(db_->Stats().disk_bytes, disk_.UsedBytes());
  const absl::Status status = Scrape();
  EXPECT_NE(status.message().find(StrCat(options_.max_storage_bytes)), std::string::npos) << status;
  // Recovers by itself.
  ASSERT_OK(db_->DropBefore(kEpochMs + 6 * kHourMs));
  EXPECT_OK(Scrape());
}

TEST_F(SizeLimitTest, RetentionMakesRoomAndWritesGoOn) {
  options_.retention.raw_ms = 12 * kHourMs;
  options_.max_storage_bytes = 1 << 20;
  Open();
  uint64_t refused = Scrapes(kEpochMs + kDayMs, 7'500);
  EXPECT_GT(refused, 0u);
  refused = Scrapes(kEpochMs + 3 * kDayMs, 60'000);
  EXPECT_LE(peak_.peak_bytes(), options_.max_storage_bytes);
  EXPECT_OK(Scrape());
}

TEST_F(SizeLimitTest, TheOldestIsDroppedAndNoCommitIsRefused) {
  options_.storage_full = StorageFull::kDropOldest;
  Open();
  EXPECT_EQ(Scrapes(kEpochMs + 3 * kDayMs), 0u);
  EXPECT_LE(peak_.peak_bytes(), options_.max_storage_bytes);
  const DbStats stats = db_->Stats();
  EXPECT_GT(stats.retention.partitions_dropped_for_room, 10u);
  EXPECT_GT(stats.oldest_ms, kEpochMs + kDayMs);
  EXPECT_LE(stats.newest_ms, clock_.NowMs());
  // What is left is whole: each scrape since the oldest.
  EXPECT_EQ(SamplesThere(),
            static_cast<uint64_t>(clock_.NowMs() - stats.oldest_ms) / 15'000 * kSeries);
  // And most of the room is used.
  EXPECT_GE(stats.disk_bytes, options_.max_storage_bytes / 2);
  EXPECT_NE(std::find_if(log_.begin(), log_.end(),
                         [](const std::string& line) {
                           return line.find("dropped the oldest") != std::string::npos;
                         }),
            log_.end());
}

TEST_F(SizeLimitTest, WhatIsDroppedWasMadeIntoWindowsAndTheseGoLast) {
  options_.storage_full = StorageFull::kDropOldest;
  options_.downsampling = true;
  Open();
  EXPECT_EQ(Scrapes(kEpochMs + 2 * kDayMs), 0u);
  EXPECT_LE(peak_.peak_bytes(), options_.max_storage_bytes);
  const DbStats stats = db_->Stats();
  EXPECT_GT(stats.retention.partitions_dropped_for_room, 10u);
  EXPECT_GT(stats.tiers[0].oldest_ms, kEpochMs + 12 * kHourMs);
  EXPECT_EQ(stats.tiers[1].oldest_ms, kEpochMs);
  EXPECT_EQ(SamplesThere(), written_);
}

TEST_F(SizeLimitTest, ThePartitionOfNowIsNeverDropped) {
  options_.storage_full = StorageFull::kDropOldest;
  options_.max_storage_bytes = 300 << 10;
  Open();
  uint64_t refused = 0;
  for (; clock_.NowMs() < kEpochMs + kHourMs - 1000; clock_.AdvanceMs(1000)) {
    refused += Scrape().ok() ? 0 : 1;
    Work();
  }
  EXPECT_GT(refused, 0u);
  EXPECT_EQ(SamplesThere(), written_);
  EXPECT_EQ(Retained().partitions_dropped_for_room, 0u);
}

TEST_F(SizeLimitTest, WithThreadsTheLimitHoldsAndAllThatAgesGetsAlong) {
  options_.storage_full = StorageFull::kDropOldest;
  options_.downsampling = true;
  options_.retention.raw_ms = 2 * kDayMs;
  options_.background_threads = true;
  options_.logger = nullptr;
  Open();
  std::atomic<bool> done{false};
  std::thread asker([&] {
    while (!done) {
      EXPECT_OK(db_->Downsample());
      SamplesThere();
      static_cast<void>(db_->Stats());
    }
  });
  for (int scrapes = 0; scrapes < 100'000 && Retained().partitions_dropped_for_room < 12;
       ++scrapes) {
    if (const absl::Status status = Scrape(); !status.ok()) {
      EXPECT_CODE(status, absl::StatusCode::kResourceExhausted);
      std::this_thread::yield();
    } else {
      clock_.AdvanceMs(15'000);
    }
  }
  done = true;
  asker.join();
  const DbStats stats = db_->Stats();
  EXPECT_EQ(stats.background_error, "");
  EXPECT_GT(stats.retention.partitions_dropped_for_room, 0u);
  // Memtables are not smaller, and of so small a limit the reserve is less than three of them.
  constexpr uint64_t kLeastMemtable = 256 << 10;
  EXPECT_LE(peak_.peak_bytes(), options_.max_storage_bytes + 3 * kLeastMemtable);
  EXPECT_EQ(SamplesThere(), written_);
  ASSERT_OK(db_->Close());
}

}  // namespace
}  // namespace tinyobs::tsdb
