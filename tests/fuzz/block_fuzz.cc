// Block::Create and BlockIterator on hostile bytes: no read outside the block, no endless loop, no
// memory beyond one key and one interval.
//
// Input: a byte that says with or without trailers, a length byte and a seek target, the payload.
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/sstable/block_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tinyobs;           // NOLINT: one function
  using namespace tinyobs::sstable;  // NOLINT
  ByteReader reader({reinterpret_cast<const char*>(data), size});
  const size_t trailer_bytes = reader.Byte() % 2 == 0 ? 0 : 8;
  std::string target(reader.Bytes(reader.Byte() % 32));
  if (!reader.ok()) return 0;
  target.append(trailer_bytes, 'x');

  // A buffer of exactly the payload's size, so that the address sanitizer sees its end.
  const std::string_view payload = reader.rest();
  RawBlock raw{std::make_unique<char[]>(payload.size()), payload.size()};
  if (!payload.empty()) std::memcpy(raw.bytes.get(), payload.data(), payload.size());
  const auto block = Block::Create(std::move(raw));
  if (!block.ok()) {
    TINYOBS_CHECK(absl::IsDataLoss(block.status()));
    return 0;
  }
  BlockIterator iterator;
  iterator.Reset(block->get(), trailer_bytes);
  size_t forward = 0;
  size_t bytes = 0;
  for (iterator.SeekToFirst(); iterator.Valid(); iterator.Next()) {
    ++forward;
    bytes += iterator.key().size() + iterator.value().size();
    TINYOBS_CHECK(iterator.key().size() >= trailer_bytes);
  }
  TINYOBS_CHECK(iterator.status().ok() || absl::IsDataLoss(iterator.status()));
  TINYOBS_CHECK(forward <= payload.size() / 3);
  size_t backward = 0;
  for (iterator.SeekToLast(); iterator.Valid(); iterator.Prev()) {
    ++backward;
    bytes += iterator.key().size() + iterator.value().size();
  }
  // A restart point that is no entry makes the ways differ; TableReader::Verify finds that.
  TINYOBS_CHECK(backward <= payload.size() / 3);
  iterator.Seek(target);
  for (int i = 0; i < 3 && iterator.Valid(); ++i) iterator.Prev();
  iterator.SeekForPrev(target);
  for (int i = 0; i < 3 && iterator.Valid(); ++i) iterator.Next();
  TINYOBS_CHECK(!iterator.Valid() || iterator.status().ok());
  return bytes == SIZE_MAX ? 1 : 0;
}
