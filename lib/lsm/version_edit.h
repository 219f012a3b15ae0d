// VersionEdit: one change of the set of tables, and TableMeta: what the store knows about a table
// without opening it. An edit is one record of the manifest; FORMAT.md has the bytes.
//
// Thread-safety: plain structs and pure functions.
#ifndef TINYOBS_LIB_LSM_VERSION_EDIT_H_
#define TINYOBS_LIB_LSM_VERSION_EDIT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tinyobs::lsm {

struct TableMeta {
  uint64_t number = 0;
  uint64_t file_bytes = 0;
  uint64_t entries = 0;
  uint64_t tombstones = 0;  // of the entries
  // The range of sequence numbers in it: orders L0.
  uint64_t smallest_sequence = 0;
  uint64_t largest_sequence = 0;
  std::string smallest;  // internal keys
  std::string largest;
  friend bool operator==(const TableMeta&, const TableMeta&) = default;
};

struct VersionEdit {
  struct Removed {
    int level = 0;
    uint64_t number = 0;
    friend bool operator==(const Removed&, const Removed&) = default;
  };
  struct Added {
    int level = 0;
    TableMeta meta;
    friend bool operator==(const Added&, const Added&) = default;
  };

  // Logs with lower numbers hold nothing that is not in tables.
  std::optional<uint64_t> log_number;
  std::optional<uint64_t> next_file_number;
  std::optional<uint64_t> last_sequence;
  // Removals come first, so a table that moves to another level is in both lists.
  std::vector<Removed> removed;
  std::vector<Added> added;

  std::string Encode() const;
  // DataLoss: `record` is no edit; says what is wrong.
  static absl::StatusOr<VersionEdit> Decode(std::string_view record);
  friend bool operator==(const VersionEdit&, const VersionEdit&) = default;
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_VERSION_EDIT_H_
