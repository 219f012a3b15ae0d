// DbImpl: the Db of an embedder: puts the parts of this room together.
//
//   commit:   AppenderImpl -> CommitQueue -> HeadLog (ack) -> SeriesIndex, Catalog, Head
//   ageing:   Head -> Sealer -> ChunkStore, Catalog -> lsm::Store;  checkpoint -> old log segments
//   go query:    SeriesIndex -> Head (pinned) + lsm snapshot of the same instant -> SeriesSetImpl
//
// The files follow that: db_impl.cc (commit, queries, figures), recovery.cc (Open), upkeep.cc
// (checkpoint, Flush, Close, Resume, background threads).
//
// Two threads, both optional (Options::background_threads): one syncs the head log at its interval
// and does nothing else, so that the promise does not wait for other work; one seals, ages and
// checkpoints.
//
// Lock order, first to last: upkeep_ -> place at the front of the commit queue -> Sealer's step ->
// Sealer's publish -> Head -> SeriesIndex, ChunkStore, Catalog, the LSM's own. state_ and
// wake_mutex_ are leaves. Nothing but upkeep_ and the sealer's step, which only upkeep and sealing
// want, is held during I/O.
//
// Thread-safety: as tinyobs/db.h says.
#ifndef TINYOBS_LIB_TSDB_DB_IMPL_H_
#define TINYOBS_LIB_TSDB_DB_IMPL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/base/mutex.h"
#include "lib/lsm/store.h"
#include "lib/tsdb/appender.h"
#include "lib/tsdb/catalog.h"
#include "lib/tsdb/chunk_store.h"
#include "lib/tsdb/commit_queue.h"
#include "lib/tsdb/head.h"
#include "lib/tsdb/head_log.h"
#include "lib/tsdb/identity.h"
#include "lib/tsdb/sealer.h"
#include "lib/tsdb/series_index.h"
#include "tinyobs/clock.h"
#include "tinyobs/db.h"
#include "tinyobs/file_system.h"

namespace tinyobs::tsdb {

class DbImpl : public Db {
 public:
  static absl::StatusOr<std::unique_ptr<DbImpl>> Open(const std::string& path,
                                                      const Options& options);
  ~DbImpl() override;

  std::unique_ptr<Appender> NewAppender() override;

  absl::StatusOr<std::unique_ptr<SeriesSet>> Select(const std::vector<Matcher>& matchers,
                                                    TimeRange range,
                                                    const SelectHints& hints) const override;
  absl::StatusOr<std::unique_ptr<SeriesSet>> SelectAll(TimeRange range,
                                                       const SelectHints& hints) const override;
  absl::StatusOr<std::vector<Labels>> Series(const std::vector<Matcher>& matchers,
                                             TimeRange range) const override;
  absl::StatusOr<std::vector<std::string>> LabelNames(const std::vector<Matcher>& matchers,
                                                      TimeRange range) const override;
  absl::StatusOr<std::vector<std::string>> LabelValues(std::string_view label,
                                                       const std::vector<Matcher>& matchers,
                                                       TimeRange range) const override;
  MetricMetadata Metadata(std::string_view metric) const override;

  absl::Status Close() override;
  absl::Status Sync() override;
  absl::Status Flush() override;
  DbStats Stats() const override;
  absl::Status Resume() override;
  absl::StatusOr<bool> RunBackgroundWork() override;

 private:
  using Queue = CommitQueue<CommitBatch>;
  // What a group of commits has decided so far.
  struct GroupPlan {
    absl::flat_hash_map<std::string, SeriesRef> created;  // by canonical labels
    SeriesRef next_ref = 0;
    uint64_t series = 0;
  };

  DbImpl(std::string path, const Options& options, const Identity& identity,
         std::unique_ptr<FileLock> lock);

  // --- recovery.cc
  absl::Status Recover();
  absl::Status OpenStore();
  absl::Status ReplayHead(const HeadFiles& files, uint64_t claimed, ReplayReport* report);
  absl::Status ReplayCommit(const CommitRecord& commit);
  absl::Status ReplaySamples(std::span<const RefSample> samples);

  // --- db_impl.cc
  absl::Status CheckOpen() const;
  absl::Status CheckWritable() const;
  // Whether commits are taken: writable, and room on disk.
  absl::Status Admission() const;
  void Lead(std::span<Queue::Job* const> jobs);
  absl::Status Plan(CommitBatch* batch, GroupPlan* plan);
  absl::Status WriteLog();
  void Apply(const CommitRecord& commit);
  absl::StatusOr<std::unique_ptr<SeriesSet>> SelectMatching(const std::vector<Matcher>& matchers,
                                                            TimeRange range,
                                                            const SelectHints& hints) const;
  uint64_t DiskBytes() const;
  int64_t MonotonicMs() const { return clock_->MonotonicNs() / 1'000'000; }

  // --- upkeep.cc
  // Makes the database read-only; the first error is kept. Returns `status`.
  absl::Status Fail(std::string_view during, const absl::Status& status);
  void Log(std::string_view line) const;
  absl::Status SyncLog();
  absl::Status SealBacklog();
  void FreezeSlices(bool everything);
  // Begins a new segment and replaces the older ones by a checkpoint.
  absl::Status RotateAndCheckpoint() ABSL_EXCLUSIVE_LOCKS_REQUIRED(upkeep_);
  absl::Status Checkpoint(uint64_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(upkeep_);
  void MeasureHeadFolder();
  // One round of what is due; true when there is more.
  absl::StatusOr<bool> UpkeepRound();
  void StartThreads();
  void StopThreads();
  void UpkeepLoop();
  void SyncLoop();
  // After a lack of space or file handles, which may be over: Resume, but not all the time.
  void ResumeIfDue();
  void WakeUpkeep();
  bool Stopping();

  const std::string path_;
  const std::string head_folder_;
  const Options options_;
  Clock* const clock_;
  FileSystem* const file_system_;
  const Partitioning partitioning_;
  std::unique_ptr<FileLock> lock_;  // until Close

  SeriesIndex index_;
  Catalog catalog_;
  mutable Head head_;
  std::unique_ptr<lsm::Store> store_;
  std::optional<ChunkStore> chunks_;
  std::optional<Sealer> sealer_;
  HeadLog log_;
  Queue queue_;

  mutable Mutex state_;
  bool closed_ ABSL_GUARDED_BY(state_) = false;
  absl::Status error_ ABSL_GUARDED_BY(state_);

  Mutex upkeep_;  // a turn: checkpoint, Flush, Resume and Close exclude each other
  // The head as it is could be rebuilt from the last checkpoint alone.
  bool checkpointed_ ABSL_GUARDED_BY(upkeep_) = false;
  // A Resume that failed later on began the current segment; the next goes on with it, lest each
  // attempt leave a file.
  bool began_to_resume_ ABSL_GUARDED_BY(upkeep_) = false;

  Mutex wake_mutex_;
  CondVar wake_upkeep_;
  CondVar wake_sync_;
  bool stop_ ABSL_GUARDED_BY(wake_mutex_) = false;
  bool work_waits_ ABSL_GUARDED_BY(wake_mutex_) = false;
  std::thread upkeep_thread_;
  std::thread sync_thread_;

  std::atomic<int64_t> last_sync_ms_{0};  // monotonic, as the others
  std::atomic<int64_t> last_freeze_ms_{0};
  int64_t resume_at_ms_ = 0;                   // of whoever does upkeep
  int64_t resume_delay_ms_ = 0;                // after the next attempt
  std::atomic<uint64_t> other_head_bytes_{0};  // of the head folder without the current segment
  std::atomic<uint64_t> samples_appended_{0};
  std::atomic<uint64_t> samples_rejected_{0};
  std::atomic<uint64_t> commits_{0};
  ReplayReport replay_;
  int64_t replay_ms_ = 0;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_DB_IMPL_H_
