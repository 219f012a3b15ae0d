// The bytes of a log: a sequence of checksummed frames. FORMAT.md is the specification.
//
//   frame: checksum u32 | word u32 = length << 4 | type | payload (length bytes)
//
// One frame a record, of any length: no blocks and no fragments. Blocks would let a reader find
// the next frame behind a damaged one, but what a reader must find there is only a durable mark,
// and a mark is recognised at any byte: its checksum covers the log's number and its own offset.
//
// Durable marks answer the question every log reader has: bytes that fail their checksum, are they
// the torn tail of a process that died, or damage to data that was safe? The first must not stop an
// open, the second must never be dropped in silence. The writer, after each sync, writes a mark
// "everything before byte N is durable" in front of its next frame. A bad frame before such an N is
// DataLoss; any other is a torn tail, even where the file system wrote later pages and not earlier
// ones.
//
// Thread-safety: pure functions and constants.
#ifndef TINYOBS_LIB_LSM_WAL_FORMAT_H_
#define TINYOBS_LIB_LSM_WAL_FORMAT_H_

#include <cstdint>
#include <string_view>

#include "lib/base/checksum.h"
#include "lib/base/coding.h"

namespace tinyobs::lsm {

// "TinyObsL" read as a little-endian number.
inline constexpr uint64_t kWalMagic = 0x4c73624f796e6954;
inline constexpr uint32_t kWalFormatVersion = 1;

// Values reach disk; never renumber. 0 is never written, so zeros are no frame.
enum class FrameType : uint8_t {
  kHeader = 1,  // first in the file: magic u64, version u32, kind u32, number u64, previous u64
  kRecord = 2,  // the caller's bytes
  kMark = 3,    // u64: every byte of the file before it is durable
  kSeal = 4,    // empty: the log was ended in good order, nothing follows
};

inline constexpr size_t kFrameHeaderBytes = 8;
inline constexpr size_t kHeaderPayloadBytes = 32;
inline constexpr size_t kMarkPayloadBytes = 8;
inline constexpr size_t kMaxRecordBytes = (size_t{1} << 28) - 1;

// What a log is. The reader demands the kind and number that it expects, so a file under a wrong
// name is noticed.
struct WalIdentity {
  uint32_t kind = 0;
  uint64_t number = 0;
  // The log that was written before this one, 0 = none; lets recovery notice that it is missing.
  uint64_t previous = 0;
};

// Of `kind`; values reach disk, never renumber.
inline constexpr uint32_t kWalKindStore = 1;
inline constexpr uint32_t kWalKindManifest = 2;
// 3 and 4 are taken by the room above, in lib/tsdb/head_log.h.

inline constexpr uint32_t FrameWord(FrameType type, size_t length) {
  return static_cast<uint32_t>(length) << 4 | static_cast<uint32_t>(type);
}
inline constexpr size_t FrameLength(uint32_t word) { return word >> 4; }
inline constexpr FrameType FrameTypeOf(uint32_t word) { return static_cast<FrameType>(word & 15); }

// `word_and_payload` is the frame without its checksum. The place (log number and offset of the
// frame) goes in, so that frames of an older file in the same sectors, or copies of frames inside a
// record, never pass for frames here. The header is placed in log 0: it must be readable before the
// number is known.
inline uint32_t FrameChecksum(std::string_view word_and_payload, uint64_t log_number,
                              uint64_t offset) {
  const uint64_t place = (log_number * 0x9e3779b97f4a7c15 + offset + 1) * 0xff51afd7ed558ccd;
  return static_cast<uint32_t>((Checksum64(word_and_payload) ^ place) >> 32);
}

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_WAL_FORMAT_H_
