#include "lib/chunk/timestamp_codec.h"

#include "lib/chunk/bit_packing.h"
#include "lib/chunk/patched_frame.h"

namespace tinyobs::chunk {
namespace {

uint64_t Distance(int64_t from, int64_t to) {
  return static_cast<uint64_t>(to) - static_cast<uint64_t>(from);
}
int64_t Advance(int64_t from, uint64_t by) {
  return static_cast<int64_t>(static_cast<uint64_t>(from) + by);
}

bool IsRegular(std::span<const int64_t> times, uint64_t interval) {
  for (size_t i = 1; i < times.size(); ++i) {
    if (Distance(times[i - 1], times[i]) != interval) return false;
  }
  return true;
}

// The slope of the line through first and last, to the nearest millisecond. Part of the format.
uint64_t LineStep(uint64_t span, uint32_t count) {
  const uint64_t gaps = count - 1;
  return span / gaps + (span % gaps * 2 >= gaps ? 1 : 0);
}

// out[i] = first + i * step for i < n, or that much more than out[i] is. Without a multiplication a
// sample, which is slow in vector registers at 64 bits. (Eight running sums would be the obvious
// way; GCC 12.2 compiles those wrongly at -O3.)
template <bool kMore>
void FillLine(uint64_t first, uint64_t step, size_t n, int64_t* out) {
  uint64_t offset[kUnpackStep];
  for (size_t i = 0; i < kUnpackStep; ++i) offset[i] = i * step;
  const auto put = [&](size_t at, size_t i) {
    const uint64_t more = kMore ? static_cast<uint64_t>(out[at + i]) : 0;
    out[at + i] = static_cast<int64_t>(first + offset[i] + more);
  };
  size_t at = 0;
  for (; at + kUnpackStep <= n; at += kUnpackStep, first += kUnpackStep * step) {
    for (size_t i = 0; i < kUnpackStep; ++i) put(at, i);
  }
  for (size_t i = 0; at + i < n; ++i) put(at, i);
}

}  // namespace

TimeShape AppendTimes(std::span<const int64_t> times, TimestampScratch* scratch, std::string* out,
                      size_t* frame_at) {
  const size_t count = times.size();
  const uint64_t interval = count == 1 ? 0 : Distance(times[0], times[1]);
  const bool regular = IsRegular(times, interval);
  const uint64_t span = Distance(times.front(), times.back());
  PutZigZag64(out, times.front());
  if (count > 1) PutVarint64(out, regular ? interval : span);
  *frame_at = out->size();
  if (regular) return TimeShape::kRegular;

  const uint64_t step = LineStep(span, static_cast<uint32_t>(count));
  scratch->residuals.resize(count - 2);
  scratch->deltas.resize(count - 1);
  for (size_t i = 1; i < count; ++i) {
    scratch->deltas[i - 1] = static_cast<int64_t>(Distance(times[i - 1], times[i]));
  }
  for (size_t i = 1; i + 1 < count; ++i) {
    scratch->residuals[i - 1] = static_cast<int64_t>(Distance(times[0], times[i]) - i * step);
  }
  // Both are planned in full: under jitter they are close, and the better one saves 2 % of a chunk.
  const FramePlan line = PlanFrame(scratch->residuals);
  const FramePlan deltas = PlanFrame(scratch->deltas);
  if (line.bits <= deltas.bits) {
    AppendFrame(scratch->residuals, line, 0, &scratch->packed, out);
    return TimeShape::kLine;
  }
  AppendFrame(scratch->deltas, deltas, 0, &scratch->packed, out);
  return TimeShape::kDeltas;
}

TimeHeader ReadTimeHeader(ByteReader* reader, TimeShape shape, uint32_t count) {
  TimeHeader header{.shape = shape, .count = count};
  header.first_ms = reader->ZigZag64();
  header.last_ms = header.first_ms;
  const uint64_t room = Distance(header.first_ms, INT64_MAX);
  uint64_t span = 0;
  if (shape == TimeShape::kRegular) {
    if (count == 1) return header;
    header.interval_ms = reader->Varint64();
    if (__builtin_mul_overflow(header.interval_ms, uint64_t{count - 1}, &span)) reader->Fail();
  } else {
    span = reader->Varint64();
    if (count < 3) reader->Fail();
  }
  if (span == 0 || span > room) reader->Fail();
  if (reader->ok()) header.last_ms = Advance(header.first_ms, span);
  return header;
}

void ReadTimes(ByteReader* reader, const TimeHeader& header, int64_t* out) {
  const size_t count = header.count;
  const auto first = static_cast<uint64_t>(header.first_ms);
  if (header.shape == TimeShape::kRegular) {
    // ReadTimeHeader has checked that these increase and fit.
    FillLine<false>(first, header.interval_ms, count, out);
    return;
  }

  // The frames begin one place late: what they say of sample i is read to out[i].
  if (header.shape == TimeShape::kLine) {
    ReadFrame(reader, count - 2, 0, out + 1);
    const uint64_t step = LineStep(Distance(header.first_ms, header.last_ms), header.count);
    FillLine<true>(first + step, step, count - 2, out + 1);
    out[count - 1] = header.last_ms;
  } else {
    ReadFrame(reader, count - 1, 0, out + 1);
    uint64_t time = first;
    for (size_t i = 1; i < count; ++i) {
      time += static_cast<uint64_t>(out[i]);
      out[i] = static_cast<int64_t>(time);
    }
    if (out[count - 1] != header.last_ms) reader->Fail();
  }
  out[0] = header.first_ms;
  bool increasing = true;
  for (size_t i = 1; i < count; ++i) increasing &= out[i - 1] < out[i];
  if (!increasing) reader->Fail();
}

}  // namespace tinyobs::chunk
