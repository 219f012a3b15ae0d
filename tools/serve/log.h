// The server's log: one line an event on stderr, each with its time, for people and for journald.
//
// Thread-safety: thread-safe; a line is one write, so lines do not mix.
#ifndef TINYOBS_TOOLS_SERVE_LOG_H_
#define TINYOBS_TOOLS_SERVE_LOG_H_

#include <string_view>

namespace tinyobs::serve {

// "2025-11-18T00:00:00.123Z message". Line breaks in the message become spaces.
void LogLine(std::string_view message);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_LOG_H_
