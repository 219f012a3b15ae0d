#include "lib/lsm/compaction_picker.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tinyobs::lsm {
namespace {

constexpr int kLastLevel = kLevels - 1;
// For L0Load.
constexpr int kL0CountPerDepth = 4;
// The base level may have this many times level1_bytes before L0 gets another level above it. Up to
// there, merging L0 into it at once writes no more than merging
// twice: 1 million random puts and as many overwrites made compaction write 485 to 495 MB with 1 to
// 3, 534 MB with 4, 709 MB with 6.
constexpr double kBaseLevelMax = 3;
// A level that is in use stays so until the one below it has shrunk to this, so that a store whose
// size goes up and down does not rewrite a level each time.
constexpr double kBaseLevelMin = 1.5;
// Inputs may grow to this many tables' worth: by tables that drag in nothing more of the next
// level, and by parts of L0 that have nothing to do with each other.
constexpr uint64_t kGrowToTables = 16;
// Tables or groups of L0 that one edit moves or merges: bounds the edit, while a new version, which
// costs as much as there are tables, serves many.
constexpr size_t kPartsPerEdit = 256;

uint64_t BytesOf(const TableList& tables) {
  uint64_t bytes = 0;
  for (const TablePtr& table : tables) bytes += table->meta.file_bytes;
  return bytes;
}

size_t At(int level) { return static_cast<size_t>(level); }

KeyRange RangeOf(const TableList& tables) {
  KeyRange range{tables[0]->smallest_user_key(), tables[0]->largest_user_key()};
  for (const TablePtr& table : tables) {
    if (CompareUserKeys(table->smallest_user_key(), range.first) < 0) {
      range.first = table->smallest_user_key();
    }
    if (CompareUserKeys(table->largest_user_key(), range.last) > 0) {
      range.last = table->largest_user_key();
    }
  }
  return range;
}

KeyRange Union(const KeyRange& a, const KeyRange& b) {
  return {CompareUserKeys(a.first, b.first) <= 0 ? a.first : b.first,
          CompareUserKeys(a.last, b.last) >= 0 ? a.last : b.last};
}

bool Overlap(const KeyRange& a, const KeyRange& b) {
  return (a.to_end || CompareUserKeys(b.first, a.last) <= 0) &&
         (b.to_end || CompareUserKeys(a.first, b.last) <= 0);
}

// L0 in groups of tables that overlap, be it by way of others: whoever takes a table must take its
// group, or an older version of a key would stay above a newer one. Each group in the level's
// order, the groups by their oldest table, the oldest first.
std::vector<TableList> L0Groups(const Version& version) {
  const TableList& tables = version.level(0);
  std::vector<size_t> by_start(tables.size());
  std::iota(by_start.begin(), by_start.end(), size_t{0});
  std::sort(by_start.begin(), by_start.end(), [&](size_t a, size_t b) {
    return CompareUserKeys(tables[a]->smallest_user_key(), tables[b]->smallest_user_key()) < 0;
  });
  std::vector<std::vector<size_t>> groups;  // of places in `tables`
  std::string_view end;                     // of the last group
  for (const size_t i : by_start) {
    const TableFile& table = *tables[i];
    if (groups.empty() || CompareUserKeys(end, table.smallest_user_key()) < 0) {
      groups.emplace_back();
      end = table.largest_user_key();
    } else if (CompareUserKeys(end, table.largest_user_key()) < 0) {
      end = table.largest_user_key();
    }
    groups.back().push_back(i);
  }
  for (std::vector<size_t>& group : groups) std::sort(group.begin(), group.end());
  std::sort(groups.begin(), groups.end(),
            [](const auto& a, const auto& b) { return a.back() > b.back(); });
  std::vector<TableList> result(groups.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    for (const size_t place : groups[i]) result[i].push_back(tables[place]);
  }
  return result;
}

// The tables of L0 that overlap `range`, and their groups.
TableList L0Closure(const Version& version, const KeyRange& range) {
  absl::flat_hash_set<uint64_t> numbers;
  for (const TableList& group : L0Groups(version)) {
    const bool overlaps = std::any_of(
        group.begin(), group.end(), [&](const TablePtr& table) { return range.Overlaps(*table); });
    if (!overlaps) continue;
    for (const TablePtr& table : group) numbers.insert(table->meta.number);
  }
  TableList tables;
  for (const TablePtr& table : version.level(0)) {
    if (numbers.contains(table->meta.number)) tables.push_back(table);
  }
  return tables;
}

// Nothing below level `level` has keys in `range`.
bool IsBottomFor(const Version& version, int level, const KeyRange& range) {
  for (int below = level + 1; below < kLevels; ++below) {
    if (!version.Overlapping(below, range).empty()) return false;
  }
  return true;
}

int NextLevel(const Version& version, const PickerOptions& options, const Claims& claims,
              int level) {
  if (level > 0) return level + 1;
  int base = TargetsOf(version, options).base_level;
  for (const Claims::Output& output : claims.outputs) {
    if (output.level > 0) base = std::min(base, output.level);
  }
  return base;
}

// `inputs` and what goes with them. `range` is what they cover, or more: then what the output level
// holds of it goes too.
CompactionChoice Complete(const Version& version, const PickerOptions& options, int level,
                          int output_level, TableList inputs, KeyRange range) {
  CompactionChoice choice;
  choice.level = level;
  choice.output_level = output_level;
  choice.inputs = std::move(inputs);
  choice.next_inputs = version.Overlapping(output_level, range);
  if (!choice.next_inputs.empty()) range = Union(range, RangeOf(choice.next_inputs));
  if (output_level < kLastLevel) choice.grandparents = version.Overlapping(output_level + 1, range);
  choice.ranges = {range};
  // A table whose tombstones have nothing left to hide is rewritten without them instead.
  choice.trivial_move =
      choice.inputs.size() == 1 && choice.next_inputs.empty() &&
      BytesOf(choice.grandparents) <= GrandparentOverlapLimit(options) &&
      (choice.inputs[0]->meta.tombstones == 0 || !IsBottomFor(version, output_level, range));
  return choice;
}

// Takes in more tables of the same level where that costs no more of the next level.
CompactionChoice Grow(const Version& version, const PickerOptions& options, const Claims& claims,
                      CompactionChoice choice) {
  if (choice.next_inputs.empty()) return choice;
  TableList more = version.Overlapping(choice.level, choice.ranges[0]);
  if (more.size() <= choice.inputs.size()) return choice;
  const KeyRange range = RangeOf(more);
  CompactionChoice grown =
      Complete(version, options, choice.level, choice.output_level, std::move(more), range);
  if (claims.Conflict(grown) || grown.next_inputs.size() != choice.next_inputs.size() ||
      grown.InputBytes() > kGrowToTables * options.table_bytes) {
    return choice;
  }
  return grown;
}

// One choice of many of the same levels: their tables, each once, and what they cover.
CompactionChoice Join(std::vector<CompactionChoice> parts) {
  std::sort(parts.begin(), parts.end(), [](const CompactionChoice& a, const CompactionChoice& b) {
    return CompareUserKeys(a.ranges[0].first, b.ranges[0].first) < 0;
  });
  CompactionChoice all = std::move(parts[0]);
  const auto append = [](TableList* to, const TableList& from) {
    for (const TablePtr& table : from) {  // neighbours may share tables
      if (to->empty() ||
          CompareUserKeys(to->back()->smallest_user_key(), table->smallest_user_key()) < 0) {
        to->push_back(table);
      }
    }
  };
  for (size_t i = 1; i < parts.size(); ++i) {
    const CompactionChoice& part = parts[i];
    all.inputs.insert(all.inputs.end(), part.inputs.begin(), part.inputs.end());
    append(&all.next_inputs, part.next_inputs);
    append(&all.grandparents, part.grandparents);
    if (Overlap(all.ranges.back(), part.ranges[0])) {
      all.ranges.back() = Union(all.ranges.back(), part.ranges[0]);
    } else {
      all.ranges.push_back(part.ranges[0]);
    }
  }
  return all;
}

// The deepest group of overlapping tables, of equal ones that with the oldest table; and with it as
// many others as deep, if they go the same way (all move, or all are rewritten).
std::optional<CompactionChoice> PickL0(const Version& version, const PickerOptions& options,
                                       const Claims& claims) {
  std::vector<std::pair<size_t, TableList>> groups;  // by depth
  for (TableList& group : L0Groups(version)) {
    const size_t depth = group.size() == 1 ? 1 : SideBySide(group).size();
    groups.emplace_back(depth, std::move(group));
  }
  std::stable_sort(groups.begin(), groups.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  const int output_level = NextLevel(version, options, claims, 0);
  std::vector<CompactionChoice> parts;
  size_t picked_depth = 0;
  uint64_t bytes = 0;
  for (auto& [depth, group] : groups) {
    if (!parts.empty() && (depth < picked_depth || parts.size() == kPartsPerEdit)) break;
    const KeyRange range = RangeOf(group);
    CompactionChoice part = Complete(version, options, 0, output_level, std::move(group), range);
    if (claims.Conflict(part)) continue;
    if (parts.empty()) {
      picked_depth = depth;
    } else if (part.trivial_move != parts[0].trivial_move ||
               (!part.trivial_move &&
                bytes + part.InputBytes() > kGrowToTables * options.table_bytes)) {
      continue;
    }
    bytes += part.InputBytes();
    parts.push_back(std::move(part));
  }
  if (parts.empty()) return std::nullopt;
  return Join(std::move(parts));
}

// Of each table of `level`, how many bytes of the next one it overlaps; UINT64_MAX = claimed.
std::vector<uint64_t> OverlapBytes(const Version& version, int level, const Claims& claims) {
  const TableList& tables = version.level(level);
  const TableList& next = version.level(level + 1);
  std::vector<uint64_t> result(tables.size());
  size_t first = 0;  // of `next`, that is not before the table
  for (size_t i = 0; i < tables.size(); ++i) {
    const KeyRange range{tables[i]->smallest_user_key(), tables[i]->largest_user_key()};
    while (first < next.size() &&
           CompareUserKeys(next[first]->largest_user_key(), range.first) < 0) {
      ++first;
    }
    bool claimed = claims.tables.contains(tables[i]->meta.number);
    for (size_t j = first; j < next.size() && range.Overlaps(*next[j]); ++j) {
      result[i] += next[j]->meta.file_bytes;
      claimed |= claims.tables.contains(next[j]->meta.number);
    }
    if (claimed) result[i] = UINT64_MAX;
  }
  return result;
}

std::optional<CompactionChoice> PickLevel(const Version& version, const PickerOptions& options,
                                          int level, const Claims& claims) {
  const TableList& tables = version.level(level);
  const std::vector<uint64_t> overlaps = OverlapBytes(version, level, claims);
  const auto ratio = [&](size_t i) {
    return static_cast<double>(overlaps[i]) / static_cast<double>(tables[i]->meta.file_bytes + 1);
  };
  const auto complete = [&](size_t i) {
    return Complete(version, options, level, level + 1, {tables[i]}, RangeOf({tables[i]}));
  };
  std::vector<size_t> order;
  for (size_t i = 0; i < tables.size(); ++i) {
    if (overlaps[i] != UINT64_MAX) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return ratio(a) < ratio(b); });
  const uint64_t target = TargetsOf(version, options).bytes[At(level)];
  uint64_t left = version.LevelBytes(level);
  std::vector<CompactionChoice> parts;
  for (const size_t i : order) {
    // Of tables that only move, as many as are too many.
    if (!parts.empty() && (overlaps[i] > 0 || left <= target || parts.size() == kPartsPerEdit)) {
      break;
    }
    CompactionChoice part = complete(i);
    if (claims.Conflict(part) || (!parts.empty() && !part.trivial_move)) continue;
    left -= tables[i]->meta.file_bytes;
    parts.push_back(std::move(part));
    if (!parts[0].trivial_move) return Grow(version, options, claims, std::move(parts[0]));
  }
  if (parts.empty()) return std::nullopt;
  return Join(std::move(parts));
}

}  // namespace

uint64_t CompactionChoice::InputBytes() const { return BytesOf(inputs) + BytesOf(next_inputs); }

void Claims::Add(const CompactionChoice& choice) {
  for (const TablePtr& table : choice.inputs) tables.insert(table->meta.number);
  for (const TablePtr& table : choice.next_inputs) tables.insert(table->meta.number);
  for (const KeyRange& range : choice.ranges) outputs.push_back({choice.output_level, range});
}

bool Claims::Conflict(const CompactionChoice& choice) const {
  const auto claimed = [this](const TablePtr& table) {
    return tables.contains(table->meta.number);
  };
  const auto covered = [&](const Output& output) {
    if (output.level != kAnyLevel && output.level != choice.output_level) return false;
    return std::any_of(choice.ranges.begin(), choice.ranges.end(),
                       [&](const KeyRange& range) { return Overlap(range, output.range); });
  };
  return (!tables.empty() &&
          (std::any_of(choice.inputs.begin(), choice.inputs.end(), claimed) ||
           std::any_of(choice.next_inputs.begin(), choice.next_inputs.end(), claimed))) ||
         std::any_of(outputs.begin(), outputs.end(), covered);
}

bool IsBottom(const Version& version, const CompactionChoice& choice) {
  return std::all_of(choice.ranges.begin(), choice.ranges.end(), [&](const KeyRange& range) {
    return IsBottomFor(version, choice.output_level, range);
  });
}

double L0Load(const Version& version) {
  return std::max(static_cast<double>(version.l0_depth()),
                  static_cast<double>(version.level(0).size()) / kL0CountPerDepth);
}

// Sizes are counted as if the largest level were the last one, so that levels filled by an older
// version of this picker, from the first on, empty downwards.
LevelTargets TargetsOf(const Version& version, const PickerOptions& options) {
  const double level1_bytes = static_cast<double>(options.level1_bytes);
  std::array<double, kLevels> sizes = {};
  int first_used = kLastLevel;
  for (int level = kLastLevel; level > 0; --level) {
    if (version.LevelBytes(level) > 0) first_used = level;
    sizes[kLastLevel] = std::max(sizes[kLastLevel], static_cast<double>(version.LevelBytes(level)));
  }
  LevelTargets targets;
  int keep = kLastLevel;  // the first level that stays in use when it is
  for (int level = kLastLevel - 1; level > 0; --level) {
    sizes[At(level)] = sizes[At(level + 1)] / options.level_ratio;
    if (sizes[At(level + 1)] > kBaseLevelMax * level1_bytes) targets.base_level = level;
    if (sizes[At(level + 1)] > kBaseLevelMin * level1_bytes) keep = level;
  }
  targets.base_level = std::min(targets.base_level, first_used);
  for (int level = std::max(targets.base_level, keep); level < kLevels; ++level) {
    targets.bytes[At(level)] = static_cast<uint64_t>(std::max(sizes[At(level)], level1_bytes));
  }
  return targets;
}

std::array<double, kLevels> LevelScores(const Version& version, const PickerOptions& options) {
  std::array<double, kLevels> scores = {};
  scores[0] = L0Load(version) / options.l0_trigger;
  const LevelTargets targets = TargetsOf(version, options);
  for (int level = 1; level < kLastLevel; ++level) {
    const double bytes = static_cast<double>(version.LevelBytes(level));
    const double target = static_cast<double>(targets.bytes[At(level)]);
    if (target > 0) {
      scores[At(level)] = bytes / target;
    } else if (bytes > 0) {  // to be emptied
      scores[At(level)] = 1 + bytes / static_cast<double>(options.level1_bytes);
    }
  }
  return scores;
}

std::optional<CompactionChoice> PickCompaction(const Version& version, const PickerOptions& options,
                                               const Claims& claims) {
  const std::array<double, kLevels> scores = LevelScores(version, options);
  std::array<int, kLevels> order;
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return scores[At(a)] > scores[At(b)]; });
  int reserved = -1;
  for (const int level : order) {
    if (scores[At(level)] < 1) break;
    if (level == reserved) continue;
    std::optional<CompactionChoice> choice =
        level == 0 ? PickL0(version, options, claims) : PickLevel(version, options, level, claims);
    if (choice.has_value()) return choice;
    // L0 waits for tables of the base level: taking more of them would make it wait for ever.
    if (level == 0) reserved = NextLevel(version, options, claims, 0);
  }
  return std::nullopt;
}

std::optional<CompactionChoice> PickRange(const Version& version, const PickerOptions& options,
                                          const Claims& claims, int from_level,
                                          const KeyRange& range, bool rewrite_all) {
  int deepest = NextLevel(version, options, claims, 0);
  for (int level = deepest + 1; level < kLevels; ++level) {
    if (!version.Overlapping(level, range).empty()) deepest = level;
  }
  for (int level = from_level; level < deepest; ++level) {
    TableList inputs = level == 0 ? L0Closure(version, range) : version.Overlapping(level, range);
    if (inputs.empty()) continue;
    const int output_level = NextLevel(version, options, claims, level);
    KeyRange cover = RangeOf(inputs);
    if (rewrite_all && output_level == deepest) {
      const TableList others = version.Overlapping(deepest, range);
      if (!others.empty()) cover = Union(cover, RangeOf(others));
    }
    CompactionChoice choice =
        Complete(version, options, level, output_level, std::move(inputs), cover);
    choice.trivial_move &= !rewrite_all;
    return choice;
  }
  const TableList others = version.Overlapping(deepest, range);
  if (!rewrite_all || from_level >= deepest || others.empty()) return std::nullopt;
  return Complete(version, options, deepest - 1, deepest, {}, RangeOf(others));
}

}  // namespace tinyobs::lsm
