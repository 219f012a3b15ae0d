// What a program sees of the client: metrics, labels, guards, and what leaves the process.
#include "tinyobs/sdk/client.h"

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "tests/sdk/fake_transport.h"

namespace tinyobs::sdk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class ClientTest : public ::testing::Test {
 protected:
  // Nothing is sent but by Flush and Stop.
  std::unique_ptr<Client> Started(Config config = {}) {
    config.service = "shop";
    config.clock = &clock_;
    config.flush_every_ms = 3'600'000;
    auto client = Client::Create(config, std::make_unique<BorrowedTransport>(&transport_));
    EXPECT_TRUE(client.ok()) << client.status();
    EXPECT_TRUE((*client)->Start().ok());
    EXPECT_TRUE((*client)->Flush().ok());
    return *std::move(client);
  }

  // Series and value of the last flush.
  std::map<std::string, double> FlushedBy(Client& client) {
    const size_t before = transport_.samples().size();
    EXPECT_TRUE(client.Flush().ok());
    std::map<std::string, double> result;
    const auto samples = transport_.samples();
    for (size_t i = before; i < samples.size(); ++i) result[samples[i].series] = samples[i].value;
    return result;
  }

  ManualClock clock_{1'700'000'000'000};
  FakeTransport transport_;
};

TEST_F(ClientTest, CountersAreSentAsRunningTotalsWithServiceAndTime) {
  auto client = Started();
  Counter& requests = client->counter("requests_total");
  requests.Inc({{"method", "GET"}});
  requests.Add(2, {{"method", "GET"}});
  requests.Inc({{"method", "PUT"}});
  EXPECT_THAT(FlushedBy(*client),
              ElementsAre(Pair(R"(requests_total{method="GET",service="shop"})", 3),
                          Pair(R"(requests_total{method="PUT",service="shop"})", 1)));
  clock_.AdvanceMs(5000);
  requests.Inc({{"method", "GET"}});
  EXPECT_THAT(FlushedBy(*client),
              ElementsAre(Pair(R"(requests_total{method="GET",service="shop"})", 4),
                          Pair(R"(requests_total{method="PUT",service="shop"})", 1)));
  const auto samples = transport_.samples();
  EXPECT_EQ(samples.front().kind, "counter");
  EXPECT_EQ(samples.front().timestamp_ms, 1'700'000'000'000);
  EXPECT_EQ(samples.back().timestamp_ms, 1'700'000'005'000);
}

TEST_F(ClientTest, InvalidAmountsChangeNothingAndAreCounted) {
  auto client = Started();
  const double nan = std::nan("");
  const double infinity = std::numeric_limits<double>::infinity();
  client->counter("c").Add(5);
  client->counter("c").Add(-1);
  client->counter("c").Add(nan);
  client->gauge("g").Set(7);
  client->gauge("g").Set(nan);
  client->gauge("g").Add(-infinity);
  client->histogram("h").Observe(nan);
  const auto flushed = FlushedBy(*client);
  EXPECT_EQ(flushed.at(R"(c{service="shop"})"), 5);
  EXPECT_EQ(flushed.at(R"(g{service="shop"})"), 7);
  EXPECT_EQ(flushed.at(R"(h_count{service="shop"})"), 0);
  EXPECT_EQ(client->Stats().updates_invalid, 5u);
  EXPECT_TRUE(client->status().ok());
}

TEST_F(ClientTest, GaugeThatOverflowsIsLeftOutInsteadOfSpoilingTheBatch) {
  auto client = Started();
  client->gauge("g").Set(std::numeric_limits<double>::max());
  client->gauge("g").Add(std::numeric_limits<double>::max());
  client->gauge("ok").Set(1);
  EXPECT_THAT(FlushedBy(*client), ElementsAre(Pair(R"(ok{service="shop"})", 1)));
}

TEST_F(ClientTest, GaugesGoUpAndDown) {
  auto client = Started();
  Gauge& queue = client->gauge("queue");
  queue.Set(10);
  queue.Inc();
  queue.Add(4.5);
  queue.Dec();
  queue.Sub(0.5);
  queue.Set(-3, {{"shard", "b"}});
  queue.Dec({{"shard", "b"}});
  EXPECT_THAT(FlushedBy(*client), ElementsAre(Pair(R"(queue{service="shop",shard="b"})", -4),
                                              Pair(R"(queue{service="shop"})", 14)));
}

TEST_F(ClientTest, LabelSetsAreRealSetsWithAnyText) {
  auto client = Started();
  Counter& counter = client->counter("c");
  counter.Inc({{"a", "1"}, {"b", "2"}});
  counter.Inc({{"b", "2"}, {"a", "1"}});                 // order
  counter.Inc({{"a", "1"}, {"b", "2"}, {"empty", ""}});  // no label
  counter.Inc({{"b", "2"}, {"service", "mine"}, {"a", "1"}});
  counter.Inc({{"a", "1,b=2"}});
  const std::vector<LabelPair> dynamic = {{"a", "1"}, {"b", "2"}};
  counter.With(dynamic).Inc();
  EXPECT_EQ(&counter.With(dynamic), &counter.With({{"b", "2"}, {"a", "1"}}));
  EXPECT_THAT(FlushedBy(*client), ElementsAre(Pair(R"(c{a="1",b="2",service="shop"})", 5),
                                              Pair(R"(c{a="1,b=2",service="shop"})", 1)));
}

TEST_F(ClientTest, HistogramsAreCumulativeInBothSenses) {
  auto client = Started();
  Histogram& latency = client->histogram("latency_seconds");
  for (const double value : {0.0005, 0.001, 0.3, 7.0, 10.0, 60.0}) {
    latency.Observe(value, {{"path", "/a,b"}});
  }
  auto flushed = FlushedBy(*client);
  EXPECT_EQ(flushed.size(), 15u);  // 12 bounds, +Inf, sum, count
  const auto bucket = [&](const std::string& le) {
    return flushed.at("latency_seconds_bucket{le=\"" + le + R"(",path="/a,b",service="shop"})");
  };
  EXPECT_EQ(bucket("0.001"), 2);
  EXPECT_EQ(bucket("0.25"), 2);
  EXPECT_EQ(bucket("0.5"), 3);
  EXPECT_EQ(bucket("5"), 3);
  EXPECT_EQ(bucket("10"), 5);  // the bound the original lost
  EXPECT_EQ(bucket("+Inf"), 6);
  EXPECT_EQ(flushed.at(R"(latency_seconds_count{path="/a,b",service="shop"})"), 6);
  EXPECT_DOUBLE_EQ(flushed.at(R"(latency_seconds_sum{path="/a,b",service="shop"})"), 77.3015);

  latency.Observe(0.3, {{"path", "/a,b"}});
  flushed = FlushedBy(*client);
  EXPECT_EQ(bucket("0.5"), 4);
  EXPECT_EQ(bucket("+Inf"), 7);
  EXPECT_EQ(transport_.samples().back().kind, "histogram");
}

TEST_F(ClientTest, HistogramWithoutLabelsAndWithOwnBounds) {
  auto client = Started();
  client->histogram("size", std::vector<double>{1, 1e6}).Observe(1);
  EXPECT_THAT(FlushedBy(*client), ElementsAre(Pair(R"(size_bucket{le="+Inf",service="shop"})", 1),
                                              Pair(R"(size_bucket{le="1",service="shop"})", 1),
                                              Pair(R"(size_bucket{le="1e+06",service="shop"})", 1),
                                              Pair(R"(size_count{service="shop"})", 1),
                                              Pair(R"(size_sum{service="shop"})", 1)));
}

TEST_F(ClientTest, SameNameIsTheSameObject) {
  auto client = Started();
  EXPECT_EQ(&client->counter("a"), &client->counter("a"));
  EXPECT_EQ(&client->gauge("b"), &client->gauge("b"));
  EXPECT_EQ(&client->histogram("c"), &client->histogram("c"));
}

TEST_F(ClientTest, KindConflictsAreReportedAndTheirUpdatesGoNowhere) {
  auto client = Started();
  client->counter("a").Inc();
  EXPECT_TRUE(client->status().ok());
  client->gauge("a").Set(9);
  client->gauge("a").With({{"x", "y"}}).Set(9);
  EXPECT_TRUE(absl::IsInvalidArgument(client->status()));
  EXPECT_THAT(std::string(client->status().message()), HasSubstr("a counter"));
  EXPECT_THAT(FlushedBy(*client), ElementsAre(Pair(R"(a{service="shop"})", 1)));
  EXPECT_EQ(client->Stats().updates_refused, 2u);
}

TEST_F(ClientTest, NamesAHistogramSendsCannotBeTakenByOthers) {
  auto client = Started();
  client->histogram("h");
  client->counter("h_count").Inc();
  EXPECT_THAT(std::string(client->status().message()), HasSubstr("the histogram h"));

  auto other = Started();
  other->counter("h_sum").Inc();
  other->histogram("h").Observe(1);
  EXPECT_TRUE(absl::IsInvalidArgument(other->status()));
  EXPECT_THAT(FlushedBy(*other), ElementsAre(Pair(R"(h_sum{service="shop"})", 1)));
}

TEST_F(ClientTest, InvalidNamesLabelsAndBoundsAreRefused) {
  const std::string long_value(1025, 'v');
  std::vector<std::string> names;
  for (int i = 0; i < 21; ++i) names.push_back("l" + std::to_string(i));
  std::vector<LabelPair> many;
  for (const std::string& name : names) many.emplace_back(name, "v");
  const std::vector<std::function<void(Client&)>> mistakes = {
      [](Client& c) { c.counter("").Inc(); },
      [](Client& c) { c.counter(std::string(257, 'n')).Inc(); },
      [](Client& c) { c.histogram(std::string(255, 'n')).Observe(1); },
      [](Client& c) { c.counter("\xff").Inc(); },
      [](Client& c) {
        c.counter("c").Inc({{"", "v"}});
      },
      [](Client& c) {
        c.counter("c").Inc({{"a", "1"}, {"a", "2"}});
      },
      [](Client& c) {
        c.counter("c").Inc({{"__name__", "x"}});
      },
      [](Client& c) {
        c.counter("c").Inc({{"a", "\xff"}});
      },
      [&](Client& c) {
        c.counter("c").Inc({{"a", long_value}});
      },
      [](Client& c) {
        c.counter("c").Inc({{std::string(257, 'l'), "1"}});
      },
      [&](Client& c) { c.gauge("c").With(many).Set(1); },
      [&](Client& c) {
        c.gauge("c").With({many.data(), 20}).Set(1);
      },
      [&](Client& c) {
        c.histogram("c").With({many.data(), 19}).Observe(1);
      },
      [](Client& c) {
        c.histogram("h").Observe(1, {{"le", "1"}});
      },
      [](Client& c) { c.histogram("h", std::vector<double>{}).Observe(1); },
      [](Client& c) {
        c.histogram("h", std::vector<double>{2, 1}).Observe(1);
      },
      [](Client& c) { c.histogram("h", std::vector<double>{INFINITY}).Observe(1); },
  };
  for (size_t i = 0; i < mistakes.size(); ++i) {
    SCOPED_TRACE(i);
    auto client = Started();
    mistakes[i](*client);
    EXPECT_TRUE(absl::IsInvalidArgument(client->status())) << client->status();
    EXPECT_EQ(client->Stats().updates_refused, 1u);
    EXPECT_EQ(client->Stats().series, 0u);
    EXPECT_THAT(FlushedBy(*client), IsEmpty());
  }
}

TEST_F(ClientTest, LargestAllowedLabelSetsAreAccepted) {
  std::vector<std::string> names;
  for (int i = 0; i < 19; ++i) names.push_back("l" + std::to_string(i));
  std::vector<LabelPair> most;
  for (const std::string& name : names) most.emplace_back(name, "v");
  auto client = Started();
  client->counter("c").With(most).Inc();
  client->histogram("h").With({most.data(), 18}).Observe(1);
  EXPECT_TRUE(client->status().ok()) << client->status();
  EXPECT_EQ(FlushedBy(*client).size(), 16u);
}

TEST_F(ClientTest, LabelSetsBeyondTheLimitAreRefusedAndKnownOnesGoOn) {
  Config config;
  config.max_series = 20;
  auto client = Started(config);
  Counter& users = client->counter("logins_total");
  for (int i = 0; i < 100; ++i) users.Inc({{"user", std::to_string(i)}});
  users.Inc({{"user", "3"}});
  client->histogram("latency").Observe(1);  // would need 15
  const auto flushed = FlushedBy(*client);
  EXPECT_EQ(flushed.size(), 20u);
  EXPECT_EQ(flushed.at(R"(logins_total{service="shop",user="3"})"), 2);
  const ClientStats stats = client->Stats();
  EXPECT_EQ(stats.series, 20u);
  EXPECT_EQ(stats.updates_refused, 81u);
  EXPECT_TRUE(absl::IsResourceExhausted(client->status()));
  EXPECT_THAT(std::string(client->status().message()), HasSubstr("logins_total"));
}

TEST_F(ClientTest, ALabelExplosionIsRefusedAtItsSourceAndTheLabelIsNamedOnce) {
  std::vector<std::string> log;
  Config config;
  config.logger = [&](std::string_view line) { log.emplace_back(line); };
  auto client = Started(config);
  Counter& requests = client->counter("http_requests_total");
  for (int i = 0; i < 3'000; ++i) {
    const std::string id = "uuid-" + std::to_string(100'000 + i);
    requests.Inc({{"request_id", id}, {"method", i % 2 == 0 ? "GET" : "POST"}});
  }
  client->counter("other_total").Inc({{"method", "GET"}});
  Histogram& latency = client->histogram("latency", std::vector<double>{1});
  for (int i = 0; i < 1'200; ++i) latency.Observe(1, {{"user", std::to_string(i)}});
  requests.Inc({{"request_id", "uuid-100007"}, {"method", "POST"}});  // a known one goes on
  const auto flushed = FlushedBy(*client);
  EXPECT_EQ(flushed.size(), 1'000u + 1 + 1'000 * 4);
  EXPECT_EQ(
      flushed.at(R"(http_requests_total{method="POST",request_id="uuid-100007",service="shop"})"),
      2);
  const ClientStats stats = client->Stats();
  EXPECT_EQ(stats.label_sets_refused, 2'000u + 200);
  EXPECT_EQ(stats.updates_refused, 2'200u);
  ASSERT_EQ(log.size(), 2u);
  EXPECT_EQ(log[0],
            "metric http_requests_total: new label sets are dropped, it has 1000 and "
            "Config::max_label_sets is 1000; its label request_id has 1000 values, "
            "\"uuid-100000\" for one: remove that label");
  EXPECT_THAT(log[1], HasSubstr("metric latency: new label sets are dropped"));
  EXPECT_THAT(log[1], HasSubstr("its label user has 1000 values"));
  EXPECT_EQ(std::string(client->status().message()), log[0]);
}

TEST_F(ClientTest, CollectCallbacksRunBeforeEachFlush) {
  auto client = Started();
  int runs = 0;
  client->OnCollect([&] { client->gauge("runs").Set(++runs); });
  EXPECT_THAT(FlushedBy(*client), ElementsAre(Pair(R"(runs{service="shop"})", 1)));
  EXPECT_THAT(FlushedBy(*client), ElementsAre(Pair(R"(runs{service="shop"})", 2)));
  ASSERT_TRUE(client->Stop().ok());
  EXPECT_EQ(runs, 3);
}

TEST_F(ClientTest, TotalsOfOthersAreTakenAsTheyAre) {
  auto client = Started();
  CounterSeries& bytes = client->counter("bytes_total").With({});
  bytes.SetTotal(1000);
  bytes.SetTotal(900);
  bytes.SetTotal(-1);
  EXPECT_THAT(FlushedBy(*client), ElementsAre(Pair(R"(bytes_total{service="shop"})", 900)));
  EXPECT_EQ(client->Stats().updates_invalid, 1u);
}

TEST_F(ClientTest, DestructorSendsTheLastInterval) {
  { Started()->counter("c").Inc(); }
  const auto samples = transport_.samples();
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].value, 1);
}

TEST_F(ClientTest, ManyThreadsLoseNoUpdate) {
  constexpr int kThreads = 4;
  constexpr int kUpdates = 2000;
  auto client = Started();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&client, t] {
      CounterSeries& bound = client->counter("c").With({{"kind", "bound"}});
      const std::string own = std::to_string(t);
      for (int i = 0; i < kUpdates; ++i) {
        bound.Inc();
        client->counter("c").Inc({{"kind", "looked_up"}});
        client->counter("c").Inc({{"kind", own}});
        client->gauge("g").Inc();
        client->histogram("h", std::vector<double>{1}).Observe(0.5);
        if (i % 500 == 0) {
          EXPECT_TRUE(client->Flush().ok());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto flushed = FlushedBy(*client);
  constexpr double kAll = kThreads * kUpdates;
  EXPECT_EQ(flushed.at(R"(c{kind="bound",service="shop"})"), kAll);
  EXPECT_EQ(flushed.at(R"(c{kind="looked_up",service="shop"})"), kAll);
  EXPECT_EQ(flushed.at(R"(c{kind="2",service="shop"})"), kUpdates);
  EXPECT_EQ(flushed.at(R"(g{service="shop"})"), kAll);
  EXPECT_EQ(flushed.at(R"(h_bucket{le="1",service="shop"})"), kAll);
  EXPECT_EQ(flushed.at(R"(h_sum{service="shop"})"), kAll / 2);
  EXPECT_FALSE(transport_.overlapped());
}

TEST_F(ClientTest, ConfigIsChecked) {
  const auto create = [this](auto change) {
    Config config;
    config.service = "s";
    change(config);
    return Client::Create(config, std::make_unique<BorrowedTransport>(&transport_)).status();
  };
  EXPECT_TRUE(create([](Config&) {}).ok());
  EXPECT_THAT(std::string(create([](Config& c) { c.service = ""; }).message()),
              HasSubstr("Config::service"));
  for (const absl::Status& status : {
           create([](Config& c) { c.service = "\xff"; }),
           create([](Config& c) { c.service = std::string(1025, 's'); }),
           create([](Config& c) { c.flush_every_ms = 0; }),
           create([](Config& c) { c.flush_every_ms = -5; }),
           create([](Config& c) { c.stop_deadline_ms = -1; }),
           create([](Config& c) { c.max_batch = 1001; }),
           create([](Config& c) { c.max_batch = 0; }),
           create([](Config& c) { c.max_queue = 9'999; }),
       }) {
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  }
}

}  // namespace
}  // namespace tinyobs::sdk
