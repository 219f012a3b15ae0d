#include "bench/peers/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace tinyobs::bench {

void Require(bool ok, std::string_view what, std::string_view detail) {
  if (ok) return;
  std::fprintf(stderr, "%s: %.*s: %.*s\n", program_invocation_short_name,
               static_cast<int>(what.size()), what.data(), static_cast<int>(detail.size()),
               detail.data());
  std::fflush(nullptr);
  std::_Exit(1);  // no destructors: engines may be in the middle of anything
}

double Seconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Stopwatch::Stopwatch() : wall_(Seconds(CLOCK_MONOTONIC)), cpu_(Seconds(CLOCK_PROCESS_CPUTIME_ID)) {}

void Stopwatch::Pause() {
  pause_wall_ = Seconds(CLOCK_MONOTONIC);
  pause_cpu_ = Seconds(CLOCK_THREAD_CPUTIME_ID);
}

void Stopwatch::Resume() {
  wall_ += Seconds(CLOCK_MONOTONIC) - pause_wall_;
  cpu_ += Seconds(CLOCK_THREAD_CPUTIME_ID) - pause_cpu_;
}

double Stopwatch::WallSeconds() const { return Seconds(CLOCK_MONOTONIC) - wall_; }
double Stopwatch::CpuSeconds() const { return Seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_; }

double AnonymousBytesNow() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stod(line.substr(8)) * 1024;
  }
  return 0;
}

double AnonymousBytes() {
  malloc_trim(0);
  return AnonymousBytesNow();
}

double FolderBytes(const std::string& folder) {
  double bytes = 0;
  std::error_code gone;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file(gone)) continue;
    const auto size = entry.file_size(gone);
    if (!gone) bytes += static_cast<double>(size);
  }
  return bytes;
}

void SyncDisk(const std::string& folder) {
  const int handle = open(folder.c_str(), O_RDONLY | O_DIRECTORY);
  if (handle < 0) return;
  syncfs(handle);
  close(handle);
}

}  // namespace tinyobs::bench
