// The chunk decoder on hostile bytes: refusal leaves no trace; what decodes is valid samples, and
// encoding those and decoding again gives the same samples, bit for bit.
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "lib/base/check.h"
#include "lib/chunk/chunk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tinyobs;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Columns columns;
  const absl::Status status = chunk::Decode(bytes, &columns);
  const auto header = chunk::ReadHeader(bytes);
  if (!status.ok()) {
    TINYOBS_CHECK(absl::IsDataLoss(status) || absl::IsFailedPrecondition(status));
    TINYOBS_CHECK(columns.empty() && columns.values.empty());
    return 0;
  }
  TINYOBS_CHECK(header.ok());
  TINYOBS_CHECK(header->count == columns.size() && columns.values.size() == columns.size());
  TINYOBS_CHECK(header->first_ms == columns.timestamps_ms.front());
  TINYOBS_CHECK(header->last_ms == columns.timestamps_ms.back());

  std::string encoded;
  chunk::Encoder().Encode(columns.timestamps_ms, columns.values, &encoded);
  Columns again;
  TINYOBS_CHECK(chunk::Decode(encoded, &again).ok());
  TINYOBS_CHECK(again.timestamps_ms == columns.timestamps_ms);
  TINYOBS_CHECK(std::memcmp(again.values.data(), columns.values.data(), 8 * again.size()) == 0);
  return 0;
}
