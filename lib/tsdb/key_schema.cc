#include "lib/tsdb/key_schema.h"

#include <algorithm>

#include "lib/base/check.h"
#include "lib/base/coding.h"

namespace tinyobs::tsdb {

namespace {
constexpr char kMetadataByte = 0;
}  // namespace

std::string EncodeChunkKey(const ChunkKey& key) {
  std::string bytes;
  bytes.reserve(kSuffixedChunkKeyBytes);
  bytes.push_back(static_cast<char>(key.tier));
  PutBigEndian32(&bytes, key.partition);
  PutBigEndian64(&bytes, key.series);
  PutBigEndian32(&bytes, key.offset_ms);
  if (key.suffix != 0) PutBigEndian64(&bytes, key.suffix);
  return bytes;
}

bool DecodeChunkKey(std::string_view bytes, ChunkKey* key) {
  const bool suffixed = bytes.size() == kSuffixedChunkKeyBytes;
  if (bytes.size() != kChunkKeyBytes && !suffixed) return false;
  const auto tier = static_cast<uint8_t>(bytes[0]);
  if (tier < static_cast<uint8_t>(Tier::kRaw) || tier > static_cast<uint8_t>(Tier::kOneHour)) {
    return false;
  }
  key->tier = static_cast<Tier>(tier);
  key->partition = LoadBigEndian32(bytes.data() + 1);
  key->series = LoadBigEndian64(bytes.data() + 5);
  key->offset_ms = LoadBigEndian32(bytes.data() + 13);
  key->suffix = suffixed ? LoadBigEndian64(bytes.data() + 17) : 0;
  return !suffixed || key->suffix != 0;
}

std::string ChunkPrefix(Tier tier, uint32_t partition) {
  return EncodeChunkKey({tier, partition, 0, 0}).substr(0, kChunkPrefixBytes);
}

std::string SeriesPrefix(Tier tier, uint32_t partition, SeriesId series) {
  std::string prefix = EncodeChunkKey({tier, partition, series, 0});
  prefix.resize(kSeriesPrefixBytes);
  return prefix;
}

std::string RowPrefix(RowKind kind) { return std::string{kMetadataByte, static_cast<char>(kind)}; }

std::string SeriesRowKey(SeriesId id) {
  std::string key = RowPrefix(RowKind::kSeries);
  PutBigEndian64(&key, id);
  return key;
}

std::string MetricMetadataRowKey(std::string_view metric) {
  return RowPrefix(RowKind::kMetricMetadata).append(metric);
}

std::string PartitionRowKey(Tier tier, uint32_t partition) {
  return RowPrefix(RowKind::kPartition) + ChunkPrefix(tier, partition);
}

std::string DroppedRowKey(Tier tier) { return RowPrefix(RowKind::kDropped) + TierPrefix(tier); }

std::string TouchedPrefix(Tier tier, uint32_t partition) {
  return RowPrefix(RowKind::kTouched) + ChunkPrefix(tier, partition);
}

std::string TouchedRowKey(Tier tier, uint32_t partition, SeriesId series) {
  return RowPrefix(RowKind::kTouched) + SeriesPrefix(tier, partition, series);
}

std::string IdleSeriesKey(uint32_t partition, SeriesId id) {
  return SeriesPrefix(Tier::kIdle, partition, id);
}

std::string IdleLookupPrefix(const SeriesKey& key) {
  std::string prefix = RowPrefix(RowKind::kIdle);
  PutBigEndian64(&prefix, key.fingerprint.low);
  PutBigEndian64(&prefix, key.fingerprint.high);
  return prefix;
}

std::string IdleLookupKey(const SeriesKey& key, SeriesId id) {
  std::string bytes = IdleLookupPrefix(key);
  PutBigEndian64(&bytes, id);
  return bytes;
}

std::string_view PartitionPrefix(std::string_view key) {
  if (key.empty() || key[0] == kMetadataByte) return key.substr(0, 1);
  return key.substr(0, kChunkPrefixBytes);
}

uint32_t Partitioning::NumberOf(int64_t timestamp_ms) const {
  const int64_t index = std::clamp<int64_t>(Index(timestamp_ms), INT32_MIN, INT32_MAX);
  return static_cast<uint32_t>(index + kPartitionBias);
}

Partitioning TierPartitioning(const Partitioning& raw, Tier tier) {
  int64_t partition_ms = raw.partition_ms();
  if (tier == Tier::kFiveMinutes || tier == Tier::kOneHour) {
    partition_ms *= kRawPartitionsPerFiveMinutes;
  }
  if (tier == Tier::kOneHour) partition_ms *= kFiveMinutesPartitionsPerOneHour;
  return Partitioning(partition_ms);
}

ChunkKey RawChunkKey(const Partitioning& partitioning, SeriesId series, int64_t first_ms) {
  TINYOBS_DCHECK(partitioning.Contains(first_ms));
  return {Tier::kRaw, partitioning.NumberOf(first_ms), series,
          static_cast<uint32_t>(first_ms - partitioning.StartOf(first_ms))};
}

}  // namespace tinyobs::tsdb
