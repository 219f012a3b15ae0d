#include "lib/lsm/compaction_picker.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace tinyobs::lsm {
namespace {

// For L0Load.
constexpr int kL0CountPerDepth = 4;
// Inputs may grow to this many tables' worth for a merge that takes more in without dragging in
// more of the next level.
constexpr uint64_t kGrowToTables = 16;
// Tables of L0 that one edit moves: bounds the edit, while a new version, which costs as much as
// there are tables, serves many.
constexpr size_t kMovesPerEdit = 256;

using Busy = absl::flat_hash_set<uint64_t>;

uint64_t BytesOf(const TableList& tables) {
  uint64_t bytes = 0;
  for (const TablePtr& table : tables) bytes += table->meta.file_bytes;
  return bytes;
}

bool AnyBusy(const TableList& tables, const Busy& busy) {
  if (busy.empty()) return false;
  return std::any_of(tables.begin(), tables.end(),
                     [&](const TablePtr& table) { return busy.contains(table->meta.number); });
}

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
bool IsBottom(const Version& version, int level, const KeyRange& range) {
  for (int below = level + 1; below < kLevels; ++below) {
    if (!version.Overlapping(below, range).empty()) return false;
  }
  return true;
}

CompactionChoice Complete(const Version& version, const PickerOptions& options, int level,
                          TableList inputs) {
  CompactionChoice choice;
  choice.level = level;
  choice.inputs = std::move(inputs);
  const KeyRange range = RangeOf(choice.inputs);
  choice.next_inputs = version.Overlapping(level + 1, range);
  const KeyRange all =
      choice.next_inputs.empty() ? range : Union(range, RangeOf(choice.next_inputs));
  if (level + 2 < kLevels) choice.grandparents = version.Overlapping(level + 2, all);
  // A table whose tombstones have nothing left to hide is rewritten without them instead.
  choice.trivial_move =
      choice.inputs.size() == 1 && choice.next_inputs.empty() &&
      BytesOf(choice.grandparents) <= GrandparentOverlapLimit(options) &&
      (choice.inputs[0]->meta.tombstones == 0 || !IsBottom(version, level + 1, range));
  return choice;
}

// Takes in more tables of the same level where that costs no more of the next level.
CompactionChoice Grow(const Version& version, const PickerOptions& options, const Busy& busy,
                      CompactionChoice choice) {
  if (choice.next_inputs.empty()) return choice;
  const KeyRange all = Union(RangeOf(choice.inputs), RangeOf(choice.next_inputs));
  TableList more = version.Overlapping(choice.level, all);
  if (more.size() <= choice.inputs.size() || AnyBusy(more, busy)) return choice;
  CompactionChoice grown = Complete(version, options, choice.level, std::move(more));
  if (grown.next_inputs.size() != choice.next_inputs.size() ||
      grown.InputBytes() > kGrowToTables * options.table_bytes) {
    return choice;
  }
  return grown;
}

std::optional<CompactionChoice> PickL0(const Version& version, const PickerOptions& options,
                                       const Busy& busy) {
  // The group of overlapping tables that is deepest; of equal ones the one with the oldest table.
  const std::vector<TableList> groups = L0Groups(version);
  std::optional<CompactionChoice> best;
  size_t best_depth = 0;
  for (const TableList& group : groups) {
    const size_t depth = SideBySide(group).size();
    if (depth <= best_depth || AnyBusy(group, busy)) continue;
    CompactionChoice choice = Complete(version, options, 0, group);
    if (AnyBusy(choice.next_inputs, busy)) continue;
    best = std::move(choice);
    best_depth = depth;
  }
  if (!best.has_value() || !best->trivial_move) return best;
  // Single tables move, and nothing deeper can go: whatever else may move goes along.
  const TablePtr first = best->inputs[0];
  for (const TableList& group : groups) {
    if (best->inputs.size() == kMovesPerEdit) break;
    if (group.size() > 1 || group[0] == first || AnyBusy(group, busy)) continue;
    if (Complete(version, options, 0, group).trivial_move) best->inputs.push_back(group[0]);
  }
  return best;
}

std::optional<CompactionChoice> PickLevel(const Version& version, const PickerOptions& options,
                                          int level, const Busy& busy) {
  const TablePtr* best = nullptr;
  double best_ratio = 0;
  for (const TablePtr& table : version.level(level)) {
    if (busy.contains(table->meta.number)) continue;
    const TableList next = version.Overlapping(level + 1, RangeOf({table}));
    if (AnyBusy(next, busy)) continue;
    const double ratio =
        static_cast<double>(BytesOf(next)) / static_cast<double>(table->meta.file_bytes + 1);
    if (best == nullptr || ratio < best_ratio) {
      best = &table;
      best_ratio = ratio;
    }
  }
  if (best == nullptr) return std::nullopt;
  return Grow(version, options, busy, Complete(version, options, level, {*best}));
}

}  // namespace

uint64_t CompactionChoice::InputBytes() const { return BytesOf(inputs) + BytesOf(next_inputs); }

double L0Load(const Version& version) {
  return std::max(static_cast<double>(version.l0_depth()),
                  static_cast<double>(version.level(0).size()) / kL0CountPerDepth);
}

std::array<double, kLevels> LevelScores(const Version& version, const PickerOptions& options) {
  std::array<double, kLevels> scores = {};
  scores[0] = L0Load(version) / options.l0_trigger;
  double target = static_cast<double>(options.level1_bytes);
  for (int level = 1; level + 1 < kLevels; ++level) {
    scores[static_cast<size_t>(level)] = static_cast<double>(version.LevelBytes(level)) / target;
    target *= options.level_ratio;
  }
  return scores;
}

std::optional<CompactionChoice> PickCompaction(const Version& version, const PickerOptions& options,
                                               const Busy& busy) {
  const std::array<double, kLevels> scores = LevelScores(version, options);
  std::array<int, kLevels> order;
  for (int level = 0; level < kLevels; ++level) order[static_cast<size_t>(level)] = level;
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  for (const int level : order) {
    if (scores[static_cast<size_t>(level)] < 1) break;
    std::optional<CompactionChoice> choice =
        level == 0 ? PickL0(version, options, busy) : PickLevel(version, options, level, busy);
    if (choice.has_value()) return choice;
  }
  return std::nullopt;
}

std::optional<CompactionChoice> PickRange(const Version& version, const PickerOptions& options,
                                          int level, const KeyRange& range) {
  TableList inputs = level == 0 ? L0Closure(version, range) : version.Overlapping(level, range);
  if (inputs.empty()) return std::nullopt;
  return Complete(version, options, level, std::move(inputs));
}

}  // namespace tinyobs::lsm
