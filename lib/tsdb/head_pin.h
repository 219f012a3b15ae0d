// HeadPin: a copy of a part of the head at one instant, still encoded.
//
// Taken under the head's lock, so it copies bytes and decodes nothing; queries, checkpoints and the
// sealer then work on it without the lock.
//
// Thread-safety: a value; const calls from any thread.
#ifndef TINYOBS_LIB_TSDB_HEAD_PIN_H_
#define TINYOBS_LIB_TSDB_HEAD_PIN_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/tsdb/column_merge.h"
#include "lib/tsdb/key_schema.h"
#include "tinyobs/querier.h"

namespace tinyobs::tsdb {

struct HeadPin {
  // Samples of one series, ascending by time, each time once; of one partition, except for late
  // ones that are not frozen yet.
  struct Stretch {
    SeriesRef ref = 0;
    Generation generation = 0;
    int64_t first_ms = 0;
    uint32_t count = 0;
    uint32_t offset = 0;  // of the encoded stream in `bytes`
    uint32_t bytes = 0;   // its length
    bool late = false;
    bool may_overlap = false;
    int8_t exponent = 0;  // of the last value; chunk::kBitsExponent: no decimal
  };

  // Grouped by ref in the order asked for. Within a ref oldest writing first: frozen chunks in
  // their order, then what is open, then what is late. A later stretch wins for equal times.
  std::vector<Stretch> stretches;
  std::string bytes;

  std::string_view Stream(const Stretch& stretch) const {
    return std::string_view(bytes).substr(stretch.offset, stretch.bytes);
  }

  // Replaces `out` by the samples of stretch `i`. False: the stream is damaged. Defined with the
  // head's encoding.
  bool Decode(size_t i, Columns* out) const;

  // Keeps the memory.
  void clear() {
    stretches.clear();
    bytes.clear();
  }
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_HEAD_PIN_H_
