// The one order of keys in tables, and everything that depends on it.
//
// A key is `user key | trailer`, the trailer being the last `trailer_bytes` bytes (0 or 8, fixed
// for a table). Keys are ordered by user key, then by trailer, each byte by byte (memcmp). That is
// all a table knows: a store that wants the newest version of a key first encodes its trailer so
// that it sorts first (big-endian, complemented).
//
// Why not simply memcmp over the whole key: "a" + trailer and "ab" + trailer would compare the
// first trailer byte with 'b', so a key and its extension could end up in any order. Escaping user
// keys would repair that at a cost in every byte. Why not a comparator object: a virtual call per
// comparison, dozens a lookup, for a choice nobody has.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_SSTABLE_KEY_ORDER_H_
#define TINYOBS_LIB_SSTABLE_KEY_ORDER_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/coding.h"

namespace tinyobs::sstable {

// What a trailer may be long.
inline constexpr bool IsValidTrailerBytes(uint64_t bytes) { return bytes == 0 || bytes == 8; }

// memcmp order of plain byte strings; < 0, 0, > 0. Inline and by words: keys are short, so the call
// of memcmp would cost more than the comparison, dozens of times an insert or lookup.
inline int CompareBytes(std::string_view a, std::string_view b) {
  const size_t common = std::min(a.size(), b.size());
  const auto compare_word = [&](size_t at) {
    const uint64_t x = LoadBigEndian64(a.data() + at);
    const uint64_t y = LoadBigEndian64(b.data() + at);
    return x < y ? -1 : (x > y ? 1 : 0);
  };
  size_t at = 0;
  for (; at + 8 <= common; at += 8) {
    if (const int result = compare_word(at); result != 0) return result;
  }
  if (common >= 8 && at < common) {
    if (const int result = compare_word(common - 8); result != 0) return result;
  } else {
    for (; at < common; ++at) {
      if (a[at] == b[at]) continue;
      return static_cast<unsigned char>(a[at]) < static_cast<unsigned char>(b[at]) ? -1 : 1;
    }
  }
  return a.size() < b.size() ? -1 : (a.size() > b.size() ? 1 : 0);
}

// The key without its trailer. REQUIRES: key.size() >= trailer_bytes.
inline std::string_view UserKey(std::string_view key, size_t trailer_bytes) {
  return key.substr(0, key.size() - trailer_bytes);
}

// The trailer of a table with 8 trailer bytes as the number whose order is the trailers' order.
// REQUIRES: key.size() >= 8.
inline uint64_t TrailerOf(std::string_view key) {
  return LoadBigEndian64(key.data() + key.size() - 8);
}

// The order of a table; < 0, 0, > 0. REQUIRES: both keys have at least `trailer_bytes` bytes.
inline int CompareKeys(std::string_view a, std::string_view b, size_t trailer_bytes) {
  if (trailer_bytes == 0) return CompareBytes(a, b);
  const int result = CompareBytes(UserKey(a, 8), UserKey(b, 8));
  if (result != 0) return result;
  const uint64_t a_trailer = TrailerOf(a);
  const uint64_t b_trailer = TrailerOf(b);
  return a_trailer < b_trailer ? -1 : (a_trailer > b_trailer ? 1 : 0);
}

// A key k, as short as is easily found, with a <= k < b: what the index stores between the last key
// of a block and the first key of the next. REQUIRES: a < b.
std::string SeparatorBetween(std::string_view a, std::string_view b, size_t trailer_bytes);

}  // namespace tinyobs::sstable

#endif  // TINYOBS_LIB_SSTABLE_KEY_ORDER_H_
