// Everything a test ever wrote to a database, as a plain list in the order of writing, and what may
// be found of it after a crash.
//
// The list is the model: the state is what comes out of walking it from the start, the last write
// of a series and time counts. A prefix of it is durable, as the sync policy promised. After power
// loss each sample of that prefix must be there, in its state at the end of the prefix or as a
// later commit wrote it; a sample of a later commit may be there or not; nothing else may. When
// everything is durable that means exactly the state, and a commit that was under way is there as a
// whole or not at all.
#ifndef TINYOBS_TESTS_TSDB_DB_HISTORY_H_
#define TINYOBS_TESTS_TSDB_DB_HISTORY_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/strings.h"
#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {

// Empty when they are the same, else the first sample that is in only one of them or another value.
inline std::string Difference(const Model& found, const Model& expected) {
  for (const auto& [labels, points] : expected) {
    const auto series = found.find(labels);
    for (const auto& [time, bits] : points) {
      if (series == found.end() || series->second.count(time) == 0) {
        return StrCat("missing: ", labels, " at ", time);
      }
      if (const uint64_t other = series->second.at(time); other != bits) {
        return StrCat(labels, " at ", time, ": expected bits ", bits, ", found ", other);
      }
    }
  }
  for (const auto& [labels, points] : found) {
    const auto series = expected.find(labels);
    for (const auto& [time, bits] : points) {
      if (series == expected.end() || series->second.count(time) == 0) {
        return StrCat("unexpected: ", labels, " at ", time, " bits ", bits);
      }
    }
  }
  return found == expected ? "" : "a series without samples";
}

class History {
 public:
  struct Sample {
    std::string labels;
    int64_t timestamp_ms;
    uint64_t bits;
  };
  using Batch = std::vector<Sample>;

  // A commit was answered with OK at `now_ms`.
  void Acknowledge(Batch batch, int64_t now_ms) {
    commits_.push_back({std::move(batch), now_ms});
    ApplyTo(&state_, commits_.back().batch);
  }
  // What was acknowledged so far survives power loss; or what was at or before `time_ms`.
  void AllIsDurable() { durable_ = commits_.size(); }
  void IsDurableUntil(int64_t time_ms) {
    while (durable_ < commits_.size() && commits_[durable_].acknowledged_ms <= time_ms) ++durable_;
  }
  // Deletes samples, durably. Says nothing about the others.
  using Doomed = std::function<bool(const std::string& labels, int64_t timestamp_ms)>;
  void Erase(const Doomed& doomed) {
    EraseFrom(&state_, doomed);
    EraseFrom(&durable_state_, doomed);
    for (Commit& commit : commits_) {
      std::erase_if(commit.batch, [&](const Sample& sample) {
        return doomed(sample.labels, sample.timestamp_ms);
      });
    }
  }
  // Goes on from what was found after a crash and an open, which makes durable what it found.
  void StartFrom(const Model& found) {
    commits_.clear();
    durable_ = 0;
    state_ = found;
    durable_state_ = found;
  }

  const Model& state() const { return state_; }
  Model StateWith(const Batch& batch) const {
    Model state = state_;
    ApplyTo(&state, batch);
    return state;
  }
  size_t undurable_commits() const { return commits_.size() - durable_; }
  // The state after all but the last `count` commits.
  Model StateBefore(size_t count) const {
    Model state = durable_state_;
    for (size_t i = 0; i + count < commits_.size(); ++i) ApplyTo(&state, commits_[i].batch);
    return state;
  }
  Model InRange(TimeRange range) const {
    Model within;
    for (const auto& [labels, points] : state_) {
      for (auto at = points.lower_bound(range.from_ms);
           at != points.end() && at->first <= range.to_ms; ++at) {
        within[labels].insert(*at);
      }
    }
    return within;
  }

  // Empty when `found` is what power loss may leave, with `pending` (may be empty) under way; else
  // the first thing that is wrong.
  // `doomed` (may be null): what a deletion that was under way may have deleted.
  std::string WhyNotAfterPowerLoss(const Model& found, const Batch& pending,
                                   const Doomed& doomed = nullptr) const {
    const Model promised = StateBefore(undurable_commits());
    std::map<std::pair<std::string, int64_t>, std::vector<uint64_t>> later;
    for (size_t i = durable_; i < commits_.size(); ++i) AddTo(&later, commits_[i].batch);
    if (undurable_commits() == 0) {
      if (found == state_ || (!pending.empty() && found == StateWith(pending))) return "";
      // Say what differs below; if that finds nothing, a part of the pending batch is there.
    }
    AddTo(&later, pending);
    for (const auto& [labels, points] : promised) {
      const auto series = found.find(labels);
      for (const auto& [time, bits] : points) {
        if (series == found.end() || series->second.count(time) == 0) {
          if (doomed != nullptr && doomed(labels, time)) continue;
          return StrCat("lost although durable: ", labels, " at ", time);
        }
      }
    }
    for (const auto& [labels, points] : found) {
      const auto series = promised.find(labels);
      for (const auto& [time, bits] : points) {
        const auto written = later.find({labels, time});
        if (written != later.end() &&
            std::count(written->second.begin(), written->second.end(), bits) > 0) {
          continue;
        }
        if (series == promised.end() || series->second.count(time) == 0) {
          return StrCat("never written: ", labels, " at ", time, " bits ", bits);
        }
        if (series->second.at(time) != bits) {
          return StrCat("not the last write: ", labels, " at ", time, " bits ", bits);
        }
      }
    }
    return undurable_commits() == 0 && doomed == nullptr ? "a commit is there in part" : "";
  }

 private:
  struct Commit {
    Batch batch;
    int64_t acknowledged_ms;
  };
  static void ApplyTo(Model* model, const Batch& batch) {
    for (const Sample& sample : batch) (*model)[sample.labels][sample.timestamp_ms] = sample.bits;
  }
  static void EraseFrom(Model* model, const Doomed& doomed) {
    for (auto& [labels, points] : *model) {
      std::erase_if(points, [&](const auto& point) { return doomed(labels, point.first); });
    }
    std::erase_if(*model, [](const auto& series) { return series.second.empty(); });
  }
  static void AddTo(std::map<std::pair<std::string, int64_t>, std::vector<uint64_t>>* writes,
                    const Batch& batch) {
    for (const Sample& sample : batch) {
      (*writes)[{sample.labels, sample.timestamp_ms}].push_back(sample.bits);
    }
  }

  Model durable_state_;  // before the first commit of the list
  std::vector<Commit> commits_;
  size_t durable_ = 0;  // of commits_
  Model state_;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_TESTS_TSDB_DB_HISTORY_H_
