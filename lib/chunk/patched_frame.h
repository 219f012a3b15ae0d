// Patched frame of reference: integers that lie near each other in few bits each, and the few that
// do not as patches (FORMAT.md, "Frame"; after PFOR of Zukowski et al., "Super-Scalar RAM-CPU Cache
// Compression", 2006).
//
// The writer first plans (how wide, against which reference, how many patches: a histogram of bit
// lengths gives the exact size of every width in one pass), then packs, so two ways of differencing
// can be compared by their plans without packing both.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_CHUNK_PATCHED_FRAME_H_
#define TINYOBS_LIB_CHUNK_PATCHED_FRAME_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lib/base/coding.h"

namespace tinyobs::chunk {

// How an integer relates to the packed number u. On disk: never renumber.
enum class FrameMode : uint8_t {
  kAbove = 0,   // reference + u
  kBelow = 1,   // reference - u
  kAround = 2,  // reference + unzigzag(u)
};

struct FramePlan {
  FrameMode mode = FrameMode::kAbove;
  int64_t reference = 0;
  int width = 0;         // bits, 0 to 64
  uint32_t patches = 0;  // numbers that need more
  uint64_t bits = 0;     // size of the whole frame, to compare plans
};

// The smallest frame found for `integers`; exact for the references it tries (least, greatest,
// MiddleOf). O(n), up to four passes; fewer when they are all equal. REQUIRES: not
// empty.
FramePlan PlanFrame(std::span<const int64_t> integers);

// Appends the frame of `plan`, which PlanFrame made for the same integers, less `origin` each.
// `scratch` is overwritten.
void AppendFrame(std::span<const int64_t> integers, const FramePlan& plan, int64_t origin,
                 std::vector<uint64_t>* scratch, std::string* out);

// A value that most of them are near: the median of five places, none at the ends, where a series
// is most often odd. REQUIRES: not empty.
int64_t MiddleOf(std::span<const int64_t> integers);

// About the bits that a frame of these would take, judged by some fifty of them: to choose between
// ways of differencing at a fraction of the cost of two plans. REQUIRES: not empty.
uint64_t EstimateFrameBits(std::span<const int64_t> integers);

// Reads a frame of n >= 1 integers into `out`, which has room for RoundUpToUnpackStep(n), and adds
// `origin` to each. Fails the reader (and leaves anything in `out`) when the bytes are no such
// frame.
void ReadFrame(ByteReader* reader, size_t n, int64_t origin, int64_t* out);

}  // namespace tinyobs::chunk

#endif  // TINYOBS_LIB_CHUNK_PATCHED_FRAME_H_
