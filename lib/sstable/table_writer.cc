#include "lib/sstable/table_writer.h"

#include <utility>

#include "lib/base/check.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/sstable/key_order.h"

namespace tinyobs::sstable {
namespace {

// The constructor must not fail on options that Add will refuse.
int RestartIntervalOf(const TableOptions& options) {
  return options.block_restart_interval < 1 ? 1 : options.block_restart_interval;
}

}  // namespace

TableWriter::TableWriter(const TableOptions& options, std::string name, WritableFile* file)
    : options_(options),
      name_(std::move(name)),
      file_(file),
      data_block_(RestartIntervalOf(options)),
      // Every index key is a restart point: the index is searched, hardly ever walked.
      index_block_(1) {
  status_ = CheckOptions();
  if (status_.ok() && options.filter_bits_per_key > 0) {
    filter_.emplace(options.filter_bits_per_key, options.filter_prefix_bytes);
  }
  properties_.trailer_bytes = options.trailer_bytes;
}

absl::Status TableWriter::CheckOptions() const {
  const auto refuse = [this](std::string_view option, auto value, std::string_view expected) {
    return absl::InvalidArgumentError(
        StrCat(name_, ": option ", option, " is ", value, ", expected ", expected));
  };
  if (options_.block_bytes < 256 || options_.block_bytes > (64 << 20)) {
    return refuse("block_bytes", options_.block_bytes, "256 to 67108864");
  }
  if (options_.block_restart_interval < 1 ||
      options_.block_restart_interval > kMaxRestartInterval) {
    return refuse("block_restart_interval", options_.block_restart_interval, "1 to 1024");
  }
  if (options_.filter_bits_per_key < 0 || options_.filter_bits_per_key > 64) {
    return refuse("filter_bits_per_key", options_.filter_bits_per_key, "0 to 64");
  }
  if (options_.filter_prefix_bytes > kMaxUserKeyBytes) {
    return refuse("filter_prefix_bytes", options_.filter_prefix_bytes, "0 to 65536");
  }
  if (!IsValidTrailerBytes(options_.trailer_bytes)) {
    return refuse("trailer_bytes", options_.trailer_bytes, "0 or 8");
  }
  return absl::OkStatus();
}

absl::Status TableWriter::Fail(absl::Status status) {
  status_ = std::move(status);
  return status_;
}

absl::Status TableWriter::CheckEntry(std::string_view key, std::string_view value) const {
  if (finished_) return absl::FailedPreconditionError(StrCat(name_, ": the table is finished"));
  const size_t trailer_bytes = options_.trailer_bytes;
  if (key.size() < trailer_bytes || key.size() - trailer_bytes > kMaxUserKeyBytes) {
    return absl::InvalidArgumentError(StrCat(name_, ": key of ", key.size(), " bytes, expected ",
                                             trailer_bytes, " to ",
                                             kMaxUserKeyBytes + trailer_bytes));
  }
  if (value.size() > kMaxValueBytes) {
    return absl::InvalidArgumentError(
        StrCat(name_, ": value of ", value.size(), " bytes, the limit is ", kMaxValueBytes));
  }
  if (properties_.entries > 0 && CompareKeys(last_key(), key, trailer_bytes) >= 0) {
    return absl::InvalidArgumentError(StrCat(name_, ": key \"", EscapeForMessage(key),
                                             "\" is not after \"", EscapeForMessage(last_key()),
                                             "\""));
  }
  return absl::OkStatus();
}

absl::Status TableWriter::Add(std::string_view key, std::string_view value) {
  TINYOBS_RETURN_IF_ERROR(status_);
  if (absl::Status status = CheckEntry(key, value); !status.ok()) return Fail(std::move(status));
  if (pending_handle_.has_value()) {
    AddIndexEntry(SeparatorBetween(last_key(), key, options_.trailer_bytes));
  }
  const std::string_view user_key = UserKey(key, options_.trailer_bytes);
  if (properties_.entries == 0) properties_.smallest_key.assign(key);
  if (properties_.entries == 0 || user_key != UserKey(last_key(), options_.trailer_bytes)) {
    ++properties_.user_keys;
    if (filter_.has_value()) filter_->Add(user_key);
  }
  ++properties_.entries;
  properties_.raw_key_bytes += key.size();
  properties_.raw_value_bytes += value.size();
  data_block_.Add(key, value);
  if (data_block_.SizeBytes() < options_.block_bytes) return absl::OkStatus();
  return FlushDataBlock();
}

absl::Status TableWriter::FlushDataBlock() {
  const std::string_view raw = data_block_.Finish();
  ++properties_.data_blocks;
  properties_.raw_data_bytes += raw.size();
  pending_handle_ = AppendBlockToBuffer(raw, options_.compression);
  properties_.data_bytes = pending_handle_->end();
  data_block_.Reset();
  // Far beyond any table of ours, but what is written must be readable.
  if (index_block_.SizeBytes() > kMaxBlockBytes - 2 * kMaxUserKeyBytes ||
      (filter_.has_value() && filter_->SizeBytes() > kMaxBlockBytes)) {
    return Fail(absl::ResourceExhaustedError(
        StrCat(name_, ": index or filter is over the block limit of ", kMaxBlockBytes, " bytes")));
  }
  if (buffer_.size() < options_.write_buffer_bytes) return absl::OkStatus();
  return WriteBuffer();
}

void TableWriter::AddIndexEntry(std::string_view separator) {
  encoded_handle_.clear();
  EncodeHandle(*pending_handle_, &encoded_handle_);
  index_block_.Add(separator, encoded_handle_);
  pending_handle_.reset();
}

BlockHandle TableWriter::AppendBlockToBuffer(std::string_view raw, Compression compression) {
  BlockHandle handle;
  handle.offset = written_bytes_ + buffer_.size();
  handle.size = AppendBlock(raw, compression, handle.offset, &scratch_, &buffer_);
  return handle;
}

absl::Status TableWriter::WriteBuffer() {
  if (buffer_.empty()) return absl::OkStatus();
  if (absl::Status status = file_->Append(buffer_); !status.ok()) return Fail(std::move(status));
  written_bytes_ += buffer_.size();
  buffer_.clear();
  return absl::OkStatus();
}

absl::StatusOr<TableProperties> TableWriter::Finish() {
  TINYOBS_RETURN_IF_ERROR(status_);
  if (finished_) return absl::FailedPreconditionError(StrCat(name_, ": the table is finished"));
  finished_ = true;
  properties_.largest_key.assign(last_key());
  if (!data_block_.empty()) TINYOBS_RETURN_IF_ERROR(FlushDataBlock());
  if (pending_handle_.has_value()) AddIndexEntry(last_key());

  const std::string_view index = index_block_.Finish();
  properties_.index_bytes = index.size();
  Footer footer;
  footer.filter.offset = written_bytes_ + buffer_.size();
  if (filter_.has_value() && !filter_->empty()) {
    const std::string filter = filter_->Finish();
    properties_.filter_bytes = filter.size();
    properties_.filter_prefix_bytes = options_.filter_prefix_bytes;
    // Half of its bits are random: nothing to compress.
    footer.filter = AppendBlockToBuffer(filter, Compression::kNone);
  }
  std::string properties;
  EncodeProperties(properties_, &properties);
  footer.properties = AppendBlockToBuffer(properties, Compression::kNone);
  footer.index = AppendBlockToBuffer(index, options_.compression);
  buffer_ += EncodeFooter(footer, footer.index.end());
  TINYOBS_RETURN_IF_ERROR(WriteBuffer());
  return properties_;
}

uint64_t TableWriter::FileSizeBytes() const {
  const uint64_t finished_blocks = written_bytes_ + buffer_.size();
  if (finished_) return finished_blocks;
  return finished_blocks + (data_block_.empty() ? 0 : data_block_.SizeBytes()) +
         (filter_.has_value() ? filter_->SizeBytes() : 0) + kFooterBytes;
}

}  // namespace tinyobs::sstable
