// PromQL text from anybody: the parser answers with a tree or with InvalidArgument; a tree printed,
// on one line or broken, parses as the same tree; and evaluating it over a few series ends soon,
// with an answer or an error that a query may have, never with another code.
//
// The limit of samples is small, and `cancelled` says yes after some thousand questions, so that an
// input that runs for seconds is a finding: a loop that asks nobody.
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/check.h"
#include "lib/promql/parser.h"
#include "lib/promql/printer.h"
#include "tests/promql/testing.h"
#include "tinyobs/promql.h"

namespace {

using tinyobs::promql::Expr;
using tinyobs::promql::ParseExpr;

constexpr int64_t kStepMs = 30'000;

const tinyobs::Querier& Data() {
  static const tinyobs::promql::TestQuerier& querier = *[] {
    auto* loaded = new tinyobs::promql::TestQuerier;
    loaded->Load(kStepMs, R"(
      a{x="1",y="1"} 0+10x9 0+10x9
      a{x="1",y="2"} 1 _ 3 NaN 5 stale 7 -Inf 9
      a{x="2",y="1"} 5x20
      b{x="1"} 1x20
      b{x="2"} 0 1 0 1 1e308 1e308
      b{x="3"} -1x3
      h_bucket{le="0.1"} 0+1x20
      h_bucket{le="1"} 0+2x20
      h_bucket{le="+Inf"} 0+3x20
    )");
    return loaded;
  }();
  return querier;
}

tinyobs::QueryOptions Limits(std::atomic<int>* questions) {
  tinyobs::QueryOptions options;
  options.max_samples = 20'000;
  options.cancelled = [questions] { return questions->fetch_add(1) > 5'000; };
  return options;
}

void CheckCode(const absl::Status& status) {
  TINYOBS_CHECK(status.ok() || absl::IsInvalidArgument(status) ||
                absl::IsFailedPrecondition(status) || absl::IsResourceExhausted(status) ||
                absl::IsCancelled(status));
}

void CheckPrinted(const Expr& expr, const std::string& text) {
  if (text.size() > tinyobs::promql::kMaxQueryBytes) return;
  const auto again = ParseExpr(text);
  TINYOBS_CHECK(again.ok());
  TINYOBS_CHECK((*again)->type == expr.type && (*again)->kind == expr.kind);
  TINYOBS_CHECK(ToString(**again) == ToString(expr));
}

void Evaluate(std::string_view query) {
  std::atomic<int> questions = 0;
  const tinyobs::QueryOptions options = Limits(&questions);
  const auto instant = tinyobs::Query(Data(), query, 9 * kStepMs, options);
  CheckCode(instant.status());
  const auto range = tinyobs::QueryRange(Data(), query, 0, 9 * kStepMs, kStepMs, options);
  CheckCode(range.status());
  if (!range.ok()) return;
  for (const tinyobs::SeriesSamples& series : range->matrix) {
    TINYOBS_CHECK(!series.samples.empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto matchers = tinyobs::promql::ParseSelector(text);
  TINYOBS_CHECK(matchers.ok() || absl::IsInvalidArgument(matchers.status()));
  const auto expr = ParseExpr(text);
  if (!expr.ok()) {
    TINYOBS_CHECK(absl::IsInvalidArgument(expr.status()));
    return 0;
  }
  CheckPrinted(**expr, ToString(**expr));
  CheckPrinted(**expr, Pretty(**expr));
  Evaluate(text);
  return 0;
}
