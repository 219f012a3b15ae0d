#include "lib/tsdb/identity.h"

#include "lib/base/checksum.h"
#include "lib/base/coding.h"
#include "lib/base/strings.h"

namespace tinyobs::tsdb {

namespace {
// "TinyObsD" read as a little-endian number.
constexpr uint64_t kMagic = 0x4473624f796e6954;
}  // namespace

std::string EncodeIdentity(const Identity& identity) {
  std::string bytes;
  PutFixed64(&bytes, kMagic);
  PutFixed32(&bytes, kDatabaseFormatVersion);
  PutFixed64(&bytes, identity.fingerprint_seed);
  PutFixed64(&bytes, static_cast<uint64_t>(identity.partition_ms));
  PutFixed64(&bytes, Checksum64(bytes));
  return bytes;
}

absl::StatusOr<Identity> DecodeIdentity(std::string_view bytes, std::string_view name) {
  ByteReader reader(bytes);
  if (const uint64_t magic = reader.Fixed64(); magic != kMagic) {
    return absl::DataLossError(StrCat(name, ": offset 0: expected magic ", absl::Hex(kMagic),
                                      ", found ", absl::Hex(magic)));
  }
  // Version before checksum: a newer version may be laid out differently behind it.
  if (const uint32_t version = reader.Fixed32(); version != kDatabaseFormatVersion) {
    return absl::FailedPreconditionError(StrCat(name, ": database format ", version,
                                                ", this version knows ", kDatabaseFormatVersion));
  }
  Identity identity;
  identity.fingerprint_seed = reader.Fixed64();
  const uint64_t partition_ms = reader.Fixed64();
  const uint64_t checksum = reader.Fixed64();
  if (!reader.ok() || !reader.empty()) {
    return absl::DataLossError(
        StrCat(name, ": expected ", kIdentityBytes, " bytes, found ", bytes.size()));
  }
  const uint64_t expected = Checksum64(bytes.substr(0, kIdentityBytes - sizeof(checksum)));
  if (checksum != expected) {
    return absl::DataLossError(StrCat(name, ": offset ", kIdentityBytes - sizeof(checksum),
                                      ": expected checksum ", absl::Hex(expected), ", found ",
                                      absl::Hex(checksum)));
  }
  if (partition_ms < 1 || partition_ms > UINT32_MAX) {
    return absl::DataLossError(
        StrCat(name, ": expected a partition of 1 to 2^32-1 ms, found ", partition_ms));
  }
  identity.partition_ms = static_cast<int64_t>(partition_ms);
  return identity;
}

}  // namespace tinyobs::tsdb
