// Bytes to windows. The interface is window.h, the bytes are in FORMAT.md; the columns come from a
// RowReader.
#include <algorithm>
#include <limits>

#include "lib/base/status_macros.h"
#include "lib/chunk/window.h"
#include "lib/chunk/window_columns.h"
#include "lib/chunk/window_row_reader.h"

namespace tinyobs::chunk {

using namespace window_columns;

namespace {

// All windows of the row, after what `out` has.
bool AppendRow(RowReader* row, size_t n, std::vector<Window>* out) {
  if (!row->Starts() || !row->Times() || !row->Counts() || !row->Resets() || !row->Ends() ||
      !row->EndValues()) {
    return false;
  }
  const size_t at = out->size();
  out->resize(at + n);
  Window* const w = out->data() + at;
  for (size_t i = 0; i < n; ++i) {
    w[i].start_ms = row->starts()[i];
    w[i].first_ms = row->first_ms()[i];
    w[i].last_ms = row->last_ms()[i];
    w[i].count = Wrap(row->counts()[i]);
    w[i].resets = Wrap(row->resets()[i]);
    w[i].first = row->first()[i];
    w[i].last = row->last()[i];
    if (w[i].resets >= w[i].count) return row->Fail(kResets);
  }
  if (!row->Extremes(kMin)) return false;
  for (size_t i = 0; i < n; ++i) w[i].min = row->values()[i];
  if (!row->Extremes(kMax)) return false;
  for (size_t i = 0; i < n; ++i) w[i].max = row->values()[i];
  if (!row->Sums(kSum)) return false;
  row->ForEachNumber([&](size_t i, const Number& sum) { w[i].sum = sum; });
  if (!row->Sums(kLost)) return false;
  row->ForEachNumber([&](size_t i, const Number& lost) {
    w[i].lost = row->lost_kept() ? lost : BitsOnly(std::numeric_limits<double>::quiet_NaN());
  });
  row->Increases();
  for (size_t i = 0; i < n; ++i) w[i].increase = row->values()[i];
  return true;
}

bool AppendColumns(RowReader* row, size_t n, int64_t width_ms, uint32_t columns, int64_t from_ms,
                   int64_t to_ms, Windows* out) {
  if (!row->Starts()) return false;
  const int64_t* const starts = row->starts();
  const int64_t* const end = std::upper_bound(starts, starts + n, to_ms);
  const int64_t* const begin = std::partition_point(starts, end, [&](int64_t start) {
    return start < from_ms && Wrap(from_ms) - Wrap(start) >= Wrap(width_ms);
  });
  if (begin == end) return true;
  const auto append = [&](const auto* all, auto* to) {
    to->insert(to->end(), all + (begin - starts), all + (end - starts));
  };
  append(starts, &out->start_ms);

  const auto wanted = [&](uint32_t some) { return (columns & some) != 0; };
  constexpr uint32_t kEnds = kWindowFirst | kWindowLast;
  constexpr uint32_t kSums = kWindowSum | kWindowIncrease;
  if (wanted(kEnds) && !row->Times()) return false;
  if (wanted(~uint32_t{kWindowResets}) && !row->Counts()) return false;
  if (wanted(kWindowResets | kWindowIncrease) && !row->Resets()) return false;
  if (wanted(kEnds | kSums | kWindowMin | kWindowMax) && !row->Ends()) return false;
  if (wanted(kEnds | kSums) && !row->EndValues()) return false;
  if (wanted(kWindowCount)) append(row->counts(), &out->count);
  if (wanted(kWindowResets)) append(row->resets(), &out->resets);
  if (wanted(kWindowFirst)) {
    append(row->first_ms(), &out->first_ms);
    append(row->first(), &out->first);
  }
  if (wanted(kWindowLast)) {
    append(row->last_ms(), &out->last_ms);
    append(row->last(), &out->last);
  }
  if (wanted(kWindowMin)) {
    if (!row->Extremes(kMin)) return false;
    append(row->values(), &out->min);
  }
  if (wanted(kWindowMax)) {
    if (!row->Extremes(kMax)) return false;
    append(row->values(), &out->max);
  }
  if (wanted(kWindowSum)) {
    if (!row->Sums(kSum)) return false;
    append(row->values(), &out->sum);
  }
  if (wanted(kWindowIncrease)) {
    if (!row->Sums(kLost)) return false;
    row->Increases();
    append(row->values(), &out->increase);
  }
  return true;
}

void Truncate(size_t n, Windows* windows) {
  const auto cut = [n](auto& column) { column.resize(std::min(column.size(), n)); };
  cut(windows->start_ms);
  cut(windows->count);
  cut(windows->sum);
  cut(windows->min);
  cut(windows->max);
  cut(windows->first_ms);
  cut(windows->first);
  cut(windows->last_ms);
  cut(windows->last);
  cut(windows->increase);
  cut(windows->resets);
}

}  // namespace

absl::StatusOr<WindowRowHeader> ReadWindowRowHeader(std::string_view row, int64_t width_ms) {
  TINYOBS_ASSIGN_OR_RETURN(const RowHead head, ReadRowHead(row, width_ms));
  return WindowRowHeader{.count = head.count, .first_start_ms = head.number * width_ms};
}

absl::Status DecodeWindows(std::string_view row, int64_t width_ms, std::vector<Window>* out) {
  TINYOBS_ASSIGN_OR_RETURN(const RowHead head, ReadRowHead(row, width_ms));
  RowReader reader(head, width_ms);
  const size_t before = out->size();
  if (AppendRow(&reader, head.count, out)) return absl::OkStatus();
  out->resize(before);
  return DamagedRow(reader.damaged(), row);
}

absl::Status DecodeWindows(std::string_view row, int64_t width_ms, uint32_t columns,
                           int64_t from_ms, int64_t to_ms, Windows* out) {
  TINYOBS_ASSIGN_OR_RETURN(const RowHead head, ReadRowHead(row, width_ms));
  RowReader reader(head, width_ms);
  const size_t before = out->size();
  if (AppendColumns(&reader, head.count, width_ms, columns, from_ms, to_ms, out)) {
    return absl::OkStatus();
  }
  Truncate(before, out);
  return DamagedRow(reader.damaged(), row);
}

}  // namespace tinyobs::chunk
