#include <cstdio>

#include "tinyobs/db.h"

int main() {
  auto db = tinyobs::Db::Open("example-data");
  if (!db.ok()) return std::puts(db.status().ToString().c_str()), 1;

  auto appender = (*db)->NewAppender();
  const auto attic = tinyobs::Labels::Of("temperature", {{"room", "attic"}});
  for (int64_t i = 0; i < 3; ++i)
    appender->Add(attic, 1'700'000'000'000 + i, 21.5 + i).IgnoreError();
  if (auto stored = appender->Commit(); !stored.ok())
    return std::puts(stored.ToString().c_str()), 1;

  auto found = (*db)->Select({tinyobs::Matcher::Metric("temperature")}, {});
  while (found.ok() && (*found)->Next())
    for (const double value : (*found)->columns().values)
      std::printf("%s = %g\n", (*found)->labels().ToString().c_str(), value);
}
