#include "lib/sstable/block_builder.h"

#include <algorithm>

#include "lib/base/check.h"
#include "lib/base/coding.h"

namespace tinyobs::sstable {

BlockBuilder::BlockBuilder(int restart_interval) : restart_interval_(restart_interval) {
  TINYOBS_CHECK(restart_interval >= 1);
}

void BlockBuilder::Add(std::string_view key, std::string_view value) {
  size_t shared = 0;
  if (entries_ == 0 || since_restart_ == restart_interval_) {
    restarts_.push_back(static_cast<uint32_t>(bytes_.size()));
    since_restart_ = 0;
  } else {
    const size_t limit = std::min(last_key_.size(), key.size());
    while (shared < limit && last_key_[shared] == key[shared]) ++shared;
  }
  char header[3 * kMaxVarint64Bytes];
  char* end = StoreVarint64(header, shared);
  end = StoreVarint64(end, key.size() - shared);
  end = StoreVarint64(end, value.size());
  bytes_.append(header, end - header);
  bytes_.append(key.substr(shared));
  bytes_.append(value);
  last_key_.assign(key);
  ++since_restart_;
  ++entries_;
}

std::string_view BlockBuilder::Finish() {
  for (const uint32_t restart : restarts_) PutFixed32(&bytes_, restart);
  PutFixed32(&bytes_, static_cast<uint32_t>(restarts_.size()));
  return bytes_;
}

void BlockBuilder::Reset() {
  bytes_.clear();
  restarts_.clear();
  since_restart_ = 0;
  entries_ = 0;
}

}  // namespace tinyobs::sstable
