// Damage anywhere in a small database is an error or does no harm: whatever byte of whatever file
// is wrong, wherever a file ends too early, and whichever is missing, Open or the query says so, or
// everything is right. Never another value, a lost series without a word, or the end of the
// process.
//
// The exceptions are the nature of a log: its last bytes cannot be told from the last write of a
// process that died. Then the commits before them must be there, whole and in order, and unless the
// end is that of a record, the logger must have been told.
//
// Method: a database is built that has all kinds of files, killed (or closed), and each byte of
// each file is damaged in a clone of the disk.
#include <optional>

#include "lib/base/status_macros.h"
#include "tests/tsdb/db_history.h"

namespace tinyobs::tsdb {
namespace {

using testing::Keep;
using testing::MemoryFileSystem;

class DbCorruptionTest : public DbTest {
 protected:
  DbCorruptionTest() {
    options_.chunk_samples = 20;
    options_.partition_ms = 20'000;
    options_.sync_policy = SyncPolicy::kAlways;
  }

  void Commit(int n) {
    History::Batch batch;
    const auto appender = db_->NewAppender();
    for (int i = 0; i < 5; ++i) {
      const Labels labels = Labels::Of(i < 3 ? "m" : "n", {{"i", std::to_string(i)}});
      const int64_t time = kStartMs + n * 1000;
      const double value = n * n * 0.25 + i;
      batch.push_back({Text(labels), time, std::bit_cast<uint64_t>(value)});
      ASSERT_OK(appender->Add(labels, time, value));
    }
    ASSERT_OK(appender->Commit());
    history_.Acknowledge(std::move(batch), clock_.NowMs());
  }

  // Tables of several flushes and partitions, a checkpoint with open chunks, a log with commits.
  void Build() {
    Open();
    for (int n = 0; n < 50; ++n) Commit(n);
    ASSERT_OK(db_->Flush());
    for (int n = 50; n < 70; ++n) Commit(n);
    options_.head_segment_bytes = 1;  // the next round begins a segment
    CloseAndReopen();
    for (int n = 70; n < 75; ++n) Commit(n);
    ASSERT_OK(db_->RunBackgroundWork());
    options_.head_segment_bytes = 1 << 20;
    history_.AllIsDurable();
    Reopen();
    for (int n = 75; n < 90; ++n) Commit(n);
  }

  // Opens and reads `disk`. OK: nothing was said.
  absl::Status Read(MemoryFileSystem* disk, Model* found, std::string* log) {
    Options options = options_;
    options.file_system = disk;
    options.logger = [log](std::string_view line) { StrAppend(log, line, "\n"); };
    TINYOBS_ASSIGN_OR_RETURN(const std::unique_ptr<Db> db, Db::Open("db", options));
    TINYOBS_ASSIGN_OR_RETURN(const auto set, db->SelectAll({}));
    while (set->Next()) {
      Points& points = (*found)[Text(set->labels())];
      for (size_t i = 0; i < set->columns().size(); ++i) {
        points[set->columns().timestamps_ms[i]] = std::bit_cast<uint64_t>(set->columns().values[i]);
      }
    }
    return set->status();
  }

  // The clone with `content` in place of the file at `path`, or without it, is read rightly or
  // answers an error.
  void ExpectNoSilentHarm(const std::string& path, const std::optional<std::string>& content) {
    const auto disk = disk_.CloneAfterCrash({.keep_bytes = Keep::kAll, .keep_names = Keep::kAll});
    ASSERT_OK(content.has_value() ? disk->SetContents(path, *content) : disk->DeleteFile(path));
    Model found;
    std::string log;
    const absl::Status status = Read(disk.get(), &found, &log);
    ++tries_;
    if (!status.ok()) {
      ++noticed_;
      EXPECT_FALSE(status.message().empty());
      EXPECT_NE(status.code(), absl::StatusCode::kInternal) << status;
      return;
    }
    if (found == history_.state()) return;
    bool is_prefix = false;
    for (size_t lost = 1; lost <= history_.undurable_commits(); ++lost) {
      is_prefix |= found == history_.StateBefore(lost);
    }
    const bool is_shorter_log = content.has_value() && path == NewestHeadFile() &&
                                content->size() < disk_.Contents(path).value().size();
    EXPECT_TRUE(is_prefix && (is_shorter_log || !log.empty()))
        << "just " << CountSamples(found) << " of " << CountSamples(history_.state())
        << " samples found, and nothing was said; log: " << log;
  }

  std::string NewestHeadFile() const {
    std::string newest;
    for (const std::string& path : disk_.Files()) {
      if (path.starts_with("db/head/")) newest = path;  // they are sorted
    }
    return newest;
  }

  void DamageEveryFile() {
    for (const std::string& path : disk_.Files()) {
      ASSERT_OK_AND_ASSIGN(const std::string good, disk_.Contents(path));
      for (size_t i = 0; i < good.size(); ++i) {
        SCOPED_TRACE(StrCat(path, " of ", good.size(), " bytes, byte ", i));
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ (1 << (i * 5 % 8)));
        ExpectNoSilentHarm(path, bad);
        if (HasFailure()) return;
      }
      for (size_t i = 0; i < good.size(); ++i) {
        SCOPED_TRACE(StrCat(path, " of ", good.size(), " bytes, cut to ", i));
        ExpectNoSilentHarm(path, good.substr(0, i));
        if (HasFailure()) return;
      }
      SCOPED_TRACE(StrCat(path, " missing"));
      ExpectNoSilentHarm(path, std::nullopt);
      if (HasFailure()) return;
    }
    EXPECT_GT(noticed_, tries_ / 2) << "of " << tries_;
  }

  History history_;
  size_t tries_ = 0;
  size_t noticed_ = 0;
};

TEST_F(DbCorruptionTest, DamageOfAKilledDatabaseIsNoticedOrHarmless) {
  Build();
  Kill();
  DamageEveryFile();
}

TEST_F(DbCorruptionTest, DamageOfAClosedDatabaseIsNoticedOrHarmless) {
  Build();
  ASSERT_OK(db_->Close());
  Kill();
  history_.AllIsDurable();
  DamageEveryFile();
}

// Whose last edits of the manifest are those that the head's checkpoint relies on.
TEST_F(DbCorruptionTest, DamageOfAFlushedDatabaseIsNoticedOrHarmless) {
  Open();
  for (int n = 0; n < 50; ++n) Commit(n);
  ASSERT_OK(db_->Flush());
  history_.AllIsDurable();
  Kill();
  DamageEveryFile();
}

}  // namespace
}  // namespace tinyobs::tsdb
