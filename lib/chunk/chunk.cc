#include "lib/chunk/chunk.h"

#include "absl/container/fixed_array.h"
#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/chunk/bit_packing.h"
#include "lib/chunk/chunk_head.h"

namespace tinyobs::chunk {
namespace {

bool StrictlyIncreasing(std::span<const int64_t> times) {
  bool increasing = true;
  for (size_t i = 1; i < times.size(); ++i) increasing &= times[i - 1] < times[i];
  return increasing;
}

}  // namespace

void Encoder::Encode(std::span<const int64_t> timestamps_ms, std::span<const double> values,
                     std::string* out, ExponentHint* hint) {
  TINYOBS_CHECK(!timestamps_ms.empty() && timestamps_ms.size() <= kMaxSamples);
  TINYOBS_CHECK(timestamps_ms.size() == values.size());
  TINYOBS_CHECK(StrictlyIncreasing(timestamps_ms));
  const size_t head = out->size();
  out->push_back(0);
  PutVarint64(out, timestamps_ms.size());
  size_t summary_at = 0;
  const TimeShape shape = AppendTimes(timestamps_ms, &times_, out, &summary_at);
  int exponent = hint == nullptr ? -1 : hint->exponent;
  const bool has_summary = AppendValues(values, &values_, &exponent, head, summary_at, out);
  (*out)[head] = static_cast<char>(HeadByte(shape, has_summary));
  if (hint != nullptr) hint->exponent = static_cast<int8_t>(exponent);
}

absl::StatusOr<Header> ReadHeader(std::string_view chunk) {
  ByteReader reader(chunk);
  TINYOBS_ASSIGN_OR_RETURN(const ChunkHead head, ReadHead(chunk, &reader));
  return Header{
      .count = head.times.count, .first_ms = head.times.first_ms, .last_ms = head.times.last_ms};
}

absl::StatusOr<std::optional<Summary>> ReadSummary(std::string_view chunk) {
  ByteReader reader(chunk);
  TINYOBS_ASSIGN_OR_RETURN(ChunkHead head, ReadHead(chunk, &reader));
  return head.summary;
}

absl::Status Decode(std::string_view chunk, Columns* out) {
  ByteReader reader(chunk);
  TINYOBS_ASSIGN_OR_RETURN(const ChunkHead head, ReadHead(chunk, &reader));
  const size_t count = head.times.count;

  // Integers of times and values, one after the other. Chunks of the usual size stay on the stack.
  constexpr size_t kInlineIntegers = DecodeRoom(512);
  absl::FixedArray<int64_t, kInlineIntegers> integers(DecodeRoom(count));
  TINYOBS_DCHECK(out->timestamps_ms.size() == out->values.size());
  const size_t before = out->size();
  const auto fail = [&](std::string_view what) {
    out->timestamps_ms.resize(before);
    out->values.resize(before);
    return DamagedChunk(what, chunk);
  };

  // Never more than the count, so that columns with room for it stay where they are.
  if (head.times.shape == TimeShape::kRegular) {
    out->timestamps_ms.resize(before + count);
    ReadTimes(&reader, head.times, out->timestamps_ms.data() + before);
  } else {
    ReadTimes(&reader, head.times, integers.data());
    out->timestamps_ms.insert(out->timestamps_ms.end(), integers.data(), integers.data() + count);
  }
  if (!reader.ok()) return fail("time section");
  out->values.resize(before + count);
  ReadValues(&reader, head.summary_or_null(), integers.data(),
             {out->values.data() + before, count});
  if (!reader.ok()) return fail("value section");
  if (!reader.empty()) return fail("end: bytes are left over");
  return absl::OkStatus();
}

}  // namespace tinyobs::chunk
