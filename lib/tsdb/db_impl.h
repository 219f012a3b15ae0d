// DbImpl: the Db of an embedder: puts the parts of this room together.
//
//   commit:   AppenderImpl -> CommitQueue -> Head (staged) -> HeadLog (ack) -> Head, SeriesIndex
//   ageing:   Head -> Sealer -> ChunkStore, Catalog -> lsm::Store;  checkpoint -> old log segments
//             idle series -> IdleSeries;  partitions that are over -> re-chunked, later dropped
//   query:    SeriesIndex, IdleSeries -> Head (pinned) + LSM snapshot of one instant -> SeriesSet
//
// The files follow that: db_impl.cc (commit), db_query.cc (queries, figures), recovery.cc (Open),
// upkeep.cc (checkpoint, Flush, Close, Resume, background threads), retention.cc (what becomes of
// partitions that are over), db_admin.cc (deleting, dropping, idle series), db_copy.cc.
//
// Three threads, all optional (Options::background_threads): one syncs the head log at its interval
// and does nothing else, so that the promise does not wait for other work; one seals and
// checkpoints; one ages partitions that are over (merges, downsamples and drops them), which takes
// seconds each when series are many: meanwhile the head would grow, and commits would have to seal
// in its stead.
//
// The leader of the commit queue alone changes the head, the head log and the set of series; other
// work that must, waits for its turn in the same queue (CommitQueue::RunAlone).
//
// Lock order, first to last: ageing_ -> upkeep_ -> place at the front of the commit queue ->
// Sealer's step -> membership_ -> Sealer's publish -> Head -> SeriesIndex, ChunkStore, Catalog, the
// LSM's own. state_ and wake_mutex_ are leaves. Nothing but ageing_, upkeep_, membership_ (for
// loading groups of idle series) and the sealer's step is held during I/O.
//
// Thread-safety: as tinyobs/db.h says.
#ifndef TINYOBS_LIB_TSDB_DB_IMPL_H_
#define TINYOBS_LIB_TSDB_DB_IMPL_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "lib/base/memory_accountant.h"
#include "lib/base/mutex.h"
#include "lib/base/shared_mutex.h"
#include "lib/lsm/store.h"
#include "lib/tsdb/appender.h"
#include "lib/tsdb/cardinality.h"
#include "lib/tsdb/catalog.h"
#include "lib/tsdb/chunk_store.h"
#include "lib/tsdb/commit_queue.h"
#include "lib/tsdb/downsampler.h"
#include "lib/tsdb/head.h"
#include "lib/tsdb/head_checkpoint.h"
#include "lib/tsdb/head_log.h"
#include "lib/tsdb/head_replay.h"
#include "lib/tsdb/identity.h"
#include "lib/tsdb/idle_series.h"
#include "lib/tsdb/read_plan.h"
#include "lib/tsdb/sealer.h"
#include "lib/tsdb/series_index.h"
#include "lib/tsdb/series_set.h"
#include "lib/vfs/counting_file_system.h"
#include "tinyobs/clock.h"
#include "tinyobs/db.h"
#include "tinyobs/file_system.h"

namespace tinyobs::tsdb {

class DbImpl : public Db {
 public:
  static absl::StatusOr<std::unique_ptr<DbImpl>> Open(const std::string& path,
                                                      const Options& options);
  static absl::StatusOr<std::unique_ptr<DbImpl>> OpenReadOnly(const std::string& path,
                                                              const Options& options);
  static absl::StatusOr<std::vector<std::string>> Repair(const std::string& path,
                                                         const Options& options);
  ~DbImpl() override;

  std::unique_ptr<Appender> NewAppender() override;

  absl::StatusOr<std::unique_ptr<SeriesSet>> Select(const std::vector<Matcher>& matchers,
                                                    TimeRange range,
                                                    const SelectHints& hints) const override;
  absl::StatusOr<std::unique_ptr<SeriesSet>> SelectAll(TimeRange range,
                                                       const SelectHints& hints) const override;
  absl::StatusOr<std::vector<std::unique_ptr<SeriesSet>>> SelectParts(
      const std::vector<Matcher>& matchers, TimeRange range, const SelectHints& hints,
      int parts) const override;
  MemoryAccount* query_memory() const override { return accounts_.queries; }
  absl::StatusOr<std::vector<Labels>> Series(const std::vector<Matcher>& matchers, TimeRange range,
                                             const ListHints& hints) const override;
  absl::StatusOr<std::vector<std::string>> LabelNames(const std::vector<Matcher>& matchers,
                                                      TimeRange range,
                                                      const ListHints& hints) const override;
  absl::StatusOr<std::vector<std::string>> LabelValues(std::string_view label,
                                                       const std::vector<Matcher>& matchers,
                                                       TimeRange range,
                                                       const ListHints& hints) const override;
  MetricMetadata Metadata(std::string_view metric) const override;

  absl::Status Close() override;
  absl::Status Sync() override;
  absl::Status Flush() override;
  absl::Status Delete(const std::vector<Matcher>& matchers, TimeRange range) override;
  absl::Status DropBefore(int64_t time_ms) override;
  absl::Status Downsample() override;
  absl::Status Checkpoint(const std::string& folder) override;
  DbStats Stats() const override;
  CardinalityStats Cardinality(size_t largest) const override;
  absl::Status Resume() override;
  absl::StatusOr<bool> RunBackgroundWork() override;

 private:
  using Queue = CommitQueue<CommitBatch>;
  // What a group of commits has decided so far.
  struct GroupPlan {
    absl::flat_hash_map<std::string, SeriesRef> created;  // by canonical labels
    std::vector<NewSeries> new_series;
    // Of those that had not been idle: counted already.
    std::vector<std::string> fresh_metrics;
    SeriesRef next_ref = 0;
    uint64_t log_bytes = 0;  // of the records so far
    uint64_t samples = 0;
  };
  // Where the memory goes; shares in recovery.cc.
  struct Accounts {
    MemoryAccount* memtables;
    MemoryAccount* block_cache;
    MemoryAccount* tables;
    MemoryAccount* head;
    MemoryAccount* index;
    MemoryAccount* idle_series;
    MemoryAccount* queries;
    MemoryAccount* downsampling;
    MemoryAccount* files;  // of an in-memory database
  };
  // What a database stands on, before it is opened.
  struct Surroundings {
    bool read_only = false;
    std::unique_ptr<MemoryAccountant> memory;
    Accounts accounts;
    std::unique_ptr<FileSystem> own_files;  // of an in-memory database
    std::unique_ptr<CountingFileSystem> files;
    std::unique_ptr<FileLock> lock;
    Identity identity;
  };
  // A thread of the background.
  struct Worker {
    CondVar wake;
    bool due = false;  // under wake_mutex_: somebody has woken it
    std::thread thread;
  };
  using TierTimes = std::array<int64_t, 3>;  // of raw, 5m and 1h, as the next
  using TierCounts = std::array<uint64_t, 3>;
  // Series of a query: in memory and idle ones. An idle one that comes back may be in both.
  struct Selection {
    SeriesIndex::MatchResult match;
    std::vector<std::shared_ptr<const SeriesIndex>> groups;
    std::vector<SeriesSetImpl::Entry> idle;
  };

  DbImpl(std::string path, const Options& options, Surroundings around);

  // --- recovery.cc
  static absl::StatusOr<std::unique_ptr<DbImpl>> Prepare(const std::string& path,
                                                         const Options& options, bool read_only);
  absl::Status Recover();
  // Whether the LSM and the head's files belong together: neither is older than the other.
  absl::Status CheckHeadRow(const HeadFiles& files);
  absl::Status RecoverReadOnly();
  lsm::StoreOptions StoreOptions();
  absl::Status OpenStore();
  absl::Status LoadSeries(uint64_t checkpoint);
  absl::Status LoadMissingSeries();
  // `any_in_both`: series may be in memory and idle at once.
  absl::Status CountSeries(bool any_in_both);
  DamageCallback OnDamage();
  absl::Status ReplayHead(HeadReplay* replay);
  absl::Status ReplayCommit(DecodedCommit* commit);
  absl::Status ForgetIdle(std::span<const NewSeries> created);
  void DropUnknown(SampleBatch* samples);
  // Seals what replay froze, when that has become much.
  absl::Status SealReplayed();

  // --- repair.cc
  absl::Status RepairStore();
  // OK when this is a repair and `status` is damage: `what` (a path, mostly) is noted as lost.
  absl::Status Salvage(std::string_view what, const absl::Status& status);
  // What the rows say that may be wrong now: counts, free numbers, series that are there twice.
  absl::Status CountAgain(std::span<const SeriesId> twins);
  absl::Status CountIdleAgain(lsm::WriteBatch* batch);
  absl::Status PutAside();

  // --- db_impl.cc
  absl::Status CheckOpen() const;
  absl::Status CheckWritable() const;
  // Whether commits are taken: writable, and room on disk and in memory.
  absl::Status Admission();
  void Lead(std::span<Queue::Job* const> jobs);
  absl::Status Plan(CommitBatch* batch, GroupPlan* plan);
  absl::Status PlanSeries(CommitBatch* batch, GroupPlan* plan, std::vector<NewSeries>* created);
  void TakeBack(GroupPlan* plan, size_t begin);
  void ChargeIndex() {
    accounts_.index->SetUsed(index_.MemoryBytes() + cardinality_.MemoryBytes());
  }
  absl::Status WriteLog();
  void Publish(const GroupPlan& plan);
  int64_t MonotonicMs() const { return clock_->MonotonicNs() / 1'000'000; }

  // --- db_query.cc
  // Who asks holds the lock until the names are copied or pinned: a series that leaves memory would
  // leave the answer, too.
  absl::StatusOr<Selection> SelectSeries(std::span<const Matcher> matchers, TimeRange range) const
      ABSL_SHARED_LOCKS_REQUIRED(membership_);
  // Of idle series that may have samples in `range`.
  absl::StatusOr<std::vector<std::shared_ptr<const SeriesIndex>>> IdleGroups(TimeRange range) const
      ABSL_SHARED_LOCKS_REQUIRED(membership_);
  absl::StatusOr<std::vector<std::unique_ptr<SeriesSet>>> SelectMatching(
      const std::vector<Matcher>& matchers, TimeRange range, const SelectHints& hints,
      int parts) const;
  absl::StatusOr<std::vector<ReadPiece>> PlanTiers(const TierMarks& marks, const SelectHints& hints,
                                                   TimeRange range, const HeadPin& head,
                                                   std::vector<uint32_t>* partitions) const;
  void AddTiers(const std::vector<ReadPiece>& pieces, SeriesSetImpl::Source* source) const;
  absl::StatusOr<std::vector<uint32_t>> NotSealed(const HeadPin& head) const;
  // Whether `range` ends before the first sample of all or begins behind the last one. For lists,
  // whose range is a hint else: partitions know no more than that they may have some.
  bool HasNothingIn(TimeRange range) const;
  absl::StatusOr<std::vector<std::string>> ListAll(
      const std::vector<Matcher>& matchers, TimeRange range, size_t limit,
      const std::function<std::vector<std::string>(
          const SeriesIndex& index, const std::vector<SeriesRef>* refs)>& list) const;
  // Of all files, and of those that will stay: no scratch, nothing that only a query still reads.
  uint64_t DiskBytes() const { return counted_files_->bytes(); }
  uint64_t LiveBytes() const;

  // --- upkeep.cc
  // Makes the database read-only; the first error is kept. Returns `status`.
  absl::Status Fail(std::string_view during, const absl::Status& status);
  void Log(std::string_view line) const;
  absl::Status SyncLog();
  // The leader's: makes the current segment durable, if it is not.
  absl::Status SyncSegment();
  // The leader's: a new segment, whose existence the LSM knows of.
  absl::Status BeginSegment(uint64_t number, bool abandon_old);
  absl::Status PutHeadRow(const lsm::WriteOptions& options);
  // Brings the memory of the head back under its share, as far as sealing can.
  absl::Status RelieveHead();
  // Calls `work` for [0, count), so many at a time, each at the front of the commit queue.
  absl::Status InTurns(size_t count, size_t per_turn,
                       const std::function<absl::Status(size_t begin, size_t end)>& work);
  absl::Status FreezeSlices(bool everything);
  // Begins a new segment and replaces the older ones by a checkpoint.
  absl::Status RotateAndCheckpoint() ABSL_EXCLUSIVE_LOCKS_REQUIRED(upkeep_);
  absl::Status WriteCheckpoint(uint64_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(upkeep_);
  absl::Status ResumeInTurn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(upkeep_);
  absl::Status ClearError();
  void MeasureHeadFolder();
  // At which a segment is replaced. A checkpoint of many open chunks is large: it is paid for by as
  // much log.
  uint64_t FullSegmentBytes() const;
  // At the storage limit, while commits are refused: whether a checkpoint would make room.
  bool LogFillsDisk() const;
  // One round of what is due; true when there is more.
  absl::StatusOr<bool> UpkeepRound();
  void StartThreads();
  void StopThreads();
  // Rounds as long as there is more, then one a second, or when somebody wakes it.
  void WorkLoop(Worker* worker, const std::function<absl::StatusOr<bool>()>& round);
  void SyncLoop();
  // After a lack of space or file handles, which may be over: Resume, but not all the time.
  void ResumeIfDue();
  void Wake(Worker* worker);
  bool Stopping();

  // --- db_admin.cc
  // Series that have been idle for long leave memory.
  absl::Status RetireIdleSeries() ABSL_EXCLUSIVE_LOCKS_REQUIRED(upkeep_);
  class NamesWatch;
  int64_t LastSampleMs(SeriesRef ref) const;
  std::vector<SeriesRef> FindIdle(const std::function<bool(SeriesRef ref)>& is_idle);
  bool MayGo(SeriesRef ref) const;
  // Those of `candidates` that neither head nor current segment know leave memory, for good or to
  // the idle ones; `look`: only if the LSM has no chunk of theirs either.
  absl::Status RemoveSeries(std::span<const SeriesRef> candidates, bool go_idle, bool look)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(upkeep_);
  // The leader's: writes `batch` and the removal of the series' rows, then takes them from memory.
  absl::Status TakeOut(std::span<const SeriesRef> refs, bool go_idle);
  // Within Sealer::Alone.
  absl::Status WriteIdle(const lsm::WriteBatch& batch);
  // The oldest time of what stays unfrozen.
  absl::StatusOr<int64_t> FreezeBefore(int64_t time_ms);
  // Drops, of each tier, the partitions that end at or before its time (INT64_MIN = none), and the
  // series that have nothing left then; `only_made`: as far as their windows are made. Returns how
  // many partitions.
  absl::StatusOr<TierCounts> DropTiers(const TierTimes& times, bool only_made)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(upkeep_);
  // Of idle series of groups before `partition`: they are seen and counted no more. True: there are
  // any.
  absl::StatusOr<bool> HideIdle(uint32_t partition);
  // How long after its end a partition counts as over: stragglers come late.
  int64_t GraceMs() const { return partitioning_.partition_ms() / 12; }
  // On a full disk: unlinks what is to be dropped, and resumes.
  absl::Status MakeRoom(int64_t dropped_before_ms) ABSL_EXCLUSIVE_LOCKS_REQUIRED(upkeep_);
  absl::Status DropSeriesSnapshot();

  // --- db_copy.cc
  // The copy of Checkpoint, under its name until it is whole.
  absl::Status CopyTo(const std::string& partial);
  absl::Status SaveSeriesSnapshot();

  // --- retention.cc
  enum class AgeingPhase { kNone, kSeal, kDownsample, kExpire };
  struct AgeingRun {
    AgeingPhase phase = AgeingPhase::kNone;
    int64_t closed_ms = 0;  // of partitions that ended at or before it
    int64_t started_ms = 0;
    int64_t started_monotonic_ms = 0;
    Losses losses;
    absl::Status status;  // the first error so far
  };
  // One piece of what is due with partitions that are over; true when there may be more.
  absl::StatusOr<bool> AgeingRound();
  // Merges one partition, when one is due; true when there may be more.
  absl::StatusOr<bool> MergeRound();
  // At open: what was refused before is refused again.
  void StartAgeing();
  bool Ages() const { return options_.downsampling || options_.retention.raw_ms > 0; }
  bool AgeingStep();
  void BeginRun(int64_t closed_ms, bool for_room = false) ABSL_EXCLUSIVE_LOCKS_REQUIRED(ageing_);
  void RunStep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(ageing_);
  void EndRun(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(ageing_);
  absl::Status SealEnded(int64_t closed_ms);
  TierTimes ExpiredMs() const;
  absl::Status Expire();
  int64_t MadeUntil(Tier tier, int64_t time_ms) const;
  bool RoomStep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(ageing_);
  // Returns the number of partitions; 0: there are none but that of now, or windows must be made.
  absl::StatusOr<uint64_t> DropOldest(uint64_t wanted_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(upkeep_);
  // What commits may fill of max_storage_bytes; the rest is the database's own reserve.
  uint64_t CommitRoomBytes() const;
  // What flushes will write, more or less.
  uint64_t UnflushedBytes() const;
  bool RoomIsLow() const;
  // Whether samples older than what was dropped are refused.
  bool HasFloor() const;
  void RaiseFloor(int64_t time_ms);
  // INT64_MIN = any is.
  int64_t OldestAcceptedMs() const;

  const std::string path_;
  const std::string head_folder_;
  const Options options_;
  const bool read_only_;
  const std::unique_ptr<MemoryAccountant> memory_;
  const Accounts accounts_;
  const std::unique_ptr<FileSystem> own_file_system_;  // of an in-memory database
  Clock* const clock_;
  const std::unique_ptr<CountingFileSystem> counted_files_;
  FileSystem* const file_system_;  // that
  const Partitioning partitioning_;
  std::unique_ptr<FileLock> lock_;  // until Close

  const uint64_t seed_;  // of the series' fingerprints
  SeriesIndex index_;
  tsdb::Cardinality cardinality_;
  Catalog catalog_;
  mutable Head head_;
  // Before the store, whose compactions call both.
  PartitionMerge merge_;
  IdleSeries idle_;
  std::unique_ptr<lsm::Store> store_;
  std::optional<ChunkStore> chunks_;
  std::optional<Downsampler> downsampler_;
  std::optional<Sealer> sealer_;
  HeadLog log_;
  Queue queue_;
  // Held shared while a query looks at the series in memory and at the idle ones, exclusively while
  // a series is taken away from either (it has been added to the other before).
  mutable SharedMutex membership_;
  // The leader's: the series that records name, while somebody wants to know (NamesWatch).
  std::optional<absl::flat_hash_set<SeriesRef>> named_;

  mutable Mutex state_;
  bool closed_ ABSL_GUARDED_BY(state_) = false;
  absl::Status error_ ABSL_GUARDED_BY(state_);
  DownsamplingStats downsampling_ ABSL_GUARDED_BY(state_);
  RetentionStats retention_ ABSL_GUARDED_BY(state_);

  Mutex ageing_;  // a turn: a step of a run, or all of it
  AgeingRun run_ ABSL_GUARDED_BY(ageing_);
  int64_t next_run_ms_ ABSL_GUARDED_BY(ageing_) = 0;  // monotonic
  int failures_ ABSL_GUARDED_BY(ageing_) = 0;         // of runs, in a row
  bool making_room_ ABSL_GUARDED_BY(ageing_) = false;
  int64_t next_room_ms_ ABSL_GUARDED_BY(ageing_) = INT64_MIN;
  // Samples before it are refused. Grows; HasFloor.
  std::atomic<int64_t> oldest_accepted_ms_{INT64_MIN};

  Mutex upkeep_;  // a turn: checkpoint, Flush, Resume, Delete and Close exclude each other
  // The head as it is could be rebuilt from the last checkpoint alone.
  bool checkpointed_ ABSL_GUARDED_BY(upkeep_) = false;
  // A Resume that failed later on began the current segment and abandoned the one before; the next
  // goes on with it, lest each attempt leave a file. The leader reads it, too.
  std::atomic<bool> began_to_resume_{false};
  bool recovered_ ABSL_GUARDED_BY(upkeep_) = false;
  int64_t retired_at_ms_ ABSL_GUARDED_BY(upkeep_) = INT64_MIN;
  std::atomic<uint64_t> checkpoint_bytes_{0};  // of the last one
  std::atomic<uint64_t> noted_checkpoint_{0};  // in the row `head`

  Mutex wake_mutex_;
  CondVar wake_sync_;
  bool stop_ ABSL_GUARDED_BY(wake_mutex_) = false;
  Worker upkeep_worker_;
  Worker ageing_worker_;
  std::thread sync_thread_;

  std::atomic<int64_t> last_sync_ms_{0};  // monotonic, as the others
  std::atomic<int64_t> last_freeze_ms_{0};
  int64_t resume_at_ms_ = 0;                   // of whoever does upkeep
  int64_t resume_delay_ms_ = 0;                // after the next attempt
  int64_t relieved_at_ms_ = 0;                 // the leader's
  std::atomic<uint64_t> other_head_bytes_{0};  // of the head folder without the current segment
  std::atomic<uint64_t> samples_appended_{0};
  std::atomic<uint64_t> samples_rejected_{0};
  std::atomic<uint64_t> commits_{0};
  std::atomic<uint64_t> partitions_merged_{0};
  std::atomic<uint64_t> partitions_dropped_{0};
  // Of a repair: what was lost, a line each, and the head's files that are to be put aside.
  struct Losses {
    std::vector<std::string> lines;
    std::vector<std::string> head_files;
    uint64_t samples = 0;  // of the head, without their series
  };
  std::unique_ptr<Losses> losses_;  // null = no repair
  ReplayReport replay_;
  int64_t replay_ms_ = 0;
  int64_t horizon_ms_ = INT64_MIN;  // newest time that was in the LSM at open
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_DB_IMPL_H_
