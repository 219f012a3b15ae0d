#include "lib/sstable/table_reader.h"

#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/sstable/block_cache.h"
#include "lib/sstable/key_order.h"
#include "lib/sstable/table_iterator.h"

namespace tinyobs::sstable {
namespace {

// Stored blocks up to this size are read onto the stack: what is kept is the decompressed block.
constexpr size_t kStackReadBytes = 8 << 10;

// Entries that a lookup steps over before it searches the block.
constexpr int kStepsBeforeSearch = 4;

// Reads `count` bytes into `buffer`; DataLoss when the file ends before.
absl::Status ReadFully(const RandomAccessFile& file, uint64_t offset, size_t count, char* buffer) {
  TINYOBS_ASSIGN_OR_RETURN(const size_t got, file.Read(offset, count, buffer));
  if (got == count) return absl::OkStatus();
  return absl::DataLossError(StrCat("expected ", count, " bytes, found ", got));
}

}  // namespace

TableReader::TableReader(const TableReaderOptions& options, std::string name,
                         std::unique_ptr<RandomAccessFile> file)
    : name_(std::move(name)),
      file_(std::move(file)),
      cache_(options.block_cache),
      cache_table_id_(cache_ == nullptr ? 0 : cache_->NewTableId()) {}

TableReader::~TableReader() = default;

absl::StatusOr<std::unique_ptr<TableReader>> TableReader::Open(
    const TableReaderOptions& options, std::string name, std::unique_ptr<RandomAccessFile> file) {
  // Not make_unique: the constructor is private.
  std::unique_ptr<TableReader> table(new TableReader(options, std::move(name), std::move(file)));
  TINYOBS_RETURN_IF_ERROR(table->Load());
  return table;
}

absl::Status TableReader::AtBlock(uint64_t offset, const absl::Status& status) const {
  if (status.code() != absl::StatusCode::kDataLoss) return status;
  return absl::DataLossError(
      StrCat(name_, ": block at offset ", offset, ": ", FromAbsl(status.message())));
}

absl::Status TableReader::AtFooter(const absl::Status& status) const {
  return absl::Status(status.code(), StrCat(name_, ": end of the file at offset ", file_bytes_,
                                            ": ", FromAbsl(status.message())));
}

absl::Status TableReader::Load() {
  TINYOBS_ASSIGN_OR_RETURN(file_bytes_, file_->Size());
  char tail[kMaxFooterBytes];
  const size_t tail_bytes = std::min<uint64_t>(file_bytes_, sizeof(tail));
  if (absl::Status status = ReadFully(*file_, file_bytes_ - tail_bytes, tail_bytes, tail);
      !status.ok()) {
    return AtFooter(status);
  }
  absl::StatusOr<Footer> footer = DecodeFooter(std::string_view(tail, tail_bytes), file_bytes_);
  if (!footer.ok()) return AtFooter(footer.status());
  data_end_ = footer->filter.offset;
  index_offset_ = footer->index.offset;

  // Filter, properties and index lie behind each other: one read. Its size is bounded by the
  // file's.
  const size_t size = footer->index.end() - data_end_;
  const auto buffer = std::make_unique_for_overwrite<char[]>(size);
  if (absl::Status status = ReadFully(*file_, data_end_, size, buffer.get()); !status.ok()) {
    return AtBlock(data_end_, status);
  }
  const auto decode = [&](const BlockHandle& handle) -> absl::StatusOr<RawBlock> {
    const std::string_view stored(buffer.get() + (handle.offset - data_end_),
                                  handle.size + kBlockTrailerBytes);
    return DecodeStoredBlock(stored, handle.offset, nullptr);
  };
  if (absl::Status status = LoadProperties(decode(footer->properties)); !status.ok()) {
    return AtBlock(footer->properties.offset, status);
  }
  if (footer->filter.size > 0) {
    if (absl::Status status = LoadFilter(decode(footer->filter)); !status.ok()) {
      return AtBlock(footer->filter.offset, status);
    }
  }
  if (absl::Status status = LoadIndex(decode(footer->index)); !status.ok()) {
    return AtBlock(footer->index.offset, status);
  }
  return AtBlock(footer->properties.offset, CheckLoaded(*footer));
}

absl::Status TableReader::LoadProperties(absl::StatusOr<RawBlock> raw) {
  TINYOBS_RETURN_IF_ERROR(raw.status());
  TINYOBS_ASSIGN_OR_RETURN(properties_, DecodeProperties({raw->bytes.get(), raw->size}));
  return absl::OkStatus();
}

absl::Status TableReader::LoadFilter(absl::StatusOr<RawBlock> raw) {
  TINYOBS_RETURN_IF_ERROR(raw.status());
  TINYOBS_ASSIGN_OR_RETURN(filter_, Filter::Create({raw->bytes.get(), raw->size}));
  return absl::OkStatus();
}

absl::Status TableReader::LoadIndex(absl::StatusOr<RawBlock> raw) {
  TINYOBS_RETURN_IF_ERROR(raw.status());
  index_bytes_ = raw->size;
  TINYOBS_ASSIGN_OR_RETURN(index_, Block::Create(*std::move(raw)));
  return absl::OkStatus();
}

absl::Status TableReader::CheckLoaded(const Footer& footer) const {
  const auto check = [](std::string_view what, uint64_t said, uint64_t found) {
    if (said == found) return absl::OkStatus();
    return absl::DataLossError(StrCat("properties say ", said, " ", what, ", found ", found));
  };
  TINYOBS_RETURN_IF_ERROR(check("bytes of data blocks", properties_.data_bytes, data_end_));
  TINYOBS_RETURN_IF_ERROR(check("data blocks", properties_.data_blocks, index_->restart_count()));
  TINYOBS_RETURN_IF_ERROR(check("bytes of index", properties_.index_bytes, index_bytes_));
  return check("bytes of filter", properties_.filter_bytes, footer.filter.size);
}

absl::StatusOr<BlockHandle> TableReader::HandleOf(std::string_view index_value) const {
  BlockHandle handle;
  if (DecodeHandle(index_value, data_end_, &handle)) [[likely]]
    return handle;
  return AtBlock(index_offset_,
                 absl::DataLossError(StrCat("entry \"", EscapeForMessage(index_value),
                                            "\" is no place before offset ", data_end_)));
}

absl::StatusOr<std::shared_ptr<const Block>> TableReader::ReadBlock(
    const TableReadOptions& options, const BlockHandle& handle, ReadaheadBuffer* readahead) const {
  if (cache_ != nullptr) {
    if (std::shared_ptr<const Block> block = cache_->Lookup(cache_table_id_, handle.offset)) {
      return block;
    }
  }
  absl::StatusOr<std::shared_ptr<const Block>> block = ReadBlockFromFile(handle, readahead);
  if (!block.ok()) return AtBlock(handle.offset, block.status());
  if (cache_ != nullptr && options.fill_cache) {
    return cache_->Insert(cache_table_id_, handle.offset, *std::move(block));
  }
  return block;
}

absl::StatusOr<std::shared_ptr<const Block>> TableReader::ReadBlockFromFile(
    const BlockHandle& handle, ReadaheadBuffer* readahead) const {
  const size_t size = handle.size + kBlockTrailerBytes;
  std::unique_ptr<char[]> owned;
  std::string_view stored;
  if (readahead != nullptr) stored = readahead->Read(*file_, handle.offset, size, data_end_);
  char small[kStackReadBytes];
  if (stored.empty()) {
    char* buffer = small;
    if (size > sizeof(small)) {
      owned = std::make_unique_for_overwrite<char[]>(size);
      buffer = owned.get();
    }
    TINYOBS_RETURN_IF_ERROR(ReadFully(*file_, handle.offset, size, buffer));
    stored = std::string_view(buffer, size);
  }
  TINYOBS_ASSIGN_OR_RETURN(RawBlock raw, DecodeStoredBlock(stored, handle.offset, &owned));
  return Block::Create(std::move(raw));
}

absl::StatusOr<bool> TableReader::Get(const TableReadOptions& options, std::string_view target,
                                      FoundEntry* found) const {
  if (target.size() < trailer_bytes()) {
    return absl::InvalidArgumentError(
        StrCat(name_, ": key of ", target.size(), " bytes, expected at least ", trailer_bytes()));
  }
  if (!MayContain(UserKey(target, trailer_bytes()))) return false;
  TableLookup lookup(this, options);
  TINYOBS_ASSIGN_OR_RETURN(const bool is_there, lookup.Get(target, found));
  if (is_there) found->block = std::move(lookup.block_);
  return is_there;
}

absl::StatusOr<bool> TableLookup::Get(std::string_view target, FoundEntry* found) {
  const size_t trailer_bytes = table_->trailer_bytes();
  // Targets ascend: what is not behind the last block's separator is in that block or nowhere.
  if (block_ == nullptr || CompareKeys(index_.key(), target, trailer_bytes) < 0) {
    block_ = nullptr;
    index_.Reset(&table_->index(), trailer_bytes);
    index_.Seek(target);
    if (!index_.Valid()) {
      TINYOBS_RETURN_IF_ERROR(table_->AtBlock(table_->index_offset(), index_.status()));
      return false;
    }
    TINYOBS_ASSIGN_OR_RETURN(const BlockHandle handle, table_->HandleOf(index_.value()));
    TINYOBS_ASSIGN_OR_RETURN(block_, table_->ReadBlock(options_, handle, nullptr));
    block_offset_ = handle.offset;
    data_.Reset(block_.get(), trailer_bytes);
  }
  // Standing on the first entry that is not before the last target, a few steps may do.
  for (int steps = 0; steps < kStepsBeforeSearch && data_.Valid(); ++steps) {
    if (CompareKeys(data_.key(), target, trailer_bytes) >= 0) break;
    data_.Next();
  }
  if (!data_.Valid() || CompareKeys(data_.key(), target, trailer_bytes) < 0) data_.Seek(target);
  if (!data_.Valid()) {
    // When the target lies between the block's last key and its separator, the next block starts
    // with another user key: a separator that is not the last key itself is strictly between the
    // user keys.
    TINYOBS_RETURN_IF_ERROR(table_->AtBlock(block_offset_, data_.status()));
    return false;
  }
  if (UserKey(data_.key(), trailer_bytes) != UserKey(target, trailer_bytes)) return false;
  found->trailer = trailer_bytes == 0 ? 0 : TrailerOf(data_.key());
  found->value = data_.value();
  return true;
}

std::unique_ptr<Iterator> TableReader::NewIterator(const TableReadOptions& options) const {
  return std::make_unique<TableIterator>(this, options);
}

size_t TableReader::MemoryUsageBytes() const {
  return sizeof(*this) + index_->MemoryUsageBytes() +
         (filter_.has_value() ? filter_->MemoryUsageBytes() : 0) + name_.size() +
         properties_.smallest_key.size() + properties_.largest_key.size();
}

}  // namespace tinyobs::sstable
