// SeriesWriter: stores what a request brought, for every protocol that names series and sends
// samples of them.
//
// Known series go in by handle, as columns: the bytes of their names are hashed once
// (series_cache.h), and no label is read. New ones go in by labels, and are known from then on.
//
// The good part of a request is stored. A batch of an Appender is all or nothing, and a sender that
// is told "no" throws the whole request away: one series too many would take thousands of others
// with it. So what is refused (labels nobody can store, samples too old, new series beyond a limit)
// is taken out and reported, and the rest is committed.
//
// Thread-safety: thread-safe.
#ifndef TINYOBS_LIB_WIRE_SERIES_WRITER_H_
#define TINYOBS_LIB_WIRE_SERIES_WRITER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "lib/wire/series_batch.h"
#include "lib/wire/series_cache.h"
#include "tinyobs/appender.h"
#include "tinyobs/querier.h"

namespace tinyobs::wire {

class SeriesWriter {
 public:
  // `store` and `known`, whose metadata need not be written again, must outlive this object. The
  // cache of names takes at most `cache_bytes`.
  SeriesWriter(Appendable* store, const Querier* known, size_t cache_bytes)
      : store_(store), known_(known), cache_(cache_bytes) {}

  // Adds to `report` what was stored and what was not. `dialect` as SeriesCache::NameOf. Metadata
  // beyond the limits of the store is left out without a word. Large batches are committed in
  // parts.
  // An error is what Appender::Commit says of more than a part: trying the same request again later
  // may help, and writes what is stored already once more, which changes nothing. Then `report`
  // counts earlier parts only.
  absl::Status Write(const SeriesBatch& batch, const LabelsOf& labels_of, uint64_t dialect,
                     WriteReport* report);

  const SeriesCache& cache() const { return cache_; }

 private:
  absl::Status WriteMetadata(const SeriesBatch& batch, Appender* appender) const;

  Appendable* const store_;
  const Querier* const known_;
  SeriesCache cache_;
};

}  // namespace tinyobs::wire

#endif  // TINYOBS_LIB_WIRE_SERIES_WRITER_H_
