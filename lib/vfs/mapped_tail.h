// MappedTail: appends to a preallocated file without a system call each.
//
// WHY. A log's record of 140 bytes costs 0.60 us of CPU by write(), most of it the way through the
// kernel, and 0.15 us by a copy into a shared mapping of the same page cache (ext4, Linux 6.1, one
// of two cores; syncs cost the same either way). Both survive kill -9 alike: the page cache holds
// the bytes, not the process. For small batches this is half of the cost of a put.
//
// WHY IT IS SAFE, when posix_file_system.cc refuses to read by mmap. A mapped page that cannot be
// provided raises SIGBUS and ends the process. That could happen (a) when a block is missing: only
// space that fallocate reserved is mapped; (b) when someone else cuts the file: logs belong to the
// holder of the store's lock; (c) when the file system shut down after an error. For (c) no page is
// ever first touched by the copy: MADV_POPULATE_WRITE makes the pages writable first, and answers
// with an error where a touch would raise the signal; the file then goes back to pwrite, which
// reports it. Pages become unwritable again only through writeback, so they are populated anew
// every 10 ms and after each sync. Left is a writeback of that very page and a shutdown of the file
// system between two appends less than 10 ms apart.
//
// Only in bursts: populating makes pages dirty, zeros and all, and a sync would write them. So the
// first appends after a sync, or after a pause, are written; a log that is synced record by record
// never maps.
//
// Only on file systems where this holds: see IsKnownSafe. Kernels before 5.14 have no
// MADV_POPULATE_WRITE: no mapping there.
//
// Thread-safety: one thread at a time.
#ifndef TINYOBS_LIB_VFS_MAPPED_TAIL_H_
#define TINYOBS_LIB_VFS_MAPPED_TAIL_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tinyobs {

class MappedTail {
 public:
  // Maps so much at a time.
  static constexpr size_t kWindowBytes = 256 << 10;
  // Makes so much of it writable at a time.
  static constexpr size_t kPopulateBytes = 128 << 10;

  MappedTail() = default;
  MappedTail(const MappedTail&) = delete;
  MappedTail& operator=(const MappedTail&) = delete;
  ~MappedTail() { Unmap(); }

  // Copies the front of `bytes` to `offset` of file `fd` (open for reading and writing) and returns
  // how many; 0 = not possible here or now, or not worth it: write instead. The file is allocated
  // up to `allocated_end`.
  size_t Write(int fd, uint64_t offset, uint64_t allocated_end, std::string_view bytes);
  // A sync is about to write the pages back, after which they may not be touched as they are.
  void Expire() {
    populated_end_ = 0;
    appends_until_burst_ = kAppendsBeforeBurst;
  }
  // Before the file is cut.
  void Unmap();

 private:
  static constexpr int kAppendsBeforeBurst = 8;

  bool Map(int fd, uint64_t offset, uint64_t allocated_end);
  // Makes some pages from `offset` on writable, or says that it cannot be done.
  bool Populate(uint64_t offset, int64_t now_ns);

  char* window_ = nullptr;  // at file offset begin_
  uint64_t begin_ = 0;
  uint64_t end_ = 0;
  uint64_t populated_end_ = 0;
  int64_t populated_ns_ = 0;
  int64_t last_append_ns_ = 0;
  int appends_until_burst_ = kAppendsBeforeBurst;
  bool checked_ = false;  // the file system is known
  bool broken_ = false;   // never again for this file
};

}  // namespace tinyobs

#endif  // TINYOBS_LIB_VFS_MAPPED_TAIL_H_
