// Random operations on a Store and on a std::map must give the same answers, whatever the
// configuration: tiny memtables and blocks, no filter, no cache, one open table, partitions, with
// background threads and without. The seed is printed; TINYOBS_SEED repeats a run and
// TINYOBS_STEPS makes it longer.
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using Model = std::map<std::string, std::string>;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

struct Configuration {
  std::string name;
  void (*change)(StoreOptions*);
};

class ModelTest : public ::testing::TestWithParam<Configuration> {
 protected:
  ModelTest() : random_(FromEnvironment("TINYOBS_SEED", 20'240)) {
    options_.file_system = &fs_;
    options_.background_threads = false;
    options_.memtable_bytes = 128 << 10;
    options_.table_bytes = 32 << 10;
    options_.level1_bytes = 64 << 10;
    options_.level_ratio = 3;
    options_.block_bytes = 512;
    options_.block_cache_bytes = 32 << 10;
    GetParam().change(&options_);
    RecordProperty("seed", StrCat(FromEnvironment("TINYOBS_SEED", 20'240)));
    Open();
  }

  void Open() {
    auto store = Store::Open("/db", options_);
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  uint64_t Random(uint64_t below) { return random_() % below; }
  std::string RandomKey() {
    // Short alphabet, different lengths: prefixes of each other, and many overwrites.
    std::string key(1, static_cast<char>('a' + Random(3)));
    const uint64_t length = Random(4);
    for (uint64_t i = 0; i < length; ++i) key.push_back("\0ab\xff"[Random(4)]);
    if (Random(2) == 0) key += StrCat(Random(300));
    return key;
  }
  std::string RandomValue() {
    return StrCat(step_, ".") + std::string(Random(20) == 0 ? Random(5000) : Random(60), 'v');
  }

  void WriteBatchOfSome() {
    WriteBatch batch;
    const uint64_t count = 1 + Random(30);
    for (uint64_t i = 0; i < count; ++i) {
      const std::string key = RandomKey();
      if (Random(4) == 0) {
        batch.Delete(key);
        model_.erase(key);
      } else {
        const std::string value = RandomValue();
        batch.Put(key, value);
        model_[key] = value;
      }
    }
    ASSERT_OK(store_->Write({}, batch));
  }

  void CheckGet(const Model& model, const Snapshot* snapshot) {
    const std::string key = RandomKey();
    ReadOptions options;
    options.snapshot = snapshot;
    std::string value;
    const absl::Status status = store_->Get(options, key, &value);
    const auto expected = model.find(key);
    if (expected == model.end()) {
      ASSERT_CODE(status, absl::StatusCode::kNotFound);
    } else {
      ASSERT_OK(status);
      ASSERT_EQ(value, expected->second);
    }
  }

  // A walk of random seeks and steps within random bounds.
  void CheckIterator(const Model& whole, const Snapshot* snapshot) {
    ReadOptions options;
    options.snapshot = snapshot;
    options.fill_cache = Random(2) == 0;
    if (Random(3) == 0) options.lower_bound = RandomKey();
    if (Random(3) == 0) options.upper_bound = RandomKey();
    Model model;
    for (const auto& [key, value] : whole) {
      const bool inside =
          key >= options.lower_bound && (options.upper_bound.empty() || key < options.upper_bound);
      if (inside) model.emplace(key, value);
    }
    auto iterator = store_->NewIterator(options);
    auto at = model.end();
    for (int i = 0; i < 40; ++i) {
      const uint64_t kind = Random(14);
      const std::string target = RandomKey();
      if (kind == 0) {
        iterator->SeekToFirst();
        at = model.begin();
      } else if (kind == 1) {
        iterator->SeekToLast();
        at = model.empty() ? model.end() : std::prev(model.end());
      } else if (kind == 2) {
        iterator->Seek(target);
        at = model.lower_bound(target);
      } else if (kind == 3) {
        iterator->SeekForPrev(target);
        at = model.upper_bound(target);
        at = at == model.begin() ? model.end() : std::prev(at);
      } else if (at == model.end()) {
        continue;
      } else if (kind < 9) {
        iterator->Next();
        ++at;
      } else {
        iterator->Prev();
        at = at == model.begin() ? model.end() : std::prev(at);
      }
      ASSERT_OK(iterator->status());
      ASSERT_EQ(iterator->Valid(), at != model.end()) << "step " << step_ << "." << i;
      if (at == model.end()) continue;
      ASSERT_EQ(iterator->key(), at->first) << "step " << step_ << "." << i;
      ASSERT_EQ(iterator->value(), at->second);
    }
  }

  void TakeSnapshot() {
    if (snapshots_.size() >= 4) snapshots_.erase(snapshots_.begin() + Random(4));
    snapshots_.emplace_back(store_->NewSnapshot(), model_);
  }

  void Reopen() {
    snapshots_.clear();
    if (Random(2) == 0) {
      ASSERT_OK(store_->Close());
    }
    store_ = nullptr;
    Open();
  }

  void Step() {
    const uint64_t kind = Random(200);
    if (kind < 80) {
      WriteBatchOfSome();
    } else if (kind < 130) {
      CheckGet(model_, nullptr);
    } else if (kind < 160) {
      CheckIterator(model_, nullptr);
    } else if (kind < 180 && !snapshots_.empty()) {
      const auto& [snapshot, model] = snapshots_[Random(snapshots_.size())];
      CheckGet(model, snapshot.get());
      CheckIterator(model, snapshot.get());
    } else if (kind < 190) {
      TakeSnapshot();
    } else if (kind < 195) {
      ASSERT_OK(store_->RunBackgroundWork());
    } else if (kind < 197) {
      ASSERT_OK(store_->Flush());
    } else if (kind < 198) {
      const std::string first = RandomKey();
      ASSERT_OK(
          store_->CompactRange(Random(2) == 0 ? "" : first, Random(2) == 0 ? "" : first + "z"));
    } else {
      Reopen();
    }
  }

  testing::MemoryFileSystem fs_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
  Model model_;
  std::vector<std::pair<std::unique_ptr<const Snapshot>, Model>> snapshots_;
  std::mt19937_64 random_;
  uint64_t step_ = 0;
};

TEST_P(ModelTest, TheStoreAnswersLikeAMap) {
  const uint64_t steps = FromEnvironment("TINYOBS_STEPS", 1500);
  std::printf("seed %d, %d steps\n", static_cast<int>(FromEnvironment("TINYOBS_SEED", 20'240)),
              static_cast<int>(steps));
  for (step_ = 0; step_ < steps && !HasFailure(); ++step_) Step();
  Reopen();
  CheckIterator(model_, nullptr);
  auto iterator = store_->NewIterator({});
  auto at = model_.begin();
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next(), ++at) {
    ASSERT_NE(at, model_.end());
    ASSERT_EQ(iterator->key(), at->first);
    ASSERT_EQ(iterator->value(), at->second);
  }
  ASSERT_EQ(at, model_.end());
}

INSTANTIATE_TEST_SUITE_P(
    Configurations, ModelTest,
    ::testing::Values(
        Configuration{"Plain", [](StoreOptions*) {}},
        Configuration{"Threads", [](StoreOptions* o) { o->background_threads = true; }},
        Configuration{"TinyMemtable", [](StoreOptions* o) { o->memtable_bytes = 1; }},
        Configuration{"TinyBlocks",
                      [](StoreOptions* o) {
                        o->block_bytes = 256;
                        o->block_restart_interval = 1;
                      }},
        Configuration{"NoFilterNoCache",
                      [](StoreOptions* o) {
                        o->filter_bits_per_key = 0;
                        o->block_cache_bytes = 0;
                      }},
        Configuration{"OneOpenTable", [](StoreOptions* o) { o->max_open_tables = 1; }},
        Configuration{"DeepTree",
                      [](StoreOptions* o) {
                        o->table_bytes = 4 << 10;
                        o->level1_bytes = 8 << 10;
                        o->level_ratio = 2;
                        o->l0_compaction_trigger = 1;
                        o->l0_stall_trigger = 2;
                      }},
        Configuration{"Partitions",
                      [](StoreOptions* o) {
                        o->partition_of = [](std::string_view key) { return key.substr(0, 1); };
                      }},
        Configuration{"PartitionsAndThreads",
                      [](StoreOptions* o) {
                        o->background_threads = true;
                        o->memtable_bytes = 1;
                        o->partition_of = [](std::string_view key) { return key.substr(0, 2); };
                      }},
        Configuration{"SyncAlways", [](StoreOptions* o) { o->sync_policy = SyncPolicy::kAlways; }}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tinyobs::lsm
