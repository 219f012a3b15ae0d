#include "lib/sstable/table_format.h"

#include <snappy.h>

#include <cstring>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/checksum.h"
#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/sstable/key_order.h"

namespace tinyobs::sstable {
namespace {

// Odd, so that different offsets always move a checksum differently.
constexpr uint64_t kPlaceMultiplier = 0x9e3779b97f4a7c15;

// Snappy's densest element makes 64 bytes of 3; whoever claims more than this is lying.
constexpr uint64_t kMaxSnappyExpansion = 32;

// Values reach disk; never renumber.
enum PropertyId : uint64_t {
  kEntries = 1,
  kUserKeys = 2,
  kRawKeyBytes = 3,
  kRawValueBytes = 4,
  kDataBlocks = 5,
  kRawDataBytes = 6,
  kDataBytes = 7,
  kIndexBytes = 8,
  kFilterBytes = 9,
  kTrailerBytes = 10,
  kSmallestKey = 11,
  kLargestKey = 12,
  kFilterPrefixBytes = 13,  // optional
};
constexpr uint64_t kLastRequiredId = kLargestKey;

void PutNumber(PropertyId id, uint64_t value, std::string* out) {
  PutVarint64(out, id);
  PutVarint64(out, static_cast<uint64_t>(VarintLength(value)));
  PutVarint64(out, value);
}

void PutText(PropertyId id, std::string_view value, std::string* out) {
  PutVarint64(out, id);
  PutLengthPrefixed(out, value);
}

uint64_t* NumberField(TableProperties* properties, uint64_t id) {
  switch (id) {
    case kEntries:
      return &properties->entries;
    case kUserKeys:
      return &properties->user_keys;
    case kRawKeyBytes:
      return &properties->raw_key_bytes;
    case kRawValueBytes:
      return &properties->raw_value_bytes;
    case kDataBlocks:
      return &properties->data_blocks;
    case kRawDataBytes:
      return &properties->raw_data_bytes;
    case kDataBytes:
      return &properties->data_bytes;
    case kIndexBytes:
      return &properties->index_bytes;
    case kFilterBytes:
      return &properties->filter_bytes;
    case kTrailerBytes:
      return &properties->trailer_bytes;
    case kFilterPrefixBytes:
      return &properties->filter_prefix_bytes;
    default:
      return nullptr;
  }
}

absl::Status DecodeProperty(uint64_t id, std::string_view value, TableProperties* properties) {
  if (id == kSmallestKey) {
    properties->smallest_key.assign(value);
  } else if (id == kLargestKey) {
    properties->largest_key.assign(value);
  } else if (uint64_t* const number = NumberField(properties, id); number != nullptr) {
    ByteReader reader(value);
    *number = reader.Varint64();
    if (!reader.ok() || !reader.empty()) {
      return absl::DataLossError(StrCat("property ", id, " is not a number"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckProperties(const TableProperties& properties) {
  if (!IsValidTrailerBytes(properties.trailer_bytes)) {
    return absl::DataLossError(
        StrCat("properties: ", properties.trailer_bytes, " trailer bytes, expected 0 or 8"));
  }
  const size_t trailer_bytes = properties.trailer_bytes;
  bool sound = properties.user_keys <= properties.entries &&
               properties.data_blocks <= properties.entries &&
               (properties.entries == 0) == (properties.data_blocks == 0) &&
               (properties.entries == 0) == (properties.user_keys == 0) &&
               properties.filter_prefix_bytes <= kMaxUserKeyBytes &&
               (properties.filter_prefix_bytes == 0 || properties.filter_bytes > 0);
  if (properties.entries == 0) {
    sound = sound && properties.smallest_key.empty() && properties.largest_key.empty();
  } else {
    sound = sound && properties.smallest_key.size() >= trailer_bytes &&
            properties.largest_key.size() >= trailer_bytes &&
            CompareKeys(properties.smallest_key, properties.largest_key, trailer_bytes) <= 0;
  }
  if (!sound) return absl::DataLossError("properties contradict each other");
  return absl::OkStatus();
}

// What the checks of a block's or the footer's bytes have in common.
absl::Status CheckPlacedChecksum(std::string_view bytes, uint64_t offset, uint64_t expected) {
  const uint64_t found = PlacedChecksum(bytes, offset);
  if (found == expected) [[likely]]
    return absl::OkStatus();
  return absl::DataLossError(StrCat("checksum expected ", absl::Hex(expected, absl::kZeroPad16),
                                    ", found ", absl::Hex(found, absl::kZeroPad16)));
}

absl::StatusOr<RawBlock> Uncompress(std::string_view payload) {
  size_t size = 0;
  if (!snappy::GetUncompressedLength(payload.data(), payload.size(), &size)) {
    return absl::DataLossError("no Snappy length");
  }
  if (size > kMaxBlockBytes || size > kMaxSnappyExpansion * payload.size()) {
    return absl::DataLossError(StrCat("claims ", size, " bytes after decompression, stored are ",
                                      payload.size(), ", the limit is ", kMaxBlockBytes));
  }
  RawBlock raw{std::make_unique_for_overwrite<char[]>(size), size};
  if (!snappy::RawUncompress(payload.data(), payload.size(), raw.bytes.get())) {
    return absl::DataLossError("Snappy cannot decompress it");
  }
  return raw;
}

}  // namespace

void EncodeHandle(const BlockHandle& handle, std::string* out) {
  PutVarint64(out, handle.offset);
  PutVarint64(out, handle.size);
}

bool DecodeHandle(std::string_view bytes, uint64_t limit, BlockHandle* handle) {
  ByteReader reader(bytes);
  handle->offset = reader.BoundedVarint64(limit);
  handle->size = reader.BoundedVarint64(limit);
  // Both are at most `limit`, a position in a file, so the sum cannot overflow.
  return reader.ok() && reader.empty() && handle->end() <= limit;
}

uint64_t PlacedChecksum(std::string_view bytes, uint64_t offset) {
  return Checksum64(bytes) + offset * kPlaceMultiplier;
}

void EncodeProperties(const TableProperties& properties, std::string* out) {
  PutNumber(kEntries, properties.entries, out);
  PutNumber(kUserKeys, properties.user_keys, out);
  PutNumber(kRawKeyBytes, properties.raw_key_bytes, out);
  PutNumber(kRawValueBytes, properties.raw_value_bytes, out);
  PutNumber(kDataBlocks, properties.data_blocks, out);
  PutNumber(kRawDataBytes, properties.raw_data_bytes, out);
  PutNumber(kDataBytes, properties.data_bytes, out);
  PutNumber(kIndexBytes, properties.index_bytes, out);
  PutNumber(kFilterBytes, properties.filter_bytes, out);
  PutNumber(kTrailerBytes, properties.trailer_bytes, out);
  PutText(kSmallestKey, properties.smallest_key, out);
  PutText(kLargestKey, properties.largest_key, out);
  if (properties.filter_prefix_bytes > 0) {
    PutNumber(kFilterPrefixBytes, properties.filter_prefix_bytes, out);
  }
}

absl::StatusOr<TableProperties> DecodeProperties(std::string_view bytes) {
  TableProperties properties;
  ByteReader reader(bytes);
  uint64_t known = 0;
  uint64_t last_id = 0;
  while (!reader.empty()) {
    const uint64_t id = reader.Varint64();
    const std::string_view value = reader.LengthPrefixed();
    if (!reader.ok()) return absl::DataLossError("properties end in the middle of one");
    if (id <= last_id) {
      return absl::DataLossError(StrCat("property ", id, " behind property ", last_id));
    }
    last_id = id;
    if (id <= kLastRequiredId) ++known;
    TINYOBS_RETURN_IF_ERROR(DecodeProperty(id, value, &properties));
  }
  // Ascending ids from 1: as many as there are means all of them.
  if (!reader.ok() || known != kLastRequiredId) {
    return absl::DataLossError(StrCat("found ", known, " of ", kLastRequiredId, " properties"));
  }
  TINYOBS_RETURN_IF_ERROR(CheckProperties(properties));
  return properties;
}

std::string EncodeFooter(const Footer& footer, uint64_t footer_offset) {
  std::string out;
  for (const BlockHandle& handle : {footer.filter, footer.properties, footer.index}) {
    PutFixed64(&out, handle.offset);
    PutFixed64(&out, handle.size);
  }
  PutFixed32(&out, kFormatVersion);
  PutFixed32(&out, kFooterBytes);
  PutFixed64(&out, PlacedChecksum(out, footer_offset));
  PutFixed64(&out, kMagic);
  TINYOBS_CHECK(out.size() == kFooterBytes);
  return out;
}

absl::StatusOr<Footer> DecodeFooter(std::string_view tail, uint64_t file_size) {
  if (tail.size() < kFooterTailBytes) {
    return absl::DataLossError(
        StrCat("not a table: ", tail.size(), " bytes, expected at least ", kFooterTailBytes));
  }
  // From the end, where every version agrees.
  const char* const end = tail.data() + tail.size();
  const uint64_t magic = LoadFixed64(end - 8);
  if (magic != kMagic) {
    return absl::DataLossError(StrCat("not a table: magic expected ",
                                      absl::Hex(kMagic, absl::kZeroPad16), ", found ",
                                      absl::Hex(magic, absl::kZeroPad16)));
  }
  const uint64_t checksum = LoadFixed64(end - 16);
  const uint32_t footer_size = LoadFixed32(end - 20);
  const uint32_t version = LoadFixed32(end - 24);
  if (footer_size < kFooterTailBytes || footer_size > tail.size()) {
    return absl::DataLossError(StrCat("footer of ", footer_size, " bytes, expected ",
                                      kFooterTailBytes, " to ", tail.size()));
  }
  const std::string_view footer_bytes = tail.substr(tail.size() - footer_size);
  const uint64_t footer_offset = file_size - footer_size;
  // Before the version is believed: a flipped bit in it is damage, not news.
  TINYOBS_RETURN_IF_ERROR(
      CheckPlacedChecksum(footer_bytes.substr(0, footer_size - sizeof(checksum) - sizeof(magic)),
                          footer_offset, checksum));
  if (version > kFormatVersion) {
    return absl::FailedPreconditionError(
        StrCat("table format version ", version, " is newer than this program's ", kFormatVersion));
  }
  if (version != kFormatVersion || footer_size != kFooterBytes) {
    return absl::DataLossError(
        StrCat("table format version ", version, " with a footer of ", footer_size, " bytes"));
  }

  Footer footer;
  ByteReader reader(footer_bytes);
  for (BlockHandle* const handle : {&footer.filter, &footer.properties, &footer.index}) {
    handle->offset = reader.Fixed64();
    handle->size = reader.Fixed64();
    if (handle->offset > footer_offset || handle->size > footer_offset) {
      return absl::DataLossError(StrCat("footer points to offset ", handle->offset, ", size ",
                                        handle->size, ", behind ", footer_offset));
    }
  }
  const uint64_t filter_end = footer.filter.size == 0 ? footer.filter.offset : footer.filter.end();
  if (filter_end != footer.properties.offset || footer.properties.end() != footer.index.offset ||
      footer.index.end() != footer_offset) {
    return absl::DataLossError("filter, properties, index and footer do not follow each other");
  }
  return footer;
}

uint64_t AppendBlock(std::string_view raw, Compression compression, uint64_t offset,
                     std::string* scratch, std::string* out) {
  const size_t start = out->size();
  if (compression == Compression::kSnappy) {
    scratch->resize(snappy::MaxCompressedLength(raw.size()));
    size_t size = 0;
    snappy::RawCompress(raw.data(), raw.size(), scratch->data(), &size);
    if (size <= raw.size() - raw.size() / 8 && size < raw.size()) {
      out->append(*scratch, 0, size);
    } else {
      compression = Compression::kNone;
    }
  }
  if (compression == Compression::kNone) out->append(raw);
  const uint64_t payload_size = out->size() - start;
  out->push_back(static_cast<char>(compression));
  PutFixed64(out, PlacedChecksum(std::string_view(*out).substr(start), offset));
  return payload_size;
}

absl::StatusOr<RawBlock> DecodeStoredBlock(std::string_view stored, uint64_t offset,
                                           std::unique_ptr<char[]>* owned) {
  if (stored.size() < kBlockTrailerBytes) {
    return absl::DataLossError(
        StrCat(stored.size(), " bytes, expected at least ", kBlockTrailerBytes));
  }
  const size_t payload_size = stored.size() - kBlockTrailerBytes;
  TINYOBS_RETURN_IF_ERROR(CheckPlacedChecksum(stored.substr(0, payload_size + 1), offset,
                                              LoadFixed64(stored.data() + payload_size + 1)));
  const std::string_view payload = stored.substr(0, payload_size);
  const auto compression = static_cast<uint8_t>(stored[payload_size]);
  switch (static_cast<Compression>(compression)) {
    case Compression::kSnappy:
      return Uncompress(payload);
    case Compression::kNone: {
      if (payload_size > kMaxBlockBytes) {
        return absl::DataLossError(StrCat(payload_size, " bytes, the limit is ", kMaxBlockBytes));
      }
      if (owned != nullptr && *owned != nullptr) {
        TINYOBS_DCHECK(owned->get() == stored.data());
        return RawBlock{std::move(*owned), payload_size};
      }
      RawBlock raw{std::make_unique_for_overwrite<char[]>(payload_size), payload_size};
      std::memcpy(raw.bytes.get(), payload.data(), payload_size);
      return raw;
    }
  }
  return absl::DataLossError(StrCat("compression ", compression, " is unknown"));
}

}  // namespace tinyobs::sstable
