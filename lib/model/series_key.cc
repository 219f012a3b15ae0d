#include "lib/model/series_key.h"

namespace tinyobs {

SeriesKey SeriesKeyOf(const Labels& labels, uint64_t seed) {
  return SeriesKeyOfCanonicalBytes(labels.canonical_bytes(), seed);
}

SeriesKey SeriesKeyOfCanonicalBytes(std::string_view bytes, uint64_t seed) {
  return SeriesKey{Fingerprint(bytes, seed)};
}

}  // namespace tinyobs
