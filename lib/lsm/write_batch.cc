#include "lib/lsm/write_batch.h"

#include <algorithm>

#include "lib/base/strings.h"

namespace tinyobs::lsm {

void WriteBatch::Put(std::string_view key, std::string_view value) {
  PutVarint64(&entries_, key.size() << 2 | static_cast<uint64_t>(ValueType::kPut));
  entries_.append(key);
  PutLengthPrefixed(&entries_, value);
  ++count_;
  data_bytes_ += key.size() + value.size();
  longest_key_bytes_ = std::max(longest_key_bytes_, key.size());
  longest_value_bytes_ = std::max(longest_value_bytes_, value.size());
  has_empty_key_ |= key.empty();
}

void WriteBatch::Delete(std::string_view key) {
  PutVarint64(&entries_, key.size() << 2 | static_cast<uint64_t>(ValueType::kDelete));
  entries_.append(key);
  ++count_;
  data_bytes_ += key.size();
  longest_key_bytes_ = std::max(longest_key_bytes_, key.size());
  has_empty_key_ |= key.empty();
}

void WriteBatch::Clear() {
  entries_.clear();
  count_ = 0;
  data_bytes_ = 0;
  longest_key_bytes_ = 0;
  longest_value_bytes_ = 0;
  has_empty_key_ = false;
}

absl::Status WriteBatch::Decode(std::string_view entries, uint32_t count, Handler* handler) {
  BatchReader reader(entries);
  ValueType type;
  std::string_view key, value;
  uint64_t found = 0;
  while (reader.Next(&type, &key, &value)) {
    ++found;
    if (type == ValueType::kPut) {
      handler->Put(key, value);
    } else {
      handler->Delete(key);
    }
  }
  if (!reader.ok()) return absl::DataLossError(StrCat("write batch: entry ", found, " is damaged"));
  if (found != count) {
    return absl::DataLossError(StrCat("write batch: expected ", count, " entries, found ", found));
  }
  return absl::OkStatus();
}

absl::Status WriteBatch::CheckLimits() const {
  if (has_empty_key_) return absl::InvalidArgumentError("write batch: a key is empty");
  if (longest_key_bytes_ > kMaxKeyBytes) {
    return absl::InvalidArgumentError(StrCat("write batch: a key of ", longest_key_bytes_,
                                             " bytes; the limit is ", kMaxKeyBytes));
  }
  if (longest_value_bytes_ > kMaxBatchValueBytes) {
    return absl::InvalidArgumentError(StrCat("write batch: a value of ", longest_value_bytes_,
                                             " bytes; the limit is ", kMaxBatchValueBytes));
  }
  if (entries_.size() > kMaxBatchBytes) {
    return absl::InvalidArgumentError(
        StrCat("write batch: ", entries_.size(), " bytes; the limit is ", kMaxBatchBytes));
  }
  return absl::OkStatus();
}

void AppendBatchRecordHead(uint64_t sequence, uint32_t count, std::string* out) {
  PutVarint64(out, sequence);
  PutVarint64(out, count);
}

absl::Status DecodeBatchRecord(std::string_view record, BatchRecord* batch) {
  ByteReader reader(record);
  batch->sequence = reader.BoundedVarint64(kMaxSequence);
  // An entry has at least two bytes, so a count that the bytes cannot hold is caught here.
  batch->count = static_cast<uint32_t>(reader.BoundedVarint64(record.size() / 2));
  batch->entries = reader.rest();
  if (!reader.ok() || batch->count == 0 || batch->sequence == 0 ||
      batch->sequence + batch->count - 1 > kMaxSequence) {
    return absl::DataLossError("write batch record: damaged head");
  }
  return absl::OkStatus();
}

}  // namespace tinyobs::lsm
