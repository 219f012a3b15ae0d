// Random operations on a database and on a plain map must agree, whatever happens in between: late
// and repeated samples, flushes, clean restarts, kills, power loss.
//
// Method: one seed decides everything and is printed; TINYOBS_TEST_SEED=n runs that one seed alone,
// TINYOBS_TEST_SEEDS=n the first n.
// Settings are tiny, so that a few hundred samples fill chunks, partitions, segments and memtables.
#include <cstdlib>
#include <random>

#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {
namespace {

using testing::Keep;

class DbModelTest : public DbTest {
 protected:
  void Start(uint64_t seed) {
    random_.seed(seed);
    options_.chunk_samples = 1 + Below(12);
    options_.partition_ms = 1000 + Below(20'000);
    options_.head_segment_bytes = 200 + Below(5000);
    options_.memory_budget_bytes = 64 << 10;
    options_.sync_policy = SyncPolicy::kAlways;
    Open();
  }

  uint64_t Below(uint64_t limit) { return random_() % limit; }

  Labels SomeLabels() {
    return Labels::Of(Below(2) ? "m" : "n", {{"host", std::to_string(Below(4))}});
  }
  // Mostly near the newest, sometimes anywhere.
  int64_t SomeTime() {
    now_ms_ += static_cast<int64_t>(Below(300));
    if (Below(5) > 0) return kStartMs + now_ms_;
    return kStartMs + now_ms_ - static_cast<int64_t>(Below(Below(2) ? 2000 : 60'000));
  }
  double SomeValue() {
    switch (Below(4)) {
      case 0:
        return static_cast<double>(Below(100));
      case 1:
        return std::bit_cast<double>(random_());
      case 2:
        return static_cast<double>(Below(10'000)) / 100;
      default:
        return Below(2) ? StaleNan() : -0.0;
    }
  }

  // Adds a batch of up to twenty samples; false when the disk has failed.
  bool WriteBatch() {
    Writer writer(db_.get(), &model_);
    for (uint64_t i = Below(20); i > 0; --i) {
      EXPECT_OK(writer.Add(SomeLabels(), SomeTime(), SomeValue()));
    }
    pending_ = model_;
    writer.ApplyTo(&pending_);
    return writer.Commit().ok();
  }

  void CheckRange() {
    const int64_t from = kStartMs + static_cast<int64_t>(Below(now_ms_ + 1));
    const int64_t to = from + static_cast<int64_t>(Below(20'000));
    Model expected;
    for (const auto& [labels, points] : model_) {
      for (const auto& [time, bits] : points) {
        if (time >= from && time <= to) expected[labels][time] = bits;
      }
    }
    ASSERT_EQ(Drain(db_->SelectAll({from, to})), expected) << from << " to " << to;
  }

  std::mt19937_64 random_;
  int64_t now_ms_ = 100'000;
  Model pending_;  // model_ with the batch on its way, should it have made it to the disk
};

std::vector<uint64_t> Seeds(uint64_t count) {
  if (const char* const one = std::getenv("TINYOBS_TEST_SEED")) {
    return {std::strtoull(one, nullptr, 10)};
  }
  if (const char* const many = std::getenv("TINYOBS_TEST_SEEDS")) {
    count = std::strtoull(many, nullptr, 10);
  }
  std::vector<uint64_t> seeds;
  for (uint64_t seed = 1; seed <= count; ++seed) seeds.push_back(seed);
  return seeds;
}

class Seeded : public DbModelTest, public ::testing::WithParamInterface<uint64_t> {};

TEST_P(Seeded, RandomOperationsAgreeWithAMap) {
  Start(GetParam());
  for (int operation = 0; operation < 300 && !HasFailure(); ++operation) {
    switch (Below(16)) {
      case 0:
        ASSERT_OK(db_->Flush());
        break;
      case 1:
        CloseAndReopen();
        break;
      case 2:
        Reopen();
        break;
      case 3:
        Kill();
        disk_.Crash({.keep_bytes = Keep::kNothing, .keep_names = Keep::kNothing});
        Open();
        break;
      case 4:
        clock_.AdvanceMs(static_cast<int64_t>(Below(40'000)));
        break;
      case 5:
        CheckRange();
        break;
      case 6:
      case 7:
        while (true) {
          auto more = db_->RunBackgroundWork();
          ASSERT_OK(more);
          if (!*more) break;
        }
        break;
      default:
        ASSERT_TRUE(WriteBatch());
    }
  }
  ASSERT_EQ(Everything(*db_), model_);
  ASSERT_OK(db_->Flush());
  ASSERT_EQ(Everything(*db_), model_);
  ASSERT_EQ(db_->Stats().samples, CountSamples(model_));
}

TEST_P(Seeded, AcknowledgedSamplesSurvivePowerCutsAtRandomMoments) {
  Start(GetParam());
  for (int life = 0; life < 12 && !HasFailure(); ++life) {
    disk_.PowerCutAfter(Below(60));
    pending_ = model_;
    for (int operation = 0; operation < 60; ++operation) {
      const uint64_t choice = Below(12);
      if (choice == 0) {
        if (!db_->Flush().ok()) break;
      } else if (choice == 1) {
        if (!db_->RunBackgroundWork().ok()) break;
      } else if (!WriteBatch()) {
        break;
      }
      pending_ = model_;
    }
    // The disk may have kept more than it had to; the batch that failed may be there, whole.
    Kill();
    disk_.Crash({.keep_bytes = Below(2) ? Keep::kTorn : Keep::kNothing,
                 .keep_names = Below(2) ? Keep::kTorn : Keep::kNothing,
                 .seed = Below(1000)});
    // A second cut while it opens.
    if (Below(2)) {
      disk_.PowerCutAfter(Below(30));
      auto interrupted = Db::Open("db", options_);
      interrupted = absl::UnavailableError("");
      disk_.Crash({.keep_bytes = Keep::kTorn, .keep_names = Keep::kTorn, .seed = Below(1000)});
    }
    Open();
    if (HasFatalFailure()) return;
    const Model found = Everything(*db_);
    if (found != model_) {
      ASSERT_EQ(found, pending_) << "life " << life;
    }
    model_ = found;
  }
  ASSERT_OK(db_->Flush());
  ASSERT_EQ(Everything(*db_), model_);
  ASSERT_EQ(db_->Stats().samples, CountSamples(model_));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Seeded, ::testing::ValuesIn(Seeds(20)));

}  // namespace
}  // namespace tinyobs::tsdb
