// Repair: whatever file is damaged or gone, the database opens again, what it answers was written,
// and what is written from then on is not mixed with anything of before.
//
// Method: a killed and a closed database with all kinds of files; in clones of the disk each file
// is cut, flipped in some bytes, or missing. After the repair the answers must be a part of the
// model, exactly counted; then all series of before and new ones are written, and the answers must
// be what was left and that.
#include <algorithm>
#include <functional>

#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {
namespace {

using testing::Keep;
using testing::MemoryFileSystem;

constexpr int64_t kPartitionMs = 20'000;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kFlips = 2;  // of each file: a repair takes fifty times as long
#else
constexpr size_t kFlips = 7;
#endif
constexpr int kSeries = 300;  // enough for some to go idle

class DbRepairTest : public DbTest {
 protected:
  DbRepairTest() {
    options_.chunk_samples = 8;
    options_.partition_ms = kPartitionMs;
    options_.sync_policy = SyncPolicy::kAlways;
    clock_.SetMs(kStartMs);
  }

  static Labels Id(int i) {
    return Labels::Of(i % 2 == 0 ? "even" : "odd", {{"i", std::to_string(i)}});
  }
  void PutMany(int from, int to, int64_t at_ms) {
    Writer writer(db_.get(), &model_);
    for (int i = from; i < to; ++i) {
      ASSERT_OK(writer.Add(Id(i), at_ms, static_cast<double>(at_ms - kStartMs) + i * 1e-3));
    }
    ASSERT_OK(writer.Commit());
  }
  void Work() {
    for (bool more = true; more;) {
      ASSERT_OK_AND_ASSIGN(more, db_->RunBackgroundWork());
    }
  }

  // Idle series, tables of several partitions, a checkpoint with open chunks, several segments.
  void Build() {
    Open();
    PutMany(0, kSeries, kStartMs);
    for (int t = 1; t < 60; ++t) {
      clock_.SetMs(kStartMs + t * 2000);
      PutMany(0, 10, kStartMs + t * 2000);
      if (t % 4 == 0) Work();
      if (t % 20 != 0) continue;
      ASSERT_OK(db_->Flush());
    }
    ASSERT_GT(db_->Stats().idle_series, 0u);
    ASSERT_OK(db_->Flush());
    for (int t = 60; t < 70; ++t) PutMany(5, 15, kStartMs + t * 2000);
    options_.head_segment_bytes = 1;  // the next round begins a segment
    CloseAndReopen();
    for (int t = 70; t < 75; ++t) PutMany(5, 15, kStartMs + t * 2000);
    ASSERT_OK(db_->RunBackgroundWork());
    options_.head_segment_bytes = 1 << 20;
    for (int t = 75; t < 80; ++t) PutMany(5, 20, kStartMs + t * 2000);
  }

  Options OptionsOn(MemoryFileSystem* disk) {
    Options options = options_;
    options.file_system = disk;
    options.logger = [this](std::string_view line) { StrAppend(&said_, line, "\n"); };
    return options;
  }

  // `damage` is done to a clone of the disk. Returns what the repair calls lost.
  void RepairAfter(const std::function<void(MemoryFileSystem*)>& damage,
                   std::vector<std::string>* lost, Model* found) {
    const auto disk = disk_.CloneAfterCrash({.keep_bytes = Keep::kAll, .keep_names = Keep::kAll});
    damage(disk.get());
    said_.clear();
    const Options options = OptionsOn(disk.get());
    ASSERT_OK_AND_ASSIGN(*lost, Db::Repair("db", options));
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<Db> db, Db::Open("db", options));
    *found = Everything(*db);
    for (const auto& [labels, points] : *found) {
      for (const auto& [time, value] : points) {
        ASSERT_TRUE(model_[labels].contains(time)) << labels << " at " << time;
        ASSERT_EQ(model_[labels][time], value) << labels << " at " << time;
      }
    }
    // The end of a log is that of an unfinished write, which is no loss.
    const bool is_cut = said_.find(": cut ") != std::string::npos || is_empty_log_;
    ASSERT_TRUE(*found == model_ || !lost->empty() || is_cut) << CountSamples(*found);
    // Ids that are given again would bring back what belongs to others.
    Model wanted = *found;
    Writer writer(db.get(), &wanted);
    for (int i = 0; i < kSeries + 50; ++i) {
      ASSERT_OK(writer.Add(Id(i), kStartMs + 170'000, 1e6 + i));
    }
    ASSERT_OK(writer.Commit());
    ASSERT_EQ(Everything(*db), wanted);
    ASSERT_OK(db->Flush());
    ASSERT_EQ(Everything(*db), wanted);
    ASSERT_OK(db->Close());
    ASSERT_OK_AND_ASSIGN(db, Db::Open("db", options));
    ASSERT_EQ(Everything(*db), wanted);
  }

  std::string said_;
  bool is_empty_log_ = false;  // cut to nothing

  void DamageEveryFile() {
    size_t kept_something = 0, tries = 0;
    for (const std::string& path : disk_.Files()) {
      if (path.ends_with("/IDENTITY") || path.ends_with("/LOCK")) continue;
      ASSERT_OK_AND_ASSIGN(const std::string good, disk_.Contents(path));
      const auto with = [&path](const std::string& bytes) {
        return
            [&path, bytes](MemoryFileSystem* disk) { ASSERT_OK(disk->SetContents(path, bytes)); };
      };
      std::vector<std::function<void(MemoryFileSystem*)>> damages = {
          with(good.substr(0, good.size() / 2)), with(good.substr(0, good.size() * 9 / 10)),
          with(""), [&path](MemoryFileSystem* disk) { ASSERT_OK(disk->DeleteFile(path)); }};
      for (size_t i = 0; i < good.size(); i += 1 + good.size() / kFlips) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ 0x10);
        damages.push_back(with(bad));
      }
      for (size_t n = 0; n < damages.size(); ++n) {
        SCOPED_TRACE(StrCat(path, " of ", good.size(), " bytes, damage ", n));
        std::vector<std::string> lost;
        Model found;
        is_empty_log_ = n == 2 && path.ends_with(".log");
        RepairAfter(damages[n], &lost, &found);
        if (HasFailure()) return;
        ++tries;
        kept_something += CountSamples(found) > CountSamples(model_) / 8 ? 1 : 0;
      }
    }
    EXPECT_GT(tries, 50u);
    EXPECT_GT(kept_something, tries * 3 / 4);
  }
};

TEST_F(DbRepairTest, WhatAKilledDatabaseLostIsNotMixedWithWhatComes) {
  Build();
  Kill();
  DamageEveryFile();
}

TEST_F(DbRepairTest, WhatAClosedDatabaseLostIsNotMixedWithWhatComes) {
  Build();
  ASSERT_OK(db_->Close());
  Kill();
  DamageEveryFile();
}

// All rows of series are in one table here, with the row that says which numbers come next.
TEST_F(DbRepairTest, NumbersAreNotGivenAgainThoughAllSeriesAreLost) {
  Open();
  for (int t = 0; t < 3; ++t) PutMany(0, 20, kStartMs + t * 1000);
  ASSERT_OK(db_->Flush());
  ASSERT_OK(db_->Close());
  Kill();
  bool lost_all = false;
  for (const std::string& path : disk_.Files()) {
    if (!path.ends_with(".sst")) continue;
    SCOPED_TRACE(path);
    std::vector<std::string> lost;
    Model found;
    RepairAfter([&path](MemoryFileSystem* disk) { ASSERT_OK(disk->DeleteFile(path)); }, &lost,
                &found);
    lost_all = lost_all || found.empty();
  }
  EXPECT_TRUE(lost_all);
}

TEST_F(DbRepairTest, AHealthyDatabaseLosesNothing) {
  Build();
  EXPECT_CODE(Db::Repair("db", options_), absl::StatusCode::kFailedPrecondition);  // it is open
  Kill();
  ASSERT_OK_AND_ASSIGN(const auto lost, Db::Repair("db", options_));
  EXPECT_TRUE(lost.empty()) << lost.front();
  Open();
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(db_->Stats().samples, CountSamples(model_));
  EXPECT_EQ(db_->Stats().series, model_.size());
  EXPECT_CODE(Db::Repair("nowhere", options_), absl::StatusCode::kFailedPrecondition);
}

TEST_F(DbRepairTest, OpenSaysWhatToDoAndDamagedFilesOfTheHeadArePutAside) {
  Build();
  Kill();
  std::string segment;
  for (const std::string& path : disk_.Files()) {
    if (path.starts_with("db/head/") && path.ends_with(".log")) segment = path;
  }
  ASSERT_OK_AND_ASSIGN(std::string bytes, disk_.Contents(segment));
  bytes[bytes.size() / 3] ^= 0x40;
  ASSERT_OK(disk_.SetContents(segment, bytes));
  const auto refused = Db::Open("db", options_);
  ASSERT_CODE(refused, absl::StatusCode::kDataLoss);
  EXPECT_NE(refused.status().ToString().find("Db::Repair"), std::string::npos);
  ASSERT_OK_AND_ASSIGN(const auto lost, Db::Repair("db", options_));
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_TRUE(lost[0].starts_with(segment)) << lost[0];
  EXPECT_NE(std::find(log_.begin(), log_.end(), "repair: " + lost[0]), log_.end());
  ASSERT_OK_AND_ASSIGN(const std::string aside,
                       disk_.Contents("db/head/lost" + segment.substr(segment.rfind('/'))));
  EXPECT_EQ(aside, bytes);
}

}  // namespace
}  // namespace tinyobs::tsdb
