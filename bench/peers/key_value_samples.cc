// A key-value engine as a store of samples: key = series (8 bytes, big-endian) and time (8 bytes,
// big-endian, top bit turned so that times before 1970 come first), value = the double.
//
// Blocks of 16 KiB as our own, so that prefixes of keys and Snappy have as much to work with. No
// filters: neither a scan nor a range asks one, and they would be a tenth of the data.
#include <bit>
#include <cstring>
#include <string>
#include <utility>

#include "bench/peers/sample_engine.h"

namespace tinyobs::bench {
namespace {

constexpr size_t kKeyBytes = 16;
constexpr uint64_t kSignBit = uint64_t{1} << 63;

// Both directions at once: the machines this runs on are little-endian.
uint64_t BigEndian(uint64_t number) {
  return std::endian::native == std::endian::little ? __builtin_bswap64(number) : number;
}

void PutKey(uint64_t series, int64_t timestamp_ms, char* out) {
  const uint64_t words[2] = {BigEndian(series),
                             BigEndian(static_cast<uint64_t>(timestamp_ms) ^ kSignBit)};
  std::memcpy(out, words, kKeyBytes);
}

struct Entry {
  uint64_t series;
  int64_t timestamp_ms;
  double value;
};

Entry Read(const Cursor& cursor) {
  const std::string_view key = cursor.key();
  const std::string_view value = cursor.value();
  Require(key.size() == kKeyBytes && value.size() == sizeof(double), "scan", "a foreign entry");
  uint64_t words[2];
  Entry entry;
  std::memcpy(words, key.data(), kKeyBytes);
  std::memcpy(&entry.value, value.data(), sizeof(double));
  entry.series = BigEndian(words[0]);
  entry.timestamp_ms = static_cast<int64_t>(BigEndian(words[1]) ^ kSignBit);
  return entry;
}

EngineSettings KeyValueSettings(const SampleEngineSettings& settings) {
  EngineSettings own;
  own.memtable_bytes = settings.memory_bytes / 8;
  own.memtables = 3;
  own.block_cache_bytes = settings.memory_bytes - 3 * own.memtable_bytes;
  own.block_bytes = 16 << 10;
  own.filter_bits_per_key = 0;
  return own;
}

class KeyValueSamples final : public SampleEngine {
 public:
  KeyValueSamples(Peer peer, std::string folder, const EngineSettings& settings)
      : peer_(std::move(peer)), folder_(std::move(folder)), settings_(settings) {
    engine_ = peer_.open(folder_, settings_);
  }

  void Create(std::span<const Labels>, const SampleBatch& batch) override { Append(batch); }

  void Append(const SampleBatch& batch) override {
    entries_.resize(batch.size());
    for (size_t i = 0; i < batch.size(); ++i) {
      auto& [key, value] = entries_[i];  // with the memory of the batch before
      key.resize(kKeyBytes);
      PutKey(batch.series[i], batch.timestamps_ms[i], key.data());
      value.assign(reinterpret_cast<const char*>(&batch.values[i]), sizeof(double));
    }
    engine_->PutBatch(entries_);
  }

  void Flush() override { engine_->Flush(); }

  void CompactAll() override {
    engine_->Flush();
    engine_->CompactAll();
    engine_.reset();
    engine_ = peer_.open(folder_, settings_);
  }

  SampleTotals Scan() override {
    SampleTotals totals;
    const auto cursor = engine_->NewCursor();
    for (cursor->SeekToFirst(); cursor->Valid(); cursor->Next()) {
      const Entry entry = Read(*cursor);
      totals.Add(entry.timestamp_ms, entry.value);
    }
    return totals;
  }

  void Range(uint32_t series, const std::vector<Matcher>&, int64_t from_ms, int64_t to_ms,
             Columns* out) override {
    out->clear();
    char first[kKeyBytes];
    PutKey(series, from_ms, first);
    const auto cursor = engine_->NewCursor();
    for (cursor->Seek({first, kKeyBytes}); cursor->Valid(); cursor->Next()) {
      const Entry entry = Read(*cursor);
      if (entry.series != series || entry.timestamp_ms > to_ms) break;
      out->Add(entry.timestamp_ms, entry.value);
    }
  }

 private:
  const Peer peer_;
  const std::string folder_;
  const EngineSettings settings_;
  std::unique_ptr<KeyValueEngine> engine_;
  std::vector<std::pair<std::string, std::string>> entries_;
};

}  // namespace

SamplePeer KeyValueSamplePeer(const Peer& peer) {
  return {peer.name, peer.version,
          "a key of 16 bytes a sample; 3 memtables of an eighth of the memory each, the rest is "
          "block cache; blocks 16 KiB, Snappy, no filters; " +
              peer.own_settings,
          [peer](const std::string& folder, const SampleEngineSettings& settings) {
            return std::make_unique<KeyValueSamples>(peer, folder, KeyValueSettings(settings));
          }};
}

}  // namespace tinyobs::bench
