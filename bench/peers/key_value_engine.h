// KeyValueEngine: the least that the LSM benchmarks ask of an engine, so that ours and its peers
// run the same loops.
//
// Every operation ends the program on an error: a benchmark that goes on after one measures
// nothing. The cost of the virtual calls is the same for all engines.
//
// Equal settings, for all engines: Snappy, 64 MiB memtable unless said otherwise, 8 MiB block
// cache, 4 KiB blocks, 10 filter bits a key, no sync on write but where the benchmark is about
// sync, checksums verified on every read.
#ifndef TINYOBS_BENCH_PEERS_KEY_VALUE_ENGINE_H_
#define TINYOBS_BENCH_PEERS_KEY_VALUE_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tinyobs::bench {

struct EngineSettings {
  size_t memtable_bytes = 4 << 20;
  size_t block_cache_bytes = 8 << 20;
  size_t block_bytes = 4 << 10;
  size_t table_bytes = 2 << 20;
  int filter_bits_per_key = 10;
};

// A cursor in key order.
class Cursor {
 public:
  virtual ~Cursor() = default;
  virtual bool Valid() const = 0;
  virtual void SeekToFirst() = 0;
  virtual void SeekToLast() = 0;
  virtual void Seek(std::string_view key) = 0;
  virtual void Next() = 0;
  virtual void Prev() = 0;
  virtual std::string_view key() const = 0;
  virtual std::string_view value() const = 0;
};

class KeyValueEngine {
 public:
  virtual ~KeyValueEngine() = default;  // closes

  virtual void Put(std::string_view key, std::string_view value, bool sync) = 0;
  // One atomic batch.
  virtual void PutBatch(const std::vector<std::pair<std::string, std::string>>& batch) = 0;
  // False = not there.
  virtual bool Get(std::string_view key, std::string* value) = 0;
  virtual std::unique_ptr<Cursor> NewCursor() = 0;
  // Everything in memory to tables.
  virtual void Flush() = 0;
  // Everything merged down.
  virtual void CompactAll() = 0;
  // Returns once no background work is left.
  virtual void WaitForCompactions() = 0;
  // Bytes written by flush and compaction since open; 0 where the engine does not say.
  virtual uint64_t TableBytesWritten() = 0;
};

struct Peer {
  std::string name;
  std::string version;
  std::function<std::unique_ptr<KeyValueEngine>(const std::string& folder, const EngineSettings&)>
      open;
};

// Ours first, then the peers that were linked.
Peer TinyObsPeer();
Peer LevelDbPeer();
Peer RocksDbPeer();

// Prints `what` and `detail` and ends the program when `ok` is false.
void Require(bool ok, std::string_view what, std::string_view detail);

}  // namespace tinyobs::bench

#endif  // TINYOBS_BENCH_PEERS_KEY_VALUE_ENGINE_H_
