// WalReader on hostile bytes. Two ways in, chosen by the first byte:
//
//  - the input is the file: finds what stands before the checksums,
//  - the input is a list of frames (type byte, varint length, payload), put behind a right header
//    with right checksums: finds what stands behind them.
//
// Every answer must be OK, DataLoss or FailedPrecondition; records never hold more bytes than the
// file; what the reader calls torn ends where the file ends; reading twice gives the same.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/lsm/wal_reader.h"
#include "tests/testing/string_file.h"

namespace tinyobs::lsm {
namespace {

constexpr uint64_t kNumber = 7;

void AppendFrame(uint64_t number, uint8_t type, std::string_view payload, std::string* file) {
  const uint64_t offset = file->size();
  file->append(4, '\0');
  PutFixed32(file, FrameWord(static_cast<FrameType>(type & 15), payload.size()));
  file->append(payload);
  StoreFixed32(file->data() + offset,
               FrameChecksum(std::string_view(*file).substr(offset + 4), number, offset));
}

std::string FileFrom(std::string_view bytes) {
  ByteReader input(bytes);
  if (input.Byte() % 2 == 0) return std::string(input.rest());
  std::string header;
  PutFixed64(&header, kWalMagic);
  PutFixed32(&header, kWalFormatVersion);
  PutFixed32(&header, kWalKindStore);
  PutFixed64(&header, kNumber);
  PutFixed64(&header, 0);
  std::string file;
  AppendFrame(0, static_cast<uint8_t>(FrameType::kHeader), header, &file);
  while (!input.empty()) {
    const uint8_t type = input.Byte();
    // The last piece stands there as it is: a torn tail.
    if (type == 0xff) return file + std::string(input.rest());
    AppendFrame(kNumber, type, input.LengthPrefixed(), &file);
  }
  return file;
}

// A summary of all that the reader says.
std::string ReadAll(const std::string& file) {
  const testing::StringSource source(file);
  const auto reader = WalReader::Open(&source, "fuzz.log", kWalKindStore, kNumber);
  absl::Status status = reader.status();
  std::string said;
  uint64_t bytes = 0;
  while (status.ok()) {
    std::string_view record;
    const absl::StatusOr<bool> more = (*reader)->Next(&record);
    status = more.status();
    if (!status.ok() || !*more) break;
    bytes += kFrameHeaderBytes + record.size();
    TINYOBS_CHECK(bytes <= file.size());
    TINYOBS_CHECK((*reader)->record_offset() + kFrameHeaderBytes + record.size() <= file.size());
    PutLengthPrefixed(&said, record);
  }
  TINYOBS_CHECK(status.ok() || absl::IsDataLoss(status) || absl::IsFailedPrecondition(status));
  if (status.ok()) {
    TINYOBS_CHECK((*reader)->torn_bytes() <= file.size());
    TINYOBS_CHECK((*reader)->durable_bytes() <= file.size());
    PutVarint64(&said, (*reader)->torn_bytes());
  }
  return said + status.ToString();
}

}  // namespace
}  // namespace tinyobs::lsm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tinyobs::lsm;  // NOLINT: one function
  const std::string file = FileFrom({reinterpret_cast<const char*>(data), size});
  TINYOBS_CHECK(ReadAll(file) == ReadAll(file));
  return 0;
}
