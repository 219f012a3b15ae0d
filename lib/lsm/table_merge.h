// TableMerge: all entries of many tables in one order, each with the table that it is from.
//
// For Verify and Repair, which must not trust that the tables fit together: tables may overlap in
// any way, and several may hold the same entry, of which that of the newest file comes first.
// MergingIterator, which serves readers, relies on neither happening and need not tell the table.
// As few tables are open at once as lie over one key.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_LSM_TABLE_MERGE_H_
#define TINYOBS_LIB_LSM_TABLE_MERGE_H_

#include <memory>
#include <string_view>
#include <vector>

#include "lib/base/iterator.h"
#include "lib/lsm/level_iterator.h"
#include "lib/lsm/table_cache.h"
#include "lib/lsm/version.h"

namespace tinyobs::lsm {

// Goes forward only, from the first entry on; the other moves end it with Unimplemented.
class TableMerge final : public Iterator {
 public:
  // Over internal keys. `cache` must outlive it; the tables are pinned.
  TableMerge(TableCache* cache, const TableList& tables);

  bool Valid() const override { return status_.ok() && !heap_.empty(); }
  void SeekToFirst() override;
  void Next() override;
  std::string_view key() const override { return heap_.front()->key(); }
  std::string_view value() const override { return heap_.front()->value(); }
  // The table that the entry is from.
  const TableFile& table() const { return heap_.front()->table(); }
  absl::Status status() const override { return status_; }

  void SeekToLast() override { Refuse(); }
  void Seek(std::string_view) override { Refuse(); }
  void SeekForPrev(std::string_view) override { Refuse(); }
  void Prev() override { Refuse(); }

 private:
  void Refuse() { status_ = absl::UnimplementedError("TableMerge goes forward only"); }
  // Puts a row that has moved into the heap, or takes its error.
  void Enlist(LevelIterator* row);

  std::vector<std::unique_ptr<LevelIterator>> rows_;
  std::vector<LevelIterator*> heap_;  // of the rows that are Valid(), the next entry on top
  absl::Status status_;
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_TABLE_MERGE_H_
