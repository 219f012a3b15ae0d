#include "lib/lsm/version.h"

#include <algorithm>
#include <queue>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"

namespace tinyobs::lsm {

void TableRegistry::Add(uint64_t number) {
  MutexLock lock(&mutex_);
  alive_.insert(number);
}

void TableRegistry::MarkObsolete() {
  MutexLock lock(&mutex_);
  ++awaited_;
}

void TableRegistry::Remove(uint64_t number, bool obsolete) {
  {
    MutexLock lock(&mutex_);
    alive_.erase(number);
    if (!obsolete) return;
    --awaited_;
    obsolete_.push_back(number);
  }
  if (on_obsolete_) on_obsolete_();
}

bool TableRegistry::HasObsolete() const {
  MutexLock lock(&mutex_);
  return !obsolete_.empty();
}

bool TableRegistry::AwaitsObsolete() const {
  MutexLock lock(&mutex_);
  return awaited_ > 0;
}

bool TableRegistry::Contains(uint64_t number) const {
  MutexLock lock(&mutex_);
  return alive_.contains(number);
}

std::vector<uint64_t> TableRegistry::TakeObsolete() {
  MutexLock lock(&mutex_);
  return std::exchange(obsolete_, {});
}

TableFile::TableFile(TableMeta table_meta, std::shared_ptr<TableRegistry> registry)
    : meta(std::move(table_meta)), registry_(std::move(registry)) {
  registry_->Add(meta.number);
}

TableFile::~TableFile() {
  registry_->Remove(meta.number, obsolete_.load(std::memory_order_relaxed));
}

void TableFile::MarkObsolete() const {
  if (!obsolete_.exchange(true, std::memory_order_relaxed)) registry_->MarkObsolete();
}

VersionBuilder::VersionBuilder(const Version& base, std::shared_ptr<TableRegistry> registry)
    : registry_(std::move(registry)) {
  for (int level = 0; level < kLevels; ++level) {
    for (const TablePtr& table : base.level(level)) places_[table->meta.number] = {level, table};
  }
}

absl::Status VersionBuilder::Apply(const VersionEdit& edit) {
  absl::flat_hash_map<uint64_t, TablePtr> moving;
  for (const VersionEdit::Removed& entry : edit.removed) {
    const auto found = places_.find(entry.number);
    if (found == places_.end() || found->second.level != entry.level) {
      return absl::DataLossError(StrCat("version edit: removes table ", entry.number,
                                        ", which is not in level ", entry.level));
    }
    moving[entry.number] = std::move(found->second.table);
    places_.erase(found);
  }
  for (const VersionEdit::Added& entry : edit.added) {
    const uint64_t number = entry.meta.number;
    TablePtr table;
    if (const auto moved = moving.find(number); moved != moving.end()) {
      table = std::move(moved->second);
      moving.erase(moved);
      if (table->meta != entry.meta) {
        return absl::DataLossError(
            StrCat("version edit: table ", number, " changes while it moves"));
      }
    } else if (!places_.contains(number)) {
      table = std::make_shared<const TableFile>(entry.meta, registry_);
    }
    if (table == nullptr || !places_.try_emplace(number, Place{entry.level, table}).second) {
      return absl::DataLossError(StrCat("version edit: table ", number, " is there twice"));
    }
  }
  for (auto& [number, table] : moving) removed_.push_back(std::move(table));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Version>> VersionBuilder::Build(TableList* replaced) {
  auto version = std::make_shared<Version>();
  for (auto& [number, place] : places_) {
    version->levels_[static_cast<size_t>(place.level)].push_back(std::move(place.table));
  }
  std::sort(version->levels_[0].begin(), version->levels_[0].end(),
            [](const TablePtr& a, const TablePtr& b) {
              if (a->meta.largest_sequence != b->meta.largest_sequence) {
                return a->meta.largest_sequence > b->meta.largest_sequence;
              }
              return a->meta.number > b->meta.number;
            });
  for (int i = 1; i < kLevels; ++i) {
    TableList& level = version->levels_[static_cast<size_t>(i)];
    std::sort(level.begin(), level.end(), [](const TablePtr& a, const TablePtr& b) {
      return CompareInternalKeys(a->meta.smallest, b->meta.smallest) < 0;
    });
  }
  TINYOBS_RETURN_IF_ERROR(version->CheckAndCount());
  if (replaced != nullptr) *replaced = std::move(removed_);
  return std::shared_ptr<const Version>(std::move(version));
}

absl::StatusOr<std::shared_ptr<const Version>> Version::Apply(
    const Version& base, const VersionEdit& edit, const std::shared_ptr<TableRegistry>& registry,
    TableList* replaced) {
  VersionBuilder builder(base, registry);
  TINYOBS_RETURN_IF_ERROR(builder.Apply(edit));
  return builder.Build(replaced);
}

absl::Status Version::CheckAndCount() {
  for (int i = 0; i < kLevels; ++i) {
    const TableList& tables = levels_[static_cast<size_t>(i)];
    uint64_t bytes = 0;
    for (size_t j = 0; j < tables.size(); ++j) {
      bytes += tables[j]->meta.file_bytes;
      if (i > 0 && j > 0 &&
          CompareUserKeys(tables[j - 1]->largest_user_key(), tables[j]->smallest_user_key()) >= 0) {
        return absl::DataLossError(StrCat("version: tables ", tables[j - 1]->meta.number, " and ",
                                          tables[j]->meta.number, " overlap in level ", i));
      }
    }
    bytes_[static_cast<size_t>(i)] = bytes;
  }
  l0_rows_ = SideBySide(levels_[0]);
  return absl::OkStatus();
}

TableList Version::Overlapping(int level_number, const KeyRange& range) const {
  const TableList& tables = level(level_number);
  if (level_number == 0) {
    TableList result;
    for (const TablePtr& table : tables) {
      if (range.Overlaps(*table)) result.push_back(table);
    }
    return result;
  }
  return OverlappingIn(tables, range);
}

void Version::AppendTo(VersionEdit* edit) const {
  for (int i = 0; i < kLevels; ++i) {
    for (const TablePtr& table : level(i)) edit->added.push_back({i, table->meta});
  }
}

size_t FindTableIn(const TableList& tables, std::string_view user_key) {
  const auto found =
      std::partition_point(tables.begin(), tables.end(), [user_key](const TablePtr& table) {
        return CompareUserKeys(table->largest_user_key(), user_key) < 0;
      });
  return static_cast<size_t>(found - tables.begin());
}

TableList OverlappingIn(const TableList& tables, const KeyRange& range) {
  TableList result;
  for (size_t i = FindTableIn(tables, range.first); i < tables.size(); ++i) {
    if (!range.Overlaps(*tables[i])) break;
    result.push_back(tables[i]);
  }
  return result;
}

std::vector<TableList> SideBySide(const TableList& tables) {
  TableList by_start = tables;
  std::sort(by_start.begin(), by_start.end(), [](const TablePtr& a, const TablePtr& b) {
    return CompareUserKeys(a->smallest_user_key(), b->smallest_user_key()) < 0;
  });
  // Where each row ends so far, the nearest end on top. A row is only opened when every other one
  // holds a table over the same key.
  using End = std::pair<std::string_view, size_t>;
  std::priority_queue<End, std::vector<End>, std::greater<>> ends;
  std::vector<TableList> rows;
  for (TablePtr& table : by_start) {
    size_t row = rows.size();
    if (!ends.empty() && CompareUserKeys(ends.top().first, table->smallest_user_key()) < 0) {
      row = ends.top().second;
      ends.pop();
    } else {
      rows.emplace_back();
    }
    ends.emplace(table->largest_user_key(), row);
    rows[row].push_back(std::move(table));
  }
  return rows;
}

}  // namespace tinyobs::lsm
