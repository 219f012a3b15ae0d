// Windows of time as they are kept: what WindowAggregator makes of samples, joined to longer ones,
// and as bytes (FORMAT.md, "A row of windows").
//
// A window knows its sum and what its counter lost at resets as integers at a power of ten while
// the samples are decimals, not as doubles: so twelve windows of five minutes make the very window
// of an hour that the raw samples would (a sum of rounded sums would not), and the integers, being
// decimals still, pack into two bytes where a rounded sum takes seven.
//
// Bytes are columns with a directory, because a question is about one or two of them: what it does
// not ask for is neither unpacked nor looked at, and columns of a later version are passed over.
// Each column holds only what the ones before it do not already say; what says nothing at all
// (numbers of windows without gaps, resets of a counter that has none) has no bytes.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_CHUNK_WINDOW_H_
#define TINYOBS_LIB_CHUNK_WINDOW_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/chunk/exact_sum.h"
#include "tinyobs/windows.h"

namespace tinyobs::chunk {

// Of the samples of one window, at least one. Staleness markers are no samples; other NaN are, with
// the rules of PromQL:
struct Window {
  int64_t start_ms = 0;
  int64_t first_ms = 0;  // of the first and the last sample
  int64_t last_ms = 0;
  uint64_t count = 0;
  uint64_t resets = 0;  // decreases from one sample to the next; next to NaN nothing is one
  double first = 0;
  double last = 0;
  double min = 0;  // NaN is passed over, unless there is nothing else
  double max = 0;
  Number sum = {};  // NaN if one value is, or if infinities of both signs are
  // The sum of the values right before each decrease: what a counter that starts again at 0 lost.
  // A decimal only if `first` and `last` were. NaN: not kept (see ForgetRiseOfGauge).
  Number lost = {};
  // last - first + lost, rounded once if `lost` is a decimal. NaN when first or last is, when both
  // are infinite, and when `lost` is not kept. From one window to the next the counter grew by
  // first - last of the one before, or by first when that is less than last.
  double increase = 0;
};

// What `increase` is of these three; always the same for the same rational numbers.
double IncreaseOf(const Number& first, const Number& last, const Number& lost);

// Joins windows into those of `width_ms`, a multiple of theirs: the same as aggregating the samples
// by `width_ms`, to the bit while they are decimals (and sums stay below 2^63 units). Windows
// ascending; `lost` of one that is not kept makes that of the result not kept. 15 ns a window.
std::vector<Window> Rollup(std::span<const Window> windows, int64_t width_ms);

// Where more than a quarter of the steps go down, the series is no counter (one that started again
// each minute would not be far from it), and what it lost at each step down is noise without a
// meaning that takes a third of the bytes: then of all these windows `lost`, `resets` and so
// `increase` are not kept. Told by the samples and not by the metric's type, as types may be
// unknown, wrong, and change.
void ForgetRiseOfGauge(std::span<Window> windows);

// Replaces the windows that start in [from_ms, to_ms) by `with`, which start there too; all
// ascending.
void SpliceWindows(int64_t from_ms, int64_t to_ms, std::span<const Window> with,
                   std::vector<Window>* windows);

// A row never holds more: the decoder refuses larger counts before it looks further.
inline constexpr size_t kMaxWindows = 1024;

// Appends a row of 1 to kMaxWindows windows, ascending, each starting at a multiple of `width_ms`
// with its samples inside (TINYOBS_CHECKed: the caller is our own code). The same windows always
// give the same bytes, however their numbers came to be.
void EncodeWindows(std::span<const Window> windows, int64_t width_ms, std::string* out);

// Appends the windows of a row to `out`, bit for bit those that were encoded. `width_ms` is the one
// they were encoded with (the key of a row says it). DataLoss when the bytes are no whole valid
// row, FailedPrecondition when a newer version may have written them; `out` is unchanged then.
// Never reads outside `row`; bounded by kMaxWindows whatever it says.
absl::Status DecodeWindows(std::string_view row, int64_t width_ms, std::vector<Window>* out);

// The same for the columns in `columns` (a set of WindowColumn) alone, of those windows that
// overlap [from_ms, to_ms]. Reads only the columns that they take: `increase` takes first, last,
// lost; `first` takes last and count; min and max first and last; sum count, first and last. What
// is not read is not checked beyond its length. 1-2 ns a window and column.
absl::Status DecodeWindows(std::string_view row, int64_t width_ms, uint32_t columns,
                           int64_t from_ms, int64_t to_ms, Windows* out);

// Read from the head of a row. Errors as of DecodeWindows.
struct WindowRowHeader {
  uint32_t count = 0;
  int64_t first_start_ms = 0;
};
absl::StatusOr<WindowRowHeader> ReadWindowRowHeader(std::string_view row, int64_t width_ms);

}  // namespace tinyobs::chunk

#endif  // TINYOBS_LIB_CHUNK_WINDOW_H_
