#include "lib/chunk/chunk_head.h"

#include "lib/base/strings.h"

namespace tinyobs::chunk {
namespace {

constexpr uint8_t kCodec = 1;
constexpr uint8_t kCodecMask = 0x0f;
constexpr uint8_t kSummaryBit = 0x10;
constexpr int kShapeShift = 5;
constexpr uint8_t kShapeMask = 3;
constexpr uint8_t kSetAsideMask = 0x80;

}  // namespace

uint8_t HeadByte(TimeShape shape, bool has_summary) {
  return static_cast<uint8_t>(kCodec | (has_summary ? kSummaryBit : 0) |
                              static_cast<int>(shape) << kShapeShift);
}

absl::StatusOr<ChunkHead> ReadHead(std::string_view chunk, ByteReader* reader) {
  const uint8_t head = reader->Byte();
  if (!reader->ok() || (head & kCodecMask) == 0) return DamagedChunk("head", chunk);
  const uint8_t shape = head >> kShapeShift & kShapeMask;
  if ((head & kCodecMask) != kCodec || (head & kSetAsideMask) != 0 ||
      shape > static_cast<uint8_t>(TimeShape::kDeltas)) {
    return absl::FailedPreconditionError(StrCat("chunk: head byte ", static_cast<int>(head),
                                                " is of a newer version; this one reads codec ",
                                                static_cast<int>(kCodec)));
  }
  const auto count = static_cast<uint32_t>(reader->BoundedVarint64(kMaxSamples));
  if (!reader->ok() || count == 0) return DamagedChunk("count", chunk);
  ChunkHead result;
  result.times = ReadTimeHeader(reader, static_cast<TimeShape>(shape), count);
  if (!reader->ok()) return DamagedChunk("time header", chunk);
  if ((head & kSummaryBit) != 0) {
    result.summary = ReadSummaryFields(reader, count);
    if (!reader->ok()) return DamagedChunk("summary", chunk);
  }
  return result;
}

absl::Status DamagedChunk(std::string_view what, std::string_view chunk) {
  return absl::DataLossError(StrCat("chunk of ", chunk.size(), " bytes: damaged ", what));
}

}  // namespace tinyobs::chunk
