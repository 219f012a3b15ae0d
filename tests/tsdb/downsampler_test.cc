// That windows are what the definition says, whatever order samples came in, and that no more work
// is done than what changed.
#include <random>

#include "lib/base/memory_accountant.h"
#include "tests/tsdb/downsampler_testing.h"

namespace tinyobs::tsdb {
namespace {

TEST_F(DownsamplerTest, PartitionsThatAreOverBecomeWindows) {
  for (int64_t hour = 0; hour < 14; ++hour) {
    Write(HourOf(hour, 1000.0 * static_cast<double>(hour), 0.25));
    Write(HourOf(hour, 20.5, -0.01), kSeries + 1);
  }
  const int64_t closed_ms = kStartMs + 13 * kHourMs;  // the last is not over
  Run(closed_ms);
  CheckTiers(closed_ms);
  EXPECT_EQ(ReadTier(Tier::kFiveMinutes)[kSeries].size(), 13u * 12);
  EXPECT_EQ(ReadTier(Tier::kOneHour)[kSeries].size(), 12u) << "of the half day that is over";
  // One row each of what is joined, one for each hour of what is not.
  EXPECT_EQ(chunks_->Totals(Tier::kFiveMinutes).chunks, 2u + 2);
  EXPECT_EQ(chunks_->Totals(Tier::kOneHour).chunks, 2u);
  // A second run has nothing to do.
  const uint64_t written = ds().rows_written();
  Run(closed_ms);
  EXPECT_EQ(ds().rows_written(), written);
}

TEST_F(DownsamplerTest, APartitionThatIsNotOverStaysRaw) {
  Write(HourOf(0, 1, 1));
  Run(kStartMs + kHourMs - 1);
  EXPECT_EQ(chunks_->Totals(Tier::kFiveMinutes).chunks, 0u);
  EXPECT_FALSE(chunks_->Marks({}).raw[0].in_coarser);
  Run(kStartMs + kHourMs);
  EXPECT_TRUE(chunks_->Marks({}).raw[0].in_coarser);
  CheckTiers(kStartMs + kHourMs);
}

// Late samples, by less than the grace or by days, while the day and the eight days are open or
// over.
TEST_F(DownsamplerTest, LateSamplesTouchOnlyTheirSeriesAndPartitions) {
  constexpr int kHours = 8 * 24 + 12 + 3;  // eight days that are over, half a day, three hours
  std::vector<std::pair<SeriesId, Samples>> batch;
  for (int64_t hour = 0; hour < kHours; ++hour) {
    batch.clear();
    for (int i = -3; i <= 3; ++i) {
      Samples samples;
      for (int k = 0; k < 6; ++k) samples[kStartMs + hour * kHourMs + k * 10 * kMinuteMs] = i + k;
      batch.push_back({kSeries + i, samples});
    }
    ASSERT_OK(TryWrite(batch));
  }
  const int64_t closed_ms = kStartMs + kHours * kHourMs;
  Run(closed_ms);
  CheckTiers(closed_ms);
  EXPECT_EQ(chunks_->Totals(Tier::kFiveMinutes).chunks, 17u * 7 + 3 * 7);
  EXPECT_EQ(chunks_->Totals(Tier::kOneHour).chunks, 7u + 7) << "eight days joined, and half a day";

  struct Late {
    int64_t hour;
    uint64_t rows;  // written for it
  };
  // An hour of the open day: its row. Of a day that is over: the day's row, its row in the eight
  // days. Of eight days that are over: the day's row, that of the eight days.
  for (const Late& late : {Late{kHours - 1, 1}, Late{8 * 24 + 5, 2}, Late{3, 2}, Late{100, 2}}) {
    SCOPED_TRACE(late.hour);
    const uint64_t rows = ds().rows_written();
    const uint64_t series = ds().series_done();
    Write({{kStartMs + late.hour * kHourMs + 7 * kMinuteMs, 100.0}}, kSeries + 2);
    const uint32_t partition = RawNumber(late.hour);
    for (const auto& mark : chunks_->Marks({}).raw) {
      EXPECT_EQ(mark.in_coarser, mark.partition != partition);
    }
    EXPECT_EQ(chunks_->Totals().touched, 1u);
    Run(closed_ms);
    EXPECT_EQ(ds().rows_written() - rows, late.rows);
    EXPECT_EQ(ds().series_done() - series, late.rows) << "the raw one, and that of the day";
    EXPECT_EQ(chunks_->Totals().touched, 0u);
    CheckTiers(closed_ms);
    if (HasFatalFailure()) return;
  }
  // The same sample once more changes nothing, so nothing is written.
  const uint64_t rows = ds().rows_written();
  Write({{kStartMs + 100 * kHourMs + 7 * kMinuteMs, 100.0}}, kSeries + 2);
  Run(closed_ms);
  EXPECT_EQ(ds().rows_written(), rows);
  CheckTiers(closed_ms);
}

TEST_F(DownsamplerTest, APartitionThatCameAsAWholeTooLateIsSplicedIn) {
  for (const int64_t hour : {0, 1, 3, 11, 30, 250}) Write(HourOf(hour, 5, 0.01));
  const int64_t closed_ms = kStartMs + 400 * kHourMs;
  Run(closed_ms);
  CheckTiers(closed_ms);
  for (const int64_t hour : {2, 29, 31, 100, 190}) Write(HourOf(hour, 7, 0.02));
  Write(HourOf(2, 9, 0), kSeries - 1);
  Run(closed_ms);
  CheckTiers(closed_ms);
}

TEST_F(DownsamplerTest, ARunEndsHoweverMuchComesLate) {
  for (int64_t hour = 0; hour < 4; ++hour) Write(HourOf(hour, 5, 0.01));
  const int64_t closed_ms = kStartMs + 4 * kHourMs;
  Run(closed_ms);
  int rounds = 0;
  bool more = true;
  Write({{kStartMs + 1, 1}});
  for (; more && rounds < 1000; ++rounds) {
    const auto stepped = ds().Step(closed_ms);
    ASSERT_OK(stepped);
    more = *stepped;
    Write({{kStartMs + 1, rounds * 0.5}});
  }
  EXPECT_LT(rounds, 10);
  Run(closed_ms);
  CheckTiers(closed_ms);
}

// More series than one step, one hold of the turn and one batch take.
TEST_F(DownsamplerTest, ManySeriesAreDoneInBoundedSteps) {
  memtable_bytes_ = 16 << 10;  // batches of 4 KiB
  constexpr int kCount = 500;
  std::vector<std::pair<SeriesId, Samples>> batch;
  for (int64_t hour = 0; hour < 3; ++hour) {
    batch.clear();
    for (int i = 0; i < kCount; ++i) {
      batch.push_back({kSeries + i, {{kStartMs + hour * kHourMs + i * 1000, i}}});
    }
    ASSERT_OK(TryWrite(batch));
  }
  const int64_t closed_ms = kStartMs + 20 * kHourMs;
  Run(closed_ms);
  EXPECT_GT(steps_, 8u);
  CheckTiers(closed_ms);
  for (auto& [series, samples] : batch) samples = {{kStartMs + kHourMs + 5, 3}};
  ASSERT_OK(TryWrite(batch));
  EXPECT_EQ(chunks_->Totals().touched, uint64_t{kCount});
  Run(closed_ms);
  EXPECT_EQ(chunks_->Totals().touched, 0u);
  CheckTiers(closed_ms);
}

// As many samples as are not gathered at once; some of them in chunks that overlap.
TEST_F(DownsamplerTest, ASeriesThatIsLargerThanMemoryIsDoneWindowByWindow) {
  MemoryAccountant memory(0);
  MemoryAccount* const account = memory.NewAccount("downsampling");
  downsampler_.emplace(&*chunks_, account, memtable_bytes_);
  for (int64_t chunk = 0; chunk < 360; ++chunk) {  // each 3 ms a sample
    Samples samples;
    for (int i = 0; i < 3333; ++i) {
      samples[kStartMs + chunk * 10'000 + i * 3] = static_cast<double>(chunk * 3333 + i) / 100;
    }
    Write(samples);
  }
  Write({{kStartMs + 1, 0.5}, {kStartMs + 30 * kMinuteMs + 1, 0.5}});
  Write(HourOf(0, 1, 1), kSeries + 1);
  ASSERT_GT(model_[kSeries].size(), size_t{1} << 20);
  Run(kStartMs + kHourMs);
  CheckTiers(kStartMs + kHourMs);
  EXPECT_EQ(account->used(), 0u);
}

// The same samples, cut into chunks otherwise and with values that are no decimals.
TEST_F(DownsamplerTest, HowSamplesWereCutIntoChunksDoesNotMatter) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> value(-1, 1);
  Samples samples;
  for (int i = 0; i < 3000; ++i) {
    samples[kStartMs + i * 1000] =
        i % 3 == 0 ? std::round(value(random) * 100) / 100 : value(random);
  }
  std::map<std::string, std::string> first;
  for (const size_t cut : {50, 240, 1000, 77}) {
    SCOPED_TRACE(cut);
    Samples chunk;
    for (const auto& [time, x] : samples) {
      chunk[time] = x;
      if (chunk.size() == cut) {
        Write(chunk);
        chunk.clear();
      }
    }
    if (!chunk.empty()) Write(chunk);
    Run(kStartMs + 12 * kHourMs);
    std::map<std::string, std::string> rows = Rows();
    std::erase_if(rows, [](const auto& row) { return row.first[0] == '\0'; });
    if (first.empty()) first = rows;
    EXPECT_EQ(rows, first);
    ASSERT_GE(rows.size(), 2u);
    ASSERT_OK(chunks_->DeleteRange({&kSeries, 1}, {}));
    ASSERT_OK(ds().DeleteRange({&kSeries, 1}, {}));
    EXPECT_TRUE(ReadTier(Tier::kFiveMinutes).empty());
    EXPECT_TRUE(ReadTier(Tier::kOneHour).empty());
    EXPECT_TRUE(Rows().empty()) << "nothing is left of a partition without a sample";
  }
}

TEST_F(DownsamplerTest, DeletingTakesWindowsBack) {
  for (int64_t hour = 0; hour < 30; ++hour) {
    Write(HourOf(hour, 5, 0.01));
    Write(HourOf(hour, 5, -0.01), kSeries + 1);
  }
  const int64_t closed_ms = kStartMs + 30 * kHourMs;
  Run(closed_ms);
  const TimeRange range{kStartMs + 3 * kHourMs + 7 * kMinuteMs, kStartMs + 5 * kHourMs + 1};
  ASSERT_OK(chunks_->DeleteRange({&kSeries, 1}, range));
  Forget(&model_, kSeries, range.from_ms, range.to_ms);
  ASSERT_OK(ds().DeleteRange({&kSeries, 1}, range));
  EXPECT_EQ(chunks_->Totals().touched, 0u);
  CheckTiers(closed_ms);
}

// Where the samples are gone, whole windows go; what is coarser and was made of what is there is
// made anew.
TEST_F(DownsamplerTest, DeletingWhatIsLeftOfDroppedSamplesTakesWholeWindows) {
  for (int64_t hour = 0; hour < 40; ++hour) {
    Write(HourOf(hour, 5, 0.01));
    Write(HourOf(hour, 5, -0.01), kSeries + 1);
  }
  const int64_t closed_ms = kStartMs + 40 * kHourMs;
  Run(closed_ms);
  const TierModel before = ReadTier(Tier::kFiveMinutes);
  const TierModel hours_before = ReadTier(Tier::kOneHour);
  // Raw from hour 24 on, 5m from hour 12 on.
  ASSERT_OK(chunks_->DropBefore(
      chunks_->EndsAt(kStartMs + 24 * kHourMs, kStartMs + 12 * kHourMs, INT64_MIN)));
  EXPECT_EQ(chunks_->Marks({}).raw_from_ms, kStartMs + 24 * kHourMs);
  EXPECT_EQ(chunks_->Marks({}).five_minutes_from_ms, kStartMs + 12 * kHourMs);
  // Nothing left is known of the first 12 hours but hours, of the next but 5m.
  const TimeRange range{kStartMs + 11 * kHourMs + 1, kStartMs + 13 * kHourMs + 5 * kMinuteMs};
  ASSERT_OK(chunks_->DeleteRange({&kSeries, 1}, range));
  ASSERT_OK(ds().DeleteRange({&kSeries, 1}, range));
  const auto overlaps = [&](const chunk::Window& window, int64_t width_ms) {
    return window.start_ms <= range.to_ms && window.start_ms + width_ms > range.from_ms;
  };
  const auto texts = [](const WindowList& windows) {
    std::vector<std::string> texts;
    for (const chunk::Window& window : windows) texts.push_back(Text(window));
    return texts;
  };
  WindowList five_minutes = before.at(kSeries);
  std::erase_if(five_minutes, [&](const chunk::Window& window) {
    return window.start_ms < kStartMs + 12 * kHourMs || overlaps(window, 5 * kMinuteMs);
  });
  EXPECT_EQ(texts(ReadTier(Tier::kFiveMinutes)[kSeries]), texts(five_minutes));
  WindowList hours = hours_before.at(kSeries);
  std::erase_if(hours, [&](const chunk::Window& window) {
    return window.start_ms < kStartMs + 12 * kHourMs && overlaps(window, kHourMs);
  });
  std::erase_if(hours, [&](const chunk::Window& window) {
    return window.start_ms >= kStartMs + 12 * kHourMs && window.start_ms < kStartMs + 14 * kHourMs;
  });
  const WindowList again = chunk::Rollup(five_minutes, kHourMs);
  for (const chunk::Window& window : again) {
    if (window.start_ms >= kStartMs + 12 * kHourMs && window.start_ms < kStartMs + 14 * kHourMs) {
      hours.push_back(window);
    }
  }
  std::sort(hours.begin(), hours.end(),
            [](const auto& a, const auto& b) { return a.start_ms < b.start_ms; });
  EXPECT_EQ(texts(ReadTier(Tier::kOneHour)[kSeries]), texts(hours));
  // The other series has all it had.
  EXPECT_EQ(texts(ReadTier(Tier::kOneHour)[kSeries + 1]), texts(hours_before.at(kSeries + 1)));
  Run(closed_ms);
  EXPECT_EQ(texts(ReadTier(Tier::kOneHour)[kSeries]), texts(hours));
}

TEST_F(DownsamplerTest, TiersAreDroppedEachForItself) {
  for (int64_t hour = 0; hour < 16 * 12 + 30; ++hour) Write(HourOf(hour, 5, 0.01));
  const int64_t closed_ms = kStartMs + (16 * 12 + 30) * kHourMs;
  Run(closed_ms);
  const TierModel hours = ReadTier(Tier::kOneHour);
  Write({{kStartMs + 3, 17}});  // touched when it goes
  EXPECT_EQ(chunks_->Totals().touched, 1u);
  const auto ends = chunks_->EndsAt(kStartMs + 100 * kHourMs, kStartMs + 50 * kHourMs, INT64_MIN);
  EXPECT_EQ(ends[Tier::kIdle], RawNumber(0)) << "the hours are there";
  EXPECT_EQ(*chunks_->DropBefore(ends), 100u + 4);
  EXPECT_EQ(chunks_->Totals().touched, 0u);
  EXPECT_EQ(chunks_->Partitions({}).front(), RawNumber(100));
  EXPECT_EQ(ReadTier(Tier::kFiveMinutes)[kSeries].front().start_ms, kStartMs + 48 * kHourMs);
  EXPECT_EQ(ReadTier(Tier::kOneHour)[kSeries].size(), hours.at(kSeries).size());
  EXPECT_EQ(*chunks_->LastPartitionOf(kSeries), RawNumber(16 * 12 + 29));
  // Of a coarser tier nothing goes that a finer one still has.
  const auto all = chunks_->EndsAt(kStartMs + 120 * kHourMs, INT64_MAX, INT64_MAX);
  EXPECT_EQ(all[Tier::kFiveMinutes],
            chunks_->partitioning(Tier::kFiveMinutes).NumberOf(kStartMs + 120 * kHourMs));
  EXPECT_EQ(all[Tier::kOneHour], chunks_->partitioning(Tier::kOneHour).NumberOf(kStartMs));
  // Only hours: the series is still there. Without them its time is over.
  ASSERT_OK(chunks_->DropBefore(chunks_->EndsAt(closed_ms, closed_ms, INT64_MIN)));
  EXPECT_EQ(chunks_->Totals().samples, 0u);
  EXPECT_EQ(*chunks_->LastPartitionOf(kSeries), RawNumber(19 * 12 - 1)) << "5m are there";
  ASSERT_OK(
      chunks_->DropBefore(chunks_->EndsAt(closed_ms, closed_ms, kStartMs + 16 * 12 * kHourMs)));
  EXPECT_EQ(ReadTier(Tier::kOneHour)[kSeries].front().start_ms, kStartMs + 192 * kHourMs);
  EXPECT_EQ(chunks_->EndsAt(closed_ms, closed_ms, INT64_MIN)[Tier::kIdle], RawNumber(192));
  ASSERT_OK(chunks_->DropBefore(chunks_->EndsAt(INT64_MAX, INT64_MAX, INT64_MAX)));
  EXPECT_EQ(*chunks_->LastPartitionOf(kSeries), std::nullopt);
  // All of that is as durable as what it was made of.
  model_.clear();
  durable_.clear();
  Kill();
  EXPECT_TRUE(ReadTier(Tier::kOneHour).empty());
  EXPECT_EQ(chunks_->DroppedBefore(Tier::kRaw), RawNumber(16 * 12 + 30));
}

TEST_F(DownsamplerTest, WindowsOfWhatWasDroppedAreNotMadeAnew) {
  Write(HourOf(0, 5, 0.01));
  Write(HourOf(1, 5, 0.01));
  Run(kStartMs + 3 * kHourMs);
  const TierModel before = ReadTier(Tier::kFiveMinutes);
  ASSERT_OK(chunks_->DropBefore(chunks_->EndsAt(kStartMs + kHourMs, INT64_MIN, INT64_MIN)));
  Write({{kStartMs + 5, 1}});  // nobody refuses it here
  Run(kStartMs + 3 * kHourMs);
  EXPECT_EQ(ReadTier(Tier::kFiveMinutes).at(kSeries).size(), before.at(kSeries).size());
}

TEST_F(DownsamplerTest, ADamagedChunkStopsItsPartitionOnly) {
  for (int64_t hour = 0; hour < 3; ++hour) Write(HourOf(hour, 5, 0.01));
  const std::string key =
      EncodeChunkKey(RawChunkKey(chunks_->partitioning(), kSeries, kStartMs + kHourMs));
  std::string value;
  ASSERT_OK(store_->Get(key, &value));
  ASSERT_OK(store_->Put(key, value.substr(0, value.size() / 2)));
  const int64_t closed_ms = kStartMs + 3 * kHourMs;
  int errors = 0;
  while (true) {
    const auto more = ds().Step(closed_ms);
    if (!more.ok()) {
      EXPECT_CODE(more, absl::StatusCode::kDataLoss);
      ++errors;
      continue;
    }
    if (!*more) break;
  }
  EXPECT_EQ(errors, 1);
  const TierMarks marks = chunks_->Marks({});
  EXPECT_TRUE(marks.raw[0].in_coarser);
  EXPECT_FALSE(marks.raw[1].in_coarser);
  EXPECT_TRUE(marks.raw[2].in_coarser);
  ASSERT_OK(store_->Put(key, value));
  Run(closed_ms);
  CheckTiers(closed_ms);
}

// After a repair: the counts are those of what is left, and everything is looked at again.
// What has expired is not waited for: the damaged chunk is lost, the others of its series are not.
TEST_F(DownsamplerTest, ADamagedChunkThatHasExpiredIsLostAlone) {
  for (int64_t hour = 0; hour < 3; ++hour) {
    for (int part = 0; part < 2; ++part) {
      Write(Regular(kStartMs + hour * kHourMs + part * kHourMs / 2, kMinuteMs, 30, 1));
    }
    Write(HourOf(hour, 7, 0), kNext);
  }
  for (const int64_t hour : {1, 2}) {
    const std::string key =
        EncodeChunkKey(RawChunkKey(partitioning_, kSeries, kStartMs + hour * kHourMs));
    std::string value;
    ASSERT_OK(store_->Get(key, &value));
    ASSERT_OK(store_->Put(key, value.substr(0, value.size() / 2)));
  }
  Losses losses;
  losses.before_ms[0] = kStartMs + 2 * kHourMs;
  int errors = 0;
  for (bool more = true; more;) {
    const auto step = ds().Step(kStartMs + 3 * kHourMs, &losses);
    if (!step.ok()) {
      EXPECT_CODE(step, absl::StatusCode::kDataLoss);
      ++errors;
    }
    more = !step.ok() || *step;
  }
  EXPECT_EQ(errors, 1);  // of the third hour, which has not expired
  EXPECT_EQ(losses.count, 1u);
  EXPECT_CODE(losses.last, absl::StatusCode::kDataLoss);
  EXPECT_TRUE(chunks_->Marks({}).raw[1].in_coarser);
  EXPECT_FALSE(chunks_->Marks({}).raw[2].in_coarser);
  Forget(&model_, kSeries, kStartMs + kHourMs, kStartMs + kHourMs + kHourMs / 2 - 1);
  for (const SeriesId id : {kSeries, kNext}) {
    Forget(&model_, id, kStartMs + 2 * kHourMs, INT64_MAX);
    const WindowList expected = WindowsOf(model_[id], WidthMs(Tier::kFiveMinutes));
    const WindowList found = ReadTier(Tier::kFiveMinutes)[id];
    ASSERT_EQ(found.size(), expected.size()) << id;
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].start_ms, expected[i].start_ms);
      EXPECT_EQ(found[i].count, expected[i].count);
    }
  }
}

// Blocks have checksums: damage on a disk makes all that is in one unreadable, and nothing else.
TEST_F(DownsamplerTest, BehindADamagedBlockThatHasExpiredTheRestIsFound) {
  constexpr SeriesId kMany = 400;
  const auto id_of = [](SeriesId i) { return (i % 2 + 1) << 32 | (i / 2 * 5); };  // of two metrics
  for (SeriesId i = 0; i < kMany; ++i) {
    Samples samples;
    for (int k = 0; k < 60; ++k) {
      samples[kStartMs + k * kMinuteMs] =
          static_cast<double>((i * 60 + static_cast<SeriesId>(k)) * 2654435761 % 1'000'003);
    }
    Write(samples, id_of(i));
  }
  Flush();
  for (const int place : {0, 3, 7, 10}) {
    SCOPED_TRACE(place);
    Kill();
    std::string path, good;
    for (const std::string& file : disk_.Files()) {
      if (!file.ends_with(".sst")) continue;
      ASSERT_OK_AND_ASSIGN(const std::string bytes, disk_.Contents(file));
      if (bytes.size() > good.size()) path = file, good = bytes;
    }
    std::string bad = good;
    bad[good.size() * static_cast<size_t>(place) / 12] ^= 1;
    Close();
    ASSERT_OK(disk_.SetContents(path, bad));
    Open();
    EXPECT_CODE(TryRun(kStartMs + kHourMs), absl::StatusCode::kDataLoss);
    Losses losses;
    losses.before_ms[0] = kStartMs + kHourMs;
    for (int run = 0; run < 2; ++run) {  // the first is the end of the one that failed
      for (bool more = true; more;) {
        ASSERT_OK_AND_ASSIGN(more, ds().Step(kStartMs + kHourMs, &losses));
      }
    }
    EXPECT_GT(losses.count, 0u);
    EXPECT_TRUE(chunks_->Counts(Tier::kRaw).front().second.InCoarser());
    const size_t found = ReadTier(Tier::kFiveMinutes).size();
    EXPECT_GE(found, kMany - 100);  // some 90 of these chunks are in a block
    EXPECT_LT(found, kMany);
    downsampler_.reset();
    Close();
    ASSERT_OK(disk_.SetContents(path, good));
    Open();
  }
}

TEST_F(DownsamplerTest, ARecountBringsWindowsUpToDateWithWhatIsLeft) {
  for (int64_t hour = 0; hour < 24; ++hour) {
    Write(HourOf(hour, 5, 0.01));
    Write(HourOf(hour, 5, -0.01), kSeries + 1);
  }
  const int64_t closed_ms = kStartMs + 24 * kHourMs;
  Run(closed_ms);
  // Some of all is lost: partition rows, rows of windows of both tiers.
  for (const std::string& prefix :
       {RowPrefix(RowKind::kPartition),
        SeriesPrefix(Tier::kFiveMinutes, chunks_->Partitions({}, Tier::kFiveMinutes)[1], kSeries),
        SeriesPrefix(Tier::kOneHour, chunks_->Partitions({}, Tier::kOneHour)[0], kSeries + 1)}) {
    lsm::ReadOptions options;
    options.prefix = prefix;
    const auto rows = store_->NewIterator(options);
    for (rows->SeekToFirst(); rows->Valid(); rows->Next()) ASSERT_OK(store_->Delete(rows->key()));
  }
  Flush();
  downsampler_.reset();
  Close();
  Open();
  EXPECT_EQ(chunks_->Totals().samples, 0u);
  const auto highest = chunks_->Recount();
  ASSERT_OK(highest);
  EXPECT_EQ(highest->series, static_cast<uint32_t>(kSeries + 1));
  EXPECT_FALSE(chunks_->Marks({}).raw[0].in_coarser);
  ReadTier(Tier::kFiveMinutes);  // checks the counts
  Run(closed_ms);
  CheckTiers(closed_ms);
  EXPECT_EQ(chunks_->Totals().touched, 0u);
}

// Everything at random: order of arrival, resets, gaps, NaN, deletions, when a run comes and how
// far it gets, crashes.
TEST_F(DownsamplerTest, RandomSeriesAreWhatTheDefinitionSays) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto up_to = [&random](uint64_t n) { return static_cast<int64_t>(random() % (n + 1)); };
    downsampler_.reset();
    Close();
    disk_.Crash();
    for (const std::string& path : disk_.Files()) ASSERT_OK(disk_.DeleteFile(path));
    Open();
    if (HasFatalFailure()) return;
    model_.clear();
    durable_.clear();
    memtable_bytes_ = seed % 2 == 0 ? 8 << 20 : 2 << 10;
    int64_t now_ms = kStartMs;
    for (int step = 0; step < 60; ++step) {
      const int64_t what = up_to(19);
      if (what < 12) {  // a chunk, sometimes late by much
        if (up_to(2) > 0) now_ms += up_to(9 * kHourMs);
        const int64_t hour = (now_ms - kStartMs) / kHourMs - (up_to(2) == 0 ? up_to(60) : 0);
        const int64_t begin_ms = kStartMs + hour * kHourMs + up_to(50 * kMinuteMs);
        Samples samples;
        double value = static_cast<double>(up_to(1000)) / 100;
        for (int64_t t = begin_ms; t < kStartMs + (hour + 1) * kHourMs && samples.size() < 60;
             t += 1 + up_to(up_to(3) == 0 ? 9 * kMinuteMs : kMinuteMs)) {
          value = up_to(15) == 0 ? 0.5 : value + static_cast<double>(up_to(200)) / 100;
          value = std::round(value * 100) / 100;
          samples[t] = up_to(25) == 0 ? (up_to(1) == 0 ? std::nan("") : StaleNan()) : value;
        }
        if (!samples.empty()) Write(samples, kSeries - 3 + up_to(6));
      } else if (what < 15) {
        const auto times = up_to(6);
        for (int64_t i = 0; i < times; ++i) ASSERT_OK(ds().Step(now_ms));
      } else if (what == 15) {
        const SeriesId series = kSeries - 3 + up_to(6);
        const int64_t from_ms = now_ms - up_to(40 * kHourMs);
        const TimeRange range{from_ms, from_ms + up_to(9 * kHourMs)};
        ASSERT_OK(chunks_->DeleteRange({&series, 1}, range));
        Forget(&model_, series, range.from_ms, range.to_ms);
        ASSERT_OK(ds().DeleteRange({&series, 1}, range));
      } else if (what == 16) {
        Kill();
      } else if (what == 17) {
        Flush();
      } else if (what == 18) {
        Merge(now_ms);
      } else {
        Run(now_ms);
        CheckTiers(now_ms);
      }
      if (HasFatalFailure()) return;
    }
    now_ms += 30 * kHourMs;
    Run(now_ms);
    CheckTiers(now_ms);
    if (HasFatalFailure()) return;
    EXPECT_EQ(chunks_->Totals().touched, 0u);
    Kill();
    Run(now_ms);
    CheckTiers(now_ms);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace tinyobs::tsdb
