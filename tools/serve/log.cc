// Straight to the file descriptor: no buffer to lose in a crash.
#include "tools/serve/log.h"

#include <unistd.h>

#include <algorithm>
#include <string>

#include "lib/wire/rfc3339.h"
#include "tinyobs/clock.h"

namespace tinyobs::serve {

void LogLine(std::string_view message) {
  std::string line;
  wire::AppendRfc3339(Clock::System()->NowMs(), &line);
  line.push_back(' ');
  line.append(message);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  line.push_back('\n');
  // Nowhere to report that the log cannot be written.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace tinyobs::serve
