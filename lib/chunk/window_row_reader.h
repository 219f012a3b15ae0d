// RowReader: the columns of one row of windows (FORMAT.md, "The bytes of a row of windows"), each
// as an array.
//
// No byte is trusted. Columns are unpacked into arrays in the object, whose size no byte decides
// and which is made for the stack (95 KB, touched as far as the row has windows): reading a column
// allocates nothing. What is made of the columns is for the caller (window_decoder.cc).
//
// Thread-safety: one thread's.
#ifndef TINYOBS_LIB_CHUNK_WINDOW_ROW_READER_H_
#define TINYOBS_LIB_CHUNK_WINDOW_ROW_READER_H_

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/coding.h"
#include "lib/chunk/bit_packing.h"
#include "lib/chunk/exact_sum.h"
#include "lib/chunk/value_codec.h"
#include "lib/chunk/window.h"
#include "lib/chunk/window_columns.h"

namespace tinyobs::chunk::window_columns {

struct RowHead {
  uint32_t count = 0;
  int64_t number = 0;  // of the first window: its start is that many widths after 1970
  int exponent = 0;    // of the values
  uint64_t present = 0;
  std::array<std::string_view, kColumns> columns;
};

// Errors as of DecodeWindows.
absl::StatusOr<RowHead> ReadRowHead(std::string_view row, int64_t width_ms);

// DataLoss that names the row's size and what of it is damaged.
absl::Status DamagedRow(std::string_view what, std::string_view row);

struct SumException {
  size_t at;
  Number number;
};

// One row. The columns that are asked for are read into arrays that the next call may overwrite;
// each call is preceded by what it builds on. After a false the arrays mean nothing.
class RowReader {
 public:
  RowReader(const RowHead& head, int64_t width_ms)
      : head_(head), n_(head.count), width_ms_(width_ms) {}

  bool Starts();
  bool Times();  // of the first and last samples. After Starts
  bool Counts();
  bool Resets();
  // The integers of first and last; then their values. After Counts.
  bool Ends();
  bool EndValues();
  // min or max, into values(). After Ends.
  bool Extremes(Column column);
  // sum or lost, into values() and number(). After EndValues and Counts or Resets.
  bool Sums(Column column);
  // Into values(). After Sums(kLost).
  void Increases();

  bool lost_kept() const {
    return (head_.present >> kLost & 1) == 0 || !head_.columns[kLost].empty();
  }
  const int64_t* starts() const { return starts_; }
  const int64_t* first_ms() const { return first_ms_; }
  const int64_t* last_ms() const { return last_ms_; }
  const int64_t* counts() const { return counts_; }
  const int64_t* resets() const { return resets_; }
  const double* first() const { return first_values_; }
  const double* last() const { return last_values_; }
  const double* values() const { return values_; }
  // Calls use(i, number) for each of what Sums read.
  template <typename Use>
  void ForEachNumber(Use use) const;
  std::string_view damaged() const { return damaged_; }
  bool Fail(Column column);  // false

 private:
  static constexpr size_t kRoom = DecodeRoom(kMaxWindows);

  bool Load(Column column, int64_t* out);
  bool LoadBounded(Column column, int64_t least, int64_t* out);
  bool LoadExceptions();
  bool ToValues(Column column, const int64_t* integers, size_t place, double* values);
  bool ReadSumExceptions(ByteReader* reader);
  Number EndNumber(double value, int64_t integer) const;

  const RowHead& head_;
  const size_t n_;
  const int64_t width_ms_;
  std::string_view damaged_;
  std::vector<Exception> exceptions_;
  int sum_exponent_ = 0;
  std::vector<SumException> sum_exceptions_;
  int64_t starts_[kRoom];
  int64_t first_ms_[kRoom];
  int64_t last_ms_[kRoom];
  int64_t integers_[kRoom];
  int64_t counts_[kRoom];
  int64_t resets_[kRoom];
  int64_t first_[kRoom];
  int64_t last_[kRoom];
  double first_values_[kMaxWindows];
  double last_values_[kMaxWindows];
  double values_[kMaxWindows];
};

template <typename Use>
void RowReader::ForEachNumber(Use use) const {
  size_t next = 0;
  for (size_t i = 0; i < n_; ++i) {
    if (next < sum_exceptions_.size() && sum_exceptions_[next].at == i) {
      use(i, sum_exceptions_[next++].number);
    } else if (sum_exponent_ == kBitsExponent) {
      use(i, BitsOnly(values_[i]));
    } else {
      use(i, Number{.value = values_[i], .integer = integers_[i], .exponent = sum_exponent_});
    }
  }
}

}  // namespace tinyobs::chunk::window_columns

#endif  // TINYOBS_LIB_CHUNK_WINDOW_ROW_READER_H_
