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

namespace tinyobs::lsm {

class WriteBatch {
 public:
  // Keys are non-empty and at most 64 KiB, values at most 64 MiB (checked by Store::Write:
  // InvalidArgument). Within a batch the later change of a key wins.
  void Put(std::string_view key, std::string_view value);
  void Delete(std::string_view key);
  void Clear();

  uint32_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  size_t size_bytes() const { return entries_.size(); }

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

 private:
  std::string entries_;
  uint32_t count_ = 0;
  // The largest key and value so far, so that Store::Write can refuse without decoding.
  size_t longest_key_bytes_ = 0;
  size_t longest_value_bytes_ = 0;
  bool has_empty_key_ = false;
  friend class StoreImpl;
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_WRITE_BATCH_H_
