#include "lib/vfs/mapped_tail.h"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace tinyobs {
namespace {

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // the C library's headers are older than the kernel's
#endif
#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

// For which populated pages are trusted, and the pause that ends a burst.
constexpr int64_t kPopulatedForNs = 10'000'000;

// Larger appends gain nothing: the copy is what they cost.
constexpr size_t kWorthwhileBytes = MappedTail::kWindowBytes / 8;

int64_t CoarseNowNs() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);  // a few ns, where the exact clock takes 20
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

// Local file systems that write preallocated blocks in place. Not: btrfs (a snapshot turns them
// into copies, which may find no space), overlays (anything may be below), networks.
bool IsKnownSafe(int fd) {
  struct statfs info;
  if (::fstatfs(fd, &info) != 0) return false;
  switch (static_cast<uint64_t>(info.f_type)) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
      return true;
    default:
      return false;
  }
}

uint64_t PageBytes() {
  static const auto bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

}  // namespace

size_t MappedTail::Write(int fd, uint64_t offset, uint64_t allocated_end, std::string_view bytes) {
  if (broken_ || offset >= allocated_end || bytes.size() > kWorthwhileBytes) return 0;
  if (!checked_) {
    broken_ = !IsKnownSafe(fd);
    checked_ = true;
    if (broken_) return 0;
  }
  const int64_t now_ns = CoarseNowNs();
  if (now_ns - last_append_ns_ >= kPopulatedForNs) Expire();
  last_append_ns_ = now_ns;
  if (appends_until_burst_ > 0) {
    --appends_until_burst_;
    return 0;
  }
  const bool is_mapped = window_ != nullptr && offset >= begin_ && offset < end_;
  if (!is_mapped && !Map(fd, offset, allocated_end)) return 0;
  const bool is_populated = offset < populated_end_ && now_ns - populated_ns_ < kPopulatedForNs;
  if (!is_populated && !Populate(offset, now_ns)) return 0;
  const size_t count = std::min<size_t>(bytes.size(), populated_end_ - offset);
  std::memcpy(window_ + (offset - begin_), bytes.data(), count);
  return count;
}

bool MappedTail::Map(int fd, uint64_t offset, uint64_t allocated_end) {
  if (window_ != nullptr) ::munmap(window_, end_ - begin_);
  window_ = nullptr;
  populated_end_ = 0;
  const uint64_t begin = offset / PageBytes() * PageBytes();
  const uint64_t end = std::min(begin + kWindowBytes, allocated_end);
  void* const window = ::mmap(nullptr, end - begin, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                              static_cast<off_t>(begin));
  if (window == MAP_FAILED) {
    broken_ = true;
    return false;
  }
  window_ = static_cast<char*>(window);
  begin_ = begin;
  end_ = end;
  return true;
}

bool MappedTail::Populate(uint64_t offset, int64_t now_ns) {
  const uint64_t from = (offset - begin_) / PageBytes() * PageBytes();
  const uint64_t bytes = std::min<uint64_t>(kPopulateBytes, end_ - begin_ - from);
  if (::madvise(window_ + from, bytes, MADV_POPULATE_WRITE) != 0) {
    Unmap();
    broken_ = true;
    return false;
  }
  populated_end_ = begin_ + from + bytes;
  populated_ns_ = now_ns;
  return true;
}

void MappedTail::Unmap() {
  if (window_ != nullptr) ::munmap(window_, end_ - begin_);
  window_ = nullptr;
  Expire();
}

}  // namespace tinyobs
