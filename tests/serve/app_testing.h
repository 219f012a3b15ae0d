// AppOverDb: the whole app as one function over a real database in memory, on a clock moved by
// hand.
//
// Thread-safety: one thread.
#ifndef TINYOBS_TESTS_SERVE_APP_TESTING_H_
#define TINYOBS_TESTS_SERVE_APP_TESTING_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/strings.h"
#include "tinyobs/db.h"
#include "tools/serve/app.h"

namespace tinyobs::serve {

class AppOverDb : public ::testing::Test {
 protected:
  static constexpr int64_t kNow = 1'763'424'000'000;  // 2025-11-18T00:00:00Z
  static constexpr int64_t kHour = 3'600'000;
  static constexpr size_t kMaxBodyBytes = 1 << 20;

  // In memory unless `path` is a folder.
  void Start(Options options = {}, const std::string& path = "") {
    options.in_memory = path.empty();
    options.background_threads = false;
    options.clock = &clock_;
    auto db = Db::Open(path.empty() ? "db" : path, options);
    ASSERT_TRUE(db.ok()) << db.status();
    db_ = *std::move(db);
    context_.db = db_.get();
    context_.clock = &clock_;
    context_.start_ms = kNow;
    context_.storage_path = path;
    app_ = MakeApp(
        &context_, &counters_, AccessPolicy("127.0.0.1", 8080),
        [](std::string_view) { return std::nullopt; }, kMaxBodyBytes);
  }

  HttpResponse Send(std::string method, std::string_view target, std::string body = "",
                    HttpHeaders headers = {}) {
    HttpRequest request;
    request.method = std::move(method);
    const size_t question = target.find('?');
    request.path = std::string(target.substr(0, question));
    if (question != std::string_view::npos) {
      request.query = std::string(target.substr(question + 1));
    }
    request.headers = std::move(headers);
    request.headers.emplace_back("Host", "localhost:8080");
    request.body = std::move(body);
    return app_(request);
  }

  // "labels" -> "time=value time=value", times after kNow.
  std::map<std::string, std::string> Stored() {
    std::map<std::string, std::string> out;
    const auto set = db_->SelectAll({});
    EXPECT_TRUE(set.ok());
    while ((*set)->Next()) {
      std::string& text = out[(*set)->labels().ToString()];
      const Columns& columns = (*set)->columns();
      for (size_t i = 0; i < columns.size(); ++i) {
        StrAppend(&text, i > 0 ? " " : "", columns.timestamps_ms[i] - kNow, "=", columns.values[i]);
      }
    }
    return out;
  }

  ManualClock clock_{kNow};
  std::unique_ptr<Db> db_;
  HandlerContext context_;
  HttpCounters counters_;
  Handler app_;
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TESTS_SERVE_APP_TESTING_H_
