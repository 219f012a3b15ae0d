// Bit packing: n unsigned numbers of `width` bits each, back to back, least significant bit first.
//
// Unpacking is where a query spends its time. One template instance per width handles eight numbers
// (exactly `width` bytes) with constant shifts and no branch, which the compiler turns into
// straight code; the width is looked up once per call. SIMD intrinsics were not needed to reach
// memory speed and would tie the format's reader to a machine.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_CHUNK_BIT_PACKING_H_
#define TINYOBS_LIB_CHUNK_BIT_PACKING_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

namespace tinyobs::chunk {

// Numbers that one step of UnpackBits writes; output buffers are rounded up to it.
inline constexpr size_t kUnpackStep = 8;
inline constexpr size_t RoundUpToUnpackStep(size_t n) {
  return (n + kUnpackStep - 1) / kUnpackStep * kUnpackStep;
}

// What the decoders ask of the buffers they fill: room to begin one place late and still be rounded
// up.
inline constexpr size_t DecodeRoom(size_t n) { return RoundUpToUnpackStep(n) + kUnpackStep; }

// std::bit_width without the branch for 0 that a plain x86-64 needs: small differences are 0 by
// chance, and a branch that cannot be predicted costs more than the rest.
inline int BitWidth(uint64_t number) {
  return static_cast<int>(std::bit_width(number | 1)) - (number == 0 ? 1 : 0);
}

inline constexpr size_t PackedBytes(size_t n, int width) {
  return (n * static_cast<size_t>(width) + 7) / 8;
}

// Appends PackedBytes(n, width) bytes: the lowest `width` bits (0 to 64) of each number.
void PackBits(const uint64_t* numbers, size_t n, int width, std::string* out);

// What becomes of each unpacked number u: add + u (flip 0) or, with add + 1 and all ones in flip,
// add - u; wrapping. Part of unpacking because a pass of its own costs as much as unpacking does.
struct Linear {
  uint64_t flip = 0;
  uint64_t add = 0;
  uint64_t operator()(uint64_t u) const { return (u ^ flip) + add; }
};

// Reads `n` numbers of `width` bits (0 to 64) from `from`. Never reads at or beyond `limit`.
// REQUIRES: limit - from >= PackedBytes(n, width); `out` has room for RoundUpToUnpackStep(n)
// numbers, of which those from n on are scribbled over.
void UnpackBits(const char* from, const char* limit, size_t n, int width, Linear map,
                uint64_t* out);

}  // namespace tinyobs::chunk

#endif  // TINYOBS_LIB_CHUNK_BIT_PACKING_H_
