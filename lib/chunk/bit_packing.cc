#include "lib/chunk/bit_packing.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/coding.h"

namespace tinyobs::chunk {
namespace {

constexpr uint64_t Mask(int width) { return width == 64 ? ~0ull : (1ull << width) - 1; }

// The number at place kPlace of a group of eight. Loads eight bytes wherever it starts, so it may
// read up to eight bytes past the group; a number that straddles nine bytes takes the ninth too,
// which then is part of the group.
template <int kWidth, int kPlace>
inline uint64_t UnpackOne(const char* group) {
  constexpr int kByte = kPlace * kWidth / 8;
  constexpr int kShift = kPlace * kWidth % 8;
  uint64_t bits = LoadFixed64(group + kByte) >> kShift;
  if constexpr (kShift + kWidth > 64) {
    bits |= static_cast<uint64_t>(static_cast<unsigned char>(group[kByte + 8])) << (64 - kShift);
  }
  return bits & Mask(kWidth);
}

template <int kWidth, size_t... kPlace>
inline void UnpackGroup(const char* group, Linear map, uint64_t* out,
                        std::index_sequence<kPlace...>) {
  ((out[kPlace] = map(UnpackOne<kWidth, kPlace>(group))), ...);
}

template <int kWidth>
void UnpackGroups(const char* from, size_t groups, Linear map, uint64_t* out) {
  if constexpr (kWidth == 0) {
    std::fill_n(out, groups * kUnpackStep, map(0));
  } else {
    for (size_t i = 0; i < groups; ++i) {
      UnpackGroup<kWidth>(from + i * kWidth, map, out + i * kUnpackStep,
                          std::make_index_sequence<kUnpackStep>());
    }
  }
}

using UnpackFunction = void (*)(const char* from, size_t groups, Linear map, uint64_t* out);

template <size_t... kWidth>
constexpr std::array<UnpackFunction, sizeof...(kWidth)> UnpackFunctions(
    std::index_sequence<kWidth...>) {
  return {&UnpackGroups<static_cast<int>(kWidth)>...};
}

constexpr auto kUnpack = UnpackFunctions(std::make_index_sequence<65>());

}  // namespace

void PackBits(const uint64_t* numbers, size_t n, int width, std::string* out) {
  TINYOBS_DCHECK(width >= 0 && width <= 64);
  if (width == 0 || n == 0) return;
  const size_t start = out->size();
  const size_t bytes = PackedBytes(n, width);
  out->resize(start + bytes + 8);  // the last store is of eight bytes
  char* to = out->data() + start;
  if (width == 64) {
    std::memcpy(to, numbers, bytes);
  } else {
    const uint64_t mask = Mask(width);
    uint64_t pending = 0;
    int pending_bits = 0;  // below 64
    for (size_t i = 0; i < n; ++i) {
      const uint64_t number = numbers[i] & mask;
      pending |= number << pending_bits;
      pending_bits += width;
      if (pending_bits < 64) continue;
      StoreFixed64(to, pending);
      to += 8;
      pending_bits -= 64;
      pending = number >> (width - pending_bits);
    }
    StoreFixed64(to, pending);
  }
  out->resize(start + bytes);
}

void UnpackBits(const char* from, const char* limit, size_t n, int width, Linear map,
                uint64_t* out) {
  TINYOBS_DCHECK(width >= 0 && width <= 64);
  const UnpackFunction unpack = kUnpack[width];
  const size_t groups = RoundUpToUnpackStep(n) / kUnpackStep;
  if (width == 0) {
    unpack(from, groups, map, out);
    return;
  }
  const size_t available = static_cast<size_t>(limit - from);
  TINYOBS_DCHECK(available >= PackedBytes(n, width));
  // Group i ends at (i + 1) * width and may look eight bytes further.
  const size_t in_place = available < 8 ? 0 : std::min<size_t>(groups, (available - 8) / width);
  unpack(from, in_place, map, out);
  if (in_place == groups) return;

  // The rest is shorter than one group and eight bytes: copy it to where there is room to look.
  constexpr size_t kMostBytes = 64 + 8;
  char tail[kMostBytes + 64 + 8] = {};
  const size_t tail_bytes = PackedBytes(n - in_place * kUnpackStep, width);
  TINYOBS_DCHECK(tail_bytes <= kMostBytes);
  std::memcpy(tail, from + in_place * width, tail_bytes);
  unpack(tail, groups - in_place, map, out + in_place * kUnpackStep);
}

}  // namespace tinyobs::chunk
