// BlockBuilder: sorted entries -> the payload of a block.
//
// Neighbouring keys share long prefixes (tier, partition, series), so an entry stores only what
// differs from the key before it. Every `restart_interval`-th entry stores its whole key; the
// offsets of those entries at the block's end make binary search possible. FORMAT.md has the bytes.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_SSTABLE_BLOCK_BUILDER_H_
#define TINYOBS_LIB_SSTABLE_BLOCK_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tinyobs::sstable {

class BlockBuilder {
 public:
  // `restart_interval` >= 1.
  explicit BlockBuilder(int restart_interval);

  // REQUIRES: `key` is after every key of this block, in whatever order the reader will use.
  void Add(std::string_view key, std::string_view value);

  // Appends the restart points and returns the payload: valid until Reset.
  std::string_view Finish();
  void Reset();

  bool empty() const { return entries_ == 0; }
  // Of the payload if Finish were called now.
  size_t SizeBytes() const { return bytes_.size() + 4 * restarts_.size() + 4; }
  // The last key given to Add, also after Reset.
  const std::string& last_key() const { return last_key_; }

 private:
  const int restart_interval_;
  std::string bytes_;
  std::vector<uint32_t> restarts_;
  int since_restart_ = 0;
  uint64_t entries_ = 0;
  std::string last_key_;
};

}  // namespace tinyobs::sstable

#endif  // TINYOBS_LIB_SSTABLE_BLOCK_BUILDER_H_
