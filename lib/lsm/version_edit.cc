#include "lib/lsm/version_edit.h"

#include "lib/base/coding.h"
#include "lib/base/strings.h"
#include "lib/lsm/internal_key.h"
#include "lib/lsm/store.h"

namespace tinyobs::lsm {
namespace {

// Values reach disk; never renumber.
enum Tag : uint64_t {
  kLogNumber = 1,
  kNextFileNumber = 2,
  kLastSequence = 3,
  kRemovedTable = 4,
  kAddedTable = 5,
};

void PutField(Tag tag, const std::optional<uint64_t>& value, std::string* out) {
  if (!value.has_value()) return;
  PutVarint64(out, tag);
  PutVarint64(out, *value);
}

TableMeta ReadTableMeta(ByteReader* reader) {
  TableMeta meta;
  meta.number = reader->Varint64();
  meta.file_bytes = reader->Varint64();
  meta.entries = reader->Varint64();
  meta.tombstones = reader->BoundedVarint64(meta.entries);
  meta.smallest_sequence = reader->BoundedVarint64(kMaxSequence);
  meta.largest_sequence = reader->BoundedVarint64(kMaxSequence);
  meta.smallest = reader->LengthPrefixed();
  meta.largest = reader->LengthPrefixed();
  return meta;
}

bool IsSound(const TableMeta& meta) {
  constexpr size_t kShortest = kTrailerBytes + 1;
  return meta.number > 0 && meta.entries > 0 && meta.smallest_sequence <= meta.largest_sequence &&
         meta.smallest.size() >= kShortest && meta.largest.size() >= kShortest &&
         CompareInternalKeys(meta.smallest, meta.largest) <= 0;
}

}  // namespace

std::string VersionEdit::Encode() const {
  std::string out;
  PutField(kLogNumber, log_number, &out);
  PutField(kNextFileNumber, next_file_number, &out);
  PutField(kLastSequence, last_sequence, &out);
  for (const Removed& table : removed) {
    PutVarint64(&out, kRemovedTable);
    PutVarint64(&out, static_cast<uint64_t>(table.level));
    PutVarint64(&out, table.number);
  }
  for (const Added& table : added) {
    PutVarint64(&out, kAddedTable);
    PutVarint64(&out, static_cast<uint64_t>(table.level));
    PutVarint64(&out, table.meta.number);
    PutVarint64(&out, table.meta.file_bytes);
    PutVarint64(&out, table.meta.entries);
    PutVarint64(&out, table.meta.tombstones);
    PutVarint64(&out, table.meta.smallest_sequence);
    PutVarint64(&out, table.meta.largest_sequence);
    PutLengthPrefixed(&out, table.meta.smallest);
    PutLengthPrefixed(&out, table.meta.largest);
  }
  return out;
}

absl::StatusOr<VersionEdit> VersionEdit::Decode(std::string_view record) {
  VersionEdit edit;
  ByteReader reader(record);
  while (!reader.empty()) {
    const size_t offset = record.size() - reader.remaining();
    const uint64_t tag = reader.Varint64();
    bool sound = true;
    switch (tag) {
      case kLogNumber:
        edit.log_number = reader.Varint64();
        break;
      case kNextFileNumber:
        edit.next_file_number = reader.Varint64();
        break;
      case kLastSequence:
        edit.last_sequence = reader.BoundedVarint64(kMaxSequence);
        break;
      case kRemovedTable: {
        Removed& table = edit.removed.emplace_back();
        table.level = static_cast<int>(reader.BoundedVarint64(kLevels - 1));
        table.number = reader.Varint64();
        break;
      }
      case kAddedTable: {
        Added& table = edit.added.emplace_back();
        table.level = static_cast<int>(reader.BoundedVarint64(kLevels - 1));
        table.meta = ReadTableMeta(&reader);
        sound = IsSound(table.meta);
        break;
      }
      default:
        sound = false;
    }
    if (!reader.ok() || !sound) {
      return absl::DataLossError(
          StrCat("version edit: offset ", offset, ": damaged field with tag ", tag));
    }
  }
  return edit;
}

}  // namespace tinyobs::lsm
