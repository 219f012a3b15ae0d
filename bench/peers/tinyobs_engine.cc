// Our own LSM behind KeyValueEngine.
#include <string>

#include "bench/peers/key_value_engine.h"
#include "lib/lsm/store.h"
#include "tinyobs/version.h"

namespace tinyobs::bench {
namespace {

void Require(const absl::Status& status, std::string_view what) {
  bench::Require(status.ok(), what, status.ToString());
}

class TinyObsCursor final : public Cursor {
 public:
  explicit TinyObsCursor(std::unique_ptr<Iterator> iterator) : iterator_(std::move(iterator)) {}
  ~TinyObsCursor() override { Require(iterator_->status(), "tinyobs cursor"); }
  bool Valid() const override { return iterator_->Valid(); }
  void SeekToFirst() override { iterator_->SeekToFirst(); }
  void SeekToLast() override { iterator_->SeekToLast(); }
  void Seek(std::string_view key) override { iterator_->Seek(key); }
  void Next() override { iterator_->Next(); }
  void Prev() override { iterator_->Prev(); }
  std::string_view key() const override { return iterator_->key(); }
  std::string_view value() const override { return iterator_->value(); }

 private:
  const std::unique_ptr<Iterator> iterator_;
};

class TinyObsEngine final : public KeyValueEngine {
 public:
  TinyObsEngine(const std::string& folder, const EngineSettings& settings) {
    lsm::StoreOptions options;
    options.sync_policy = lsm::SyncPolicy::kNone;
    options.memtable_bytes = settings.memtable_bytes;
    options.block_cache_bytes = settings.block_cache_bytes;
    options.block_bytes = settings.block_bytes;
    options.table_bytes = settings.table_bytes;
    options.filter_bits_per_key = settings.filter_bits_per_key;
    options.level1_bytes = settings.level1_bytes;
    options.block_restart_interval = settings.block_restart_interval;
    options.max_open_tables = settings.open_files;
    options.l0_compaction_trigger = settings.l0_compaction_trigger;
    auto store = lsm::Store::Open(folder, options);
    Require(store.status(), "tinyobs open");
    store_ = std::move(*store);
  }
  ~TinyObsEngine() override { Require(store_->Close(), "tinyobs close"); }

  void Put(std::string_view key, std::string_view value, bool sync) override {
    lsm::WriteOptions options;
    if (sync) options.sync = true;
    Require(store_->Put(key, value, options), "tinyobs put");
  }
  void PutBatch(const std::vector<std::pair<std::string, std::string>>& batch) override {
    batch_.Clear();
    for (const auto& [key, value] : batch) batch_.Put(key, value);
    Require(store_->Write({}, batch_), "tinyobs write");
  }
  bool Get(std::string_view key, std::string* value) override {
    const absl::Status status = store_->Get(key, value);
    if (absl::IsNotFound(status)) return false;
    Require(status, "tinyobs get");
    return true;
  }
  std::unique_ptr<Cursor> NewCursor() override {
    return std::make_unique<TinyObsCursor>(store_->NewIterator({}));
  }
  void Flush() override { Require(store_->Flush(), "tinyobs flush"); }
  void CompactAll() override { Require(store_->CompactRange("", ""), "tinyobs compact"); }
  uint64_t TableBytesWritten() override {
    const lsm::StoreStats stats = store_->Stats();
    return stats.bytes_written_by_flush + stats.bytes_written_by_compaction;
  }

 private:
  std::unique_ptr<lsm::Store> store_;
  lsm::WriteBatch batch_;
};

}  // namespace

Peer TinyObsPeer() {
  return {
      "tinyobs", TINYOBS_VERSION,
      "writes slowed from " + std::to_string(lsm::StoreOptions().l0_slowdown_trigger) +
          " and stopped at " + std::to_string(lsm::StoreOptions().l0_stall_trigger) +
          " tables of L0 (its defaults); one thread flushes, one compacts; level targets follow "
          "from the last level; XXH3 "
          "checksums; index and filters outside the block cache; tables read by pread; at most 3 "
          "memtables and every checksum verified, which are no options",
      [](const std::string& folder, const EngineSettings& settings) {
        return std::make_unique<TinyObsEngine>(folder, settings);
      }};
}

}  // namespace tinyobs::bench
