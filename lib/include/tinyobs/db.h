// Db: a metrics database inside your program.
//
//   #include "tinyobs/db.h"
//
//   auto db = tinyobs::Db::Open("/var/lib/app/metrics");
//   if (!db.ok()) { ... db.status() says what to do ... }
//   auto appender = (*db)->NewAppender();
//   appender->Add(tinyobs::Labels::Of("temperature", {{"room", "attic"}}), now_ms, 21.5)
//       .IgnoreError();
//   absl::Status stored = appender->Commit();
//
// One folder, one writer: a second Open of the same folder, by this or another process, is refused;
// any number of processes may read it meanwhile (OpenReadOnly). Several databases in different
// folders may be open in one process; they share nothing.
//
// Fork: threads and the lock of the folder do not come along, so a child must not touch a Db of its
// parent, not even destroy it: call _exit or exec, or open after the fork. To daemonise, fork
// first. The lock is released when the parent's Db is closed and no child that was forked without
// exec is left. Files are opened close-on-exec.
//
// Signals: the library installs no handler, blocks none, and no call of it may be made from one:
// set a flag there and Close from a thread. SIGKILL loses nothing that was acknowledged. The
// threads of the library receive the signals of the process like any other; block those in the
// thread that calls Open if they must not.
//
// It never ends the process (but for a broken invariant of its own, where going on would risk data)
// and never throws.
//
// Thread-safety: every method is thread-safe, except that Close and the destructor must be the last
// calls.
#ifndef TINYOBS_DB_H_
#define TINYOBS_DB_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

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
  // replayed (Options::head_segment_bytes bounds it); memory: within the budget.
  // FailedPrecondition: locked by another opener, written by a newer version, or not a database and
  // !create_if_missing. DataLoss: damage beyond a torn tail; the message names file, offset,
  // expected and found: put back a copy (see Checkpoint), or see Repair. InvalidArgument: an option
  // out of range. ResourceExhausted: the series that are stored do not fit the memory budget, or
  // the file system's. Unavailable, PermissionDenied: the file system.
  static absl::StatusOr<std::unique_ptr<Db>> Open(const std::string& path,
                                                  const Options& options = {});

  // Opens the database for reading, beside the process that writes or after it, without locking and
  // without changing a byte: reading permission is enough. Shows what was acknowledged when it was
  // opened (open again to see more); the writer may go on, expire and compact meanwhile. Every call
  // that writes answers FailedPrecondition, NewAppender's appenders included; no thread is started.
  // Codes as Open, and NotFound: no database there (yet). Unavailable, Aborted: the files changed
  // faster than they could be opened; try again. ResourceExhausted: the writer's head does not fit
  // the budget. Cost: as Open of a database that was not closed.
  static absl::StatusOr<std::unique_ptr<Db>> OpenReadOnly(const std::string& path,
                                                          const Options& options = {});

  // Makes a database that Open refuses with DataLoss openable, and loses as little as possible.
  // Returns what was lost, a line each, which the logger gets, too; empty = nothing was damaged.
  // Damaged files are put aside, in the folders `lost` of lsm/ and head/, and what is sound in them
  // is kept where that can be told. Samples whose series lost its labels cannot be found any more;
  // where the list says so, deleted samples may be back. Reads everything. FailedPrecondition: the
  // database is open, or there is none. DataLoss: IDENTITY is damaged, which a copy of the database
  // of any age has, too. Others as Open. After a crash call it again.
  static absl::StatusOr<std::vector<std::string>> Repair(const std::string& path,
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

  // Deletes the samples of `range` of every series that all `matchers` accept; series that have
  // none left vanish, with their names and values, and their handles are NotFound from then on. At
  // least one matcher must refuse the empty string, as in Select. Samples that are committed while
  // it runs may or may not be deleted; running queries keep what they saw. When it returns OK the
  // samples are gone for every later query and after a restart (power loss: as Sync). On an error
  // some may be gone and the others are as before; call it again. Cost: rewrites the chunks that
  // hold such samples; disk space returns with the next compactions. For whole ages of data use
  // DropBefore.
  virtual absl::Status Delete(const std::vector<Matcher>& matchers, TimeRange range) = 0;

  // Drops every partition (Options::partition_ms) that ends at or before `time_ms`, so samples
  // before `time_ms` may remain for up to one partition; series without a sample left vanish.
  // Unlinks files and rewrites none of the data, whatever its size; what the head still has of it
  // is sealed first, and the head log begins anew. Durable when it returns OK; after a crash
  // partitions are there whole or not at all. Running queries keep what they saw. Works on a full
  // disk, too, as this is how to make room: the files go first, then it resumes (see Resume) and
  // does the rest; ResourceExhausted: what went was not enough, call it again with a later time.
  virtual absl::Status DropBefore(int64_t time_ms) = 0;

  // With Options::downsampling: brings the windows of five minutes and of one hour up to date.
  // Every partition that is over is aggregated, into five minutes and, once the day it belongs to
  // is over, into one hour; where samples came late or were deleted since, only the series and
  // partitions they are in are done again. What it makes is a function of the samples alone:
  // interrupted by anything at any moment and called again, it ends with the same windows. Then it
  // drops what has expired (Options::retention). The database does the same by itself every hour,
  // but leaves partitions alone for a twelfth of their length after their end. Cost: 20 ns a new
  // sample (5 ns where there is one each second); commits, queries and other upkeep go on. Durable
  // after the next Flush or Close, and else made again. FailedPrecondition: downsampling is off, or
  // the database is being closed. DataLoss: a damaged chunk; its partition stays raw, all others
  // are done.
  virtual absl::Status Downsample() = 0;

  // Makes a copy that can be opened by itself, of what was acknowledged when the call began (and
  // perhaps of some commits since, each whole). Tables are linked, not copied, where `folder` is on
  // the same disk, so it costs little space and time; writes go on meanwhile. `folder` must not
  // exist (FailedPrecondition), its parent must (NotFound). Durable when it returns OK; on an error
  // nothing is left.
  virtual absl::Status Checkpoint(const std::string& folder) = 0;

  virtual DbStats Stats() const = 0;

  // The series by metric: the `largest` metrics with the most series, each with its labels. Costs
  // some microseconds a thousand metrics, and the first time, or when many series are new, up to
  // 10 ms for each of the metrics that are asked for.
  virtual CardinalityStats Cardinality(size_t largest = 10) const = 0;

  // After an I/O error the database refuses writes and goes on reading (Stats().background_error
  // says why). Call this when the cause is gone. OK: writes are accepted again. Not needed after a
  // full disk or a lack of file handles: the database tries by itself every few seconds (without
  // threads: in RunBackgroundWork).
  virtual absl::Status Resume() = 0;

  // With background_threads = false: does a bounded piece of what is due and returns whether there
  // is more. Call it after commits, until it returns false, and once a second or so when idle (the
  // syncs of SyncPolicy::kInterval happen here and in Commit). An error is what a background thread
  // would have met: see Stats().background_error. With threads: does nothing, false.
  virtual absl::StatusOr<bool> RunBackgroundWork() = 0;
};

}  // namespace tinyobs

#endif  // TINYOBS_DB_H_
