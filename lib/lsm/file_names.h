// The names of a store's files. One number sequence for logs, tables and manifests, so that a name
// is never used twice and a newer file always has a higher number.
//
//   LOCK  CURRENT  MANIFEST-000001  000002.log  000003.sst
//   CURRENT.tmp while CURRENT is replaced; lost/ for what a repair put aside
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_LSM_FILE_NAMES_H_
#define TINYOBS_LIB_LSM_FILE_NAMES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tinyobs::lsm {

enum class FileType {
  kLog,
  kTable,
  kManifest,
  kCurrent,
  kLock,
  kTemporary,
  kUnknown,  // not ours: never touched
};

std::string LogFileName(const std::string& folder, uint64_t number);
std::string TableFileName(const std::string& folder, uint64_t number);
// Without the folder: this is what CURRENT holds.
std::string ManifestBaseName(uint64_t number);
std::string ManifestFileName(const std::string& folder, uint64_t number);
std::string CurrentFileName(const std::string& folder);
std::string LockFileName(const std::string& folder);
// The folder that a repair moves damaged files to.
std::string LostFolderName(const std::string& folder);

struct ParsedFileName {
  FileType type = FileType::kUnknown;
  uint64_t number = 0;  // of logs, tables and manifests
};
// `name` without the folder. A name that we would not have written ourselves is kUnknown.
ParsedFileName ParseFileName(std::string_view name);
// The numbers of the logs among `names` from `first` on, ascending.
std::vector<uint64_t> LogNumbers(const std::vector<std::string>& names, uint64_t first);

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_FILE_NAMES_H_
