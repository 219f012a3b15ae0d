// What to compact next: pure functions, a Version in and a choice out. The store does the I/O.
//
// Leveled: L0 is due when too many of its tables lie over one key, a deeper level when it holds
// more bytes than its target. Of a level that is due, the table goes down that drags along the
// fewest bytes of the next level per byte of its own, which keeps write amplification low without
// any state between picks. Of L0 the deepest group of overlapping tables goes. A flush makes one
// table a partition, so L0 may be wide: a pick costs O(n log n), and tables that need no rewriting
// go many at a time.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_LSM_COMPACTION_PICKER_H_
#define TINYOBS_LIB_LSM_COMPACTION_PICKER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "lib/lsm/version.h"

namespace tinyobs::lsm {

struct PickerOptions {
  int l0_trigger = 4;
  uint64_t level1_bytes = 64 << 20;
  int level_ratio = 10;
  uint64_t table_bytes = 8 << 20;
};

struct CompactionChoice {
  int level = 0;           // outputs go to level + 1
  TableList inputs;        // of `level`
  TableList next_inputs;   // of level + 1, all that overlap `inputs`
  TableList grandparents;  // of level + 2, all that overlap either: where to cut outputs
  // The inputs, which do not overlap each other, can change their level without being rewritten. Of
  // L0 these may be many; `grandparents` are then those of the first.
  bool trivial_move = false;

  int output_level() const { return level + 1; }
  uint64_t InputBytes() const;
};

// How much L0 weighs on reads, in tables: the most that lie over one key, or a quarter of all if
// that is more (tables side by side, of other partitions say, cost little, but their number is
// bounded too). Compared with l0_compaction_trigger and l0_stall_trigger.
double L0Load(const Version& version);

// How full each level is, 1 = due. The last level is never due.
std::array<double, kLevels> LevelScores(const Version& version, const PickerOptions& options);

// nullopt: nothing is due, or what is due touches a table in `busy` (by number).
std::optional<CompactionChoice> PickCompaction(const Version& version, const PickerOptions& options,
                                               const absl::flat_hash_set<uint64_t>& busy);

// For CompactRange: everything of `level` that overlaps `range`, and what must go with it. nullopt:
// nothing there.
std::optional<CompactionChoice> PickRange(const Version& version, const PickerOptions& options,
                                          int level, const KeyRange& range);

// How many bytes of grandparents an output may overlap before it is cut, so that no later
// compaction of one table becomes huge.
inline uint64_t GrandparentOverlapLimit(const PickerOptions& options) {
  return 10 * options.table_bytes;
}

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_COMPACTION_PICKER_H_
