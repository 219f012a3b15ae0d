// TableWriter: sorted entries -> a table file, in one pass.
//
// Blocks are written as they fill; only the index and 8 bytes a key for the filter stay in memory
// until Finish. The writer neither syncs nor closes: a table becomes part of a store in an order
// (sync file, sync folder, manifest) that belongs to the store.
//
//   TableWriter writer(options, path, file.get());
//   for (...) TINYOBS_RETURN_IF_ERROR(writer.Add(key, value));
//   TINYOBS_ASSIGN_OR_RETURN(TableProperties properties, writer.Finish());
//   TINYOBS_RETURN_IF_ERROR(file->Sync());
//
// The same entries and options give the same bytes, on every machine with the same Snappy.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_SSTABLE_TABLE_WRITER_H_
#define TINYOBS_LIB_SSTABLE_TABLE_WRITER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/sstable/block_builder.h"
#include "lib/sstable/filter.h"
#include "lib/sstable/table_format.h"
#include "lib/sstable/table_options.h"
#include "tinyobs/file_system.h"

namespace tinyobs::sstable {

class TableWriter {
 public:
  // `file` is empty, not owned, and must live until Finish returned or the writer was given up.
  // `name` is for error messages.
  TableWriter(const TableOptions& options, std::string name, WritableFile* file);
  TableWriter(const TableWriter&) = delete;
  TableWriter& operator=(const TableWriter&) = delete;

  // Keys must be strictly ascending (key_order.h). Copies what it needs. InvalidArgument: an option
  // out of range, not after the last key, key shorter than the trailer, or key or value over the
  // limits of table_format.h; errors of the file as they come. Every error is final: later calls
  // return it again.
  absl::Status Add(std::string_view key, std::string_view value);

  // Writes filter, properties, index and footer. An empty table is legal. Call once, last;
  // FailedPrecondition afterwards.
  absl::StatusOr<TableProperties> Finish();

  // Of the file if Finish were called now, a little underestimated: the open block counts
  // uncompressed, the index is left out. Exact after Finish.
  uint64_t FileSizeBytes() const;
  uint64_t entries() const { return properties_.entries; }
  // The last key added; empty before the first Add.
  std::string_view last_key() const { return data_block_.last_key(); }

 private:
  absl::Status CheckOptions() const;
  absl::Status CheckEntry(std::string_view key, std::string_view value) const;
  absl::Status FlushDataBlock();
  // Adds the index entry of the finished block, whose handle waits for the first key behind it.
  void AddIndexEntry(std::string_view separator);
  BlockHandle AppendBlockToBuffer(std::string_view raw, Compression compression);
  absl::Status WriteBuffer();
  absl::Status Fail(absl::Status status);

  const TableOptions options_;
  const std::string name_;
  WritableFile* const file_;

  absl::Status status_;
  bool finished_ = false;
  uint64_t written_bytes_ = 0;  // handed to file_
  std::string buffer_;          // behind them: finished blocks
  std::string scratch_;         // for compression
  BlockBuilder data_block_;
  BlockBuilder index_block_;
  std::optional<FilterBuilder> filter_;
  std::optional<BlockHandle> pending_handle_;  // a finished block without an index entry yet
  std::string encoded_handle_;
  TableProperties properties_;
};

}  // namespace tinyobs::sstable

#endif  // TINYOBS_LIB_SSTABLE_TABLE_WRITER_H_
