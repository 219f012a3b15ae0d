// SampleEngine: the least that the time-series benchmarks ask of an engine.
//
// What people store samples in who have no time-series store: a key-value engine or a table with
// one entry a sample, key = series number and time, value = the double. They get the numbers of the
// series for nothing and keep no labels; ours keeps the labels and finds a series by them. That
// favours the peers and is left so.
//
// Equal durability: every batch is in the log when Append returns and none is synced. Equal memory:
// SampleEngineSettings as far as an engine has the option; `own_settings` says what it made of it.
//
// Every operation ends the program on an error. One thread.
#ifndef TINYOBS_BENCH_PEERS_SAMPLE_ENGINE_H_
#define TINYOBS_BENCH_PEERS_SAMPLE_ENGINE_H_

#include <bit>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/peers/key_value_engine.h"
#include "bench/peers/measure.h"
#include "bench/workload/sample_source.h"
#include "tinyobs/sample.h"

namespace tinyobs::bench {

// What a scan or an append went over. The same samples give the same totals in any order.
struct SampleTotals {
  uint64_t samples = 0;
  uint64_t bits = 0;  // of times and values, added up modulo 2^64

  void Add(int64_t timestamp_ms, double value) {
    ++samples;
    bits += static_cast<uint64_t>(timestamp_ms) + std::bit_cast<uint64_t>(value);
  }
  friend bool operator==(const SampleTotals&, const SampleTotals&) = default;
};

struct SampleEngineSettings {
  size_t memory_bytes = 64 << 20;  // of memtables and caches together
};

class SampleEngine {
 public:
  virtual ~SampleEngine() = default;  // closes

  // The first samples of series, one each, as one batch: series batch.series[i] has labels[i].
  virtual void Create(std::span<const Labels> labels, const SampleBatch& batch) = 0;
  // A batch of known series, all or nothing.
  virtual void Append(const SampleBatch& batch) = 0;
  // What is in memory goes into tables, as far as the engine has a call for it.
  virtual void Flush() = 0;
  // Everything out of logs and memory and merged; no background work is left; caches are empty.
  // Nothing is appended afterwards.
  virtual void CompactAll() = 0;
  // Every sample, series by series, each by time.
  virtual SampleTotals Scan() = 0;
  // One series, both ends within, as columns (emptied first). `selector` says the same as `series`.
  virtual void Range(uint32_t series, const std::vector<Matcher>& selector, int64_t from_ms,
                     int64_t to_ms, Columns* out) = 0;
};

struct SamplePeer {
  std::string name;
  std::string version;
  std::string own_settings;
  std::function<std::unique_ptr<SampleEngine>(const std::string& folder,
                                              const SampleEngineSettings&)>
      open;
};

SamplePeer TinyObsSamplePeer();
// One of key_value_engine.h with a key a sample.
SamplePeer KeyValueSamplePeer(const Peer& peer);
SamplePeer SqliteSamplePeer();

}  // namespace tinyobs::bench

#endif  // TINYOBS_BENCH_PEERS_SAMPLE_ENGINE_H_
