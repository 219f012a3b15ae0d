// LevelDB behind KeyValueEngine.
//
// It has constants where others have options: the triggers of L0, the size of L1, two memtables,
// one background thread, tables read through mmap (its file system layer maps up to 1,000 on 64-bit
// machines). They are left alone and printed.
#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>

#include <cstdlib>
#include <sstream>
#include <string>

#include "bench/peers/key_value_engine.h"

namespace tinyobs::bench {
namespace {

leveldb::Slice ToSlice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
std::string_view FromSlice(const leveldb::Slice& slice) { return {slice.data(), slice.size()}; }

void Require(const leveldb::Status& status, std::string_view what) {
  bench::Require(status.ok(), what, status.ToString());
}

class LevelDbCursor final : public Cursor {
 public:
  explicit LevelDbCursor(leveldb::Iterator* iterator) : iterator_(iterator) {}
  ~LevelDbCursor() override { Require(iterator_->status(), "leveldb cursor"); }
  bool Valid() const override { return iterator_->Valid(); }
  void SeekToFirst() override { iterator_->SeekToFirst(); }
  void SeekToLast() override { iterator_->SeekToLast(); }
  void Seek(std::string_view key) override { iterator_->Seek(ToSlice(key)); }
  void Next() override { iterator_->Next(); }
  void Prev() override { iterator_->Prev(); }
  std::string_view key() const override { return FromSlice(iterator_->key()); }
  std::string_view value() const override { return FromSlice(iterator_->value()); }

 private:
  const std::unique_ptr<leveldb::Iterator> iterator_;
};

class LevelDbEngine final : public KeyValueEngine {
 public:
  LevelDbEngine(const std::string& folder, const EngineSettings& settings)
      : cache_(leveldb::NewLRUCache(settings.block_cache_bytes)),
        filter_(settings.filter_bits_per_key > 0
                    ? leveldb::NewBloomFilterPolicy(settings.filter_bits_per_key)
                    : nullptr) {
    leveldb::Options options;
    options.create_if_missing = true;
    options.write_buffer_size = settings.memtable_bytes;
    options.block_cache = cache_.get();
    options.block_size = settings.block_bytes;
    options.max_file_size = settings.table_bytes;
    options.filter_policy = filter_.get();
    options.compression = leveldb::kSnappyCompression;
    options.block_restart_interval = settings.block_restart_interval;
    options.max_open_files = settings.open_files;
    options.paranoid_checks = true;  // compactions verify checksums, as those of the others do
    leveldb::DB* db = nullptr;
    Require(leveldb::DB::Open(options, folder, &db), "leveldb open");
    db_.reset(db);
    read_.verify_checksums = true;
  }

  void Put(std::string_view key, std::string_view value, bool sync) override {
    leveldb::WriteOptions options;
    options.sync = sync;
    Require(db_->Put(options, ToSlice(key), ToSlice(value)), "leveldb put");
  }
  void PutBatch(const std::vector<std::pair<std::string, std::string>>& batch) override {
    batch_.Clear();
    for (const auto& [key, value] : batch) batch_.Put(key, value);
    Require(db_->Write({}, &batch_), "leveldb write");
  }
  bool Get(std::string_view key, std::string* value) override {
    const leveldb::Status status = db_->Get(read_, ToSlice(key), value);
    if (status.IsNotFound()) return false;
    Require(status, "leveldb get");
    return true;
  }
  std::unique_ptr<Cursor> NewCursor() override {
    return std::make_unique<LevelDbCursor>(db_->NewIterator(read_));
  }
  // There is no call for it. A write without a batch switches memtables, which is how LevelDB
  // flushes within CompactRange; the second one first waits until the flush of the first has ended.
  // CompactRange itself would also wait for whatever compaction runs.
  void Flush() override {
    for (int i = 0; i < 2; ++i) Require(db_->Write({}, nullptr), "leveldb flush");
  }
  void CompactAll() override { db_->CompactRange(nullptr, nullptr); }
  // The sum of the column "Write(MB)" of leveldb.stats.
  uint64_t TableBytesWritten() override {
    std::string text;
    if (!db_->GetProperty("leveldb.stats", &text)) return 0;
    std::istringstream lines(text);
    double megabytes = 0;
    for (std::string line; std::getline(lines, line);) {
      std::istringstream row(line);
      double level, files, size, seconds, read, write;
      if (row >> level >> files >> size >> seconds >> read >> write) megabytes += write;
    }
    return static_cast<uint64_t>(megabytes * 1048576);
  }

 private:
  const std::unique_ptr<leveldb::Cache> cache_;
  const std::unique_ptr<const leveldb::FilterPolicy> filter_;
  std::unique_ptr<leveldb::DB> db_;
  leveldb::ReadOptions read_;
  leveldb::WriteBatch batch_;
};

}  // namespace

Peer LevelDbPeer() {
  return {"leveldb",
          std::to_string(leveldb::kMajorVersion) + "." + std::to_string(leveldb::kMinorVersion),
          "writes slowed at 8 and stopped at 12 tables of L0, compaction at 4, L1 of 10 MiB and 2 "
          "memtables are its constants; one thread flushes and "
          "compacts; paranoid_checks on, so that compactions verify checksums too (CRC32C, in "
          "software as packaged); its file system layer reads up to 1000 tables through mmap, for "
          "which it has no option",
          [](const std::string& folder, const EngineSettings& settings) {
            return std::make_unique<LevelDbEngine>(folder, settings);
          }};
}

}  // namespace tinyobs::bench
