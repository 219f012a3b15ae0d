// OpenChunk: what the head keeps of every series, in one cache line, and the encoding of samples in
// the head.
//
// With a million series an append costs what its cache misses cost. So all that is needed to take a
// sample lies in 64 bytes, found by the series' ref without a pointer of its own, and one sample in
// six or so touches a fragment of the arena as well: bytes gather in `tail` until there are eight.
//
// A stream is the encoded form of ascending samples of one series:
//
//   exponent u8 | delta code of each sample (delta_code.h)
//
// The first is relative to integer 0 at that exponent, one millisecond before itself, and teaches
// no step. Time of the first sample and the count are kept beside the stream.
//
// Invariants: (1) stream.bytes - stream.bytes % 8 bytes lie in the fragments, the rest in `tail`,
// whose other bytes are 0. (2) plan.state is that of the newest sample of the series that was not
// late, planned ones included, even when its chunk is frozen already.
//
// Thread-safety: of a line the part above `plan` is guarded by the head's lock, `plan` is the
// leader's without a lock. Never copy a whole line.
#ifndef TINYOBS_LIB_TSDB_OPEN_CHUNK_H_
#define TINYOBS_LIB_TSDB_OPEN_CHUNK_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/coding.h"
#include "lib/tsdb/delta_code.h"
#include "lib/tsdb/fragment_arena.h"
#include "tinyobs/sample.h"

namespace tinyobs::tsdb {

// Bytes of at most so many samples are sure to fit the 16 bits of EncodedStream.
inline constexpr uint32_t kMaxStreamSamples = 2048;
// No first sample of a stream is longer.
inline constexpr size_t kMaxStartBytes = 1 + kMaxDeltaBytes;
static_assert(kMaxStartBytes + kMaxStreamSamples * kMaxDeltaBytes <= UINT16_MAX);

// Writes the beginning of a stream, up to its first sample, and sets `state` to it. `out` has room
// for kMaxStartBytes. The exponent of `state` is tried first. Returns the number of bytes.
inline size_t StartStream(DeltaState* state, int64_t t, double v, char* out) {
  StartDelta(state, t, v, state->exponent);
  *out = static_cast<char>(state->exponent);
  DeltaState nothing{.last_ms = t - 1, .integer = 0, .step_ms = 1, .exponent = state->exponent};
  return 1 + EncodeDelta(&nothing, t, v, out + 1);
}

// Appends the samples of a stream to `out`, and if `end` is given sets it to the state after the
// last one. False, with `out` as it was: the bytes are not a stream of `count` samples that ascend.
// Reads no byte outside, allocates in proportion to the bytes.
bool DecodeStream(std::string_view bytes, int64_t first_ms, uint32_t count, Columns* out,
                  DeltaState* end = nullptr);

// Appends the samples as a stream to `out`. REQUIRES: not empty, ascending, each time once.
void EncodeStream(std::span<const Sample> samples, int exponent_hint, std::string* out);

// A stream in the arena.
struct EncodedStream {
  uint64_t tail = 0;
  uint32_t fragment = 0;  // the newest; 0 = none
  uint16_t bytes = 0;
  uint16_t count = 0;  // of samples; 0 = there is no stream

  size_t bytes_in_fragments() const { return bytes & ~7u; }

  // Appends the `n` bytes at `code`; seven more must be readable after them.
  void Append(const char* code, size_t n, FragmentArena* arena) {
    const size_t used = bytes % 8;
    if (used + n < 8) [[likely]] {
      tail |= (LoadFixed64(code) & ((uint64_t{1} << 8 * n) - 1)) << 8 * used;
      bytes = static_cast<uint16_t>(bytes + n);
      return;
    }
    AppendAcross(code, n, arena);
  }

 private:
  void AppendAcross(const char* code, size_t n, FragmentArena* arena);
};

// Copies streams out of the arena. Each is a chain of cache misses, so many are walked side by
// side.
class StreamCopier {
 public:
  explicit StreamCopier(const FragmentArena* arena) : arena_(arena) {}

  // `offset` of the copy in the buffer that Run gets.
  void Add(const EncodedStream& stream, size_t offset) { jobs_.push_back({stream, offset}); }
  void Run(char* to);

 private:
  struct Job {
    EncodedStream stream;
    size_t offset;
  };

  const FragmentArena* const arena_;
  std::vector<Job> jobs_;
};

// What the leader has decided of a series' next samples, ahead of what queries see.
struct ChunkPlan {
  static constexpr uint8_t kExists = 1;  // there is such a series
  // The next chunk to fill is cut short, at a length that depends on the series: chunks of all
  // series begin together with a partition, and should neither fill together, for the sealer's
  // sake, nor all be long at once, for memory's.
  static constexpr uint8_t kShort = 2;
  // The newest time of the series was written again, with another value.
  static constexpr uint8_t kRewritten = 4;

  DeltaState state{.last_ms = INT64_MIN};
  uint32_t segment = 0;  // of the head log, where the series' last sample was written
  uint16_t count = 0;    // samples of the open chunk
  uint8_t flags = 0;

  // Whether this is the newest sample of the open chunk, and nothing else was written for its time.
  // With no exponent the state's integer is of no use to the delta code: Remember keeps the bits
  // there.
  bool IsNewest(int64_t t, double v) const {
    if (t != state.last_ms || count == 0 || (flags & kRewritten) != 0) return false;
    const double newest = state.exponent == kNoExponent
                              ? std::bit_cast<double>(state.integer)
                              : FromDecimal(state.integer, state.exponent);
    return std::bit_cast<uint64_t>(newest) == std::bit_cast<uint64_t>(v);
  }
  void Remember(double v) {
    if (state.exponent == kNoExponent) [[unlikely]]
      state.integer = std::bit_cast<int64_t>(v);
  }
};

struct alignas(64) OpenChunk {
  int64_t first_ms = 0;
  EncodedStream stream;
  uint32_t newest_frozen = 0;      // number of a frozen chunk; may have been released
  uint32_t opened_at_ms : 31 = 0;  // when the first open or late sample came; monotonic, cut off
  uint32_t has_late : 1 = 0;
  ChunkPlan plan;
};
static_assert(sizeof(OpenChunk) == 64);

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_OPEN_CHUNK_H_
