// What stands before the frames of a chunk: everything that can be said of it without decoding.
//
// Apart from chunk.cc because the aggregates start from it too.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_CHUNK_CHUNK_HEAD_H_
#define TINYOBS_LIB_CHUNK_CHUNK_HEAD_H_

#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/coding.h"
#include "lib/chunk/summary.h"
#include "lib/chunk/timestamp_codec.h"

namespace tinyobs::chunk {

struct ChunkHead {
  TimeHeader times;
  std::optional<Summary> summary;

  const Summary* summary_or_null() const { return summary.has_value() ? &*summary : nullptr; }
};

// The head byte of a chunk (FORMAT.md).
uint8_t HeadByte(TimeShape shape, bool has_summary);

// Reads up to the frame of the times, or to the value section when there is none. Errors as of
// ReadHeader (chunk.h).
absl::StatusOr<ChunkHead> ReadHead(std::string_view chunk, ByteReader* reader);

// DataLoss that names the chunk's size and what of it is damaged.
absl::Status DamagedChunk(std::string_view what, std::string_view chunk);

}  // namespace tinyobs::chunk

#endif  // TINYOBS_LIB_CHUNK_CHUNK_HEAD_H_
