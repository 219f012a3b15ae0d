// The `tinyobs` program: hands its arguments to RunCli (cli.h), which tests call without a process.
#include <cstdio>
#include <string>
#include <vector>

#include "tools/cli/cli.h"

int main(int argc, char** argv) {
  std::string out;
  std::string err;
  int code = tinyobs::cli::RunCli({argv + 1, argv + argc}, &out, &err);
  // A full disk or a closed pipe must not look like success.
  if (std::fwrite(out.data(), 1, out.size(), stdout) != out.size() || std::fflush(stdout) != 0) {
    code = tinyobs::cli::kFailed;
  }
  std::fwrite(err.data(), 1, err.size(), stderr);
  return code;
}
