// A seeded workload on a Store next to its model, for tests that break the disk under it.
//
// The model is the list of all writes that were tried, in order. A store that recovered may hold
// any prefix of it that contains every write it had promised to keep, and nothing else: that one
// rule covers lost writes, resurrected keys, reordering and half-applied batches.
//
// Thread-safety: one thread.
#ifndef TINYOBS_TESTS_LSM_WORKLOAD_H_
#define TINYOBS_TESTS_LSM_WORKLOAD_H_

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"

namespace tinyobs::lsm {

using Content = std::map<std::string, std::string>;

// One atomic batch; nullopt = deletion.
using Change = std::vector<std::pair<std::string, std::optional<std::string>>>;

inline void ApplyTo(const Change& change, Content* content) {
  for (const auto& [key, value] : change) {
    if (value.has_value()) {
      (*content)[key] = *value;
    } else {
      content->erase(key);
    }
  }
}

inline WriteBatch BatchOf(const Change& change) {
  WriteBatch batch;
  for (const auto& [key, value] : change) {
    if (value.has_value()) {
      batch.Put(key, *value);
    } else {
      batch.Delete(key);
    }
  }
  return batch;
}

inline Content ContentOf(const Store& store, absl::Status* status) {
  Content content;
  auto iterator = store.NewIterator({});
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
    content.emplace(iterator->key(), iterator->value());
  }
  *status = iterator->status();
  return content;
}

inline std::string WorkloadKey(uint64_t i) {
  // Two partitions: the first byte.
  return StrCat(i % 2 == 0 ? "a" : "b", "key", i);
}

class Workload {
 public:
  explicit Workload(uint64_t seed) : random_(seed) {}

  // One random step. Returns the status of the store; a write is in history() either way.
  absl::Status Step(Store* store) {
    const uint64_t kind = Random(100);
    if (kind < 76) return WriteSomething(store);
    if (kind < 86) return Promise(store->Flush());
    if (kind < 92) return Promise(store->Sync());
    if (kind < 94) return store->CompactRange("", "");
    return store->RunBackgroundWork().status();
  }

  absl::Status WriteSomething(Store* store) {
    Change change;
    const uint64_t count = 1 + (Random(4) == 0 ? Random(8) : 0);
    for (uint64_t i = 0; i < count; ++i) {
      std::string key = WorkloadKey(Random(40));
      if (Random(4) == 0) {
        change.emplace_back(std::move(key), std::nullopt);
      } else {
        std::string value = StrCat("v", history_.size(), ".", i, ".");
        value.append(Random(3) == 0 ? Random(20'000) : Random(100), static_cast<char>('a' + i));
        change.emplace_back(std::move(key), std::move(value));
      }
    }
    WriteOptions options;
    if (Random(5) == 0) options.sync = true;
    history_.push_back(change);
    const absl::Status status = store->Write(options, BatchOf(change));
    if (status.ok()) {
      acknowledged_ = history_.size();
      if (options.sync.value_or(all_synced_)) promised_ = acknowledged_;
    }
    return status;
  }

  // The store's policy is kAlways.
  void set_all_synced() { all_synced_ = true; }

  // OK from Sync or Flush promises everything acknowledged before.
  absl::Status Promise(absl::Status status) {
    if (status.ok()) promised_ = acknowledged_;
    return status;
  }

  // The content after the first `count` changes.
  Content Prefix(size_t count) const {
    Content content;
    for (size_t i = 0; i < count; ++i) ApplyTo(history_[i], &content);
    return content;
  }
  // How many changes `content` is the result of, if it is one of [least, all]; -1 if it is none.
  int64_t FindPrefix(const Content& content, size_t least) const {
    Content model = Prefix(least);
    for (size_t count = least;; ++count) {
      if (model == content) return static_cast<int64_t>(count);
      if (count == history_.size()) return -1;
      ApplyTo(history_[count], &model);
    }
  }
  // Forgets a failed last write that the store must not show.
  void DropUnacknowledged() { history_.resize(acknowledged_); }
  // The store recovered this many changes: history goes on from there.
  void ContinueFrom(size_t count) {
    history_.resize(count);
    acknowledged_ = promised_ = count;
  }

  const std::vector<Change>& history() const { return history_; }
  size_t acknowledged() const { return acknowledged_; }  // survives kill -9
  size_t promised() const { return promised_; }          // survives power loss

  uint64_t Random(uint64_t below) { return random_() % below; }

 private:
  std::mt19937_64 random_;
  std::vector<Change> history_;
  size_t acknowledged_ = 0;
  size_t promised_ = 0;
  bool all_synced_ = false;
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_TESTS_LSM_WORKLOAD_H_
