// Head log records and checkpoint records from hostile bytes. What is accepted must encode to
// something that decodes to the same, and nothing may crash, hang or allocate beyond the input.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "lib/tsdb/checkpoint.h"
#include "lib/tsdb/head_log_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tinyobs::tsdb;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  CommitRecord record;
  if (DecodeCommit(bytes, &record).ok()) {
    std::string encoded;
    EncodeCommit(record, &encoded);
    CommitRecord again;
    if (!DecodeCommit(encoded, &again).ok() || again.samples.size() != record.samples.size()) {
      std::abort();
    }
    std::string encoded_again;
    EncodeCommit(again, &encoded_again);
    if (encoded != encoded_again) std::abort();
  }
  std::vector<CheckpointStretch> stretches;
  bool is_end = false;
  uint64_t samples = 0;
  DecodeCheckpointRecord(bytes, &stretches, &is_end, &samples).IgnoreError();
  return 0;
}
