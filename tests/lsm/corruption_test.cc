// Each byte of each file of a small store is damaged in turn, and each file is cut at each length.
// The store then gives right answers or says DataLoss; it never crashes, hangs or loses something
// in silence.
//
// The one thing that may be lost is what FORMAT.md calls a torn tail: in a store whose process was
// killed, what stands behind the last mark of the log or of the manifest looks like a write that
// was never finished. The tests say where that is, byte by byte, and what must be there still. In
// a store that was closed nothing may be lost.
//
// With repair_on_open the store opens in every case, says what it put aside, and keeps what the
// damaged file did not hold.
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/store.h"
#include "lib/lsm/wal_reader.h"
#include "tests/lsm/workload.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using testing::Keep;
using testing::MemoryFileSystem;

constexpr int kOwnKeys = 6;     // of each table and of the log, which no other file holds
constexpr int kSharedKeys = 3;  // overwritten in every file

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr size_t kStride = 7;
#else
constexpr size_t kStride = 1;
#endif

// Two tables in L1, two in L0 and a log, with one batch after the other; each flush is one tag.
class CorruptionTest : public ::testing::Test {
 protected:
  CorruptionTest() {
    options_.file_system = &fs_;
    options_.background_threads = false;
    options_.sync_policy = SyncPolicy::kAlways;
    options_.block_bytes = 256;
    options_.block_cache_bytes = 0;
    options_.l0_compaction_trigger = 4;
    // CompactRange makes a table of each of these.
    options_.partition_of = [](std::string_view key) { return key.substr(0, 1); };
    auto store = Store::Open("/db", options_);
    EXPECT_OK(store);
    store_ = *std::move(store);
    for (const char* tag : {"bottom", "upper1", "upper2", "log"}) {
      WriteSome(tag);
      if (tag[0] == 'b') {
        EXPECT_OK(store_->CompactRange("", ""));
      } else if (tag[0] == 'u') {
        EXPECT_OK(store_->Flush());
      }
    }
  }

  void WriteSome(const std::string& tag) {
    for (int i = 0; i < kOwnKeys; ++i) {
      Change change;
      const std::string part = i % 2 == 0 ? "a" : "b";
      change.entries.emplace_back(StrCat(part, i, "/", tag), StrCat("value of ", tag, i));
      if (i < kSharedKeys) {
        change.entries.emplace_back(StrCat(part, i, "/shared"), StrCat("shared, from ", tag));
      } else {
        change.entries.emplace_back(StrCat(part, i, "/deleted by ", tag), std::nullopt);
      }
      history_.push_back(change);
      ApplyTo(history_.back(), &content_);
      EXPECT_OK(store_->Write({}, BatchOf(history_.back())));
    }
  }

  void Kill() { store_ = nullptr; }
  void Close() {
    EXPECT_OK(store_->Close());
    store_ = nullptr;
  }

  static FileType TypeOf(const std::string& path) {
    return ParseFileName(std::string_view(path).substr(sizeof("/db/") - 1)).type;
  }

  // The content after the first `count` changes.
  Content Prefix(size_t count) const {
    ContentView view;
    for (size_t i = 0; i < count; ++i) ApplyTo(history_[i], &view);
    return Content(view.begin(), view.end());
  }

  // What a store says of a damaged disk.
  struct Outcome {
    absl::Status open;
    absl::Status read;
    Content content;
    StoreStats stats;
    bool is_right = false;  // every answer
  };
  Outcome OpenAndRead(MemoryFileSystem* fs, bool repair, const std::string& what) {
    StoreOptions options = options_;
    options.file_system = fs;
    options.repair_on_open = repair;
    Outcome outcome;
    auto store = Store::Open("/db", options);
    outcome.open = store.status();
    if (!store.ok()) {
      EXPECT_TRUE(absl::IsDataLoss(outcome.open) || absl::IsFailedPrecondition(outcome.open))
          << what << outcome.open;
      return outcome;
    }
    outcome.content = ContentOf(**store, &outcome.read);
    outcome.stats = (*store)->Stats();
    EXPECT_TRUE(outcome.read.ok() || absl::IsDataLoss(outcome.read)) << what << outcome.read;
    outcome.is_right = outcome.read.ok() && IsSame(content_, outcome.content);
    for (const auto& [key, value] : content_) {
      std::string found;
      const absl::Status got = (*store)->Get(std::string(key), &found);
      // One key at a time says the same as all at once, or says that it cannot.
      const auto at = outcome.content.find(std::string(key));
      if (got.ok() && outcome.read.ok()) {
        EXPECT_TRUE(at != outcome.content.end() && at->second == found) << what << key;
      }
      EXPECT_TRUE(got.ok() || absl::IsDataLoss(got) || absl::IsNotFound(got)) << what << got;
      if (absl::IsNotFound(got)) {
        EXPECT_TRUE(at == outcome.content.end()) << what << key;
      }
      outcome.is_right &= got.ok() && found == value;
    }
    return outcome;
  }

  // Where the frames of a log end, and up to where it says that it is durable.
  struct LogShape {
    std::vector<uint64_t> record_ends;
    uint64_t durable = 0;
  };
  LogShape ShapeOf(const std::string& path) {
    LogShape shape;
    const auto parsed = ParseFileName(std::string_view(path).substr(sizeof("/db/") - 1));
    auto file = fs_.OpenRandomAccess(path).value();
    auto reader = WalReader::Open(file.get(), path,
                                  TypeOf(path) == FileType::kLog ? kWalKindStore : kWalKindManifest,
                                  parsed.number);
    EXPECT_OK(reader);
    std::string_view record;
    while ((*reader)->Next(&record).value()) {
      shape.record_ends.push_back((*reader)->record_offset() + kFrameHeaderBytes + record.size());
    }
    shape.durable = (*reader)->durable_bytes();
    return shape;
  }
  // How many changes are left of a log in which only the first `bytes` bytes are good.
  size_t ChangesLeft(const LogShape& log, uint64_t bytes) const {
    size_t left = history_.size() - log.record_ends.size();
    for (const uint64_t end : log.record_ends) left += end <= bytes;
    return left;
  }

  std::unique_ptr<MemoryFileSystem> Copy() {
    return fs_.CloneAfterCrash({.keep_bytes = Keep::kAll, .keep_names = Keep::kAll});
  }
  template <typename Check>
  void ForEachFlip(const Check& check) {
    for (const std::string& path : fs_.Files()) {
      const std::string bytes = *fs_.Contents(path);
      // Of space that a log has in advance, a little.
      const size_t end = std::min(bytes.size(), bytes.find_last_not_of('\0') + 20);
      for (size_t i = 0; i < end && !HasFailure(); i += kStride) {
        for (const char flip : {'\x01', '\x80', '\xff'}) {
          auto copy = Copy();
          std::string damaged = bytes;
          damaged[i] ^= flip;
          ASSERT_OK(copy->SetContents(path, damaged));
          check(copy.get(), path, i, StrCat(path, " byte ", i, ": "));
        }
      }
    }
  }
  template <typename Check>
  void ForEachCut(const Check& check) {
    for (const std::string& path : fs_.Files()) {
      const std::string bytes = *fs_.Contents(path);
      const size_t end = std::min(bytes.size(), bytes.find_last_not_of('\0') + 20);
      for (size_t size = 0; size < end && !HasFailure(); size += kStride) {
        auto copy = Copy();
        ASSERT_OK(copy->SetContents(path, bytes.substr(0, size)));
        check(copy.get(), path, size, StrCat(path, " cut at ", size, ": "));
      }
    }
  }

  MemoryFileSystem fs_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
  std::vector<Change> history_;
  ContentView content_;
};

TEST_F(CorruptionTest, AfterAKillEachFlippedByteIsNoticedOrInTheTornTailOfTheLog) {
  Kill();
  std::map<FileType, int> noticed;
  ForEachFlip(
      [&](MemoryFileSystem* fs, const std::string& path, size_t at, const std::string& what) {
        const Outcome outcome = OpenAndRead(fs, false, what);
        const bool is_noticed = !outcome.open.ok() || !outcome.read.ok();
        noticed[TypeOf(path)] += is_noticed;
        if (TypeOf(path) == FileType::kTable || TypeOf(path) == FileType::kCurrent) {
          EXPECT_TRUE(is_noticed) << what;
          return;
        }
        const LogShape shape = ShapeOf(path);
        if (at < shape.durable) {
          EXPECT_FALSE(outcome.open.ok()) << what << "a mark behind it says that it was durable";
        } else if (TypeOf(path) == FileType::kLog) {
          ASSERT_OK(outcome.open) << what;
          EXPECT_EQ(outcome.content, Prefix(ChangesLeft(shape, at))) << what;
          EXPECT_GT(outcome.stats.dropped_torn_tail_bytes, 0u) << what;
        } else {
          // Without its last edit the manifest asks for logs that the edit let go.
          EXPECT_FALSE(outcome.open.ok()) << what;
        }
      });
  EXPECT_GT(noticed[FileType::kTable], 100);
  EXPECT_GT(noticed[FileType::kLog], 100);
  EXPECT_GT(noticed[FileType::kManifest], 100);
  EXPECT_GT(noticed[FileType::kCurrent], 0);
}

TEST_F(CorruptionTest, AfterAKillEachCutIsNoticedOrLeavesABeginningOfTheLog) {
  Kill();
  ForEachCut(
      [&](MemoryFileSystem* fs, const std::string& path, size_t size, const std::string& what) {
        const Outcome outcome = OpenAndRead(fs, false, what);
        const bool is_noticed = !outcome.open.ok() || !outcome.read.ok();
        if (TypeOf(path) == FileType::kTable || TypeOf(path) == FileType::kCurrent) {
          EXPECT_TRUE(is_noticed) << what;
        } else if (TypeOf(path) == FileType::kLog) {
          ASSERT_OK(outcome.open) << what;
          EXPECT_EQ(outcome.content, Prefix(ChangesLeft(ShapeOf(path), size))) << what;
        } else {
          EXPECT_FALSE(outcome.open.ok()) << what;
        }
      });
}

TEST_F(CorruptionTest, AfterACloseEachFlippedByteIsNoticedOrHarmless) {
  Close();
  ForEachFlip(
      [&](MemoryFileSystem* fs, const std::string& path, size_t at, const std::string& what) {
        const Outcome outcome = OpenAndRead(fs, false, what);
        if (outcome.open.ok() && outcome.read.ok()) {
          EXPECT_TRUE(outcome.is_right) << what;
          // The log is empty, and the last mark and the seal of a manifest hold nothing.
          const bool holds_nothing =
              TypeOf(path) == FileType::kLog ||
              (TypeOf(path) == FileType::kManifest && at >= ShapeOf(path).durable);
          EXPECT_TRUE(holds_nothing) << what << "not noticed";
        }
      });
}

TEST_F(CorruptionTest, RepairOpensEveryDamagedStoreAndKeepsWhatTheOtherFilesHold) {
  Kill();
  std::map<std::string, std::set<std::string>> ever;  // every value that a key had
  for (const Change& change : history_) {
    for (const auto& [key, value] : change.entries) ever[key].insert(value.value_or(""));
  }
  int at_open = 0, later = 0, harmless = 0;
  bool cut = false;
  const auto check = [&](MemoryFileSystem* fs, const std::string& path, size_t,
                         const std::string& what) {
    Outcome outcome = OpenAndRead(fs, true, what);
    ASSERT_OK(outcome.open) << what;
    uint64_t told = outcome.stats.quarantined_files + outcome.stats.dropped_torn_tail_bytes;
    if (!outcome.read.ok()) {
      // Opening reads no data blocks. Whoever meets the damage asks for the repair.
      StoreOptions options = options_;
      options.file_system = fs;
      const auto report = Store::Repair("/db", options);
      ASSERT_OK(report) << what;
      told += report->quarantined.size();
      outcome = OpenAndRead(fs, false, what);
      ASSERT_OK(outcome.open) << what;
      ++later;
    } else {
      ++(outcome.is_right ? harmless : at_open);
    }
    ASSERT_OK(outcome.read) << what;
    for (const auto& [key, value] : outcome.content) {
      EXPECT_TRUE(ever[key].contains(value)) << what << key << " = " << value;
    }
    std::set<std::string_view> lost;  // tags that miss a key of their own
    for (const auto& [key, value] : content_) {
      const std::string_view tag = key.substr(3);
      if (tag != "shared" && !outcome.content.contains(std::string(key))) lost.insert(tag);
    }
    const bool held_data = TypeOf(path) == FileType::kTable || TypeOf(path) == FileType::kLog;
    EXPECT_LE(lost.size(), held_data ? 1u : 0u) << what;
    // A log that was cut between two frames is that of a process that died earlier.
    if (!outcome.is_right && !(cut && TypeOf(path) == FileType::kLog)) {
      EXPECT_GT(told, 0u) << what << "lost in silence";
    }
  };
  ForEachFlip(check);
  cut = true;
  ForEachCut(check);
  std::printf("damages repaired: %d at open, %d later; %d lost nothing\n", at_open, later,
              harmless);
  EXPECT_GT(at_open, 100);
  EXPECT_GT(later, 100);
  EXPECT_GT(harmless, 100);
}

}  // namespace
}  // namespace tinyobs::lsm
