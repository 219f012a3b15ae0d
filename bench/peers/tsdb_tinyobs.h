// TinyObs behind SampleEngine, and the small shell around Db that the rows about TinyObs alone use.
// Only what an embedder can use: the public headers.
#ifndef TINYOBS_BENCH_PEERS_TSDB_TINYOBS_H_
#define TINYOBS_BENCH_PEERS_TSDB_TINYOBS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/peers/sample_engine.h"
#include "bench/workload/devops.h"
#include "bench/workload/sample_source.h"
#include "tinyobs/clock.h"
#include "tinyobs/db.h"

namespace tinyobs::bench {

// The time of the samples, so that their ages, partitions and the future are what they would be in
// life. Thread-safe.
class SampleClock final : public Clock {
 public:
  // `steady`: the clock that never goes back is the machine's (threads wait by it). Otherwise it
  // follows the samples too, for databases without threads.
  explicit SampleClock(bool steady) : steady_(steady) {}
  void Set(int64_t now_ms) { now_ms_.store(now_ms, std::memory_order_relaxed); }
  int64_t NowMs() const override { return now_ms_.load(std::memory_order_relaxed); }
  int64_t MonotonicNs() const override {
    return steady_ ? System()->MonotonicNs() : NowMs() * 1'000'000;
  }

 private:
  const bool steady_;
  std::atomic<int64_t> now_ms_{0};
};

struct TinyObsSettings {
  size_t memory_bytes = 64 << 20;
  // false: the benchmark calls DoBackgroundWork.
  bool threads = true;
  uint64_t head_segment_bytes = 0;  // 0 = the default
  int64_t now_ms = kDevopsStartMs;  // what the clock says at open
  FileSystem* file_system = nullptr;
};

// An open database. One thread.
class TinyObsStore {
 public:
  TinyObsStore(std::string folder, const TinyObsSettings& settings);
  ~TinyObsStore();  // closes

  // New series by labels, then their handles at out[0] to out[labels.size() - 1].
  void Create(std::span<const Labels> labels, std::span<const int64_t> timestamps_ms,
              std::span<const double> values, SeriesHandle* out);
  // One commit.
  void Append(std::span<const SeriesHandle> series, std::span<const int64_t> timestamps_ms,
              std::span<const double> values);
  void Flush();
  // All that is due. Only without threads.
  void DoBackgroundWork();
  // What ended before `time_ms` leaves. False: this version of the library cannot.
  bool DropBefore(int64_t time_ms);
  // Closes and opens it again, with the memory of Settings.
  void Reopen(bool threads);
  // Head sealed, partitions closed, everything merged; caches are empty.
  void CompactAll();

  Db& db() { return *db_; }
  SampleClock& clock() { return *clock_; }

 private:
  void Open();

  const std::string folder_;
  TinyObsSettings settings_;
  std::unique_ptr<SampleClock> clock_;
  std::unique_ptr<Db> db_;
  std::unique_ptr<Appender> appender_;
};

// Series by number instead of by handle.
class TinyObsSamples final : public SampleEngine {
 public:
  TinyObsSamples(const std::string& folder, const TinyObsSettings& settings)
      : store_(folder, settings) {}

  void Create(std::span<const Labels> labels, const SampleBatch& batch) override;
  void Append(const SampleBatch& batch) override;
  void Flush() override { store_.Flush(); }
  void CompactAll() override { store_.CompactAll(); }
  SampleTotals Scan() override;
  void Range(uint32_t series, const std::vector<Matcher>& selector, int64_t from_ms, int64_t to_ms,
             Columns* out) override;

  void Reserve(size_t series) { handles_.resize(series); }
  TinyObsStore& store() { return store_; }

 private:
  TinyObsStore store_;
  std::vector<SeriesHandle> handles_;  // by series number
  std::vector<SeriesHandle> batch_;
};

}  // namespace tinyobs::bench

#endif  // TINYOBS_BENCH_PEERS_TSDB_TINYOBS_H_
