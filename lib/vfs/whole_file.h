// Small files read and replaced as a whole: the pointer to the current manifest, a database's
// identity, a settings file.
//
// Replacing in place would leave a torn file after a crash, so the new content goes to a temporary
// name first and takes the old one's place by rename, with both the file and its folder synced
// before the caller is told OK: after a crash either the old content or the new one is there.
//
// Thread-safety: free functions over a thread-safe FileSystem; two replacements of the same path at
// once are the caller's race.
#ifndef TINYOBS_LIB_VFS_WHOLE_FILE_H_
#define TINYOBS_LIB_VFS_WHOLE_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tinyobs/file_system.h"

namespace tinyobs {

// The name a replacement of `path` is prepared under; a leftover after a crash is garbage.
std::string TemporaryNameFor(std::string_view path);

// The folder part of `path` ("." when it names none).
std::string DirectoryOf(std::string_view path);

// The whole content. NotFound; ResourceExhausted when the file is larger than `limit_bytes`
// (nothing is read then); the other codes of FileSystem.
absl::StatusOr<std::string> ReadWholeFile(FileSystem* file_system, const std::string& path,
                                          uint64_t limit_bytes);

// Makes `content` the file's content, atomically and durably: two syncs. On an error the old
// content is still there (or, when only the last folder sync failed, either of them).
absl::Status ReplaceWholeFile(FileSystem* file_system, const std::string& path,
                              std::string_view content);

// Deletes the folder and all in it; OK when there is none. Not atomic and not durable.
absl::Status DeleteTree(FileSystem* file_system, const std::string& path);

}  // namespace tinyobs

#endif  // TINYOBS_LIB_VFS_WHOLE_FILE_H_
