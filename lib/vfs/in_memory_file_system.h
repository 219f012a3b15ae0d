// A FileSystem without a disk, for databases that live and die with their process.
//
// The engine runs on it unchanged, so "in memory" is the same code with the same guarantees between
// threads, and not a second store. Its files count against a memory account like everything else,
// and a full account is what a full disk is to the engine: writes are refused with
// ResourceExhausted, reads go on. Nothing is preallocated (Unimplemented) and Sync has nothing to
// do.
//
// Not a test double: it cannot lose, tear or fail anything. That one is in tests/testing.
#ifndef TINYOBS_LIB_VFS_IN_MEMORY_FILE_SYSTEM_H_
#define TINYOBS_LIB_VFS_IN_MEMORY_FILE_SYSTEM_H_

#include <memory>

#include "lib/base/memory_accountant.h"
#include "tinyobs/file_system.h"

namespace tinyobs {

// Empty but for the folders "/" and ".", all others are made by CreateDirectories. `account` may be
// null and must outlive the file system and the files opened from it; open files may outlive the
// file system, locks may not. FreeSpace is what the account has left.
std::unique_ptr<FileSystem> NewInMemoryFileSystem(MemoryAccount* account);

}  // namespace tinyobs

#endif  // TINYOBS_LIB_VFS_IN_MEMORY_FILE_SYSTEM_H_
