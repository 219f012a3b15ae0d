// tinyobs: the command line of a TinyObs server.
//
// A thin client of the HTTP API: every verb is one request and some lines of text, so whatever it
// can do, curl can do too. The exception is `lsm` (lsm_commands.h), which looks at the files of a
// store, for when no server can. Verbs are rows of one table in cli.cc; a new one is a function and
// a row.
//
// Everything is a function of the arguments that writes into two strings, so that tests run it
// without a process.
#ifndef TINYOBS_TOOLS_CLI_CLI_H_
#define TINYOBS_TOOLS_CLI_CLI_H_

#include <string>
#include <vector>

namespace tinyobs::cli {

enum ExitCode {
  kDone = 0,
  kFailed =
      1,  // the server could not be reached or said no; files could not be read, or are damaged
  kUsage = 2,  // the command line makes no sense
};

// Runs one command line without the program's name. What belongs on standard output goes to `out`,
// error messages to `err`.
int RunCli(const std::vector<std::string>& arguments, std::string* out, std::string* err);

}  // namespace tinyobs::cli

#endif  // TINYOBS_TOOLS_CLI_CLI_H_
