// File handles, shared between connections and the database.
//
// Both draw on the process's limit. A database that cannot open a table or a log turns read-only,
// while a client that cannot connect tries again; so the database's share is set aside first.
//
// Thread-safety: RaiseHandleLimit at start only; MaxConnections is pure.
#ifndef TINYOBS_TOOLS_SERVE_FILE_HANDLES_H_
#define TINYOBS_TOOLS_SERVE_FILE_HANDLES_H_

#include <cstddef>
#include <cstdint>

namespace tinyobs::serve {

// Raises the soft limit on open files towards the hard one, 65,536 at most, and returns what it is
// then. A limit that cannot be raised stays; a limit that cannot be read counts as 1024.
uint64_t RaiseHandleLimit();

// How many connections leave enough handles for open tables, logs and listening: 1024 when there is
// plenty; never fewer than 16, because a server that takes nobody is of no use.
size_t MaxConnections(uint64_t handle_limit);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_FILE_HANDLES_H_
