// Disks that fail and come back: the database turns read-only, says so, loses nothing that it
// acknowledged, and Resume() makes it write again.
#include <random>

#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {
namespace {

using testing::Fault;
using testing::Keep;
using testing::Operation;

Labels Cpu(int i) { return Labels::Of("cpu", {{"host", std::to_string(i)}}); }

class DbFaultTest : public DbTest {
 protected:
  DbFaultTest() {
    options_.chunk_samples = 4;
    options_.sync_policy = SyncPolicy::kAlways;
  }

  void PutSome(int from, int to) {
    for (int i = from; i < to; ++i) ASSERT_OK(Put(Cpu(i % 3), kStartMs + i * 1000, i));
  }
  void ExpectReadOnly() {
    EXPECT_NE(db_->Stats().background_error, "");
    EXPECT_CODE(Put(Cpu(0), kStartMs, 1), absl::StatusCode::kFailedPrecondition);
    EXPECT_CODE(db_->Flush(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(Everything(*db_), model_);
  }
};

TEST_F(DbFaultTest, AFailedLogWriteMakesReadOnlyUntilResume) {
  for (const bool torn : {false, true}) {
    for (const Operation operation : {Operation::kAppend, Operation::kSync}) {
      SCOPED_TRACE(StrCat("operation ", static_cast<int>(operation), torn ? " torn" : ""));
      Reopen();
      PutSome(0, 10);
      disk_.AddFault({.operation = operation, .path_contains = "/head/", .torn = torn});
      EXPECT_FALSE(Put(Cpu(77), kStartMs, 1).ok());
      ExpectReadOnly();
      ASSERT_OK(db_->Resume());
      EXPECT_EQ(db_->Stats().background_error, "");
      EXPECT_EQ(db_->Stats().series, model_.size());  // the refused series does not exist
      PutSome(10, 20);
      EXPECT_EQ(Everything(*db_), model_);
      Kill();
      disk_.Crash({.keep_bytes = Keep::kNothing, .keep_names = Keep::kNothing});
      Open();
      EXPECT_EQ(Everything(*db_), model_);  // the refused batch did not come back
    }
  }
}

TEST_F(DbFaultTest, ResumeFailsAsLongAsTheDiskDoes) {
  Open();
  PutSome(0, 10);
  disk_.AddFault({.operation = Operation::kSync, .path_contains = "/head/", .count = 1000});
  EXPECT_FALSE(Put(Cpu(0), kStartMs, 1).ok());
  EXPECT_FALSE(db_->Resume().ok());
  ExpectReadOnly();
  disk_.ClearFaults();
  ASSERT_OK(db_->Resume());
  PutSome(10, 20);
  Reopen();
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(DbFaultTest, AFullDiskRefusesWritesAndHealsWhenThereIsRoom) {
  Open();
  disk_.SetCapacityBytes(disk_.UsedBytes() + 3000);
  absl::Status status;
  for (int i = 0; i < 1000 && status.ok(); ++i) status = Put(Cpu(i % 3), kStartMs + i * 1000, i);
  EXPECT_CODE(status, absl::StatusCode::kResourceExhausted);
  ExpectReadOnly();
  EXPECT_FALSE(db_->Resume().ok());
  disk_.SetCapacityBytes(testing::MemoryFileSystem::kUnlimited);
  ASSERT_OK(db_->Resume());
  PutSome(1000, 1010);
  EXPECT_EQ(Everything(*db_), model_);
  CloseAndReopen();
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(DbFaultTest, AFullDiskHealsWithoutResumeAndAttemptsLeaveNoFiles) {
  Open();
  PutSome(0, 10);
  disk_.SetCapacityBytes(disk_.UsedBytes() + 3000);
  absl::Status status;
  for (int i = 10; i < 1000 && status.ok(); ++i) {
    status = Put(Cpu(i % 3), kStartMs + i * 1000, i);
  }
  EXPECT_CODE(status, absl::StatusCode::kResourceExhausted);
  // A segment fits, a checkpoint does not.
  disk_.SetCapacityBytes(testing::MemoryFileSystem::kUnlimited);
  disk_.AddFault({.operation = Operation::kAppend,
                  .path_contains = ".checkpoint",
                  .count = testing::MemoryFileSystem::kUnlimited,
                  .error = absl::ResourceExhaustedError("no space left")});
  const size_t files = disk_.Files().size();
  for (int i = 0; i < 20; ++i) {
    clock_.AdvanceMs(20'000);
    EXPECT_CODE(db_->RunBackgroundWork(), absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_LE(disk_.Files().size(), files + 3);
  ExpectReadOnly();
  disk_.ClearFaults();
  const uint64_t creations = disk_.Count(Operation::kCreate);
  EXPECT_FALSE(db_->RunBackgroundWork().ok());  // not yet time
  EXPECT_EQ(disk_.Count(Operation::kCreate), creations);
  clock_.AdvanceMs(20'000);
  ASSERT_OK(db_->RunBackgroundWork());
  PutSome(1000, 1010);
  EXPECT_EQ(Everything(*db_), model_);
  Kill();
  disk_.Crash({.keep_bytes = Keep::kNothing, .keep_names = Keep::kNothing});
  Open();
  EXPECT_EQ(Everything(*db_), model_);
}

// Whether the head log met the full disk first, or the LSM did: dropping makes the room.
TEST_F(DbFaultTest, AFullDiskIsHealedByDroppingOldSamples) {
  for (const bool sealed : {false, true}) {
    SCOPED_TRACE(sealed ? "the LSM fails" : "the head log fails");
    options_.partition_ms = 100'000;
    Reopen();
    std::mt19937_64 random(7);
    const auto noise = [&random] { return std::bit_cast<double>(random() >> 2); };
    const int64_t base_ms = kStartMs + (sealed ? 10'000'000 : 0);
    for (int i = 0; i < 2000; ++i) ASSERT_OK(Put(Cpu(i % 3), base_ms + i * 500, noise()));
    ASSERT_OK(db_->Flush());
    disk_.SetCapacityBytes(disk_.UsedBytes() + 1500);
    absl::Status status;
    for (int i = 2000; i < 4000 && status.ok(); ++i) {
      status = Put(Cpu(i % 3), base_ms + i * 500, noise());
      if (sealed && status.ok()) status = db_->Flush();
    }
    ASSERT_CODE(status, absl::StatusCode::kResourceExhausted);
    ExpectReadOnly();
    // What the last block of the manifest has left: for an edit, and no more.
    disk_.SetCapacityBytes(disk_.UsedBytes() + 300);
    EXPECT_FALSE(db_->Resume().ok());
    disk_.SetCapacityBytes(disk_.UsedBytes() + 300);
    const int64_t kept_ms = base_ms + 900'000;
    ASSERT_OK(db_->DropBefore(kept_ms));
    for (auto& [labels, points] : model_) {
      points.erase(points.begin(), points.lower_bound(kept_ms));
    }
    EXPECT_EQ(db_->Stats().background_error, "");
    EXPECT_EQ(Everything(*db_), model_);
    EXPECT_EQ(db_->Stats().samples, CountSamples(model_));
    disk_.SetCapacityBytes(testing::MemoryFileSystem::kUnlimited);
    ASSERT_OK(Put(Cpu(0), base_ms + 3'000'000, 1));
    Kill();
    disk_.Crash({.keep_bytes = Keep::kNothing, .keep_names = Keep::kNothing});
    Open();
    EXPECT_EQ(Everything(*db_), model_);
    EXPECT_EQ(db_->Stats().samples, CountSamples(model_));
  }
}

TEST_F(DbFaultTest, ASyncIsNotRefusedForTheErrorOfAnotherFile) {
  options_.sync_policy = SyncPolicy::kInterval;
  Open();
  PutSome(0, 10);
  disk_.AddFault({.operation = Operation::kCreate, .path_contains = "/lsm/", .count = 1000});
  EXPECT_FALSE(db_->Flush().ok());
  ExpectReadOnly();
  ASSERT_OK(db_->Sync());
  Kill();
  disk_.Crash({.keep_bytes = Keep::kNothing, .keep_names = Keep::kNothing});
  Open();
  EXPECT_EQ(Everything(*db_), model_);
  // By itself, too.
  PutSome(10, 20);
  disk_.AddFault({.operation = Operation::kCreate, .path_contains = "/lsm/", .count = 1000});
  EXPECT_FALSE(db_->Flush().ok());
  clock_.AdvanceMs(options_.sync_interval_ms);
  EXPECT_FALSE(db_->RunBackgroundWork().ok());
  Kill();
  disk_.Crash({.keep_bytes = Keep::kNothing, .keep_names = Keep::kNothing});
  Open();
  EXPECT_EQ(Everything(*db_), model_);
}

// What an abandoned segment had is durable only with the checkpoint that replaces it.
TEST_F(DbFaultTest, ASyncAfterAFailedResumePromisesNothing) {
  options_.sync_policy = SyncPolicy::kNone;
  Open();
  PutSome(0, 10);
  disk_.AddFault({.operation = Operation::kSync, .path_contains = "/head/"});
  EXPECT_FALSE(db_->Sync().ok());
  disk_.AddFault({.operation = Operation::kCreate, .path_contains = ".checkpoint"});
  EXPECT_FALSE(db_->Resume().ok());
  EXPECT_CODE(db_->Sync(), absl::StatusCode::kFailedPrecondition);
  ASSERT_OK(db_->Resume());
  ASSERT_OK(db_->Sync());
  Kill();
  disk_.Crash({.keep_bytes = Keep::kNothing, .keep_names = Keep::kNothing});
  Open();
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(DbFaultTest, DyingInTheFailedStateLosesNothingAcknowledged) {
  Open();
  PutSome(0, 10);
  disk_.AddFault({.operation = Operation::kAppend, .path_contains = "/head/", .torn = true});
  EXPECT_FALSE(Put(Cpu(0), kStartMs, 1).ok());
  Kill();
  disk_.Crash({.keep_bytes = Keep::kAll, .keep_names = Keep::kAll});
  Open();
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(DbFaultTest, ClosingInTheFailedStateKeepsWhatWasAcknowledged) {
  Open();
  PutSome(0, 10);
  disk_.AddFault({.operation = Operation::kSync, .path_contains = "/head/"});
  EXPECT_FALSE(Put(Cpu(0), kStartMs, 1).ok());
  ASSERT_OK(db_->Close());
  Reopen();
  EXPECT_EQ(Everything(*db_), model_);
}

// Fails the nth operation of each kind, for every n, in a history that checkpoints.
TEST_F(DbFaultTest, ClosingAfterAFailedResumeMakesDurableWhatWasAcknowledged) {
  options_.sync_policy = SyncPolicy::kNone;
  Open();
  PutSome(0, 10);
  disk_.AddFault({.operation = Operation::kSync, .path_contains = "/head/"});
  EXPECT_FALSE(db_->Sync().ok());
  disk_.AddFault({.operation = Operation::kCreate, .path_contains = ".checkpoint"});
  EXPECT_FALSE(db_->Resume().ok());
  EXPECT_OK(db_->Close());
  Kill();
  disk_.Crash({.keep_bytes = Keep::kNothing, .keep_names = Keep::kNothing});
  Open();
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(DbFaultTest, AnySingleFailureIsSurvived) {
  for (const Operation operation :
       {Operation::kCreate, Operation::kAppend, Operation::kSync, Operation::kDelete,
        Operation::kRename, Operation::kSyncDirectory, Operation::kRead, Operation::kOpen}) {
    for (uint64_t n = 0; n < 60; n += 1 + n / 10) {
      SCOPED_TRACE(StrCat("operation ", static_cast<int>(operation), " number ", n));
      model_.clear();
      Kill();
      for (const std::string& path : disk_.Files()) ASSERT_OK(disk_.DeleteFile(path));
      disk_.DeleteDirectory("db/head").IgnoreError();
      disk_.DeleteDirectory("db/lsm").IgnoreError();
      Open();
      PutSome(0, 10);
      disk_.AddFault({.operation = operation, .skip = n});
      for (int i = 10; i < 60; ++i) {
        const absl::Status put = Put(Cpu(i % 3), kStartMs + (i * 1000) % 17'000, i);
        if (!put.ok()) break;
        if (i % 10 == 0 && !db_->Flush().ok()) break;
      }
      disk_.ClearFaults();
      ASSERT_OK(db_->Resume());
      ASSERT_EQ(Everything(*db_), model_);
      PutSome(60, 70);
      CloseAndReopen();
      ASSERT_EQ(Everything(*db_), model_);
      if (HasFailure()) return;
    }
  }
}

TEST_F(DbFaultTest, ADamagedTableIsReportedByTheQueryNotSwallowed) {
  Open();
  PutSome(0, 30);
  ASSERT_OK(db_->Flush());
  ASSERT_OK(db_->Close());
  db_.reset();
  bool damaged = false;
  for (const std::string& path : disk_.Files()) {
    if (path.find("/lsm/") == std::string::npos) continue;
    ASSERT_OK_AND_ASSIGN(const std::string good, disk_.Contents(path));
    for (size_t i = 0; i < good.size(); i += 7) {
      const auto disk = disk_.CloneAfterCrash({.keep_bytes = Keep::kAll, .keep_names = Keep::kAll});
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ 0x04);
      ASSERT_OK(disk->SetContents(path, bad));
      Options options = options_;
      options.file_system = disk.get();
      const auto db = Db::Open("db", options);
      if (!db.ok()) {
        damaged = true;
        continue;
      }
      ASSERT_OK_AND_ASSIGN(const auto set, (*db)->SelectAll({}));
      Model found;
      while (set->Next()) {
        const Columns& columns = set->columns();
        for (size_t s = 0; s < columns.size(); ++s) {
          found[Text(set->labels())][columns.timestamps_ms[s]] =
              std::bit_cast<uint64_t>(columns.values[s]);
        }
      }
      if (set->status().ok()) {
        ASSERT_EQ(found, model_) << path << " byte " << i;
      } else {
        damaged = true;
        EXPECT_CODE(set->status(), absl::StatusCode::kDataLoss);
      }
    }
  }
  EXPECT_TRUE(damaged);
}

}  // namespace
}  // namespace tinyobs::tsdb
