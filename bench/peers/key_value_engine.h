// KeyValueEngine: the least that the LSM benchmarks ask of an engine, so that ours and its peers
// run the same loops.
//
// Every operation ends the program on an error: a benchmark that goes on after one measures
// nothing. The cost of the virtual calls is the same for all engines.
//
// Equal settings: every engine gets EngineSettings as far as it has the option, Snappy, and
// checksums verified whenever a block is read, by compactions too. What an engine does not let us
// choose, or chooses by itself, stands in Peer::own_settings, which is printed and kept with the
// results. When to slow down and stop writers is each engine's own business and left at its
// default: they count tables in different ways and brake differently.
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

#include "bench/peers/measure.h"

namespace tinyobs::bench {

struct EngineSettings {
  size_t memtable_bytes = 4 << 20;
  int memtables = 3;  // at most: the active one and those that wait for their flush
  size_t block_cache_bytes = 8 << 20;
  size_t block_bytes = 4 << 10;
  int block_restart_interval = 16;
  size_t table_bytes = 2 << 20;
  size_t level1_bytes = 10 << 20;  // each level below may hold ten times more
  int filter_bits_per_key = 10;    // 0 = no filter
  int open_files = 1000;           // of tables, at most
  int l0_compaction_trigger = 4;   // tables
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
  // Everything in memory to tables; waits for that and not for compactions.
  virtual void Flush() = 0;
  // Everything merged down; no background work is left.
  virtual void CompactAll() = 0;
  // Bytes written by flush and compaction since open; 0 where the engine does not say.
  virtual uint64_t TableBytesWritten() = 0;
};

struct Peer {
  std::string name;
  std::string version;
  std::string own_settings;  // what is not EngineSettings, in words
  std::function<std::unique_ptr<KeyValueEngine>(const std::string& folder, const EngineSettings&)>
      open;
};

Peer TinyObsPeer();
Peer LevelDbPeer();
Peer RocksDbPeer();

}  // namespace tinyobs::bench

#endif  // TINYOBS_BENCH_PEERS_KEY_VALUE_ENGINE_H_
