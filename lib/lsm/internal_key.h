// Internal keys: what a key is called inside memtables and tables.
//
//   user key | trailer: big-endian u64 of ~(sequence << 8 | type)
//
// The complement makes the newest version of a user key sort first under the tables' plain byte
// order (lib/sstable/key_order.h), so "the first entry at or behind (key, snapshot)" is the version
// that the snapshot sees. Order: user key ascending, sequence descending.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_LSM_INTERNAL_KEY_H_
#define TINYOBS_LIB_LSM_INTERNAL_KEY_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/coding.h"
#include "lib/sstable/key_order.h"

namespace tinyobs::lsm {

// Values reach disk; never renumber. 2 and 3 are kept for a merge operand and a range tombstone.
enum class ValueType : uint8_t {
  kDelete = 0,
  kPut = 1,
};

inline constexpr size_t kTrailerBytes = 8;
inline constexpr uint64_t kMaxSequence = (uint64_t{1} << 56) - 1;

inline constexpr uint64_t PackTrailer(uint64_t sequence, ValueType type) {
  return ~(sequence << 8 | static_cast<uint64_t>(type));
}
inline constexpr uint64_t SequenceOf(uint64_t trailer) { return ~trailer >> 8; }
inline constexpr ValueType TypeOf(uint64_t trailer) {
  return static_cast<ValueType>(~trailer & 0xff);
}
// Before every version of a key that a reader at `sequence` may see, behind all newer ones.
inline constexpr uint64_t SeekTrailer(uint64_t sequence) { return ~(sequence << 8 | 0xff); }
// Behind every version of a key.
inline constexpr uint64_t kLastTrailer = ~uint64_t{0};

// REQUIRES: internal_key.size() >= kTrailerBytes. Memtables guarantee it and table readers check
// it.
inline std::string_view UserKeyOf(std::string_view internal_key) {
  return internal_key.substr(0, internal_key.size() - kTrailerBytes);
}
inline uint64_t TrailerOf(std::string_view internal_key) {
  return sstable::TrailerOf(internal_key);
}

inline int CompareUserKeys(std::string_view a, std::string_view b) {
  return sstable::CompareBytes(a, b);
}
inline int CompareInternalKeys(std::string_view a, std::string_view b) {
  return sstable::CompareKeys(a, b, kTrailerBytes);
}

inline void AppendInternalKey(std::string_view user_key, uint64_t trailer, std::string* out) {
  out->append(user_key);
  PutBigEndian64(out, trailer);
}
inline std::string MakeInternalKey(std::string_view user_key, uint64_t trailer) {
  std::string key;
  key.reserve(user_key.size() + kTrailerBytes);
  AppendInternalKey(user_key, trailer, &key);
  return key;
}

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_INTERNAL_KEY_H_
