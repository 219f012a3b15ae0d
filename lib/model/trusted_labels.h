// Labels of bytes that need no check: cut out of, or put together from, Labels that were checked.
//
// FromCanonicalBytes looks at every byte, which is right for what comes from a disk and a waste for
// what a query makes of labels, once a series. A type of its own, so that one search finds
// whoever vouches for bytes.
//
// Thread-safety: pure.
#ifndef TINYOBS_LIB_MODEL_TRUSTED_LABELS_H_
#define TINYOBS_LIB_MODEL_TRUSTED_LABELS_H_

#include <string>
#include <utility>

#include "tinyobs/labels.h"

namespace tinyobs {

struct TrustedLabels {
  // REQUIRES: `bytes` are canonical (tinyobs/labels.h), but that a set may be larger than the
  // limits of the format: it must not reach a store unchecked.
  static Labels Of(std::string bytes) {
    Labels labels;
    labels.bytes_ = std::move(bytes);
    return labels;
  }
};

}  // namespace tinyobs

#endif  // TINYOBS_LIB_MODEL_TRUSTED_LABELS_H_
