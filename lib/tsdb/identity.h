// The file IDENTITY: what makes a folder a TinyObs database, fixed when it is created.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_TSDB_IDENTITY_H_
#define TINYOBS_LIB_TSDB_IDENTITY_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tinyobs::tsdb {

inline constexpr uint32_t kDatabaseFormatVersion = 1;
inline constexpr size_t kIdentityBytes = 36;

struct Identity {
  uint64_t fingerprint_seed = 0;
  int64_t partition_ms = 0;  // 1 to 2^32 - 1
};

std::string EncodeIdentity(const Identity& identity);
// DataLoss: damaged. FailedPrecondition: of a newer version. `name` is for messages.
absl::StatusOr<Identity> DecodeIdentity(std::string_view bytes, std::string_view name);

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_IDENTITY_H_
