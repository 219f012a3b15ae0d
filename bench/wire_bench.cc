// What does a sample of remote write cost, from the bytes on the wire to the acknowledgement, and
// what part of it is whose? Does the cache of names pay?
//
// A scrape of 10,000 series of 8 labels each, one sample a series, in requests of 2,000 samples, as
// Prometheus sends them; a database in memory, so that no disk is measured.
//
//   bazel run -c opt //bench:wire_bench
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/strings.h"
#include "lib/wire/exposition_parse.h"
#include "lib/wire/remote_write.h"
#include "lib/wire/series_writer.h"
#include "tests/testing/write_request.h"
#include "tinyobs/db.h"

namespace tinyobs {
namespace {

constexpr int64_t kStart = 1'763'424'000'000;
constexpr int64_t kStepMs = 15'000;
constexpr int kSeries = 10'000;
constexpr int kSeriesOfRequest = 2'000;

Labels SeriesLabels(int i) {
  return Labels::Of(StrCat("node_cpu_seconds_total_", i % 50),
                    {{"instance", StrCat("10.0.", i / 500, ".", i % 250, ":9100")},
                     {"job", "node-exporter"},
                     {"region", "eu-central-1"},
                     {"environment", "production"},
                     {"cpu", StrCat(i % 16)},
                     {"mode", "system"},
                     {"pod", StrCat("node-exporter-", i * 7919 % 100'000)}});
}

// The requests of one scrape.
std::vector<WriteRequest> Scrape(int64_t time_ms) {
  static const std::vector<Labels> labels = [] {
    std::vector<Labels> out;
    for (int i = 0; i < kSeries; ++i) out.push_back(SeriesLabels(i));
    return out;
  }();
  std::vector<WriteRequest> requests;
  for (int i = 0; i < kSeries; ++i) {
    if (i % kSeriesOfRequest == 0) requests.emplace_back();
    requests.back().Series(labels[static_cast<size_t>(i)],
                           {{time_ms, static_cast<double>(time_ms / 1000 % 1000 * i)}});
  }
  return requests;
}

class Store {
 public:
  Store() {
    Options options;
    options.in_memory = true;
    options.background_threads = false;
    options.memory_budget_bytes = 512 << 20;
    options.max_series = 0;
    options.clock = &clock_;
    auto db = Db::Open("db", options);
    TINYOBS_CHECK(db.ok());
    db_ = *std::move(db);
  }
  Db* db() { return db_.get(); }
  void Rest() {
    while (*db_->RunBackgroundWork()) {
    }
    db_->DropBefore(clock_.NowMs() - 3'600'000).IgnoreError();
  }
  void SetNow(int64_t now_ms) { clock_.SetMs(now_ms); }

 private:
  ManualClock clock_{kStart};
  std::unique_ptr<Db> db_;
};

void Report(benchmark::State& state, size_t bytes) {
  state.SetItemsProcessed(state.iterations() * kSeries);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}

void BM_Unsnappy(benchmark::State& state) {
  std::vector<std::string> packed;
  size_t bytes = 0;
  for (const WriteRequest& request : Scrape(kStart)) {
    packed.push_back(request.Snappy());
    bytes += request.protobuf().size();
  }
  for (auto _ : state) {
    for (const std::string& body : packed) {
      std::string out;
      benchmark::DoNotOptimize(snappy::Uncompress(body.data(), body.size(), &out));
    }
  }
  Report(state, bytes);
}
BENCHMARK(BM_Unsnappy);

void BM_Decode(benchmark::State& state) {
  const auto requests = Scrape(kStart);
  size_t bytes = 0;
  for (const auto& request : requests) bytes += request.protobuf().size();
  wire::RemoteWrite decoded;
  for (auto _ : state) {
    for (const auto& request : requests) {
      TINYOBS_CHECK(wire::DecodeRemoteWrite(request.protobuf(), &decoded).ok());
    }
  }
  Report(state, bytes);
}
BENCHMARK(BM_Decode);

// With a cache of 0 bytes (256 names) each series is found by its labels.
void BM_DecodeAndStore(benchmark::State& state) {
  Store store;
  wire::SeriesWriter writer(store.db(), store.db(), static_cast<size_t>(state.range(0)));
  int64_t time_ms = kStart;
  for (auto _ : state) {
    state.PauseTiming();
    time_ms += kStepMs;
    store.SetNow(time_ms);
    if (time_ms / kStepMs % 240 == 0) store.Rest();
    const auto requests = Scrape(time_ms);
    state.ResumeTiming();
    for (const auto& request : requests) {
      wire::RemoteWrite decoded;
      wire::WriteReport report;
      TINYOBS_CHECK(wire::DecodeRemoteWrite(request.protobuf(), &decoded).ok());
      TINYOBS_CHECK(writer.Write(decoded.batch, wire::RemoteWriteLabels, 1, &report).ok());
      TINYOBS_CHECK(report.refused == 0);
    }
  }
  Report(state, 0);
}
BENCHMARK(BM_DecodeAndStore)->Arg(0)->Arg(4 << 20);

void BM_ImportText(benchmark::State& state) {
  Store store;
  wire::SeriesWriter writer(store.db(), store.db(), 4 << 20);
  std::string text;
  for (int i = 0; i < kSeries; ++i) StrAppend(&text, SeriesLabels(i).ToString(), " ", i, ".5\n");
  int64_t time_ms = kStart;
  const wire::LabelsOf labels_of = [](std::string_view name) {
    return wire::ExpositionLabels(name);
  };
  for (auto _ : state) {
    state.PauseTiming();
    time_ms += kStepMs;
    store.SetNow(time_ms);
    if (time_ms / kStepMs % 240 == 0) store.Rest();
    state.ResumeTiming();
    wire::ExpositionReader reader(text, time_ms, false);
    wire::SeriesBatch batch;
    wire::WriteReport report;
    while (reader.Next(&batch, &report)) {
      TINYOBS_CHECK(writer.Write(batch, labels_of, 2, &report).ok());
    }
    TINYOBS_CHECK(report.refused == 0);
  }
  Report(state, text.size());
}
BENCHMARK(BM_ImportText);

}  // namespace
}  // namespace tinyobs
