#include "bench/peers/harness.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "bench/peers/measure.h"

namespace tinyobs::bench {
namespace {

void ParseOnly(const std::string& text, const std::vector<std::string>& names,
               std::set<std::string>* only) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  std::istringstream words(text);
  for (std::string name; std::getline(words, name, ',');) {
    Require(std::find(names.begin(), names.end(), name) != names.end(),
            "unknown name in --only: " + name, "there are " + all);
    only->insert(name);
  }
  Require(!only->empty(), "--only names nothing", "there are " + all);
}

// The process of the engine that runs now; 0 = none.
volatile pid_t engine_process = 0;

// Leaves nobody who writes behind, so that the data can be removed at once.
extern "C" void EndAll(int signal) {
  const pid_t process = engine_process;
  if (process > 0) {
    kill(process, SIGKILL);
    while (waitpid(process, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  _exit(128 + signal);
}

}  // namespace

int Positive(const std::string& flag, const std::string& text) {
  const int number = std::atoi(text.c_str());
  Require(number > 0, flag + " needs a number above 0, not", text);
  return number;
}

Arguments ParseArguments(
    int argc, char** argv, const std::vector<std::string>& names,
    const std::function<bool(const std::string& flag, const std::string& value)>& own) {
  Arguments arguments;
  int repetitions = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--quick") {
      arguments.quick = true;
      continue;
    }
    Require(i + 1 < argc, "needs a value or is unknown", flag);
    const std::string value = argv[++i];
    if (flag == "--dir") {
      arguments.folder = value;
    } else if (flag == "--json") {
      arguments.json_file = value;
    } else if (flag == "--commit") {
      arguments.commit = value;
    } else if (flag == "--machine") {
      arguments.machine = value;
    } else if (flag == "--repetitions") {
      repetitions = Positive(flag, value);
    } else if (flag == "--only") {
      ParseOnly(value, names, &arguments.only);
    } else {
      Require(own(flag, value), "unknown flag", flag);
    }
  }
  Require(!arguments.folder.empty(), "missing", "--dir FOLDER");
  if (arguments.quick) arguments.repetitions = 1;
  if (repetitions > 0) arguments.repetitions = repetitions;
  return arguments;
}

RunDescription Describe(std::string benchmark, const Arguments& arguments) {
  RunDescription run;
  run.benchmark = std::move(benchmark);
  run.machine = arguments.machine;
  run.commit = arguments.commit;
  run.quick = arguments.quick;
  run.repetitions = arguments.repetitions;
  return run;
}

void CatchSignals() {
  signal(SIGINT, EndAll);
  signal(SIGTERM, EndAll);
}

void RunIsolated(const std::function<void(const Recorder&)>& work, Report* report) {
  int ends[2];
  Require(pipe(ends) == 0, "pipe", std::strerror(errno));
  std::fflush(nullptr);
  const pid_t parent = getpid();
  sigset_t endings;
  sigset_t before;
  sigemptyset(&endings);
  sigaddset(&endings, SIGINT);
  sigaddset(&endings, SIGTERM);
  sigprocmask(SIG_BLOCK, &endings, &before);  // until engine_process is known
  const pid_t child = fork();
  Require(child >= 0, "fork", std::strerror(errno));
  if (child == 0) {
    signal(SIGINT, SIG_IGN);  // of the terminal: the parent sees to it
    signal(SIGTERM, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) std::_Exit(1);
    close(ends[0]);
    work([&](const Figure& figure) {
      const std::string line = figure.ToLine();
      Require(write(ends[1], line.data(), line.size()) == static_cast<ssize_t>(line.size()),
              "write of a figure", std::strerror(errno));
    });
    std::fflush(nullptr);
    std::_Exit(0);
  }
  engine_process = child;
  sigprocmask(SIG_SETMASK, &before, nullptr);
  close(ends[1]);
  std::string text;
  char buffer[4096];
  ssize_t bytes;
  while ((bytes = read(ends[0], buffer, sizeof(buffer))) > 0 || (bytes < 0 && errno == EINTR)) {
    if (bytes > 0) text.append(buffer, static_cast<size_t>(bytes));
  }
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  engine_process = 0;
  Require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "an engine's run failed",
          WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status)) : "see above");
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    Figure figure;
    Require(Figure::FromLine(line, &figure), "not a figure", line);
    report->Add(figure);
  }
}

void RunApart(const std::function<void()>& work) {
  std::fflush(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  Require(child >= 0, "fork", std::strerror(errno));
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) std::_Exit(1);
    work();
    std::fflush(nullptr);
    std::_Exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  Require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a process within failed", "see above");
}

void Finish(const Report& report, const Arguments& arguments) {
  Require(!report.empty(), "nothing was measured", "see --only");
  std::printf("%s", report.Table().c_str());
  std::fflush(stdout);
  if (arguments.json_file.empty()) return;
  std::ofstream json(arguments.json_file);
  json << report.Json();
  json.close();
  Require(json.good(), "cannot write", arguments.json_file);
}

}  // namespace tinyobs::bench
