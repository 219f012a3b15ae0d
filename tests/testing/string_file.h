// Files that are strings: for tests and fuzz targets that need a file's interface but no file
// system.
//
// Thread-safety: as the interfaces say; the string of a StringSource must not change.
#ifndef TINYOBS_TESTS_TESTING_STRING_FILE_H_
#define TINYOBS_TESTS_TESTING_STRING_FILE_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tinyobs/file_system.h"

namespace tinyobs::testing {

class StringSource final : public RandomAccessFile {
 public:
  explicit StringSource(std::string bytes, std::atomic<uint64_t>* reads = nullptr)
      : bytes_(std::move(bytes)), reads_(reads) {}

  absl::StatusOr<size_t> Read(uint64_t offset, size_t count, char* buffer) const override {
    if (reads_ != nullptr) ++*reads_;
    if (offset >= bytes_.size()) return size_t{0};
    const size_t got = std::min<uint64_t>(count, bytes_.size() - offset);
    std::memcpy(buffer, bytes_.data() + offset, got);
    return got;
  }
  absl::StatusOr<uint64_t> Size() const override { return bytes_.size(); }

 private:
  const std::string bytes_;
  std::atomic<uint64_t>* const reads_;  // counts calls of Read; may be null
};

class StringSink final : public WritableFile {
 public:
  // Appends to `out`, not owned.
  explicit StringSink(std::string* out) : out_(out) {}

  absl::Status Append(std::string_view bytes) override {
    out_->append(bytes);
    return absl::OkStatus();
  }
  absl::Status Sync() override { return absl::OkStatus(); }
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  std::string* const out_;
};

}  // namespace tinyobs::testing

#endif  // TINYOBS_TESTS_TESTING_STRING_FILE_H_
