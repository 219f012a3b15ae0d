// What to compact next: pure functions, a Version in and a choice out. The store does the I/O.
//
// Leveled, from the last level up: all data ends in level kLevels - 1, whatever the size of the
// store, and levels above come into use as it grows. Each may hold 1/level_ratio of the one below
// it, so that few bytes are old versions of others. L0 goes into the base level, the uppermost one
// in use besides it. Of L0 the deepest groups of overlapping tables go; of another level that holds
// too much, the table that drags along the fewest bytes of the next level per byte of its own,
// which keeps write amplification low without any state between picks. Parts of L0 that have
// nothing to do with each other (a flush makes one table a partition, so there may be thousands) go
// many at a time: a pick costs O(n log n), and installing its result as much again.
//
// Several jobs at once keep invariant 3 of version.h (versions of a key in an upper level are
// newer) and 2 (tables of a level do not overlap), because each job owns, while it runs,
//  a. its input tables: all of the key's versions from its level to its output level. For L0 that
//     is a whole group of overlapping tables, and the levels it passes over are empty and stay so:
//     the base level never sinks below a level that a running job writes to;
//  b. at its output level, the ranges that its outputs may cover.
//
// A later job may therefore put newer versions of the same keys only into levels above the output
// level or into L0 (a flush), which is where newer versions belong, or it would need a table of a.,
// or a group of L0 with one; and nothing it writes at the same level overlaps, by b. A tombstone is
// dropped where no deeper level of the version at the pick holds its key: whatever older versions
// there were, are in tables of a., and nothing older comes from above.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_LSM_COMPACTION_PICKER_H_
#define TINYOBS_LIB_LSM_COMPACTION_PICKER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

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
  int level = 0;
  int output_level = 1;    // > level
  TableList inputs;        // of `level`
  TableList next_inputs;   // of `output_level`, all that overlap `inputs`
  TableList grandparents;  // of the level below that, all that overlap either
  // Parts that do not overlap, in key order: what the inputs cover. No output may reach from one
  // into the next, as tables that are no inputs may lie between.
  std::vector<KeyRange> ranges;
  // The inputs, which do not overlap each other, can change their level without being rewritten.
  bool trivial_move = false;

  uint64_t InputBytes() const;
};

// What running jobs hold; see the top.
struct Claims {
  static constexpr int kAnyLevel = -1;
  struct Output {
    int level;
    KeyRange range;
  };
  absl::flat_hash_set<uint64_t> tables;  // by number
  std::vector<Output> outputs;

  void Add(const CompactionChoice& choice);
  bool Conflict(const CompactionChoice& choice) const;
};

// What each level may hold. See LevelStats::target_bytes.
struct LevelTargets {
  int base_level = kLevels - 1;  // where L0 goes, as far as running jobs do not matter
  std::array<uint64_t, kLevels> bytes = {};
};
LevelTargets TargetsOf(const Version& version, const PickerOptions& options);

// How much L0 weighs on reads, in tables: the most that lie over one key, or a quarter of all if
// that is more (tables side by side, of other partitions say, cost little, but their number is
// bounded too). Compared with the three triggers of StoreOptions (l0_compaction_trigger and so on).
double L0Load(const Version& version);

// How full each level is, 1 = due. The last level is never due.
std::array<double, kLevels> LevelScores(const Version& version, const PickerOptions& options);

// nullopt: nothing is due, or what is due conflicts with `claims`.
std::optional<CompactionChoice> PickCompaction(const Version& version, const PickerOptions& options,
                                               const Claims& claims);

// One step of a compaction of `range`: everything of the first level from `from_level` on that
// overlaps it, down to the next level, or from L0 to the base level; `claims` only tells the base
// level. nullopt: everything is in the deepest level that holds any of the range. `rewrite_all`:
// nothing moves without being rewritten, and what the deepest level holds of the range is rewritten
// too (with `from_level` the output level of the step before).
std::optional<CompactionChoice> PickRange(const Version& version, const PickerOptions& options,
                                          const Claims& claims, int from_level,
                                          const KeyRange& range, bool rewrite_all);

// No level below the outputs has keys that they cover.
bool IsBottom(const Version& version, const CompactionChoice& choice);

// How many bytes of grandparents an output may overlap before it is cut, so that no later
// compaction of one table becomes huge.
inline uint64_t GrandparentOverlapLimit(const PickerOptions& options) {
  return 10 * options.table_bytes;
}

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_COMPACTION_PICKER_H_
