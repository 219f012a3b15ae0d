// TempDir: an empty folder of the test's own, removed with its content at the end.
//
// Below TEST_TMPDIR, which Bazel gives each test, so parallel tests cannot meet.
//
// Thread-safety: immutable.
#ifndef TINYOBS_TESTS_TESTING_TEMP_DIR_H_
#define TINYOBS_TESTS_TESTING_TEMP_DIR_H_

#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace tinyobs::testing {

class TempDir {
 public:
  TempDir() {
    const char* const base = ::getenv("TEST_TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/tinyobs_XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) {
      std::perror(path_.c_str());
      std::abort();
    }
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string File(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

}  // namespace tinyobs::testing

#endif  // TINYOBS_TESTS_TESTING_TEMP_DIR_H_
