#include "lib/lsm/table_merge.h"

#include <algorithm>

#include "lib/lsm/internal_key.h"

namespace tinyobs::lsm {
namespace {

// Of all rows together: there may be many where tables lie over each other that should not.
constexpr size_t kReadaheadBytes = 4 << 20;
constexpr size_t kRowReadaheadBytesMax = 256 << 10;

bool IsBehind(const LevelIterator* a, const LevelIterator* b) {
  const int order = CompareInternalKeys(a->key(), b->key());
  return order != 0 ? order > 0 : a->table().meta.number < b->table().meta.number;
}

}  // namespace

TableMerge::TableMerge(TableCache* cache, const TableList& tables) {
  std::vector<TableList> rows = SideBySide(tables);
  sstable::TableReadOptions options;
  options.fill_cache = false;
  options.readahead_bytes =
      std::min(kRowReadaheadBytesMax, kReadaheadBytes / std::max<size_t>(1, rows.size()));
  for (TableList& row : rows) {
    rows_.push_back(std::make_unique<LevelIterator>(cache, std::move(row), options));
  }
}

void TableMerge::SeekToFirst() {
  status_ = absl::OkStatus();
  heap_.clear();
  for (const auto& row : rows_) {
    row->SeekToFirst();
    Enlist(row.get());
  }
}

void TableMerge::Next() {
  std::pop_heap(heap_.begin(), heap_.end(), IsBehind);
  LevelIterator* const row = heap_.back();
  heap_.pop_back();
  row->Next();
  Enlist(row);
}

void TableMerge::Enlist(LevelIterator* row) {
  if (row->Valid()) {
    heap_.push_back(row);
    std::push_heap(heap_.begin(), heap_.end(), IsBehind);
  } else if (status_.ok()) {
    status_ = row->status();
  }
}

}  // namespace tinyobs::lsm
