// WriteBatch: changes that become visible and durable together. Its bytes are the payload of one
// WAL record.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_LSM_WRITE_BATCH_H_
#define TINYOBS_LIB_LSM_WRITE_BATCH_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "lib/base/coding.h"
#include "lib/lsm/internal_key.h"

namespace tinyobs::lsm {

class WriteBatch {
 public:
  // Keys are non-empty and at most 64 KiB, values at most 64 MiB (checked by Store::Write:
  // InvalidArgument), a batch at most kMaxBatchBytes. Within a batch the later change of a key
  // wins.
  void Put(std::string_view key, std::string_view value);
  void Delete(std::string_view key);
  void Clear();

  uint32_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  size_t size_bytes() const { return entries_.size(); }
  size_t data_bytes() const { return data_bytes_; }  // of keys and values

  // The encoded entries; see FORMAT.md.
  const std::string& entries() const { return entries_; }

  class Handler {
   public:
    virtual ~Handler() = default;
    virtual void Put(std::string_view key, std::string_view value) = 0;
    virtual void Delete(std::string_view key) = 0;
  };
  // Calls `handler` for each of `count` encoded entries, in order. DataLoss when the bytes are
  // damaged; then the handler may have seen a prefix.
  static absl::Status Decode(std::string_view entries, uint32_t count, Handler* handler);

  // OK when a store takes this batch; else InvalidArgument naming the limit.
  absl::Status CheckLimits() const;

 private:
  std::string entries_;
  uint32_t count_ = 0;
  size_t data_bytes_ = 0;
  // The largest key and value so far, so that Store::Write can refuse without decoding.
  size_t longest_key_bytes_ = 0;
  size_t longest_value_bytes_ = 0;
  bool has_empty_key_ = false;
};

inline constexpr size_t kMaxKeyBytes = 64 << 10;
inline constexpr size_t kMaxBatchValueBytes = 64 << 20;
// One WAL record must hold a batch.
inline constexpr size_t kMaxBatchBytes = 128 << 20;

// Walks encoded entries without a virtual call per entry. Bytes are not trusted.
class BatchReader {
 public:
  explicit BatchReader(std::string_view entries) : reader_(entries) {}

  // False at the end and at the first damaged entry; then ok() tells which. The views point into
  // the entries.
  bool Next(ValueType* type, std::string_view* key, std::string_view* value) {
    if (reader_.empty()) return false;
    const uint64_t key_length_and_type = reader_.Varint64();
    const uint64_t type_bits = key_length_and_type & 3;
    const uint64_t key_length = key_length_and_type >> 2;
    *key = reader_.Bytes(key_length);
    *value = type_bits == static_cast<uint64_t>(ValueType::kPut) ? reader_.LengthPrefixed()
                                                                 : std::string_view();
    if (type_bits > static_cast<uint64_t>(ValueType::kPut) || key_length == 0 ||
        key_length > kMaxKeyBytes || value->size() > kMaxBatchValueBytes) {
      reader_.Fail();
    }
    *type = static_cast<ValueType>(type_bits);
    return reader_.ok();
  }
  bool ok() const { return reader_.ok(); }

 private:
  ByteReader reader_;
};

// The WAL record of a batch: sequence of its first entry, count, entries.
void AppendBatchRecordHead(uint64_t sequence, uint32_t count, std::string* out);

struct BatchRecord {
  uint64_t sequence = 0;
  uint32_t count = 0;
  std::string_view entries;
};
// DataLoss when `record` cannot be one; the entries themselves are not looked at.
absl::Status DecodeBatchRecord(std::string_view record, BatchRecord* batch);

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_WRITE_BATCH_H_
