#include "bench/peers/tsdb_tinyobs.h"

#include <algorithm>
#include <utility>

#include "tinyobs/version.h"

namespace tinyobs::bench {
namespace {

// After this long a partition is over for good and may be merged.
constexpr int64_t kAfterLastSampleMs = 4 * 3'600'000;
constexpr int64_t kBetweenLooksMs = 60'000;

void Require(const absl::Status& status, std::string_view what) {
  bench::Require(status.ok(), what, status.ToString());
}

}  // namespace

TinyObsStore::TinyObsStore(std::string folder, const TinyObsSettings& settings)
    : folder_(std::move(folder)), settings_(settings) {
  Open();
}

TinyObsStore::~TinyObsStore() {
  appender_.reset();
  Require(db_->Close(), "tinyobs close");
}

void TinyObsStore::Open() {
  clock_ = std::make_unique<SampleClock>(settings_.threads);
  clock_->Set(settings_.now_ms);
  Options options;
  options.sync_policy = SyncPolicy::kNone;
  options.max_series = 0;
  options.memory_budget_bytes = settings_.memory_bytes;
  if (settings_.head_segment_bytes > 0) options.head_segment_bytes = settings_.head_segment_bytes;
  options.background_threads = settings_.threads;
  options.clock = clock_.get();
  options.file_system = settings_.file_system;
  auto db = Db::Open(folder_, options);
  Require(db.status(), "tinyobs open");
  db_ = *std::move(db);
  appender_ = db_->NewAppender();
}

void TinyObsStore::Reopen(bool threads) {
  appender_.reset();
  Require(db_->Close(), "tinyobs close");
  db_.reset();
  settings_.threads = threads;
  settings_.now_ms = clock_->NowMs();
  Open();
}

void TinyObsStore::Create(std::span<const Labels> labels, std::span<const int64_t> timestamps_ms,
                          std::span<const double> values, SeriesHandle* out) {
  clock_->Set(std::max(clock_->NowMs(), timestamps_ms.back()));
  for (size_t i = 0; i < labels.size(); ++i) {
    Require(appender_->Add(labels[i], timestamps_ms[i], values[i]), "tinyobs add");
  }
  Require(appender_->Commit(), "tinyobs commit");
  for (size_t i = 0; i < labels.size(); ++i) {
    const auto handle = appender_->Resolve(labels[i]);
    Require(handle.status(), "tinyobs resolve");
    out[i] = *handle;
  }
}

void TinyObsStore::Append(std::span<const SeriesHandle> series,
                          std::span<const int64_t> timestamps_ms, std::span<const double> values) {
  clock_->Set(std::max(clock_->NowMs(), timestamps_ms.back()));
  Require(appender_->AddBatch(series, timestamps_ms, values), "tinyobs add");
  Require(appender_->Commit(), "tinyobs commit");
}

void TinyObsStore::Flush() { Require(db_->Flush(), "tinyobs flush"); }

void TinyObsStore::DoBackgroundWork() {
  for (;;) {
    const auto more = db_->RunBackgroundWork();
    Require(more.status(), "tinyobs background work");
    if (!*more) return;
  }
}

bool TinyObsStore::DropBefore(int64_t time_ms) {
  const absl::Status status = db_->DropBefore(time_ms);
  if (absl::IsUnimplemented(status)) return false;
  Require(status, "tinyobs drop");
  return true;
}

// Merges belong to the background, and only a database without threads says when they are done.
void TinyObsStore::CompactAll() {
  const bool threads = settings_.threads;
  const int64_t now_ms = clock_->NowMs();
  Flush();
  Reopen(/*threads=*/false);
  // Twice, because a partition is merged only when it has been quiet for a while between two looks.
  for (int64_t look_ms = 0; look_ms <= kBetweenLooksMs; look_ms += kBetweenLooksMs) {
    clock_->Set(now_ms + kAfterLastSampleMs + look_ms);
    DoBackgroundWork();
  }
  clock_->Set(now_ms);
  Reopen(threads);
}

void TinyObsSamples::Create(std::span<const Labels> labels, const SampleBatch& batch) {
  if (batch.size() == 0) return;
  batch_.resize(batch.size());
  store_.Create(labels, batch.timestamps_ms, batch.values, batch_.data());
  const uint32_t highest = *std::max_element(batch.series.begin(), batch.series.end());
  if (highest >= handles_.size()) handles_.resize(highest + 1);
  for (size_t i = 0; i < batch.size(); ++i) handles_[batch.series[i]] = batch_[i];
}

void TinyObsSamples::Append(const SampleBatch& batch) {
  if (batch.size() == 0) return;
  batch_.resize(batch.size());
  for (size_t i = 0; i < batch.size(); ++i) batch_[i] = handles_[batch.series[i]];
  store_.Append(batch_, batch.timestamps_ms, batch.values);
}

SampleTotals TinyObsSamples::Scan() {
  SampleTotals totals;
  SelectHints hints;
  hints.sorted = false;
  auto set = store_.db().SelectAll({}, hints);
  Require(set.status(), "tinyobs select");
  while ((*set)->Next()) {
    const Columns& columns = (*set)->columns();
    for (size_t i = 0; i < columns.size(); ++i) {
      totals.Add(columns.timestamps_ms[i], columns.values[i]);
    }
  }
  Require((*set)->status(), "tinyobs scan");
  return totals;
}

void TinyObsSamples::Range(uint32_t, const std::vector<Matcher>& selector, int64_t from_ms,
                           int64_t to_ms, Columns* out) {
  out->clear();
  auto set = store_.db().Select(selector, {from_ms, to_ms});
  Require(set.status(), "tinyobs select");
  if ((*set)->Next()) *out = (*set)->columns();
  Require((*set)->status(), "tinyobs range");
}

SamplePeer TinyObsSamplePeer() {
  return {"tinyobs", TINYOBS_VERSION,
          "the memory is its budget for everything, head and index included; a batch is a commit, "
          "samples by handle; everything else as its default; compaction is Flush and then what is "
          "due in the background once the last partition is over",
          [](const std::string& folder, const SampleEngineSettings& settings) {
            TinyObsSettings own;
            own.memory_bytes = settings.memory_bytes;
            return std::make_unique<TinyObsSamples>(folder, own);
          }};
}

}  // namespace tinyobs::bench
