// The times of a chunk <-> bytes (FORMAT.md, "Time section").
//
// Three shapes: regular (a few bytes for the whole chunk, which is what a scraper on a grid
// produces), residuals against a straight line (jitter), differences (gaps, events). Residuals
// against a line beat differences under jitter, because the jitter of two neighbours adds up in a
// difference.
//
// All differences are taken in wrapping uint64_t: two int64 times may be further apart than int64
// can say.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_CHUNK_TIMESTAMP_CODEC_H_
#define TINYOBS_LIB_CHUNK_TIMESTAMP_CODEC_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lib/base/coding.h"

namespace tinyobs::chunk {

// On disk: never renumber.
enum class TimeShape : uint8_t { kRegular = 0, kLine = 1, kDeltas = 2 };

// What precedes the frames: everything about the times of a regular chunk, and first and last of
// any.
struct TimeHeader {
  TimeShape shape = TimeShape::kRegular;
  uint32_t count = 0;
  int64_t first_ms = 0;
  int64_t last_ms = 0;
  uint64_t interval_ms = 0;  // kRegular with count > 1
};

struct TimestampScratch {
  std::vector<int64_t> residuals;
  std::vector<int64_t> deltas;
  std::vector<uint64_t> packed;
};

// Appends first time and time section; returns the shape, which belongs into the chunk's head byte.
// `*frame_at` becomes the place in `out` where the frame begins, or its end when there is none.
// REQUIRES: not empty, strictly increasing.
TimeShape AppendTimes(std::span<const int64_t> timestamps_ms, TimestampScratch* scratch,
                      std::string* out, size_t* frame_at);

// Reads first time and interval or span. Fails the reader when the last time would not be after the
// first or not be an int64. REQUIRES: 1 <= count.
TimeHeader ReadTimeHeader(ByteReader* reader, TimeShape shape, uint32_t count);

// Reads the rest into `out`, which has room for DecodeRoom(count), for `count` if regular. Fails
// the reader unless the times are strictly increasing from header.first_ms to header.last_ms.
void ReadTimes(ByteReader* reader, const TimeHeader& header, int64_t* out);

}  // namespace tinyobs::chunk

#endif  // TINYOBS_LIB_CHUNK_TIMESTAMP_CODEC_H_
