// Chunk: samples of one series <-> bytes. Pure functions over columns; no file, no key, no series.
//
// FORMAT.md has the bytes and the reasons: values become integers (decimal scaling or bit-cast),
// are differenced zero, one or two times, and packed with a patched frame of reference; times are
// an interval, or residuals against a line. Lossless for every bit pattern of a double and every
// int64 timestamp.
//
// Thread-safety: free functions are pure. An Encoder is one thread's scratch space; reuse it.
#ifndef TINYOBS_LIB_CHUNK_CHUNK_H_
#define TINYOBS_LIB_CHUNK_CHUNK_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/chunk/summary.h"
#include "lib/chunk/timestamp_codec.h"
#include "lib/chunk/value_codec.h"
#include "tinyobs/sample.h"

namespace tinyobs::chunk {

// What the chunk before taught about a series: kept by the caller, one byte, -1 = nothing yet. A
// hint saves looking for the exponent again; a wrong one costs a pass over the values, and one from
// another series may cost a few bytes, never a bit of a value.
struct ExponentHint {
  int8_t exponent = -1;
};

class Encoder {
 public:
  // Appends the encoding of the samples to `out`. Columns of equal length, 1 to kMaxSamples,
  // strictly increasing in time (TINYOBS_CHECKed: the caller is our own code). The first timestamp
  // is part of the bytes. The same samples (and hint) always give the same bytes. 5-12 ns a sample.
  void Encode(std::span<const int64_t> timestamps_ms, std::span<const double> values,
              std::string* out, ExponentHint* hint = nullptr);

 private:
  TimestampScratch times_;
  ValueScratch values_;
};

// Read from the head of a chunk without decoding the samples.
struct Header {
  uint32_t count = 0;
  int64_t first_ms = 0;
  int64_t last_ms = 0;
};

// DataLoss: not a chunk, a codec of a newer version (FailedPrecondition), or counts out of bounds.
absl::StatusOr<Header> ReadHeader(std::string_view chunk);

// The totals over the chunk's samples, without decoding them; nothing when the chunk carries none
// (FORMAT.md says which do). Errors as of ReadHeader, DataLoss also when no samples could have
// these totals. Beyond that a summary is believed here; Decode refuses one with another first or
// last.
absl::StatusOr<std::optional<Summary>> ReadSummary(std::string_view chunk);

// Appends the samples to `out`, so several chunks of a series become one column (and, encoded in
// pieces, longer or shorter chunks: nothing else is needed to cut them anew). DataLoss when the
// bytes are not a whole valid chunk; `out` is unchanged then. Never reads outside `chunk`, never
// allocates more than the count in a valid header asks for (kMaxSamples).
absl::Status Decode(std::string_view chunk, Columns* out);

}  // namespace tinyobs::chunk

#endif  // TINYOBS_LIB_CHUNK_CHUNK_H_
