#include "lib/chunk/patched_frame.h"

#include <algorithm>
#include <array>

#include "lib/base/check.h"
#include "lib/chunk/bit_packing.h"

namespace tinyobs::chunk {
namespace {

constexpr uint8_t kModeMask = 3;
constexpr uint8_t kPatchedBit = 4;

// All arithmetic is on uint64_t: differences of int64 wrap, and wrap back when decoding.
template <FrameMode kMode>
inline uint64_t ToPacked(int64_t integer, int64_t reference) {
  const auto x = static_cast<uint64_t>(integer);
  const auto r = static_cast<uint64_t>(reference);
  if constexpr (kMode == FrameMode::kAbove) return x - r;
  if constexpr (kMode == FrameMode::kBelow) return r - x;
  return ZigZag(static_cast<int64_t>(x - r));
}

uint64_t FixedBits(int64_t reference) { return 8 * (2 + VarintLength(ZigZag(reference))); }

// Makes `best` the best width of this mode and reference, if one is better. A number wider than the
// width costs a patch: about one byte of index gap and its own varint. More patches than a quarter
// are not considered: they would be decoded one by one.
template <FrameMode kMode>
void Consider(std::span<const int64_t> integers, int64_t reference, FramePlan* best) {
  // Two tables: neighbours mostly have the same width, and a counter cannot be read right after it
  // was written.
  std::array<uint32_t, 65> count_of_width{};
  std::array<uint32_t, 65> count_of_odd{};
  size_t i = 0;
  for (; i + 2 <= integers.size(); i += 2) {
    ++count_of_width[BitWidth(ToPacked<kMode>(integers[i], reference))];
    ++count_of_odd[BitWidth(ToPacked<kMode>(integers[i + 1], reference))];
  }
  if (i < integers.size()) ++count_of_odd[BitWidth(ToPacked<kMode>(integers[i], reference))];
  for (size_t w = 0; w <= 64; ++w) count_of_width[w] += count_of_odd[w];
  int width = 64;
  while (width > 0 && count_of_width[width] == 0) --width;
  const uint64_t fixed = FixedBits(reference);
  const size_t most_patches = integers.size() / 4;
  uint64_t patch_bits = 0;
  uint32_t patches = 0;
  for (; width >= 0 && patches <= most_patches; --width) {
    const uint64_t bits = fixed + integers.size() * static_cast<uint64_t>(width) + patch_bits;
    if (bits < best->bits) *best = {kMode, reference, width, patches, bits};
    patch_bits += uint64_t{count_of_width[width]} * (8 + 8 * ((width + 6) / 7));
    patches += count_of_width[width];
  }
}

template <FrameMode kMode>
void ToPackedAll(std::span<const int64_t> integers, int64_t reference, uint64_t* out) {
  for (size_t i = 0; i < integers.size(); ++i) out[i] = ToPacked<kMode>(integers[i], reference);
}

void AppendPatches(std::span<const uint64_t> packed, const FramePlan& plan, std::string* out) {
  PutVarint64(out, plan.patches);
  size_t previous = 0;
  uint32_t written = 0;
  for (size_t i = 0; i < packed.size(); ++i) {
    if (BitWidth(packed[i]) <= plan.width) continue;
    PutVarint64(out, i - previous);
    PutVarint64(out, packed[i]);
    previous = i;
    ++written;
  }
  TINYOBS_CHECK(written == plan.patches);
}

void ReadPatches(ByteReader* reader, size_t n, Linear map, uint64_t* packed) {
  const uint64_t patches = reader->BoundedVarint64(n);
  if (patches == 0) return reader->Fail();
  size_t at = 0;
  for (uint64_t i = 0; i < patches; ++i) {
    const uint64_t gap = reader->BoundedVarint64(n - 1 - at);
    const uint64_t number = reader->Varint64();
    if (!reader->ok() || (gap == 0 && i > 0)) return reader->Fail();
    at += gap;
    packed[at] = map(number);
  }
}

}  // namespace

int64_t MiddleOf(std::span<const int64_t> integers) {
  constexpr size_t kPlaces = 5;
  std::array<int64_t, kPlaces> at;
  for (size_t i = 0; i < kPlaces; ++i) at[i] = integers[integers.size() * (2 * i + 1) / 10];
  // The greatest and the least of four are not the median: it is the middle of the other three.
  const auto [a, b] = std::minmax(at[0], at[1]);
  const auto [c, d] = std::minmax(at[2], at[3]);
  const auto [e, f] = std::minmax(std::max(a, c), std::min(b, d));
  return std::clamp(at[4], e, f);
}

uint64_t EstimateFrameBits(std::span<const int64_t> integers) {
  constexpr size_t kProbes = 48;
  const auto middle = static_cast<uint64_t>(MiddleOf(integers));
  // Odd, so that a pattern of two, four, ... samples does not hide.
  const size_t stride = (integers.size() / kProbes) | 1;
  uint64_t sum = 0;
  size_t probes = 0;
  for (size_t i = 0; i < integers.size(); i += stride, ++probes) {
    const uint64_t distance = static_cast<uint64_t>(integers[i]) - middle;
    sum += static_cast<uint64_t>(BitWidth(ZigZag(static_cast<int64_t>(distance))));
  }
  return sum * integers.size() / probes;
}

FramePlan PlanFrame(std::span<const int64_t> integers) {
  TINYOBS_DCHECK(!integers.empty());
  int64_t least = integers[0];
  int64_t greatest = integers[0];
  for (const int64_t integer : integers) {
    least = std::min(least, integer);
    greatest = std::max(greatest, integer);
  }
  const uint64_t range = static_cast<uint64_t>(greatest) - static_cast<uint64_t>(least);
  FramePlan best;
  best.reference = least;
  best.width = BitWidth(range);
  best.bits = FixedBits(least) + integers.size() * static_cast<uint64_t>(best.width);
  if (range == 0) return best;

  // Patches around the middle help wherever there are outliers; if they do not, nothing sticks out
  // above or below either, and two passes are saved.
  const uint64_t without_patches = best.bits;
  Consider<FrameMode::kAround>(integers, MiddleOf(integers), &best);
  if (best.bits == without_patches) return best;
  Consider<FrameMode::kAbove>(integers, least, &best);
  Consider<FrameMode::kBelow>(integers, greatest, &best);
  return best;
}

void AppendFrame(std::span<const int64_t> integers, const FramePlan& plan, int64_t origin,
                 std::vector<uint64_t>* scratch, std::string* out) {
  const size_t n = integers.size();
  if (scratch->size() < n) scratch->resize(n);
  uint64_t* const packed = scratch->data();
  switch (plan.mode) {
    case FrameMode::kAbove:
      ToPackedAll<FrameMode::kAbove>(integers, plan.reference, packed);
      break;
    case FrameMode::kBelow:
      ToPackedAll<FrameMode::kBelow>(integers, plan.reference, packed);
      break;
    case FrameMode::kAround:
      ToPackedAll<FrameMode::kAround>(integers, plan.reference, packed);
      break;
  }
  out->push_back(static_cast<char>(plan.width));
  out->push_back(
      static_cast<char>(static_cast<uint8_t>(plan.mode) | (plan.patches > 0 ? kPatchedBit : 0)));
  PutZigZag64(out, static_cast<int64_t>(static_cast<uint64_t>(plan.reference) -
                                        static_cast<uint64_t>(origin)));
  PackBits(packed, n, plan.width, out);
  if (plan.patches > 0) AppendPatches({packed, n}, plan, out);
}

void ReadFrame(ByteReader* reader, size_t n, int64_t origin, int64_t* out) {
  TINYOBS_DCHECK(n > 0);
  const uint8_t width = reader->Byte();
  const uint8_t mode = reader->Byte();
  const uint64_t reference =
      static_cast<uint64_t>(reader->ZigZag64()) + static_cast<uint64_t>(origin);
  const char* const limit = reader->rest().data() + reader->remaining();
  const auto relation = static_cast<FrameMode>(mode & kModeMask);
  if (!reader->ok() || width > 64 || (mode & ~(kModeMask | kPatchedBit)) != 0 ||
      relation > FrameMode::kAround) {
    return reader->Fail();
  }
  const std::string_view bits = reader->Bytes(PackedBytes(n, width));
  if (!reader->ok()) return;
  Linear map;  // leaves the numbers as they are
  if (relation == FrameMode::kAbove) map = {.flip = 0, .add = reference};
  if (relation == FrameMode::kBelow) map = {.flip = ~uint64_t{0}, .add = reference + 1};
  auto* const packed = reinterpret_cast<uint64_t*>(out);
  UnpackBits(bits.data(), limit, n, width, map, packed);
  if ((mode & kPatchedBit) != 0) ReadPatches(reader, n, map, packed);
  if (relation != FrameMode::kAround) return;
  for (size_t i = 0; i < n; ++i) packed[i] = reference + static_cast<uint64_t>(UnZigZag(packed[i]));
}

}  // namespace tinyobs::chunk
