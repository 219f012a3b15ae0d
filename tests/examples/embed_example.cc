#include <cstdio>
#include <filesystem>
#include <vector>

#include "tinyobs/db.h"

int Fail(const absl::Status& status) { return std::puts(status.ToString().c_str()), 1; }

int main() {
  tinyobs::Options options;
  options.memory_budget_bytes = 32 << 20;  // everything: samples, series, caches, queries
  auto db = tinyobs::Db::Open("example-data", options);
  if (!db.ok()) return Fail(db.status());

  // By labels once; by handle from then on, many samples in one call.
  auto appender = (*db)->NewAppender();
  std::vector<tinyobs::SeriesHandle> rooms;
  for (const char* room : {"attic", "cellar"}) {
    const auto labels = tinyobs::Labels::Of("temperature", {{"room", room}});
    if (auto added = appender->Add(labels, 1'700'000'000'000, 20); !added.ok()) return Fail(added);
    if (auto stored = appender->Commit(); !stored.ok()) return Fail(stored);
    rooms.push_back(*appender->Resolve(labels));
  }
  for (int64_t i = 1; i <= 3; ++i) {
    const double values[] = {20.5 + i, 12};
    appender->AddAt(1'700'000'000'000 + i * 15'000, rooms, values).IgnoreError();
  }
  if (auto stored = appender->Commit(); !stored.ok()) return Fail(stored);

  // One series should not have been; everything before 2023 is of no use any more.
  auto deleted = (*db)->Delete({tinyobs::Matcher::Equal("room", "cellar")}, {});
  if (!deleted.ok()) return Fail(deleted);
  if (auto dropped = (*db)->DropBefore(1'672'531'200'000); !dropped.ok()) return Fail(dropped);

  // A copy of the running database, made of links, and a reader that needs no lock.
  std::filesystem::remove_all("example-copy");
  if (auto copied = (*db)->Checkpoint("example-copy"); !copied.ok()) return Fail(copied);
  auto copy = tinyobs::Db::OpenReadOnly("example-copy", options);
  if (!copy.ok()) return Fail(copy.status());
  auto found = (*copy)->Select({tinyobs::Matcher::Metric("temperature")}, {});
  while (found.ok() && (*found)->Next())
    std::printf("%s: %zu samples\n", (*found)->labels().ToString().c_str(),
                (*found)->columns().size());
}
