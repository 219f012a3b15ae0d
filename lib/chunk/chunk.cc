#include "lib/chunk/chunk.h"

#include "absl/container/fixed_array.h"
#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/chunk/bit_packing.h"
#include "lib/chunk/timestamp_codec.h"
#include "lib/chunk/value_codec.h"

namespace tinyobs::chunk {
namespace {

// The head byte (FORMAT.md).
constexpr uint8_t kCodec = 1;
constexpr uint8_t kCodecMask = 0x0f;
constexpr int kShapeShift = 5;
constexpr uint8_t kShapeMask = 3;
constexpr uint8_t kSetAsideMask = 0x90;

bool StrictlyIncreasing(std::span<const int64_t> times) {
  bool increasing = true;
  for (size_t i = 1; i < times.size(); ++i) increasing &= times[i - 1] < times[i];
  return increasing;
}

absl::Status Damaged(std::string_view what, std::string_view chunk) {
  return absl::DataLossError(StrCat("chunk of ", chunk.size(), " bytes: damaged ", what));
}

absl::StatusOr<TimeHeader> ReadHead(std::string_view chunk, ByteReader* reader) {
  const uint8_t head = reader->Byte();
  if (!reader->ok() || head == 0) return Damaged("head", chunk);
  const uint8_t shape = head >> kShapeShift & kShapeMask;
  if ((head & kCodecMask) != kCodec || (head & kSetAsideMask) != 0 ||
      shape > static_cast<uint8_t>(TimeShape::kDeltas)) {
    if ((head & kCodecMask) == 0) return Damaged("head", chunk);
    return absl::FailedPreconditionError(StrCat("chunk: head byte ", static_cast<int>(head),
                                                " is of a newer version; this one reads codec ",
                                                static_cast<int>(kCodec)));
  }
  const uint64_t count = reader->BoundedVarint64(kMaxSamples);
  if (!reader->ok() || count == 0) return Damaged("count", chunk);
  const TimeHeader header =
      ReadTimeHeader(reader, static_cast<TimeShape>(shape), static_cast<uint32_t>(count));
  if (!reader->ok()) return Damaged("time header", chunk);
  return header;
}

}  // namespace

struct Encoder::Scratch {
  TimestampScratch times;
  ValueScratch values;
};

Encoder::Encoder() : scratch_(std::make_unique<Scratch>()) {}
Encoder::~Encoder() = default;
Encoder::Encoder(Encoder&&) noexcept = default;
Encoder& Encoder::operator=(Encoder&&) noexcept = default;

void Encoder::Encode(std::span<const int64_t> timestamps_ms, std::span<const double> values,
                     std::string* out, ExponentHint* hint) {
  TINYOBS_CHECK(!timestamps_ms.empty() && timestamps_ms.size() <= kMaxSamples);
  TINYOBS_CHECK(timestamps_ms.size() == values.size());
  TINYOBS_CHECK(StrictlyIncreasing(timestamps_ms));
  const size_t head = out->size();
  out->push_back(0);
  PutVarint64(out, timestamps_ms.size());
  const TimeShape shape = AppendTimes(timestamps_ms, &scratch_->times, out);
  (*out)[head] = static_cast<char>(kCodec | static_cast<int>(shape) << kShapeShift);
  int exponent = hint == nullptr ? -1 : hint->exponent;
  AppendValues(values, &scratch_->values, &exponent, out);
  if (hint != nullptr) hint->exponent = static_cast<int8_t>(exponent);
}

absl::StatusOr<Header> ReadHeader(std::string_view chunk) {
  ByteReader reader(chunk);
  TINYOBS_ASSIGN_OR_RETURN(const TimeHeader header, ReadHead(chunk, &reader));
  return Header{.count = header.count, .first_ms = header.first_ms, .last_ms = header.last_ms};
}

absl::Status Decode(std::string_view chunk, Columns* out) {
  ByteReader reader(chunk);
  TINYOBS_ASSIGN_OR_RETURN(const TimeHeader header, ReadHead(chunk, &reader));

  // Integers of values and times, one after the other. Chunks of the usual size stay on the stack.
  constexpr size_t kInlineIntegers = DecodeRoom(512);
  absl::FixedArray<int64_t, kInlineIntegers> integers(DecodeRoom(header.count));
  TINYOBS_DCHECK(out->timestamps_ms.size() == out->values.size());
  const size_t before = out->size();
  const auto fail = [&](std::string_view what) {
    out->timestamps_ms.resize(before);
    out->values.resize(before);
    return Damaged(what, chunk);
  };

  ReadTimes(&reader, header, integers.data());
  if (!reader.ok()) return fail("time section");
  out->timestamps_ms.insert(out->timestamps_ms.end(), integers.data(),
                            integers.data() + header.count);
  out->values.resize(before + header.count);
  ReadValues(&reader, integers.data(), {out->values.data() + before, header.count});
  if (!reader.ok()) return fail("value section");
  if (!reader.empty()) return fail("end: bytes are left over");
  return absl::OkStatus();
}

}  // namespace tinyobs::chunk
