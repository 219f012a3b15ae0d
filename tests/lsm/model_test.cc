// Random operations on a Store and on a std::map must give the same answers, whatever the options:
// each run draws its own (sizes of everything, filter, prefix, cache, partitions, threads, sync
// policy, compaction filter), draws some of them anew at each open, and does everything a store
// can do. The default is a few seconds of such runs; TINYOBS_OPERATIONS=5000000 asks for at least
// so many operations. A failure prints the one command that repeats it.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using testing::Keep;

constexpr uint64_t kFirstSeed = 20'240;
constexpr uint64_t kOperationsOfARun = 20'000;
constexpr std::chrono::seconds kDefaultTime(5);

// The compaction filter may remove an entry whose value begins so.
constexpr std::string_view kDead = "dead";

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// What a store must show at one moment. A dead entry may show or not, but nothing older instead.
struct Model {
  std::map<std::string, std::string> alive;
  std::map<std::string, std::string> dead;

  void Put(const std::string& key, const std::string& value) {
    Delete(key);
    (value.starts_with(kDead) ? dead : alive)[key] = value;
  }
  void Delete(const std::string& key) {
    alive.erase(key);
    dead.erase(key);
  }
};

// One run: a store, its model, and all randomness from one seed.
class ModelRun {
 public:
  explicit ModelRun(uint64_t seed) : random_(seed) {
    partition_bytes_ = Random(3);
    with_filter_ = Random(3) == 0;
    key_count_ = Pick({30, 300, 3000});
    DrawOptions();
    Open();
  }

  void Do(uint64_t operations) {
    while (operations_ < operations && !::testing::Test::HasFailure()) Step();
    if (::testing::Test::HasFailure()) return;
    Reopen();
    if (!::testing::Test::HasFailure()) CheckEverything(*store_, model_);
    if (!::testing::Test::HasFailure()) CheckSound(*store_);
  }
  uint64_t operations() const { return operations_; }

 private:
  struct HeldIterator {
    Model model;
    ReadOptions options;
    std::unique_ptr<Iterator> iterator;
  };

  uint64_t Random(uint64_t below) { return random_() % below; }
  template <typename T = uint64_t>
  T Pick(std::initializer_list<T> choices) {
    return choices.begin()[Random(choices.size())];
  }

  void DrawOptions() {
    options_.file_system = &fs_;
    options_.background_threads = Random(4) == 0;
    options_.compaction_threads = static_cast<int>(1 + Random(3));
    options_.sync_policy = Pick({SyncPolicy::kAlways, SyncPolicy::kInterval, SyncPolicy::kNone});
    options_.sync_interval_ms = Pick({1, 1000});
    options_.memtable_bytes = Pick<size_t>({1, 20'000, 128 << 10, 1 << 20});
    options_.table_bytes = Pick({4 << 10, 32 << 10, 256 << 10});
    options_.level1_bytes = Pick({8 << 10, 64 << 10, 1 << 20});
    options_.level_ratio = Pick({2, 3, 10});
    options_.block_bytes = Pick<size_t>({256, 1 << 10, 16 << 10});
    options_.block_restart_interval = Pick({1, 3, 16});
    options_.block_cache_bytes = Pick<size_t>({0, 10'000, 8 << 20});
    options_.filter_bits_per_key = Pick({0, 2, 10});
    options_.filter_prefix_bytes = Pick<size_t>({0, 1, 2, 3});
    options_.max_open_tables = Pick({1, 5, 500});
    options_.l0_compaction_trigger = Pick({1, 2, 4});
    options_.l0_slowdown_trigger = options_.l0_compaction_trigger + Pick({1, 8});
    options_.l0_stall_trigger = options_.l0_slowdown_trigger + Pick({1, 8});
    options_.partition_of = nullptr;
    if (const size_t bytes = partition_bytes_; bytes > 0) {
      options_.partition_of = [bytes](std::string_view key) { return key.substr(0, bytes); };
    }
    options_.compaction_filter = nullptr;
    if (with_filter_) {
      options_.compaction_filter = [](std::string_view, std::string_view value) {
        return value.starts_with(kDead) ? FilterDecision::kRemove : FilterDecision::kKeep;
      };
    }
  }

  void Open() {
    auto store = Store::Open("/db", options_);
    ASSERT_OK(store);
    store_ = *std::move(store);
  }

  // Short alphabet, different lengths: prefixes of each other, and many overwrites.
  std::string RandomKey() {
    std::string key(1, static_cast<char>('a' + Random(3)));
    const uint64_t length = Random(4);
    for (uint64_t i = 0; i < length; ++i) key.push_back("\0ab\xff"[Random(4)]);
    if (Random(2) == 0) key += StrCat(Random(key_count_));
    return key;
  }
  // Begins with the number of the write and the key, so that it tells where it is from.
  std::string RandomValue(const std::string& key) {
    std::string value = with_filter_ && Random(5) == 0 ? std::string(kDead) : std::string();
    value += StrCat(operations_, ".", key, ".");
    return value.append(Random(50) == 0 ? Random(5000) : Random(60), 'v');
  }

  // --- writing

  void WriteSome() {
    WriteBatch batch;
    for (uint64_t left = Random(3) == 0 ? 1 + Random(30) : 1; left > 0; --left, ++operations_) {
      const std::string key = RandomKey();
      if (Random(4) == 0) {
        batch.Delete(key);
        model_.Delete(key);
      } else {
        const std::string value = RandomValue(key);
        batch.Put(key, value);
        model_.Put(key, value);
      }
    }
    WriteOptions options;
    options.skip_wal = Random(16) == 0;
    if (!options.skip_wal && Random(16) == 0) options.sync = Random(2) == 0;
    has_unlogged_ |= options.skip_wal;
    ASSERT_OK(store_->Write(options, batch));
  }

  void Flush() {
    ASSERT_OK(store_->Flush());
    has_unlogged_ = false;
  }

  // Aligned to partitions and flushed, everything in the range goes. Otherwise what happens to lie
  // in tables within it: an older value may show then.
  void DropSomeRange() {
    const bool aligned = partition_bytes_ == 1 && Random(2) == 0;
    std::string first = RandomKey(), last = RandomKey();
    if (aligned) {
      Flush();
      first.resize(1);
      last = std::string(1, static_cast<char>(first[0] + 1));
    } else if (last < first) {
      std::swap(first, last);
    }
    snapshots_.clear();
    const auto dropped = store_->DropRange(first, last);
    ASSERT_OK(dropped);
    const auto in_range = [&](const auto& entry) {
      return entry.first >= first && entry.first < last;
    };
    if (aligned || *dropped > 0) {
      std::erase_if(model_.alive, in_range);
      std::erase_if(model_.dead, in_range);
    }
    if (aligned || *dropped == 0) return;
    ReadOptions options;
    options.lower_bound = first;
    options.upper_bound = last;
    const auto iterator = store_->NewIterator(options);
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
      ASSERT_NE(iterator->value().find(StrCat(".", iterator->key(), ".")), std::string_view::npos);
      model_.Put(std::string(iterator->key()), std::string(iterator->value()));
    }
    ASSERT_OK(iterator->status());
  }

  // --- reading

  void CheckFound(const Model& model, const std::string& key, const absl::Status& status,
                  const std::string& value) {
    if (const auto at = model.alive.find(key); at != model.alive.end()) {
      ASSERT_OK(status);
      ASSERT_EQ(value, at->second);
    } else if (const auto dead = model.dead.find(key); dead != model.dead.end() && status.ok()) {
      ASSERT_EQ(value, dead->second);
    } else {
      ASSERT_CODE(status, absl::StatusCode::kNotFound);
    }
  }

  void CheckGets(const Store& store, const Model& model, const Snapshot* snapshot) {
    ReadOptions options;
    options.snapshot = snapshot;
    for (uint64_t left = 1 + Random(8); left > 0; --left, ++operations_) {
      const std::string key = RandomKey();
      std::string value;
      const absl::Status status = store.Get(options, key, &value);
      CheckFound(model, key, status, value);
    }
    if (Random(3) != 0) return;
    std::vector<std::string> keys(1 + Random(20));
    for (std::string& key : keys) key = RandomKey();
    const std::vector<std::string_view> views(keys.begin(), keys.end());
    std::vector<std::string> values;
    const std::vector<absl::Status> statuses = store.MultiGet(options, views, &values);
    ASSERT_EQ(statuses.size(), keys.size());
    ASSERT_EQ(values.size(), keys.size());
    for (size_t i = 0; i < keys.size(); ++i, ++operations_) {
      CheckFound(model, keys[i], statuses[i], values[i]);
    }
  }

  ReadOptions RandomReadOptions(const Snapshot* snapshot) {
    ReadOptions options;
    options.snapshot = snapshot;
    options.fill_cache = Random(2) == 0;
    if (Random(3) == 0) options.lower_bound = RandomKey();
    if (Random(3) == 0) options.upper_bound = RandomKey();
    if (Random(3) == 0) options.prefix = RandomKey().substr(0, 1 + Random(3));
    return options;
  }

  // A walk of random seeks and steps within the bounds.
  void Walk(Iterator* iterator, const Model& model, const ReadOptions& bounds, int steps) {
    // The part of the model that is within: [begin, end).
    const auto& alive = model.alive;
    const auto begin = alive.lower_bound(std::max(bounds.lower_bound, bounds.prefix));
    auto end = alive.end();
    if (!bounds.upper_bound.empty()) end = alive.lower_bound(bounds.upper_bound);
    auto prefix_end = begin;
    while (prefix_end != alive.end() && prefix_end->first.starts_with(bounds.prefix)) {
      ++prefix_end;
    }
    const auto is_before = [&](const auto& a, const auto& b) {
      return a != alive.end() && (b == alive.end() || a->first < b->first);
    };
    if (!bounds.prefix.empty() && is_before(prefix_end, end)) end = prefix_end;
    if (is_before(end, begin)) end = begin;
    auto at = end;
    const auto clamp = [&](auto it) {
      if (is_before(it, begin)) it = begin;
      return is_before(end, it) ? end : it;
    };
    const auto previous = [&](auto it) { return it == begin ? end : std::prev(it); };
    for (int i = 0; i < steps; ++i, ++operations_) {
      const uint64_t kind = Random(20);
      bool backward = false;
      if (kind == 0) {
        iterator->SeekToFirst();
        at = begin;
      } else if (kind == 1) {
        iterator->SeekToLast();
        at = previous(end);
        backward = true;
      } else if (kind < 4) {
        const std::string target = RandomKey();
        iterator->Seek(target);
        at = clamp(alive.lower_bound(target));
      } else if (kind < 6) {
        const std::string target = RandomKey();
        iterator->SeekForPrev(target);
        at = previous(clamp(alive.upper_bound(target)));
        backward = true;
      } else if (at == end) {
        continue;
      } else if (kind < 14) {
        iterator->Next();
        ++at;
      } else {
        iterator->Prev();
        at = previous(at);
        backward = true;
      }
      while (iterator->Valid() && iterator->value().starts_with(kDead)) {
        const auto dead = model.dead.find(std::string(iterator->key()));
        ASSERT_NE(dead, model.dead.end());
        ASSERT_EQ(iterator->value(), dead->second);
        backward ? iterator->Prev() : iterator->Next();
      }
      ASSERT_OK(iterator->status());
      ASSERT_EQ(iterator->Valid(), at != end);
      if (at == end) continue;
      ASSERT_EQ(iterator->key(), at->first);
      ASSERT_EQ(iterator->value(), at->second);
    }
  }

  void CheckIterator(const Store& store, const Model& model, const Snapshot* snapshot) {
    const ReadOptions options = RandomReadOptions(snapshot);
    Walk(store.NewIterator(options).get(), model, options, 60);
  }

  void CheckEverything(const Store& store, const Model& model) {
    const auto iterator = store.NewIterator({});
    auto at = model.alive.begin();
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next(), ++operations_) {
      if (iterator->value().starts_with(kDead)) continue;
      ASSERT_NE(at, model.alive.end()) << "has " << iterator->key();
      ASSERT_EQ(iterator->key(), at->first);
      ASSERT_EQ(iterator->value(), at->second);
      ++at;
    }
    ASSERT_OK(iterator->status());
    ASSERT_EQ(at, model.alive.end()) << "lacks " << at->first;
  }

  void CheckSound(const Store& store) {
    const auto report = store.Verify();
    ASSERT_OK(report);
    for (const FileProblem& problem : report->problems) {
      ADD_FAILURE() << problem.file << ": " << problem.status;
    }
  }

  // --- snapshots and iterators that live through other operations

  void TakeSnapshot() {
    if (snapshots_.size() >= 4) snapshots_.erase(snapshots_.begin() + Random(4));
    snapshots_.emplace_back(store_->NewSnapshot(), model_);
  }

  void HoldIterator() {
    if (!held_.empty() && Random(2) == 0) held_.clear();
    HeldIterator held{model_, RandomReadOptions(nullptr), nullptr};
    held.iterator = store_->NewIterator(held.options);
    held_.push_back(std::move(held));
    if (held_.size() > 3) held_.erase(held_.begin());
  }

  // --- life

  void Reopen() {
    snapshots_.clear();
    held_.clear();
    if (has_unlogged_) Flush();
    const uint64_t kind = Random(3);
    if (kind < 2) {
      ASSERT_OK(kind == 0 ? store_->Close() : store_->Sync());
    }
    store_ = nullptr;
    if (kind == 1) {
      reader_ = nullptr;
      const auto keep = [this] {
        return Pick({Keep::kNothing, Keep::kTorn, Keep::kReordered, Keep::kAll});
      };
      fs_.Crash({.keep_bytes = keep(), .keep_names = keep(), .seed = Random(1 << 30)});
    }
    if (Random(2) == 0) DrawOptions();
    Open();
  }

  void CheckCheckpoint() {
    const std::string folder = StrCat("/copy", operations_);  // a crash may bring older ones back
    const absl::Status status = store_->Checkpoint(folder);
    ASSERT_OK(status);
    {
      StoreOptions options = options_;
      options.create_if_missing = false;
      options.background_threads = false;
      auto copy =
          Random(2) == 0 ? Store::Open(folder, options) : Store::OpenReadOnly(folder, options);
      ASSERT_OK(copy);
      CheckEverything(**copy, model_);
      CheckSound(**copy);
    }
    for (const std::string& path : fs_.Files()) {
      if (!path.starts_with(folder + "/")) continue;
      ASSERT_OK(fs_.DeleteFile(path));
    }
    ASSERT_OK(fs_.DeleteDirectory(folder));
  }

  // A second process that reads along. It sees logged writes only.
  void CheckReader() {
    if (has_unlogged_) Flush();
    if (reader_ == nullptr || Random(4) == 0) {
      auto reader = Store::OpenReadOnly("/db", options_);
      ASSERT_OK(reader);
      reader_ = *std::move(reader);
    } else {
      ASSERT_OK(reader_->Refresh());
    }
    CheckGets(*reader_, model_, nullptr);
    CheckIterator(*reader_, model_, nullptr);
    if (Random(4) == 0) CheckEverything(*reader_, model_);
  }

  void Step() {
    const uint64_t kind = Random(1000);
    ++operations_;
    if (kind < 550) {
      WriteSome();
    } else if (kind < 700) {
      CheckGets(*store_, model_, nullptr);
    } else if (kind < 820) {
      CheckIterator(*store_, model_, nullptr);
    } else if (kind < 880 && !snapshots_.empty()) {
      const auto& [snapshot, model] = snapshots_[Random(snapshots_.size())];
      CheckGets(*store_, model, snapshot.get());
      CheckIterator(*store_, model, snapshot.get());
    } else if (kind < 930 && !held_.empty()) {
      const HeldIterator& held = held_[Random(held_.size())];
      Walk(held.iterator.get(), held.model, held.options, 30);
    } else if (kind < 937) {
      TakeSnapshot();
    } else if (kind < 944) {
      HoldIterator();
    } else if (kind < 970) {
      ASSERT_OK(store_->RunBackgroundWork());
    } else if (kind < 980) {
      Flush();
    } else if (kind < 983) {
      ASSERT_OK(store_->Sync());
    } else if (kind < 987) {
      const std::string first = RandomKey();
      ASSERT_OK(
          store_->CompactRange(Random(2) == 0 ? "" : first, Random(2) == 0 ? "" : first + "z"));
    } else if (kind < 989) {
      DropSomeRange();
    } else if (kind < 994) {
      Reopen();
    } else if (kind < 996) {
      CheckCheckpoint();
    } else if (kind < 999) {
      CheckReader();
    } else {
      CheckSound(*store_);
    }
  }

  std::mt19937_64 random_;
  testing::MemoryFileSystem fs_;
  StoreOptions options_;
  size_t partition_bytes_ = 0;
  bool with_filter_ = false;
  uint64_t key_count_ = 0;
  uint64_t operations_ = 0;
  bool has_unlogged_ = false;  // written without a log since the last flush
  Model model_;
  // The readers go before the store.
  std::unique_ptr<Store> store_;
  std::unique_ptr<Store> reader_;
  std::vector<std::pair<std::unique_ptr<const Snapshot>, Model>> snapshots_;
  std::vector<HeldIterator> held_;
};

TEST(Model, TheStoreAnswersLikeAMapUnderAllOptions) {
  const uint64_t first_seed = FromEnvironment("TINYOBS_SEED", kFirstSeed);
  // A seed alone asks for that one run.
  const uint64_t wanted =
      FromEnvironment("TINYOBS_OPERATIONS", std::getenv("TINYOBS_SEED") != nullptr ? 1 : 0);
  const auto start = std::chrono::steady_clock::now();
  uint64_t operations = 0;
  uint64_t seed = first_seed;
  const auto more = [&] {
    return wanted > 0 ? operations < wanted
                      : std::chrono::steady_clock::now() - start < kDefaultTime;
  };
  for (; more(); ++seed) {
    ModelRun run(seed);
    run.Do(kOperationsOfARun);
    operations += run.operations();
    if (HasFailure()) {
      FAIL() << "run " << seed << ", operation " << run.operations()
             << "; repeat with: bazel test //tests/lsm:model_test --test_env=TINYOBS_SEED=" << seed;
    }
  }
  std::printf("seeds %llu to %llu: %llu operations under %llu sets of options\n",
              static_cast<unsigned long long>(first_seed),
              static_cast<unsigned long long>(seed - 1),
              static_cast<unsigned long long>(operations),
              static_cast<unsigned long long>(seed - first_seed));
}

}  // namespace
}  // namespace tinyobs::lsm
