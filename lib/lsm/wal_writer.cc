#include "lib/lsm/wal_writer.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/status_macros.h"
#include "lib/vfs/whole_file.h"

namespace tinyobs::lsm {
namespace {

// A buffer that a huge record made larger than this is given back after the write.
constexpr size_t kBufferKeptBytes = 1 << 20;
// So many writes make a log that will see many more.
constexpr int kWritesBeforePreallocation = 16;
// What is allocated at a time: as much again as the log holds, within these, so that the zeros that
// a short log leaves unused are few.
constexpr uint64_t kPreallocateBytesMin = 64 << 10;
constexpr uint64_t kPreallocateBytesMax = 1 << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<WalWriter>> WalWriter::Create(FileSystem* file_system,
                                                             const std::string& path,
                                                             const WalIdentity& identity) {
  TINYOBS_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, file_system->CreateWritable(path));
  return std::unique_ptr<WalWriter>(new WalWriter(file_system, path, identity, std::move(file)));
}

WalWriter::WalWriter(FileSystem* file_system, std::string path, const WalIdentity& identity,
                     std::unique_ptr<WritableFile> file)
    : file_system_(file_system),
      path_(std::move(path)),
      identity_(identity),
      file_(std::move(file)),
      preallocates_(identity.kind != kWalKindManifest) {
  char header[kHeaderPayloadBytes];
  StoreFixed64(header, kWalMagic);
  StoreFixed32(header + 8, kWalFormatVersion);
  StoreFixed32(header + 12, identity_.kind);
  StoreFixed64(header + 16, identity_.number);
  StoreFixed64(header + 24, identity_.previous);
  AddFrame(FrameType::kHeader, {header, sizeof(header)}, {});
}

void WalWriter::AddFrame(FrameType type, std::string_view first, std::string_view second) {
  const uint64_t offset = written_bytes_ + buffer_.size();
  const size_t start = buffer_.size();
  char head[kFrameHeaderBytes] = {};
  StoreFixed32(head + 4, FrameWord(type, first.size() + second.size()));
  buffer_.append(head, sizeof(head));
  buffer_.append(first);
  buffer_.append(second);
  const std::string_view checked = std::string_view(buffer_).substr(start + 4);
  const uint64_t number = type == FrameType::kHeader ? 0 : identity_.number;
  StoreFixed32(buffer_.data() + start, FrameChecksum(checked, number, offset));
  size_bytes_.store(written_bytes_ + buffer_.size(), std::memory_order_relaxed);
}

void WalWriter::AddMarkIfDue() {
  if (marked_bytes_ == durable_bytes_) return;
  marked_bytes_ = durable_bytes_;
  char payload[kMarkPayloadBytes];
  StoreFixed64(payload, durable_bytes_);
  AddFrame(FrameType::kMark, {payload, sizeof(payload)}, {});
}

void WalWriter::Add(std::string_view first, std::string_view second) {
  TINYOBS_CHECK(!sealed_ && first.size() + second.size() <= kMaxRecordBytes);
  if (!status_.ok()) return;  // Write will say so
  AddMarkIfDue();
  AddFrame(FrameType::kRecord, first, second);
  ++records_;
}

absl::Status WalWriter::Write() {
  TINYOBS_RETURN_IF_ERROR(status_);
  if (buffer_.empty()) return absl::OkStatus();
  if (preallocates_ && ++writes_ > kWritesBeforePreallocation) Preallocate();
  status_ = file_->Append(buffer_);
  TINYOBS_RETURN_IF_ERROR(status_);
  written_bytes_ += buffer_.size();
  buffer_.clear();
  if (buffer_.capacity() > kBufferKeptBytes) std::string().swap(buffer_);
  return absl::OkStatus();
}

void WalWriter::Preallocate() {
  const uint64_t end = written_bytes_ + buffer_.size();
  if (end <= allocated_bytes_.load(std::memory_order_relaxed)) return;
  const uint64_t step = std::clamp(written_bytes_, kPreallocateBytesMin, kPreallocateBytesMax);
  if (file_->Preallocate(buffer_.size() + step).ok()) {
    allocated_bytes_.store(end + step, std::memory_order_relaxed);
  } else {
    preallocates_ = false;                // it can do without
    file_->Preallocate(0).IgnoreError();  // what it got of a disk that is full
  }
}

absl::Status WalWriter::Sync() {
  TINYOBS_RETURN_IF_ERROR(Write());
  if (durable_bytes_ == written_bytes_) return absl::OkStatus();
  status_ = file_->Sync();
  if (status_.ok() && !directory_synced_) {
    status_ = file_system_->SyncDirectory(DirectoryOf(path_));
    directory_synced_ = status_.ok();
  }
  if (status_.ok()) durable_bytes_ = written_bytes_;
  return status_;
}

absl::Status WalWriter::Seal() {
  TINYOBS_RETURN_IF_ERROR(status_);
  if (sealed_) return absl::OkStatus();
  AddMarkIfDue();
  AddFrame(FrameType::kSeal, {}, {});
  sealed_ = true;
  TINYOBS_RETURN_IF_ERROR(Write());
  if (allocated_bytes_.load(std::memory_order_relaxed) > written_bytes_) {
    file_->Preallocate(0).IgnoreError();  // zeros left behind only take space
  }
  allocated_bytes_.store(0, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::Status WalWriter::Close() { return file_->Close(); }

}  // namespace tinyobs::lsm
