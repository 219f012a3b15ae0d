#include "lib/base/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tinyobs {

uint64_t Checksum64(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

uint64_t Checksum64(std::string_view first, std::string_view second) {
  // Not on the stack: the state wants 64-byte alignment, which GCC 12's AddressSanitizer does not
  // give to locals when it looks for uses after return.
  static thread_local XXH3_state_t state;
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, first.data(), first.size());
  XXH3_64bits_update(&state, second.data(), second.size());
  return XXH3_64bits_digest(&state);
}

Fingerprint128 Fingerprint(std::string_view bytes, uint64_t seed) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed);
  return {hash.low64, hash.high64};
}

}  // namespace tinyobs
