// What only a real operating system can show: other processes, signals, limits, permissions.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/vfs/whole_file.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tinyobs/file_system.h"

namespace tinyobs {
namespace {

FileSystem* Fs() { return FileSystem::Posix(); }

TEST(PosixFileSystem, ALockExcludesAnotherProcessAndDiesWithIt) {
  testing::TempDir directory;
  const std::string path = directory.File("LOCK");
  int to_parent[2];
  int to_child[2];
  ASSERT_EQ(::pipe(to_parent), 0);
  ASSERT_EQ(::pipe(to_child), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // Only system calls: the child of a threaded test process may not allocate.
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT, 0644);
    const char said = ::flock(fd, LOCK_EX | LOCK_NB) == 0 ? 'y' : 'n';
    char ignored;
    ::close(to_child[1]);
    if (::write(to_parent[1], &said, 1) != 1) ::_exit(1);
    ::_exit(::read(to_child[0], &ignored, 1) == 0 ? 0 : 1);
  }
  ::close(to_child[0]);
  char said = 0;
  ASSERT_EQ(::read(to_parent[0], &said, 1), 1);
  ASSERT_EQ(said, 'y');
  const auto refused = Fs()->LockFile(path);
  EXPECT_CODE(refused, absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.status().ToString().find("another process"), std::string::npos);
  ::close(to_child[1]);  // the child ends, without unlocking
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_OK(Fs()->LockFile(path));
  ::close(to_parent[0]);
  ::close(to_parent[1]);
}

TEST(PosixFileSystem, OpeningAndClosingALockedFileElsewhereKeepsTheLock) {
  testing::TempDir directory;
  const std::string path = directory.File("LOCK");
  ASSERT_OK_AND_ASSIGN(const auto lock, Fs()->LockFile(path));
  ASSERT_OK(Fs()->OpenRandomAccess(path));
  // With fcntl locks the close above would have released it.
  const int fd = ::open(path.c_str(), O_RDWR);
  EXPECT_NE(::flock(fd, LOCK_EX | LOCK_NB), 0);
  ::close(fd);
}

TEST(PosixFileSystem, RunningOutOfDescriptorsIsResourceExhaustedAndRecovers) {
  testing::TempDir directory;
  const std::string path = directory.File("file");
  ASSERT_OK(ReplaceWholeFile(Fs(), path, "x"));
  struct rlimit old;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  struct rlimit low = old;
  low.rlim_cur = 64;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  std::vector<std::unique_ptr<RandomAccessFile>> files;
  absl::Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) {
    auto file = Fs()->OpenRandomAccess(path);
    status = file.status();
    if (file.ok()) files.push_back(*std::move(file));
  }
  EXPECT_CODE(status, absl::StatusCode::kResourceExhausted);
  files.clear();
  EXPECT_OK(Fs()->OpenRandomAccess(path));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
}

TEST(PosixFileSystem, AFullDeviceIsResourceExhausted) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full";
  ASSERT_OK_AND_ASSIGN(const auto file, Fs()->CreateWritable("/dev/full"));
  EXPECT_CODE(file->Append("x"), absl::StatusCode::kResourceExhausted);
}

TEST(PosixFileSystem, AFailedSyncIsRememberedAndNeverTriedAgain) {
  // fdatasync of a FIFO fails with EINVAL, a real error that every system gives.
  testing::TempDir directory;
  const std::string path = directory.File("fifo");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  ASSERT_OK_AND_ASSIGN(const auto file, Fs()->CreateWritable(path));
  ASSERT_OK(file->Append("x"));
  EXPECT_CODE(file->Sync(), absl::StatusCode::kUnavailable);
  EXPECT_CODE(file->Sync(), absl::StatusCode::kFailedPrecondition);
  EXPECT_CODE(file->Append("y"), absl::StatusCode::kFailedPrecondition);
  EXPECT_OK(file->Close());
  ::close(reader);
}

std::atomic<int> signals_handled{0};
void CountSignal(int) { ++signals_handled; }

// Whether the thread sleeps in the kernel.
bool Sleeps(pid_t thread) {
  const std::string path = "/proc/self/task/" + std::to_string(thread) + "/stat";
  std::ifstream file(path);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text.substr(name_end + 2, 1) == "S";
}

TEST(PosixFileSystem, AWriteInterruptedBySignalsIsCompleted) {
  // A full pipe blocks the writer; a signal whose handler has no SA_RESTART interrupts it there.
  testing::TempDir directory;
  const std::string path = directory.File("fifo");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  struct sigaction action = {};
  struct sigaction old = {};
  action.sa_handler = CountSignal;
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &old), 0);
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(fd, 0);
  const size_t pipe_bytes = static_cast<size_t>(::fcntl(fd, F_GETPIPE_SZ));

  std::atomic<pid_t> writer_id{0};
  std::atomic<bool> done{false};
  absl::Status status;
  std::thread writer([&] {
    auto file = Fs()->CreateWritable(path);
    status = file.status();
    if (status.ok()) status = (*file)->Append(std::string(pipe_bytes, 'x'));
    writer_id = static_cast<pid_t>(::syscall(SYS_gettid));
    if (status.ok()) status = (*file)->Append(std::string(3 * pipe_bytes, 'x'));
    done = true;
  });
  while (writer_id == 0) std::this_thread::yield();
  for (int signals = 1; signals <= 3; ++signals) {
    while (!done && !Sleeps(writer_id)) std::this_thread::yield();
    if (done) break;
    ::pthread_kill(writer.native_handle(), SIGUSR1);
    while (!done && signals_handled < signals) std::this_thread::yield();
  }
  size_t received = 0;
  std::string buffer(pipe_bytes, '\0');
  while (true) {
    const bool was_done = done;
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got > 0) received += static_cast<size_t>(got);
    if (got <= 0 && was_done) break;
  }
  writer.join();
  EXPECT_OK(status);
  EXPECT_EQ(received, 4 * pipe_bytes);
  EXPECT_EQ(signals_handled, 3);
  ::close(fd);
  ASSERT_EQ(::sigaction(SIGUSR1, &old, nullptr), 0);
}

TEST(PosixFileSystem, DescriptorsAreNotInheritedByPrograms) {
  testing::TempDir directory;
  const std::string path = directory.File("file");
  ASSERT_OK_AND_ASSIGN(const auto file, Fs()->CreateWritable(path));
  ASSERT_OK_AND_ASSIGN(const auto lock, Fs()->LockFile(directory.File("LOCK")));
  int found = 0;
  for (int fd = 3; fd < 256; ++fd) {
    char name[4096];
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t size = ::readlink(link.c_str(), name, sizeof(name));
    if (size <= 0 || std::string_view(name, size).find(directory.path()) != 0) continue;
    ++found;
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << std::string_view(name, size);
  }
  EXPECT_EQ(found, 2);
}

}  // namespace
}  // namespace tinyobs
