#include "bench/peers/counting_file_system.h"

#include <algorithm>
#include <string_view>

namespace tinyobs::bench {

class CountingFile final : public WritableFile {
 public:
  CountingFile(CountingFileSystem* counter, std::string path, std::unique_ptr<WritableFile> below)
      : counter_(counter), path_(std::move(path)), below_(std::move(below)) {}

  absl::Status Append(std::string_view bytes) override {
    counter_->Grow(path_, bytes.size());
    return below_->Append(bytes);
  }
  absl::Status Sync() override { return below_->Sync(); }
  absl::Status Preallocate(uint64_t bytes) override { return below_->Preallocate(bytes); }
  absl::Status Close() override { return below_->Close(); }

 private:
  CountingFileSystem* const counter_;
  const std::string path_;
  const std::unique_ptr<WritableFile> below_;
};

uint64_t CountingFileSystem::bytes() const {
  const MutexLock lock(&mutex_);
  return bytes_;
}

uint64_t CountingFileSystem::peak_bytes() const {
  const MutexLock lock(&mutex_);
  return peak_bytes_;
}

void CountingFileSystem::ForgetPeak() {
  const MutexLock lock(&mutex_);
  peak_bytes_ = bytes_;
}

void CountingFileSystem::Grow(const std::string& path, uint64_t bytes) {
  const MutexLock lock(&mutex_);
  const auto found = sizes_.find(path);
  if (found == sizes_.end()) return;  // deleted or renamed while open, or not to be counted
  found->second += bytes;
  bytes_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, bytes_);
}

void CountingFileSystem::Forget(const std::string& path) {
  const auto found = sizes_.find(path);
  if (found == sizes_.end()) return;
  bytes_ -= found->second;
  sizes_.erase(found);
}

absl::StatusOr<std::unique_ptr<WritableFile>> CountingFileSystem::CreateWritable(
    const std::string& path) {
  auto file = below_->CreateWritable(path);
  if (!file.ok()) return file.status();
  {
    const MutexLock lock(&mutex_);
    Forget(path);
    if (path.find(without_) == std::string::npos) sizes_[path] = 0;
  }
  return std::make_unique<CountingFile>(this, path, *std::move(file));
}

absl::Status CountingFileSystem::DeleteFile(const std::string& path) {
  const absl::Status status = below_->DeleteFile(path);
  const MutexLock lock(&mutex_);
  if (status.ok()) Forget(path);
  return status;
}

absl::Status CountingFileSystem::RenameFile(const std::string& from, const std::string& to) {
  const absl::Status status = below_->RenameFile(from, to);
  const MutexLock lock(&mutex_);
  const auto found = sizes_.find(from);
  if (!status.ok() || found == sizes_.end()) return status;
  const uint64_t bytes = found->second;
  sizes_.erase(found);
  bytes_ -= bytes;
  Forget(to);
  sizes_[to] = bytes;
  bytes_ += bytes;
  return status;
}

}  // namespace tinyobs::bench
