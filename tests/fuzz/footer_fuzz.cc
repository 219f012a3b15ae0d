// The small structures of a table from hostile bytes: footer, properties, filter, stored block.
// table_fuzz goes through a whole file, where most inputs end at the first checksum; here each
// decoder gets the input itself, and the footer a right checksum if the first byte says so.
//
// What is accepted lies within the file, encodes to what decodes to the same, and can be asked.
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/sstable/filter.h"
#include "lib/sstable/table_format.h"

namespace tinyobs::sstable {
namespace {

bool IsRefusal(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsFailedPrecondition(status);
}

void TryFooter(std::string_view tail, uint64_t file_size) {
  const absl::StatusOr<Footer> footer = DecodeFooter(tail, file_size);
  if (!footer.ok()) {
    TINYOBS_CHECK(IsRefusal(footer.status()));
    return;
  }
  const uint64_t footer_offset = file_size - kFooterBytes;
  TINYOBS_CHECK(footer->index.end() == footer_offset);
  TINYOBS_CHECK(footer->properties.end() == footer->index.offset);
  TINYOBS_CHECK(footer->filter.size == 0 || footer->filter.end() == footer->properties.offset);
  const std::string again = EncodeFooter(*footer, footer_offset);
  TINYOBS_CHECK(DecodeFooter(again, file_size).value() == *footer);
}

// The three handles of the input behind a right version, size, checksum and magic.
void TryForgedFooter(ByteReader* input) {
  Footer footer;
  const uint64_t index_offset = input->Varint64();
  footer.index = {index_offset, input->Varint64()};
  footer.properties = {input->Varint64(), input->Varint64()};
  footer.filter = {input->Varint64(), input->Varint64()};
  if (!input->ok() || footer.index.offset > UINT64_MAX / 4 || footer.index.size > UINT64_MAX / 4) {
    return;
  }
  const uint64_t footer_offset = footer.index.end();
  TryFooter(EncodeFooter(footer, footer_offset), footer_offset + kFooterBytes);
}

void TryProperties(std::string_view bytes) {
  const absl::StatusOr<TableProperties> properties = DecodeProperties(bytes);
  if (!properties.ok()) {
    TINYOBS_CHECK(absl::IsDataLoss(properties.status()));
    return;
  }
  std::string again;
  EncodeProperties(*properties, &again);
  TINYOBS_CHECK(DecodeProperties(again).value() == *properties);
}

void TryFilter(std::string_view bytes) {
  const absl::StatusOr<Filter> filter = Filter::Create(bytes);
  if (!filter.ok()) {
    TINYOBS_CHECK(absl::IsDataLoss(filter.status()));
    return;
  }
  TINYOBS_CHECK(filter->MemoryUsageBytes() <= bytes.size());
  uint64_t yes = 0;
  for (uint64_t i = 0; i < 64; ++i) yes += filter->MayContain(i * 0x9e3779b97f4a7c15);
  TINYOBS_CHECK(yes <= 64);
}

void TryBlock(std::string_view bytes) {
  // A buffer of its own, as a reader has it, that the result may take over.
  auto owned = std::make_unique<char[]>(bytes.size());
  if (!bytes.empty()) std::memcpy(owned.get(), bytes.data(), bytes.size());
  const std::string_view stored(owned.get(), bytes.size());
  const absl::StatusOr<RawBlock> block = DecodeStoredBlock(stored, 0, &owned);
  TINYOBS_CHECK(block.ok() ? block->size <= kMaxBlockBytes : absl::IsDataLoss(block.status()));
}

}  // namespace
}  // namespace tinyobs::sstable

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tinyobs;           // NOLINT: one function
  using namespace tinyobs::sstable;  // NOLINT
  ByteReader input({reinterpret_cast<const char*>(data), size});
  switch (input.Byte() % 6) {
    case 0:
      TryFooter(input.rest(), input.rest().size());
      break;
    case 1:
      TryForgedFooter(&input);
      break;
    case 2:
      TryProperties(input.rest());
      break;
    case 3:
      TryFilter(input.rest());
      break;
    case 4:
      TryBlock(input.rest());
      break;
    default: {
      // With a right checksum: what stands behind it.
      std::string stored(input.rest());
      PutFixed64(&stored, PlacedChecksum(stored, 0));
      TryBlock(stored);
    }
  }
  return 0;
}
