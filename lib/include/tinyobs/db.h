// Db: a metrics database inside your program.
//
//   #include "tinyobs/db.h"
//
//   auto db = tinyobs::Db::Open("/var/lib/app/metrics");
//   if (!db.ok()) { ... db.status() says what to do ... }
//   auto appender = (*db)->NewAppender();
//   appender->Add(tinyobs::Labels::Of("temperature", {{"room", "attic"}}),
//   now_ms, 21.5).IgnoreError(); absl::Status stored = appender->Commit();
//
// One folder, one open database: a second Open of the same folder, by this or another process, is
// refused. Several databases in different folders may be open in one process; they share nothing.
//
// Fork: a child must not use a Db of its parent; open after fork. Signals: the library installs no
// handler and may not be called from one. It never ends the process and never throws.
//
// Thread-safety: every method is thread-safe, except that Close and the destructor must be the last
// calls.
#ifndef TINYOBS_DB_H_
#define TINYOBS_DB_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tinyobs/appender.h"
#include "tinyobs/options.h"
#include "tinyobs/querier.h"
#include "tinyobs/stats.h"

namespace tinyobs {

class Db : public Appendable, public Querier {
 public:
  // Opens the database in folder `path`, creating it when there is none, and recovers what was
  // acknowledged before the last process died. Time: proportional to the head log that must be
  // replayed. FailedPrecondition: locked by another opener, written by a newer version, or not a
  // database and !create_if_missing. DataLoss: damage beyond a torn tail; the message names file,
  // offset, expected and found. InvalidArgument: an option out of range. Unavailable,
  // ResourceExhausted, PermissionDenied: the file system.
  static absl::StatusOr<std::unique_ptr<Db>> Open(const std::string& path,
                                                  const Options& options = {});

  // Without Close the next Open replays the head log; nothing acknowledged is lost either way.
  ~Db() override = default;

  // Stops background work, makes everything durable and releases the folder. Later calls answer
  // FailedPrecondition. Idempotent.
  virtual absl::Status Close() = 0;

  // Everything acknowledged so far is on disk, durable against power loss, when this returns OK.
  virtual absl::Status Sync() = 0;

  // Seals every open chunk, moves the head into sorted tables and drops the head log. Rarely
  // needed: the database does this by itself. Blocks.
  virtual absl::Status Flush() = 0;

  virtual DbStats Stats() const = 0;

  // After an I/O error the database refuses writes and goes on reading (Stats().background_error
  // says why). Call this when the cause is gone. OK: writes are accepted again. Not needed after a
  // full disk or a lack of file handles: the database tries by itself every few seconds (without
  // threads: in RunBackgroundWork).
  virtual absl::Status Resume() = 0;

  // With background_threads = false: does what is due and returns whether there is more. Otherwise
  // does nothing.
  virtual absl::StatusOr<bool> RunBackgroundWork() = 0;
};

}  // namespace tinyobs

#endif  // TINYOBS_DB_H_
