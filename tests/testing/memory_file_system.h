// MemoryFileSystem: a disk that forgets, fills up and fails on demand.
//
// It keeps what the contract of tinyobs/file_system.h promises and not a byte more: after a crash
// there are only synced bytes under names whose folder was synced, unless the test asks for some of
// the rest as well (a real disk may have written it). That makes "forgot a sync" a test failure
// instead of a bug report after a power cut.
//
// Method: each file is an inode with its bytes and the length of the synced prefix. Names are kept
// twice, as processes see them and as the disk has them; changes of names wait in a list until
// SyncDirectory of their folder. A crash throws the first away and rebuilds it from the second.
//
//   MemoryFileSystem fs;
//   ... run the store on &fs ...
//   fs.PowerCutAfter(n);                   // the n+1st change and all behind it fail
//   ... go on until the store reports an error; destroy it ...
//   fs.Crash({.keep_bytes = kTorn, .seed = seed});
//   ... open the store again ...
//
// Thread-safety: thread-safe.
#ifndef TINYOBS_TESTS_TESTING_MEMORY_FILE_SYSTEM_H_
#define TINYOBS_TESTS_TESTING_MEMORY_FILE_SYSTEM_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "tinyobs/file_system.h"

namespace tinyobs::testing {

enum class Operation {
  // These change what is on the disk; PowerCutAfter counts them.
  kCreate,
  kAppend,
  kPreallocate,
  kSync,
  kDelete,
  kRename,
  kLink,
  kCreateDirectories,
  kDeleteDirectory,
  kSyncDirectory,
  // These do not.
  kOpen,
  kRead,
  kClose,
  kList,
  kSize,
  kFreeSpace,
  kLock,
};
inline constexpr int kOperationCount = static_cast<int>(Operation::kLock) + 1;
inline constexpr bool ChangesDisk(Operation operation) {
  return operation <= Operation::kSyncDirectory;
}

// What a crash leaves of what was not synced.
enum class Keep {
  kNothing,  // the least the contract allows
  kTorn,  // a part chosen by the seed: a prefix of each file's bytes, a prefix of the name changes
  // Any part, chosen by the seed: of each file's bytes some pages and not others, the lost ones
  // zeros or old bytes of the disk; of the name changes a subset, in which a renamed file may have
  // its old name as well.
  kReordered,
  kAll,  // as if the process alone had died
};

struct CrashOptions {
  Keep keep_bytes = Keep::kNothing;
  Keep keep_names = Keep::kNothing;
  uint64_t seed = 0;
  size_t page_bytes = 512;  // of kReordered: what the disk writes in one piece
};

// An operation that goes wrong.
struct Fault {
  Operation operation = Operation::kAppend;
  // Only paths that contain this; a rename or link matches with either path.
  std::string path_contains = {};
  // Matching operations that still go well before.
  uint64_t skip = 0;
  // How many fail then.
  uint64_t count = 1;
  absl::Status error = absl::UnavailableError("injected fault");
  // A failing Append writes the first part of its bytes.
  bool torn = false;
  uint32_t torn_percent = 50;
};

class MemoryFileSystem final : public FileSystem {
 public:
  static constexpr uint64_t kUnlimited = UINT64_MAX;

  MemoryFileSystem();
  ~MemoryFileSystem() override;

  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenRandomAccess(
      const std::string& path) override;
  absl::StatusOr<std::unique_ptr<WritableFile>> CreateWritable(const std::string& path) override;
  absl::Status DeleteFile(const std::string& path) override;
  absl::Status RenameFile(const std::string& from, const std::string& to) override;
  absl::Status LinkFile(const std::string& from, const std::string& to) override;
  absl::Status CreateDirectories(const std::string& path) override;
  absl::Status DeleteDirectory(const std::string& path) override;
  absl::Status SyncDirectory(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) override;
  absl::StatusOr<uint64_t> FileSize(const std::string& path) override;
  bool FileExists(const std::string& path) override;
  absl::StatusOr<uint64_t> FreeSpace(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<FileLock>> LockFile(const std::string& path) override;

  // --- crashes
  // The machine dies and starts again: unsynced bytes and names are gone (see CrashOptions), locks
  // are released, open files of before answer Unavailable, faults and the power cut are over.
  void Crash(const CrashOptions& options = {});
  // What Crash would leave, as a file system of its own; this one goes on.
  std::unique_ptr<MemoryFileSystem> CloneAfterCrash(const CrashOptions& options = {}) const;
  // The next `changes` operations that change the disk go well; then every one of them fails with
  // Unavailable until Crash or ClearFaults.
  void PowerCutAfter(uint64_t changes);
  bool PowerIsCut() const;

  // --- failures
  void AddFault(const Fault& fault);
  void ClearFaults();
  // Bytes that fit; an Append beyond writes what fits and answers ResourceExhausted.
  void SetCapacityBytes(uint64_t bytes);

  // --- looking and meddling
  // Operations called so far, failed ones included.
  uint64_t Count(Operation operation) const;
  // Of those that change the disk, the ones that went well.
  uint64_t Changes() const;
  uint64_t UsedBytes() const;
  // Paths of all files (not folders), sorted.
  std::vector<std::string> Files() const;
  absl::StatusOr<std::string> Contents(const std::string& path) const;
  // Replaces bytes behind everybody's back, durably; the file must exist.
  absl::Status SetContents(const std::string& path, std::string_view bytes);

 private:
  friend class MemoryRandomAccessFile;
  friend class MemoryWritableFile;
  friend class MemoryFileLock;

  struct Inode;
  using Names = std::map<std::string, std::shared_ptr<Inode>>;
  // A change of one or two names that is not yet on the disk; a null inode means removed. A folder
  // that gets a new name takes along what is in it.
  using NameChange = std::vector<std::pair<std::string, std::shared_ptr<Inode>>>;
  static void Apply(const NameChange& change, Names* names);

  // Counts the operation and answers with the fault that strikes it, if any, of which
  // `torn_percent` is written all the same.
  absl::Status Begin(Operation operation, const std::string& path, const std::string& other = "",
                     uint32_t* torn_percent = nullptr) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::shared_ptr<Inode>> FindFile(std::string_view operation,
                                                  const std::string& path) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckFolder(std::string_view operation, const std::string& path) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ChangeNames(NameChange change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t UsedBytesLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The names and copies of the inodes that a crash leaves.
  Names NamesAfterCrash(const CrashOptions& options) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Status AppendTo(const std::shared_ptr<Inode>& inode, uint64_t generation,
                        const std::string& path, std::string_view bytes);
  absl::Status PreallocateIn(const std::shared_ptr<Inode>& inode, uint64_t generation,
                             const std::string& path, uint64_t bytes);
  absl::Status SyncFile(const std::shared_ptr<Inode>& inode, uint64_t generation,
                        const std::string& path);
  absl::StatusOr<size_t> ReadFrom(const std::shared_ptr<Inode>& inode, uint64_t generation,
                                  const std::string& path, uint64_t offset, size_t count,
                                  char* buffer);
  absl::StatusOr<uint64_t> SizeOf(const std::shared_ptr<Inode>& inode, uint64_t generation,
                                  const std::string& path);
  void Unlock(uint64_t generation, const std::string& path);

  mutable Mutex mutex_;
  Names names_ ABSL_GUARDED_BY(mutex_);       // as processes see them, folders included
  Names disk_names_ ABSL_GUARDED_BY(mutex_);  // as the disk has them
  std::vector<NameChange> unsynced_changes_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> locked_ ABSL_GUARDED_BY(mutex_);
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;  // crashes so far

  std::vector<Fault> faults_ ABSL_GUARDED_BY(mutex_);
  uint64_t changes_until_power_cut_ ABSL_GUARDED_BY(mutex_) = kUnlimited;
  uint64_t capacity_bytes_ ABSL_GUARDED_BY(mutex_) = kUnlimited;
  std::array<uint64_t, kOperationCount> counts_ ABSL_GUARDED_BY(mutex_) = {};
  uint64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tinyobs::testing

#endif  // TINYOBS_TESTS_TESTING_MEMORY_FILE_SYSTEM_H_
