// RocksDB behind KeyValueEngine.
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/version.h>

#include <map>
#include <string>

#include "bench/peers/key_value_engine.h"

namespace tinyobs::bench {
namespace {

rocksdb::Slice ToSlice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
std::string_view FromSlice(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

void Require(const rocksdb::Status& status, std::string_view what) {
  bench::Require(status.ok(), what, status.ToString());
}

class RocksDbCursor final : public Cursor {
 public:
  explicit RocksDbCursor(rocksdb::Iterator* iterator) : iterator_(iterator) {}
  ~RocksDbCursor() override { Require(iterator_->status(), "rocksdb cursor"); }
  bool Valid() const override { return iterator_->Valid(); }
  void SeekToFirst() override { iterator_->SeekToFirst(); }
  void SeekToLast() override { iterator_->SeekToLast(); }
  void Seek(std::string_view key) override { iterator_->Seek(ToSlice(key)); }
  void Next() override { iterator_->Next(); }
  void Prev() override { iterator_->Prev(); }
  std::string_view key() const override { return FromSlice(iterator_->key()); }
  std::string_view value() const override { return FromSlice(iterator_->value()); }

 private:
  const std::unique_ptr<rocksdb::Iterator> iterator_;
};

class RocksDbEngine final : public KeyValueEngine {
 public:
  RocksDbEngine(const std::string& folder, const EngineSettings& settings) {
    rocksdb::Options options;
    options.create_if_missing = true;
    options.write_buffer_size = settings.memtable_bytes;
    options.max_write_buffer_number = settings.memtables;
    options.target_file_size_base = settings.table_bytes;
    options.max_bytes_for_level_base = settings.level1_bytes;
    options.level0_file_num_compaction_trigger = settings.l0_compaction_trigger;
    options.compression = rocksdb::kSnappyCompression;
    options.max_open_files = settings.open_files;
    options.max_background_jobs = 2;  // one flush and one compaction
    rocksdb::BlockBasedTableOptions table;
    table.block_size = settings.block_bytes;
    table.block_restart_interval = settings.block_restart_interval;
    table.block_cache = rocksdb::NewLRUCache(settings.block_cache_bytes);
    if (settings.filter_bits_per_key > 0) {
      table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(settings.filter_bits_per_key));
    }
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    rocksdb::DB* db = nullptr;
    Require(rocksdb::DB::Open(options, folder, &db), "rocksdb open");
    db_.reset(db);
    read_.verify_checksums = true;
  }
  ~RocksDbEngine() override { Require(db_->Close(), "rocksdb close"); }

  void Put(std::string_view key, std::string_view value, bool sync) override {
    rocksdb::WriteOptions options;
    options.sync = sync;
    Require(db_->Put(options, ToSlice(key), ToSlice(value)), "rocksdb put");
  }
  void PutBatch(const std::vector<std::pair<std::string, std::string>>& batch) override {
    batch_.Clear();
    for (const auto& [key, value] : batch) Require(batch_.Put(key, value), "rocksdb batch");
    Require(db_->Write({}, &batch_), "rocksdb write");
  }
  bool Get(std::string_view key, std::string* value) override {
    const rocksdb::Status status = db_->Get(read_, ToSlice(key), value);
    if (status.IsNotFound()) return false;
    Require(status, "rocksdb get");
    return true;
  }
  std::unique_ptr<Cursor> NewCursor() override {
    return std::make_unique<RocksDbCursor>(db_->NewIterator(read_));
  }
  void Flush() override { Require(db_->Flush({}), "rocksdb flush"); }
  void CompactAll() override {
    Require(db_->CompactRange({}, nullptr, nullptr), "rocksdb compact");
  }
  uint64_t TableBytesWritten() override {
    uint64_t total = 0;
    std::map<std::string, std::string> stats;
    if (db_->GetMapProperty("rocksdb.cfstats", &stats)) {
      const auto found = stats.find("compaction.Sum.WriteGB");
      if (found != stats.end()) {
        total = static_cast<uint64_t>(std::stod(found->second) * (1ull << 30));
      }
    }
    return total;
  }

 private:
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::ReadOptions read_;
  rocksdb::WriteBatch batch_;
};

}  // namespace

Peer RocksDbPeer() {
  return {"rocksdb",
          std::to_string(ROCKSDB_MAJOR) + "." + std::to_string(ROCKSDB_MINOR) + "." +
              std::to_string(ROCKSDB_PATCH),
          "writes slowed at " + std::to_string(rocksdb::Options().level0_slowdown_writes_trigger) +
              " and stopped at " + std::to_string(rocksdb::Options().level0_stop_writes_trigger) +
              " tables of L0 (its defaults); one thread flushes, one compacts; block-based tables "
              "of format version " +
              std::to_string(rocksdb::BlockBasedTableOptions().format_version) +
              ", its default checksum; full filters, index and filters outside the block cache; "
              "tables read by pread; everything else as its default",
          [](const std::string& folder, const EngineSettings& settings) {
            return std::make_unique<RocksDbEngine>(folder, settings);
          }};
}

}  // namespace tinyobs::bench
