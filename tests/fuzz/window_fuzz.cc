// The reader of rows of windows on hostile bytes: refusal leaves no trace; what decodes is windows
// in order and inside their bounds, the same ones column by column, which can be joined and encoded
// again and then decode to the same windows, bit for bit.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/check.h"
#include "lib/chunk/window.h"
#include "tests/chunk/window_text.h"

namespace {

using namespace tinyobs;

constexpr int64_t kWidthMs = 300'000;

void CheckColumns(std::string_view row, const std::vector<chunk::Window>* windows) {
  constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();
  for (uint32_t columns = 1; columns <= kAllWindowColumns; columns *= 2) {
    Windows out;
    const absl::Status status = chunk::DecodeWindows(
        row, kWidthMs, columns, std::numeric_limits<int64_t>::min(), kEnd, &out);
    TINYOBS_CHECK(status.ok() || windows == nullptr);
    TINYOBS_CHECK(status.ok() || out.empty());
    TINYOBS_CHECK(out.size() <= chunk::kMaxWindows);
    if (windows == nullptr) continue;
    TINYOBS_CHECK(out.size() == windows->size());
    for (size_t i = 0; i < out.size(); ++i) {
      const chunk::Window& w = (*windows)[i];
      const auto same = [i](const auto& column, auto value) {
        return column.empty() || std::memcmp(&column[i], &value, sizeof(value)) == 0;
      };
      TINYOBS_CHECK(out.start_ms[i] == w.start_ms);
      TINYOBS_CHECK(same(out.count, w.count) && same(out.resets, w.resets));
      TINYOBS_CHECK(same(out.first_ms, w.first_ms) && same(out.last_ms, w.last_ms));
      TINYOBS_CHECK(same(out.first, w.first) && same(out.last, w.last));
      TINYOBS_CHECK(same(out.min, w.min) && same(out.max, w.max));
      TINYOBS_CHECK(same(out.sum, w.sum.value) && same(out.increase, w.increase));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view row(reinterpret_cast<const char*>(data), size);
  std::vector<chunk::Window> windows;
  const absl::Status status = chunk::DecodeWindows(row, kWidthMs, &windows);
  CheckColumns(row, status.ok() ? &windows : nullptr);
  if (!status.ok()) {
    TINYOBS_CHECK(absl::IsDataLoss(status) || absl::IsFailedPrecondition(status));
    TINYOBS_CHECK(windows.empty());
    return 0;
  }
  const auto header = chunk::ReadWindowRowHeader(row, kWidthMs);
  TINYOBS_CHECK(header.ok() && header->count == windows.size());
  TINYOBS_CHECK(header->first_start_ms == windows.front().start_ms);

  // Any NaN for a loss says that it is not kept; of those there is only one.
  for (chunk::Window& w : windows) {
    if (!std::isnan(w.lost.value)) continue;
    w.lost = chunk::BitsOnly(std::numeric_limits<double>::quiet_NaN());
    w.increase = std::numeric_limits<double>::quiet_NaN();
    w.resets = 0;
  }
  std::string again;
  chunk::EncodeWindows(windows, kWidthMs, &again);
  std::vector<chunk::Window> same;
  TINYOBS_CHECK(chunk::DecodeWindows(again, kWidthMs, &same).ok());
  TINYOBS_CHECK(same.size() == windows.size());
  for (size_t i = 0; i < same.size(); ++i) {
    if (std::isnan(windows[i].increase)) same[i].increase = windows[i].increase;
    TINYOBS_CHECK(chunk::SameWindow(same[i], windows[i]));
  }
  const std::vector<chunk::Window> hours = chunk::Rollup(windows, 12 * kWidthMs);
  std::string row_of_hours;
  chunk::EncodeWindows(hours, 12 * kWidthMs, &row_of_hours);
  return 0;
}
