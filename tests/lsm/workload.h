// A seeded workload on a Store next to its model, for tests that break the disk under it.
//
// The model is the list of all changes that were tried, in order. A store that recovered must hold
// the changes up to some point that lies behind every promise, except that unlogged ones behind
// some earlier point (behind the last flush that was promised) may all be missing; and nothing
// else. That one rule covers lost writes, resurrected keys, reordering, half-applied batches and
// half-dropped ranges.
//
// Values that begin with kDead belong to the compaction filter: such an entry may be there or not,
// but nothing older may show in its place. Contents are compared without them.
//
// Thread-safety: one thread.
#ifndef TINYOBS_TESTS_LSM_WORKLOAD_H_
#define TINYOBS_TESTS_LSM_WORKLOAD_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/store.h"
#include "tests/testing/memory_file_system.h"

namespace tinyobs::lsm {

using Content = std::map<std::string, std::string>;

inline constexpr std::string_view kDead = "dead";

// One atomic step; nullopt = deletion.
struct Change {
  std::vector<std::pair<std::string, std::optional<std::string>>> entries;
  bool logged = true;
};

// A content that borrows the strings of the changes.
using ContentView = std::map<std::string_view, std::string_view>;

inline void ApplyTo(const Change& change, ContentView* content) {
  for (const auto& [key, value] : change.entries) {
    if (value.has_value() && !value->starts_with(kDead)) {
      (*content)[key] = *value;
    } else {
      content->erase(key);
    }
  }
}

inline bool IsSame(const ContentView& view, const Content& content) {
  return view.size() == content.size() &&
         std::equal(view.begin(), view.end(), content.begin(), [](const auto& a, const auto& b) {
           return a.second == b.second && a.first == b.first;
         });
}

inline WriteBatch BatchOf(const Change& change) {
  WriteBatch batch;
  for (const auto& [key, value] : change.entries) {
    if (value.has_value()) {
      batch.Put(key, *value);
    } else {
      batch.Delete(key);
    }
  }
  return batch;
}

// All that `iterator` finds, dead values left out.
inline Content ContentOf(Iterator* iterator, absl::Status* status) {
  Content content;
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
    if (!iterator->value().starts_with(kDead)) content.emplace(iterator->key(), iterator->value());
  }
  *status = iterator->status();
  return content;
}
inline Content ContentOf(const Store& store, absl::Status* status) {
  return ContentOf(store.NewIterator({}).get(), status);
}

// `count` bytes, up to 64 KiB, that Snappy leaves alone (undoing it would be most of the work).
inline std::string_view Filler(uint64_t count) {
  static const std::string bytes = [] {
    std::mt19937_64 random(1);
    std::string made(64 << 10, '\0');
    for (char& byte : made) byte = static_cast<char>(random());
    return made;
  }();
  return std::string_view(bytes).substr(0, count);
}

// Partitions are the first byte. The first key of these two is so long that edits which name it
// soon fill a manifest.
inline std::string WorkloadKey(uint64_t i) {
  std::string key = StrCat(i % 2 == 0 ? "a" : "b", "key", i);
  if (i < 2) key.append(Filler(25'000));
  return key;
}

// Small tables, few levels, no threads; syncs come from the workload only.
inline StoreOptions WorkloadOptions(FileSystem* file_system, Clock* clock, SyncPolicy policy) {
  StoreOptions options;
  options.file_system = file_system;
  options.clock = clock;
  options.background_threads = false;
  options.sync_policy = policy;
  options.sync_interval_ms = 86'400'000;
  options.memtable_bytes = 100'000;
  options.table_bytes = 20'000;
  options.level1_bytes = 20'000;
  options.level_ratio = 2;
  options.block_bytes = 512;
  options.l0_compaction_trigger = 1;
  options.l0_slowdown_trigger = 3;
  options.l0_slowdown_trigger = 3;
  options.l0_stall_trigger = 4;
  options.partition_of = [](std::string_view key) { return key.substr(0, 1); };
  options.compaction_filter = [](std::string_view, std::string_view value) {
    return value.starts_with(kDead) ? FilterDecision::kRemove : FilterDecision::kKeep;
  };
  return options;
}

class Workload {
 public:
  explicit Workload(uint64_t seed) : random_(seed) {}

  // One random step. Returns the status of the store; a write is in history() either way.
  absl::Status Step(Store* store) {
    const uint64_t kind = Random(100);
    if (kind < 70) return WriteSomething(store);
    if (kind < 76) return LookOrPin(*store);
    if (kind < 81) return Flush(store);
    if (kind < 85) return Promise(store->Sync());
    if (kind < 88) return CompactSomeRange(store);
    if (kind < 90) return DropPartition(store);
    if (kind < 92 && checkpoint_.empty()) return Checkpoint(store);
    // Upkeep, for as long as there is any.
    absl::StatusOr<bool> more = true;
    for (int i = 0; i < 5 && more.ok() && *more; ++i) more = store->RunBackgroundWork();
    return more.status();
  }

  // The store's policy is kAlways.
  void set_all_synced() { all_synced_ = true; }

  absl::Status WriteSomething(Store* store) {
    Change change;
    const uint64_t count = 1 + (Random(4) == 0 ? Random(8) : 0);
    for (uint64_t i = 0; i < count; ++i) {
      // Some keys ascend, so that their tables lie below all others.
      const bool ascends = Random(4) == 0;
      std::string key =
          ascends ? StrCat("c", 1000 + history_.size(), ".", i) : WorkloadKey(Random(40));
      if (!ascends && Random(4) == 0) {
        change.entries.emplace_back(std::move(key), std::nullopt);
      } else {
        std::string value = StrCat(Random(8) == 0 ? kDead : "v", history_.size(), ".", i, ".");
        value.append(Filler(Random(3) == 0 ? Random(16'000) : Random(100)));
        change.entries.emplace_back(std::move(key), std::move(value));
      }
    }
    WriteOptions options;
    options.skip_wal = Random(10) == 0;
    if (!options.skip_wal && Random(5) == 0) options.sync = true;
    change.logged = !options.skip_wal;
    history_.push_back(change);
    const absl::Status status = store->Write(options, BatchOf(change));
    if (status.ok()) {
      acknowledged_ = history_.size();
      // What a later logged write promises holds for the logged writes before it as well.
      if (change.logged && options.sync.value_or(all_synced_)) promised_ = acknowledged_;
    }
    return status;
  }

  // OK promises that everything acknowledged before survives power loss, if it was logged.
  absl::Status Promise(absl::Status status) {
    if (status.ok()) promised_ = acknowledged_;
    return status;
  }
  // And what was not logged as well.
  absl::Status Flush(Store* store) {
    const absl::Status status = Promise(store->Flush());
    if (status.ok()) flushed_ = acknowledged_;
    return status;
  }

  // Lets go of what was pinned, after a look at it: it must not have changed. Before the store
  // goes.
  absl::Status Release() {
    if (pinned_ == nullptr) return absl::OkStatus();
    absl::Status status;
    const bool is_same = ContentOf(pinned_->iterator.get(), &status) == pinned_->content;
    EXPECT_TRUE(is_same || !status.ok()) << "a pinned iterator shows something else";
    pinned_ = nullptr;
    return status;
  }

  // The content after the first `count` changes, without the unlogged ones from `unlogged` on.
  Content Prefix(size_t count, size_t unlogged = SIZE_MAX) const {
    const ContentView view = ViewOfPrefix(count, unlogged);
    return Content(view.begin(), view.end());
  }

  // What a store holds that recovered: the first `count` changes, without the unlogged ones from
  // `unlogged` on.
  struct Found {
    size_t count = 0;
    size_t unlogged = 0;
  };
  // Fits `content` to the model; nullopt: it breaks a promise. `killed`: not the machine died, only
  // the process.
  std::optional<Found> Find(const Content& content, bool killed) const {
    const size_t least = killed ? acknowledged_ : promised_;
    for (size_t unlogged = history_.size() + 1; unlogged-- > flushed_;) {
      // Only where it makes a difference.
      if (unlogged < history_.size() && history_[unlogged].logged) continue;
      ContentView model = ViewOfPrefix(least, unlogged);
      for (size_t count = least;; ++count) {
        // Flushed are all changes before, logged or not.
        const bool is_possible = unlogged >= history_.size() || unlogged <= count;
        if (is_possible && IsSame(model, content)) return Found{count, std::min(unlogged, count)};
        if (count == history_.size()) break;
        if (history_[count].logged || count < unlogged) ApplyTo(history_[count], &model);
      }
    }
    return std::nullopt;
  }

  // Forgets a failed last write that the store must not show.
  void DropUnacknowledged() { history_.resize(acknowledged_); }
  // The store recovered this: history goes on from there.
  void ContinueFrom(Found found) {
    std::vector<Change> kept;
    for (size_t i = 0; i < found.count; ++i) {
      if (history_[i].logged || i < found.unlogged) kept.push_back(std::move(history_[i]));
    }
    history_ = std::move(kept);
    acknowledged_ = promised_ = flushed_ = history_.size();
    checkpoint_.clear();
  }

  const std::vector<Change>& history() const { return history_; }
  size_t acknowledged() const { return acknowledged_; }  // survives kill -9, if logged
  // The folder of the last one that was tried ("" = none), what it must hold, whether it was OK.
  const std::string& checkpoint() const { return checkpoint_; }
  const Content& checkpoint_content() const { return checkpoint_content_; }
  bool checkpoint_done() const { return checkpoint_done_; }
  uint64_t drops() const { return drops_; }

 private:
  struct Pinned {
    Content content;
    std::unique_ptr<const Snapshot> snapshot;
    std::unique_ptr<Iterator> iterator;
  };

  uint64_t Random(uint64_t below) { return random_() % below; }

  ContentView ViewOfPrefix(size_t count, size_t unlogged) const {
    ContentView content;
    for (size_t i = 0; i < count; ++i) {
      if (history_[i].logged || i < unlogged) ApplyTo(history_[i], &content);
    }
    return content;
  }

  // Keeps a snapshot and an iterator over several steps, so that compactions must keep versions and
  // files.
  absl::Status LookOrPin(const Store& store) {
    if (pinned_ != nullptr) return Release();
    pinned_ = std::make_shared<Pinned>();
    pinned_->content = Prefix(acknowledged_);
    pinned_->snapshot = store.NewSnapshot();
    ReadOptions options;
    options.snapshot = pinned_->snapshot.get();
    pinned_->iterator = store.NewIterator(options);
    return absl::OkStatus();
  }

  absl::Status CompactSomeRange(Store* store) {
    absl::Status status =
        Random(2) == 0 ? store->CompactRange("", "") : store->CompactRange("a", "b");
    if (status.ok()) Promise(status).IgnoreError();
    return status;
  }

  // What is in memtables stays, so these are flushed first; then a partition goes at once.
  absl::Status DropPartition(Store* store) {
    const absl::Status flushed = Flush(store);
    if (!flushed.ok()) return flushed;
    const std::string first(1, static_cast<char>('a' + Random(3)));
    const std::string last(1, static_cast<char>(first[0] + 1));
    Change change;
    for (const auto& [key, value] : Prefix(acknowledged_)) {
      if (key.starts_with(first)) change.entries.emplace_back(key, std::nullopt);
    }
    history_.push_back(std::move(change));
    const absl::Status status = store->DropRange(first, last).status();
    if (status.ok()) {
      acknowledged_ = promised_ = flushed_ = history_.size();
      ++drops_;
    }
    return status;
  }

  absl::Status Checkpoint(Store* store) {
    checkpoint_ = StrCat("/copy", ++checkpoints_);
    checkpoint_content_ = Prefix(acknowledged_);
    const absl::Status status = store->Checkpoint(checkpoint_);
    checkpoint_done_ = status.ok();
    return status;
  }

  std::mt19937_64 random_;
  std::vector<Change> history_;
  size_t acknowledged_ = 0;
  size_t promised_ = 0;
  size_t flushed_ = 0;
  bool all_synced_ = false;
  std::shared_ptr<Pinned> pinned_;  // shared only so that a workload can be copied
  std::string checkpoint_;
  Content checkpoint_content_;
  bool checkpoint_done_ = false;
  uint64_t checkpoints_ = 0;
  uint64_t drops_ = 0;
};

// Every file of the store in `folder` is one that it needs.
inline void ExpectNoLeaks(const testing::MemoryFileSystem& fs, const std::string& folder,
                          const Store& store, const std::string& where) {
  uint64_t tables = 0, logs = 0, manifests = 0;
  for (const std::string& path : fs.Files()) {
    if (!path.starts_with(folder + "/")) continue;
    const FileType type = ParseFileName(std::string_view(path).substr(folder.size() + 1)).type;
    tables += type == FileType::kTable;
    logs += type == FileType::kLog;
    manifests += type == FileType::kManifest;
    EXPECT_TRUE(type != FileType::kUnknown && type != FileType::kTemporary) << path << where;
  }
  uint64_t expected = 0;
  for (const LevelStats& level : store.Stats().levels) expected += level.files;
  EXPECT_EQ(tables, expected) << where;
  EXPECT_EQ(manifests, 1u) << where;
  EXPECT_EQ(logs, 1u) << where;
}

// Every checksum and every invariant.
inline void ExpectSound(const Store& store, const std::string& where) {
  const absl::StatusOr<VerifyReport> report = store.Verify();
  ASSERT_TRUE(report.ok()) << report.status() << where;
  for (const FileProblem& problem : report->problems) {
    ADD_FAILURE() << problem.file << ": " << problem.status << where;
  }
}

}  // namespace tinyobs::lsm

#endif  // TINYOBS_TESTS_LSM_WORKLOAD_H_
