// SeriesKey: the identity of a series inside one database. The ONE place that turns labels into a
// key.
//
// A 128-bit XXH3 fingerprint of the canonical label bytes, seeded per database: labels are up to
// kilobytes, the key is 16 bytes, and an index over a million series touches one cache line instead
// of the labels. 128 bits, because two of a million series share 64 bits with probability 3e-8 and
// 128 bits with 1e-27; the seed, because labels are chosen by clients and an unseeded hash would
// let them choose collisions. Still, whoever finds a key compares the labels before trusting it:
// one memcmp of canonical bytes against silently merging two series.
//
// Every rule about what makes two label sets the same series (empty value = no label, order does
// not matter) is in Labels::Create, so equal series have equal canonical bytes and there is no
// second rule here.
//
// Thread-safety: pure.
#ifndef TINYOBS_LIB_MODEL_SERIES_KEY_H_
#define TINYOBS_LIB_MODEL_SERIES_KEY_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/base/checksum.h"
#include "tinyobs/labels.h"

namespace tinyobs {

struct SeriesKey {
  Fingerprint128 fingerprint;
  friend auto operator<=>(const SeriesKey&, const SeriesKey&) = default;
};

// For maps: absl::flat_hash_map<SeriesKey, T, SeriesKeyHash>. The fingerprint is uniform already,
// so hashing it again would only cost time.
struct SeriesKeyHash {
  size_t operator()(const SeriesKey& key) const { return key.fingerprint.low; }
};

// `seed` is the database's, drawn once when it is created and kept with it. Cost: one hash of the
// bytes.
SeriesKey SeriesKeyOf(const Labels& labels, uint64_t seed);
// The same from bytes that Labels::canonical_bytes returned. REQUIRES: canonical.
SeriesKey SeriesKeyOfCanonicalBytes(std::string_view bytes, uint64_t seed);

}  // namespace tinyobs

#endif  // TINYOBS_LIB_MODEL_SERIES_KEY_H_
