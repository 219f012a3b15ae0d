// Limits of the format of labels: what every layer may rely on, whoever wrote the bytes.
//
// They bound the cost of one hostile label set, not of a database: how many series may exist, and
// how long a name a server accepts, is decided further up and is always stricter.
#ifndef TINYOBS_LIB_MODEL_LIMITS_H_
#define TINYOBS_LIB_MODEL_LIMITS_H_

#include <cstddef>

namespace tinyobs {

// Of one label name or one label value. Fits 16 bits, so that an index may store lengths in two
// bytes.
inline constexpr size_t kMaxLabelBytes = 65'535;
// Labels in one set, the metric name included.
inline constexpr size_t kMaxLabels = 1'024;
// Of a whole set in canonical form: a row of the storage engine must hold it with room to spare.
inline constexpr size_t kMaxLabelSetBytes = 1 << 20;

}  // namespace tinyobs

#endif  // TINYOBS_LIB_MODEL_LIMITS_H_
