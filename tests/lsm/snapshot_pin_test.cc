// A snapshot that is taken while a compaction is in its middle: the job knows nothing of it, and
// its filter or merger changes what the snapshot sees. The snapshot reads the same before and after
// the result is installed, whichever way it reads.
//
// Method: a filter or merger that stops at a gate; the test takes the snapshot there.
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/mutex.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using testing::MemoryFileSystem;

class Gate {
 public:
  void Pass() {
    MutexLock lock(&mutex_);
    reached_ = true;
    changed_.NotifyAll();
    while (!open_) changed_.Wait(&mutex_);
  }
  void AwaitReached() {
    MutexLock lock(&mutex_);
    while (!reached_) changed_.Wait(&mutex_);
  }
  void Open() {
    MutexLock lock(&mutex_);
    open_ = true;
    changed_.NotifyAll();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool reached_ ABSL_GUARDED_BY(mutex_) = false;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
};

// Joins all values of a run under its first key.
class JoinAll : public CompactionMerger {
 public:
  explicit JoinAll(Gate* gate) : gate_(gate) {}
  absl::Status Add(std::string_view key, std::string_view value, const Emit&) override {
    gate_->Pass();
    if (key_.empty()) key_ = key;
    value_ += value;
    return absl::OkStatus();
  }
  absl::Status Finish(const Emit& emit) override {
    const absl::Status status = emit(key_, value_);
    key_.clear();
    value_.clear();
    return status;
  }

 private:
  Gate* const gate_;
  std::string key_, value_;
};

class SnapshotPinTest : public ::testing::Test {
 protected:
  SnapshotPinTest() {
    options_.file_system = &fs_;
    options_.background_threads = false;
  }
  void Open() {
    auto store = Store::Open("/db", options_);
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  std::string ByGet(const ReadOptions& options) const {
    std::string text, value;
    for (const std::string_view key : kKeys) {
      const absl::Status status = store_->Get(options, key, &value);
      if (status.ok()) StrAppend(&text, key, "=", value, " ");
      EXPECT_TRUE(status.ok() || absl::IsNotFound(status)) << status;
    }
    return text;
  }
  std::string ByMultiGet(const ReadOptions& options) const {
    std::string text;
    std::vector<std::string> values;
    const std::vector<absl::Status> statuses = store_->MultiGet(options, kKeys, &values);
    for (size_t i = 0; i < kKeys.size(); ++i) {
      if (statuses[i].ok()) StrAppend(&text, kKeys[i], "=", values[i], " ");
      EXPECT_TRUE(statuses[i].ok() || absl::IsNotFound(statuses[i])) << statuses[i];
    }
    return text;
  }
  std::string ByIterator(const ReadOptions& options) const {
    std::string text;
    const auto iterator = store_->NewIterator(options);
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
      StrAppend(&text, iterator->key(), "=", iterator->value(), " ");
    }
    EXPECT_OK(iterator->status());
    return text;
  }
  void ExpectAll(const Snapshot* snapshot, const std::string& expected) const {
    ReadOptions options;
    options.snapshot = snapshot;
    EXPECT_EQ(ByGet(options), expected);
    EXPECT_EQ(ByMultiGet(options), expected);
    EXPECT_EQ(ByIterator(options), expected);
  }
  uint64_t TablesOnDisk() const {
    uint64_t count = 0;
    for (const std::string& path : fs_.Files()) count += path.ends_with(".sst");
    return count;
  }

  // Some keys in a table, one in the memtable; the snapshot while CompactRange is in its middle.
  void TakeSnapshotInTheMiddle(const std::string& seen_after) {
    Open();
    for (const char* const key : {"a", "b", "c"}) ASSERT_OK(store_->Put(key, StrCat(key, "1")));
    std::thread compaction([&] { EXPECT_OK(store_->CompactRange("", "")); });
    gate_.AwaitReached();
    ASSERT_OK(store_->Put("d", "d1"));
    auto snapshot = store_->NewSnapshot();
    const std::string seen = "a=a1 b=b1 c=c1 d=d1 ";
    ExpectAll(snapshot.get(), seen);
    ASSERT_OK(store_->Put("d", "d2"));
    gate_.Open();
    compaction.join();
    ASSERT_EQ(store_->Stats().compactions, 1u);

    ExpectAll(snapshot.get(), seen);
    ExpectAll(nullptr, seen_after + "d=d2 ");
    // Another memtable, and a job that heeds it.
    ASSERT_OK(store_->Put("b", "b3"));
    ASSERT_OK(store_->Delete("c"));
    ASSERT_OK(store_->CompactRange("", ""));
    ExpectAll(snapshot.get(), seen);
    // It lets go of what it held on to.
    snapshot = nullptr;
    ASSERT_OK(store_->CompactRange("", ""));
    uint64_t tables = 0;
    for (const LevelStats& level : store_->Stats().levels) tables += level.files;
    EXPECT_EQ(TablesOnDisk(), tables);
  }

  const std::vector<std::string_view> kKeys = {"a", "b", "c", "d", "e"};
  MemoryFileSystem fs_;
  Gate gate_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_F(SnapshotPinTest, SeesWhatAFilterAtWorkRemoves) {
  options_.compaction_filter = [this](std::string_view key, std::string_view) {
    gate_.Pass();
    return key == "b" ? FilterDecision::kKeep : FilterDecision::kRemove;
  };
  TakeSnapshotInTheMiddle("b=b1 ");
}

TEST_F(SnapshotPinTest, SeesWhatAMergerAtWorkJoins) {
  options_.new_compaction_merger = [this] { return std::make_unique<JoinAll>(&gate_); };
  TakeSnapshotInTheMiddle("a=a1b1c1 ");
}

// One snapshot before the job, which heeds it, and one in its middle.
TEST_F(SnapshotPinTest, SnapshotsOfSeveralMomentsSeeEachTheirOwn) {
  options_.compaction_filter = [this](std::string_view key, std::string_view) {
    gate_.Pass();
    return key == "e" ? FilterDecision::kKeep : FilterDecision::kRemove;
  };
  Open();
  ASSERT_OK(store_->Put("a", "a1"));
  const auto before = store_->NewSnapshot();
  ASSERT_OK(store_->Put("a", "a2"));
  ASSERT_OK(store_->Put("b", "b2"));
  std::thread compaction([&] { EXPECT_OK(store_->CompactRange("", "")); });
  gate_.AwaitReached();
  const auto meanwhile = store_->NewSnapshot();
  gate_.Open();
  compaction.join();
  const auto after = store_->NewSnapshot();
  ASSERT_OK(store_->Put("e", "e4"));
  ExpectAll(before.get(), "a=a1 ");
  ExpectAll(meanwhile.get(), "a=a2 b=b2 ");
  ExpectAll(after.get(), "");
  ExpectAll(nullptr, "e=e4 ");
}

}  // namespace
}  // namespace tinyobs::lsm
