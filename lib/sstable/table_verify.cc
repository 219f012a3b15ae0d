// TableReader::Verify: every promise of FORMAT.md, checked against the file itself.
//
// Opening a table checks what it reads; this reads the rest. It goes past the cache, since the
// question is about the disk.
#include <string>
#include <string_view>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/sstable/key_order.h"
#include "lib/sstable/table_reader.h"

namespace tinyobs::sstable {
namespace {

// What was found while walking, in the shape the table describes itself in.
struct Walk {
  TableProperties found;
  std::string last_key;
  uint64_t next_offset = 0;
};

// Checks, while the entries of a block go by, that its restart points are entries with whole keys
// and close enough to each other. A walk forward needs none of that; searches and backward steps
// do.
class RestartCheck {
 public:
  explicit RestartCheck(const Block& block) : block_(block) {}

  absl::Status See(uint32_t entry_offset) {
    ++since_restart_;
    if (seen_ < block_.restart_count() && block_.restart(seen_) == entry_offset) {
      ++seen_;
      since_restart_ = 1;
      if (block_.entries()[entry_offset] != 0) {
        return absl::DataLossError(StrCat("the entry at restart point ", entry_offset,
                                          " shares bytes with the one before"));
      }
    }
    if (since_restart_ > kMaxRestartInterval) {
      return absl::DataLossError(
          StrCat("more than ", kMaxRestartInterval, " entries to a restart point"));
    }
    return absl::OkStatus();
  }

  absl::Status Finish() const {
    if (seen_ == block_.restart_count()) return absl::OkStatus();
    return absl::DataLossError(StrCat("restart point ", block_.restart(seen_), " is no entry"));
  }

 private:
  const Block& block_;
  uint32_t seen_ = 0;
  int since_restart_ = 0;
};

// What a lookup relies on that looks into one block only: the separator of the block before is its
// last key, or its user key is before that of this block's first key.
bool Separates(std::string_view last_key, std::string_view separator, std::string_view first_key,
               size_t trailer_bytes) {
  return separator == last_key ||
         UserKey(separator, trailer_bytes) < UserKey(first_key, trailer_bytes);
}

absl::Status CheckSame(std::string_view what, uint64_t said, uint64_t found) {
  if (said == found) return absl::OkStatus();
  return absl::DataLossError(StrCat("properties say ", said, " ", what, ", found ", found));
}

absl::Status CheckCounts(const TableProperties& said, const TableProperties& found) {
  TINYOBS_RETURN_IF_ERROR(CheckSame("entries", said.entries, found.entries));
  TINYOBS_RETURN_IF_ERROR(CheckSame("user keys", said.user_keys, found.user_keys));
  TINYOBS_RETURN_IF_ERROR(CheckSame("key bytes", said.raw_key_bytes, found.raw_key_bytes));
  TINYOBS_RETURN_IF_ERROR(CheckSame("value bytes", said.raw_value_bytes, found.raw_value_bytes));
  TINYOBS_RETURN_IF_ERROR(
      CheckSame("bytes of data before compression", said.raw_data_bytes, found.raw_data_bytes));
  if (said.smallest_key != found.smallest_key || said.largest_key != found.largest_key) {
    return absl::DataLossError(StrCat(
        "properties say keys from \"", EscapeForMessage(said.smallest_key), "\" to \"",
        EscapeForMessage(said.largest_key), "\", found \"", EscapeForMessage(found.smallest_key),
        "\" to \"", EscapeForMessage(found.largest_key), "\""));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status TableReader::Verify() const {
  const size_t trailer_bytes = this->trailer_bytes();
  Walk walk;
  TableProperties& found = walk.found;
  std::string separator;  // of the block before
  BlockIterator index;
  index.Reset(index_.get(), trailer_bytes);
  RestartCheck index_restarts(*index_);
  for (index.SeekToFirst(); index.Valid(); index.Next()) {
    TINYOBS_RETURN_IF_ERROR(AtBlock(index_offset_, index_restarts.See(index.offset())));
    TINYOBS_ASSIGN_OR_RETURN(const BlockHandle handle, HandleOf(index.value()));
    if (handle.offset != walk.next_offset) {
      return AtBlock(handle.offset, absl::DataLossError(StrCat("expected at ", walk.next_offset)));
    }
    walk.next_offset = handle.end();
    absl::StatusOr<std::shared_ptr<const Block>> block = ReadBlockFromFile(handle, nullptr);
    if (!block.ok()) return AtBlock(handle.offset, block.status());
    found.raw_data_bytes += (*block)->raw_bytes();

    BlockIterator data;
    data.Reset(block->get(), trailer_bytes);
    RestartCheck data_restarts(**block);
    const uint64_t entries_before = found.entries;
    data.SeekToFirst();
    if (data.Valid() && found.entries > 0 &&
        !Separates(walk.last_key, separator, data.key(), trailer_bytes)) {
      return AtBlock(handle.offset,
                     absl::DataLossError(StrCat("separator \"", EscapeForMessage(separator),
                                                "\" does not separate it from the block before")));
    }
    for (; data.Valid(); data.Next()) {
      TINYOBS_RETURN_IF_ERROR(AtBlock(handle.offset, data_restarts.See(data.offset())));
      const std::string_view key = data.key();
      const bool first = found.entries == 0;
      if (!first && CompareKeys(walk.last_key, key, trailer_bytes) >= 0) {
        return AtBlock(handle.offset, absl::DataLossError(StrCat(
                                          "key \"", EscapeForMessage(key), "\" is not after \"",
                                          EscapeForMessage(walk.last_key), "\"")));
      }
      const std::string_view user_key = UserKey(key, trailer_bytes);
      if (first) found.smallest_key.assign(key);
      if (first || user_key != UserKey(walk.last_key, trailer_bytes)) {
        ++found.user_keys;
        if (!MayContain(user_key) || !MayContainPrefix(user_key)) {
          return AtBlock(handle.offset, absl::DataLossError(StrCat("key \"", EscapeForMessage(key),
                                                                   "\" is missing in the filter")));
        }
      }
      ++found.entries;
      found.raw_key_bytes += key.size();
      found.raw_value_bytes += data.value().size();
      walk.last_key.assign(key);
    }
    TINYOBS_RETURN_IF_ERROR(AtBlock(handle.offset, data.status()));
    TINYOBS_RETURN_IF_ERROR(AtBlock(handle.offset, data_restarts.Finish()));
    if (found.entries == entries_before) {
      return AtBlock(handle.offset, absl::DataLossError("it has no entries"));
    }
    separator.assign(index.key());
    if (CompareKeys(walk.last_key, separator, trailer_bytes) > 0) {
      return AtBlock(handle.offset, absl::DataLossError("its separator is before its last key"));
    }
  }
  TINYOBS_RETURN_IF_ERROR(AtBlock(index_offset_, index.status()));
  TINYOBS_RETURN_IF_ERROR(AtBlock(index_offset_, index_restarts.Finish()));
  if (walk.next_offset != data_end_) {
    return AtBlock(index_offset_, absl::DataLossError(StrCat("the index ends at ", walk.next_offset,
                                                             ", expected ", data_end_)));
  }
  found.largest_key = walk.last_key;
  return AtBlock(data_end_, CheckCounts(properties_, found));
}

}  // namespace tinyobs::sstable
