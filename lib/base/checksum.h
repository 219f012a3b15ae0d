// xxHash's XXH3: the checksum of every byte we write and the fingerprint of every series.
//
// XXH3 instead of CRC32C: several times faster without special instructions and 64 bits wide, so a
// damaged block passes with probability 2^-64. It guards against accidents, not against an
// attacker.
#ifndef TINYOBS_LIB_BASE_CHECKSUM_H_
#define TINYOBS_LIB_BASE_CHECKSUM_H_

#include <compare>
#include <cstdint>
#include <string_view>

namespace tinyobs {

uint64_t Checksum64(std::string_view bytes);
// As if `first` and `second` stood in one buffer.
uint64_t Checksum64(std::string_view first, std::string_view second);

struct Fingerprint128 {
  uint64_t low = 0;
  uint64_t high = 0;
  friend auto operator<=>(const Fingerprint128&, const Fingerprint128&) = default;
};

// `seed` makes collisions unpredictable to whoever chooses the bytes.
Fingerprint128 Fingerprint(std::string_view bytes, uint64_t seed);

}  // namespace tinyobs

#endif  // TINYOBS_LIB_BASE_CHECKSUM_H_
