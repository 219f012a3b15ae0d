#include "lib/tsdb/open_chunk.h"

#include <algorithm>
#include <cstring>

#include "lib/base/check.h"
#include "lib/tsdb/head_pin.h"

namespace tinyobs::tsdb {

void EncodedStream::AppendAcross(const char* code, size_t n, FragmentArena* arena) {
  while (n > 0) {
    const size_t used = bytes % 8;
    const size_t taken = std::min(n, 8 - used);
    tail |= (LoadFixed64(code) & (~uint64_t{0} >> (64 - 8 * taken))) << 8 * used;
    code += taken;
    n -= taken;
    bytes = static_cast<uint16_t>(bytes + taken);
    if (used + taken < 8) return;
    // A payload is three and a half words.
    const size_t at = (bytes - 8u) % FragmentArena::kPayloadBytes;
    if (at == 0) fragment = arena->Add(fragment);
    if (at + 8 <= FragmentArena::kPayloadBytes) {
      StoreFixed64(arena->Payload(fragment) + at, tail);
    } else {
      StoreFixed32(arena->Payload(fragment) + at, static_cast<uint32_t>(tail));
      fragment = arena->Add(fragment);
      StoreFixed32(arena->Payload(fragment), static_cast<uint32_t>(tail >> 32));
    }
    tail = 0;
  }
}

void StreamCopier::Run(char* to) {
  constexpr size_t kSideBySide = 16;
  for (size_t begin = 0; begin < jobs_.size(); begin += kSideBySide) {
    const auto jobs = std::span(jobs_).subspan(begin, std::min(kSideBySide, jobs_.size() - begin));
    for (const Job& job : jobs) {
      char* end = to + job.offset + job.stream.bytes_in_fragments();
      for (size_t i = 0; i < job.stream.bytes % 8; ++i) {
        end[i] = static_cast<char>(job.stream.tail >> 8 * i);
      }
      arena_->Prefetch(job.stream.fragment);
    }
    // From here on `bytes` are those that remain in the fragments; newest fragment first.
    for (Job& job : jobs) {
      job.stream.bytes = static_cast<uint16_t>(job.stream.bytes_in_fragments());
    }
    for (bool more = true; more;) {
      more = false;
      for (Job& job : jobs) {
        EncodedStream& stream = job.stream;
        if (stream.bytes == 0) continue;
        const size_t n = (stream.bytes - 1u) % FragmentArena::kPayloadBytes + 1;
        stream.bytes = static_cast<uint16_t>(stream.bytes - n);
        std::memcpy(to + job.offset + stream.bytes, arena_->Payload(stream.fragment), n);
        stream.fragment = arena_->Previous(stream.fragment);
        arena_->Prefetch(stream.fragment);
        more |= stream.bytes != 0;
      }
    }
  }
  jobs_.clear();
}

bool DecodeStream(std::string_view bytes, int64_t first_ms, uint32_t count, Columns* out,
                  DeltaState* end) {
  if (count == 0 || bytes.size() <= count || static_cast<unsigned char>(bytes[0]) > kNoExponent) {
    return false;
  }
  const size_t old_size = out->size();
  out->timestamps_ms.resize(old_size + count);
  out->values.resize(old_size + count);
  int64_t* times = out->timestamps_ms.data() + old_size;
  double* values = out->values.data() + old_size;
  const char* at = bytes.data() + 1;
  const char* const limit = bytes.data() + bytes.size();
  DeltaState state;
  state.last_ms = static_cast<int64_t>(static_cast<uint64_t>(first_ms) - 1);
  state.step_ms = 1;
  state.exponent = static_cast<int8_t>(bytes[0]);
  at = DecodeDelta(at, limit, &state, times, values);
  state.step_ms = 0;
  bool whole = at != nullptr && *times == first_ms;
  for (uint32_t i = 1; i < count && whole; ++i) {
    at = DecodeDelta(at, limit, &state, times + i, values + i);
    whole = at != nullptr;
  }
  if (!whole || at != limit) {
    out->timestamps_ms.resize(old_size);
    out->values.resize(old_size);
    return false;
  }
  if (end != nullptr) *end = state;
  return true;
}

void EncodeStream(std::span<const Sample> samples, int exponent_hint, std::string* out) {
  TINYOBS_DCHECK(!samples.empty());
  DeltaState state;
  state.exponent = static_cast<int8_t>(exponent_hint);
  char code[kMaxStartBytes];
  out->append(code, StartStream(&state, samples[0].timestamp_ms, samples[0].value, code));
  for (const Sample& sample : samples.subspan(1)) {
    out->append(code, EncodeDelta(&state, sample.timestamp_ms, sample.value, code));
  }
}

bool HeadPin::Decode(size_t i, Columns* out) const {
  out->clear();
  const Stretch& stretch = stretches[i];
  return DecodeStream(Stream(stretch), stretch.first_ms, stretch.count, out);
}

}  // namespace tinyobs::tsdb
