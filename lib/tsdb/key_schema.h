// Keys of the database in the LSM: the one place that knows how rows are named.
//
// Chunks:    tier u8 | partition u32 | series u64 | offset u32 [| suffix u64]
// Metadata:  0x00 | kind u8 | ...                                  (kinds below)
// Big-endian, so that memcmp is this order.
//
// Partition first, because time is what data is dropped and merged by: a two-hour partition is one
// range of keys, so expiry unlinks files, and a closed partition is merged once and then rests.
// Series second, and a series id starts with its metric's id, so one metric over many targets reads
// neighbouring rows. FORMAT.md has the fields, their ranges and the values.
//
// Thread-safety: pure.
#ifndef TINYOBS_LIB_TSDB_KEY_SCHEMA_H_
#define TINYOBS_LIB_TSDB_KEY_SCHEMA_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/model/series_key.h"

namespace tinyobs::tsdb {

// Dense number of a series while it is in memory, given in order of creation and never twice: index
// of every per-series array in memory, and the name of the series in the head log. A series that
// was idle comes back under another.
using SeriesRef = uint32_t;
// The top bit is free, for marking series of a batch that do not exist yet.
inline constexpr SeriesRef kMaxSeriesRef = 0x7fffffff;

// metric id << 32 | number of the series within its metric.
using SeriesId = uint64_t;

// First byte of a chunk's key. On disk: never renumber. 0 is the metadata.
// kIdle holds no chunks but series that left memory, see idle_series.h.
enum class Tier : uint8_t { kRaw = 1, kFiveMinutes = 2, kOneHour = 3, kIdle = 4 };
inline constexpr std::array kAllTiers = {Tier::kRaw, Tier::kFiveMinutes, Tier::kOneHour,
                                         Tier::kIdle};
// Those that hold data, from the finest on.
inline constexpr std::array kDataTiers = {Tier::kRaw, Tier::kFiveMinutes, Tier::kOneHour};
// Raw partitions in one of five minutes, and those in one of an hour: so that a row of either can
// hold some hundreds of windows, which is what columns need to be small.
inline constexpr int64_t kRawPartitionsPerFiveMinutes = 12;
inline constexpr int64_t kFiveMinutesPartitionsPerOneHour = 16;

// Second byte of a metadata key. On disk: never renumber.
enum class RowKind : uint8_t {
  kSeries = 's',          // + series id u64 BE -> ref, labels
  kMetricMetadata = 'd',  // + metric name -> type, help, unit
  kPartition = 'p',       // + tier u8 + partition u32 BE -> counts and time range
  kNext = 'n',            // -> next ref, next metric id
  kIdle = 'i',            // + fingerprint 2 x u64 BE + series id u64 BE -> partition
  kHead = 'h',            // -> newest segment and checkpoint of the head's files
  kTouched = 't',         // + tier u8 + partition u32 BE + series id u64 BE -> nothing
  kDropped = 'x',         // + tier u8 -> two partitions u32 BE: before the first all has gone for
                          //    good, before the second it is on its way out (0 = nothing is)
};

struct ChunkKey {
  Tier tier = Tier::kRaw;
  uint32_t partition = 0;
  SeriesId series = 0;
  uint32_t offset_ms = 0;  // from the start of the partition; not after the first sample
  uint64_t suffix = 0;     // tells chunks with the same offset apart; 0 = none, not in the key
};
inline constexpr size_t kChunkKeyBytes = 17;
inline constexpr size_t kSuffixedChunkKeyBytes = 25;
inline constexpr size_t kChunkPrefixBytes = 5;    // tier and partition
inline constexpr size_t kSeriesPrefixBytes = 13;  // and series: what the tables' filters know

std::string EncodeChunkKey(const ChunkKey& key);
// False when `bytes` are not the key of a chunk.
bool DecodeChunkKey(std::string_view bytes, ChunkKey* key);
// What the keys of all chunks of a series in a partition begin with.
std::string SeriesPrefix(Tier tier, uint32_t partition, SeriesId series);
// What the keys of all chunks of a partition begin with, and of a tier.
std::string ChunkPrefix(Tier tier, uint32_t partition);
inline std::string TierPrefix(Tier tier) { return std::string(1, static_cast<char>(tier)); }

std::string SeriesRowKey(SeriesId id);
std::string MetricMetadataRowKey(std::string_view metric);
std::string PartitionRowKey(Tier tier, uint32_t partition);
std::string DroppedRowKey(Tier tier);
// `partition` and `series` are of the rows themselves; TouchedPrefix: of all of a partition.
std::string TouchedRowKey(Tier tier, uint32_t partition, SeriesId series);
std::string TouchedPrefix(Tier tier, uint32_t partition);
// Of an idle series: its row in the group of its last partition, and the row that finds it.
std::string IdleSeriesKey(uint32_t partition, SeriesId id);
std::string IdleLookupPrefix(const SeriesKey& key);
std::string IdleLookupKey(const SeriesKey& key, SeriesId id);
// What all rows of a kind begin with; the rows are [prefix, PrefixEnd(prefix)),
// coding.h.
std::string RowPrefix(RowKind kind);

// The hook of lsm::StoreOptions: tier and partition of a chunk, one partition for all metadata.
std::string_view PartitionPrefix(std::string_view key);

// Time is cut into partitions of `partition_ms`, numbered from the epoch; numbers are biased by
// 2^31 so that times before 1970 sort first.
inline constexpr uint32_t kPartitionBias = uint32_t{1} << 31;

class Partitioning {
 public:
  // REQUIRES: 1 <= partition_ms <= 2^32 - 1.
  explicit Partitioning(int64_t partition_ms) : partition_ms_(partition_ms) {}

  // False when the time is so far from the epoch that its partition has no number.
  bool Contains(int64_t timestamp_ms) const {
    const int64_t index = Index(timestamp_ms);
    return index >= INT32_MIN && index <= INT32_MAX;
  }
  // Clamped to the first and last partition for times that are not contained.
  uint32_t NumberOf(int64_t timestamp_ms) const;
  // REQUIRES: Contains(timestamp_ms), as do the two below.
  int64_t StartOf(int64_t timestamp_ms) const { return Index(timestamp_ms) * partition_ms_; }
  // One past the last millisecond.
  int64_t EndOf(int64_t timestamp_ms) const { return StartOf(timestamp_ms) + partition_ms_; }
  int64_t StartOfNumber(uint32_t partition) const {
    return (static_cast<int64_t>(partition) - kPartitionBias) * partition_ms_;
  }
  // The last millisecond of a partition.
  int64_t LastMsOf(uint32_t number) const {
    return (int64_t{number} - int64_t{kPartitionBias} + 1) * partition_ms_ - 1;
  }
  int64_t partition_ms() const { return partition_ms_; }

 private:
  int64_t Index(int64_t timestamp_ms) const {
    const int64_t quotient = timestamp_ms / partition_ms_;
    return quotient - (timestamp_ms % partition_ms_ < 0 ? 1 : 0);
  }

  int64_t partition_ms_;
};

// How a tier is cut, when raw data is cut as `raw` says. kIdle: as raw.
Partitioning TierPartitioning(const Partitioning& raw, Tier tier);

ChunkKey RawChunkKey(const Partitioning& partitioning, SeriesId series, int64_t first_ms);

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_KEY_SCHEMA_H_
