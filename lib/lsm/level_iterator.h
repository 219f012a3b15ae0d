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
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/iterator.h"
#include "lib/lsm/table_cache.h"
#include "lib/lsm/version.h"
#include "lib/sstable/table_iterator.h"
#include "lib/sstable/table_options.h"

namespace tinyobs::lsm {

class LevelIterator final : public Iterator {
 public:
  // Over internal keys. `tables` is in key order, without overlap. `cache` must outlive the
  // iterator; the tables are pinned by it. Tables whose filter says that no user key begins with
  // `prefix` count as empty; those that have such keys are shown whole. With `seek_prefix_bytes` >
  // 0 each Seek makes so many bytes of its target the prefix; only Seek, to keys of that length at
  // least, and Next then.
  LevelIterator(TableCache* cache, TableList tables, const sstable::TableReadOptions& options,
                std::string prefix = {}, size_t seek_prefix_bytes = 0);

  bool Valid() const override { return status_.ok() && current_.has_value() && current_->Valid(); }
  void SeekToFirst() override;
  void SeekToLast() override;
  void Seek(std::string_view target) override;
  void SeekForPrev(std::string_view target) override;
  void Next() override;
  void Prev() override;
  std::string_view key() const override { return current_->key(); }
  std::string_view value() const override { return current_->value(); }
  absl::Status status() const override { return status_; }
  // That the entry is from. REQUIRES: Valid().
  const TableFile& table() const { return *tables_[index_]; }

 private:
  // Makes current_ an iterator of table `index`, or of the next one in the direction of `step` that
  // may have keys; false at the ends and on errors.
  bool Enter(size_t index, size_t step);
  void SkipForward();
  void SkipBackward();

  TableCache* const cache_;
  const TableList tables_;
  const sstable::TableReadOptions options_;
  std::string prefix_;
  const size_t seek_prefix_bytes_;
  absl::Status status_;
  size_t index_ = 0;                                    // of reader_'s table
  std::shared_ptr<const sstable::TableReader> reader_;  // pins what current_ reads; may be null
  // Not behind a pointer to Iterator: its methods are short and are called for every entry.
  std::optional<sstable::TableIterator> current_;  // nullopt = outside of all tables
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_LEVEL_ITERATOR_H_
