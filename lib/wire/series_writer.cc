// One part of a batch at a time (Part), in rounds: a commit that is refused for something that can
// be taken out is tried again without it.
#include "lib/wire/series_writer.h"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"

namespace tinyobs::wire {
namespace {

// Of a commit, so that its memory is bounded; a single series may have more.
constexpr size_t kMostSamples = 64 << 10;
// Handles that die between one round and the next, again and again, are not seen in practice; nor
// are times that become too old.
constexpr int kMostRounds = 8;

class Part {
 public:
  Part(const SeriesBatch& batch, std::span<const SeriesBatch::Series> series,
       const LabelsOf& labels_of, uint64_t dialect, SeriesCache* cache, Appender* appender)
      : batch_(batch),
        series_(series),
        labels_of_(labels_of),
        cache_(*cache),
        appender_(*appender),
        entries_(series.size()) {
    for (size_t i = 0; i < series.size(); ++i) {
      entries_[i].name = cache->NameOf(series[i].name, dialect);
    }
  }

  absl::Status Store(WriteReport* report) {
    cache_.Find(entries_);
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (entries_[i].series == kNoSeries) LookUp(i);
    }
    for (int round = 1;; ++round) {
      WriteReport refused;
      TINYOBS_RETURN_IF_ERROR(AddKnown(&refused));
      TINYOBS_RETURN_IF_ERROR(AddFresh(&refused));
      uint64_t beyond_limit = 0;
      absl::Status why;
      const absl::Status committed = appender_.CommitWhatFits(&beyond_limit, &why);
      if (committed.ok()) {
        Learn();
        if (beyond_limit > 0) refused.Refuse(beyond_limit, FromAbsl(why.message()));
        if (CardinalityLimit limit; CardinalityLimitOf(why, &limit)) refused.limit = limit;
        report_.Add(refused);
        report_.stored = series_.back().end - series_.front().begin - report_.refused;
        report->Add(report_);
        return committed;
      }
      bool again = round < kMostRounds;
      if (absl::IsNotFound(committed)) {
        ForgetHandles();
      } else if (absl::IsResourceExhausted(committed)) {
        again = LeaveOutFresh(committed);
      } else if (!absl::IsInvalidArgument(committed)) {  // a time has become too old meanwhile
        again = false;
      }
      if (!again) return committed;
    }
  }

 private:
  struct Fresh {
    size_t at;
    Labels labels;
  };

  std::span<const int64_t> TimesOf(const SeriesBatch::Series& series) const {
    return std::span(batch_.timestamps_ms).subspan(series.begin, series.end - series.begin);
  }
  std::span<const double> ValuesOf(const SeriesBatch::Series& series) const {
    return std::span(batch_.values).subspan(series.begin, series.end - series.begin);
  }
  void Refuse(size_t at, std::string_view reason) {
    report_.Refuse(series_[at].end - series_[at].begin, reason);
    ++left_out_;
  }

  // By its labels: known to the store after all, or fresh, or refused.
  void LookUp(size_t at) {
    auto labels = labels_of_(series_[at].name);
    if (!labels.ok()) {
      Refuse(at, FromAbsl(labels.status().message()));
    } else if (const auto handle = appender_.Resolve(*labels); handle.ok()) {
      entries_[at].series = *handle;
      learned_.push_back(entries_[at]);
    } else {
      fresh_.push_back({at, *std::move(labels)});
    }
  }

  // A column of handles; those of times and values are the request's own when all are known.
  absl::Status AddKnown(WriteReport* refused) {
    std::vector<SeriesHandle> handles;
    handles.reserve(series_.back().end - series_.front().begin);
    for (size_t i = 0; i < series_.size(); ++i) {
      if (entries_[i].series == kNoSeries) continue;
      handles.insert(handles.end(), series_[i].end - series_[i].begin, entries_[i].series);
    }
    if (handles.empty()) return absl::OkStatus();
    absl::Status added;
    uint64_t wrong_time = 0;
    absl::Status why;
    if (fresh_.empty() && left_out_ == 0) {
      added = appender_.AddWhatFits(
          handles, std::span(batch_.timestamps_ms).subspan(series_.front().begin, handles.size()),
          std::span(batch_.values).subspan(series_.front().begin, handles.size()), &wrong_time,
          &why);
    } else {
      std::vector<int64_t> times;
      std::vector<double> values;
      times.reserve(handles.size());
      values.reserve(handles.size());
      for (size_t i = 0; i < series_.size(); ++i) {
        if (entries_[i].series == kNoSeries) continue;
        const auto series_times = TimesOf(series_[i]);
        const auto series_values = ValuesOf(series_[i]);
        times.insert(times.end(), series_times.begin(), series_times.end());
        values.insert(values.end(), series_values.begin(), series_values.end());
      }
      added = appender_.AddWhatFits(handles, times, values, &wrong_time, &why);
    }
    if (wrong_time > 0) refused->Refuse(wrong_time, FromAbsl(why.message()));
    return added;
  }

  absl::Status AddFresh(WriteReport* refused) {
    for (const Fresh& fresh : fresh_) {
      const auto times = TimesOf(series_[fresh.at]);
      const auto values = ValuesOf(series_[fresh.at]);
      for (size_t k = 0; k < times.size(); ++k) {
        const absl::Status added = appender_.Add(fresh.labels, times[k], values[k]);
        if (added.ok()) continue;
        if (!absl::IsInvalidArgument(added)) return added;
        refused->Refuse(1, FromAbsl(added.message()));
      }
    }
    return absl::OkStatus();
  }

  // A handle has died, and nobody says which.
  void ForgetHandles() {
    cache_.Forget(entries_);
    learned_.clear();
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (std::exchange(entries_[i].series, kNoSeries) != kNoSeries) LookUp(i);
    }
    // The last of two samples of one series and time wins.
    std::sort(fresh_.begin(), fresh_.end(),
              [](const Fresh& a, const Fresh& b) { return a.at < b.at; });
  }

  // There is no memory for new series, or no disk for anything: those that are known may still fit.
  bool LeaveOutFresh(const absl::Status& refusal) {
    if (fresh_.empty() || fresh_.size() + left_out_ == series_.size()) return false;
    for (const Fresh& fresh : std::exchange(fresh_, {})) {
      Refuse(fresh.at, FromAbsl(refusal.message()));
    }
    return true;
  }

  // Known from now on.
  void Learn() {
    for (const Fresh& fresh : fresh_) {
      const auto handle = appender_.Resolve(fresh.labels);
      if (handle.ok()) learned_.push_back({entries_[fresh.at].name, *handle});
    }
    if (!learned_.empty()) cache_.Insert(learned_);
  }

  const SeriesBatch& batch_;
  const std::span<const SeriesBatch::Series> series_;
  const LabelsOf& labels_of_;
  SeriesCache& cache_;
  Appender& appender_;
  std::vector<SeriesCache::Entry> entries_;  // of series_; kNoSeries: fresh, or left out
  std::vector<Fresh> fresh_;                 // in order
  std::vector<SeriesCache::Entry> learned_;  // for the cache
  size_t left_out_ = 0;
  WriteReport report_;
};

}  // namespace

absl::Status SeriesWriter::WriteMetadata(const SeriesBatch& batch, Appender* appender) const {
  for (const SeriesBatch::Metadata& named : batch.metadata) {
    const MetricMetadata known = known_->Metadata(named.metric);
    MetricMetadata metadata = known;
    if (!named.type.empty()) metadata.type = named.type;
    if (!named.help.empty()) metadata.help = named.help;
    if (!named.unit.empty()) metadata.unit = named.unit;
    if (metadata == known) continue;
    const absl::Status added = appender->SetMetadata(named.metric, metadata);
    if (!added.ok() && !absl::IsInvalidArgument(added)) return added;
  }
  // By itself, as the batches of samples may need several attempts. Nothing to do as a rule.
  return appender->Commit();
}

absl::Status SeriesWriter::Write(const SeriesBatch& batch, const LabelsOf& labels_of,
                                 uint64_t dialect, WriteReport* report) {
  const std::unique_ptr<Appender> appender = store_->NewAppender();
  TINYOBS_RETURN_IF_ERROR(WriteMetadata(batch, appender.get()));
  const std::span<const SeriesBatch::Series> all(batch.series);
  for (size_t first = 0; first < all.size();) {
    size_t end = first + 1;
    while (end < all.size() && all[end].end - all[first].begin <= kMostSamples) ++end;
    Part part(batch, all.subspan(first, end - first), labels_of, dialect, &cache_, appender.get());
    TINYOBS_RETURN_IF_ERROR(part.Store(report));
    first = end;
  }
  return absl::OkStatus();
}

}  // namespace tinyobs::wire
