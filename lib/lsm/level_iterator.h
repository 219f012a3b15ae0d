// LevelIterator: one cursor over tables that lie side by side in key order.
//
// Opens a table only when the cursor comes to it, so an iterator over a level of a thousand tables
// costs nothing until it is moved, and a scan holds one table open at a time. L0, whose tables
// overlap, is several such lists (SideBySide).
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_LSM_LEVEL_ITERATOR_H_
#define TINYOBS_LIB_LSM_LEVEL_ITERATOR_H_

#include <memory>
#include <string_view>

#include "lib/base/iterator.h"
#include "lib/lsm/table_cache.h"
#include "lib/lsm/version.h"
#include "lib/sstable/table_options.h"

namespace tinyobs::lsm {

class LevelIterator final : public Iterator {
 public:
  // Over internal keys. `tables` is in key order, without overlap. `cache` must outlive the
  // iterator; the tables are pinned by it.
  LevelIterator(TableCache* cache, TableList tables, const sstable::TableReadOptions& options);

  bool Valid() const override { return status_.ok() && current_ != nullptr && current_->Valid(); }
  void SeekToFirst() override;
  void SeekToLast() override;
  void Seek(std::string_view target) override;
  void SeekForPrev(std::string_view target) override;
  void Next() override;
  void Prev() override;
  std::string_view key() const override { return current_->key(); }
  std::string_view value() const override { return current_->value(); }
  absl::Status status() const override { return status_; }

 private:
  // Makes current_ an iterator of table `index`; false at the ends and on errors.
  bool Enter(size_t index);
  void SkipForward();
  void SkipBackward();

  TableCache* const cache_;
  const TableList tables_;
  const sstable::TableReadOptions options_;
  absl::Status status_;
  size_t index_ = 0;                                    // of current_'s table
  std::shared_ptr<const sstable::TableReader> reader_;  // pins what current_ reads
  std::unique_ptr<Iterator> current_;                   // null = outside of all tables
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_LEVEL_ITERATOR_H_
