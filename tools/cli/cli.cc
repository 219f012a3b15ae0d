#include "tools/cli/cli.h"

#include <string_view>

#include "absl/status/status.h"
#include "lib/base/strings.h"
#include "tinyobs/version.h"
#include "tools/cli/arguments.h"
#include "tools/cli/lsm_commands.h"
#include "tools/cli/verbs.h"

namespace tinyobs::cli {
namespace {

struct Verb {
  std::string_view name;
  std::string_view usage;    // after the name
  std::string_view summary;  // one line
  std::vector<std::string> options;
  absl::Status (*run)(const Arguments&, std::string*);
  std::string_view help = {};  // more than the summary

  bool asks_server() const { return options[0] == "server"; }
};

const std::vector<Verb>& Verbs() {
  static const auto* const verbs = new std::vector<Verb>{
      {"list", "", "names of the metrics", {"server"}, List},
      {"query", "METRIC [--since 1h]", "samples of one metric", {"server", "since"}, Query},
      {"stats", "", "what the server stores", {"server"}, Stats},
      {"health", "", "whether the server is well", {"server"}, Health},
      {"downsample", "", "make windows of five minutes and an hour now", {"server"}, Downsample},
      {"ingest",
       "NAME VALUE [label=value...] [--type gauge]",
       "store one sample, now",
       {"server", "type"},
       Ingest},
      {"lsm",
       "COMMAND PATH",
       "looks into the files of a store; see tinyobs lsm --help",
       {"limit"},
       Lsm,
       kLsmHelp},
  };
  return *verbs;
}

std::string Help() {
  std::string text = "usage: tinyobs VERB [arguments] [--server http://localhost:8080]\n\n";
  const auto row = [&text](std::string_view call, std::string_view summary) {
    StrAppend(&text, "  ", call, std::string(call.size() < 52 ? 52 - call.size() : 1, ' '), summary,
              "\n");
  };
  for (const Verb& verb : Verbs()) {
    row(verb.usage.empty() ? std::string(verb.name) : StrCat(verb.name, " ", verb.usage),
        verb.summary);
  }
  row("version", "of this program");
  row("help", "this text");
  text +=
      "\nExit status: 0 done, 1 the server could not be reached or refused, or files are "
      "damaged,\n2 wrong usage.\n";
  return text;
}

}  // namespace

int RunCli(const std::vector<std::string>& arguments, std::string* out, std::string* err) {
  const std::string name = arguments.empty() ? "" : arguments[0];
  if (name == "help" || name == "--help" || name == "-h") {
    *out += Help();
    return kDone;
  }
  if (name == "version" || name == "--version") {
    *out += "tinyobs " TINYOBS_VERSION "\n";
    return kDone;
  }
  for (const Verb& verb : Verbs()) {
    if (verb.name != name) continue;
    const std::string usage = StrCat("usage: tinyobs ", name, verb.usage.empty() ? "" : " ",
                                     verb.usage, verb.asks_server() ? " [--server URL]\n" : "\n");
    if (arguments.size() > 1 && (arguments[1] == "--help" || arguments[1] == "-h")) {
      StrAppend(out, usage, verb.summary, "\n", verb.help);
      return kDone;
    }
    const absl::StatusOr<Arguments> parsed =
        ParseArguments({arguments.begin() + 1, arguments.end()}, verb.options);
    const absl::Status status = parsed.ok() ? verb.run(*parsed, out) : parsed.status();
    if (status.ok()) return kDone;
    StrAppend(err, "tinyobs ", name, ": ", FromAbsl(status.message()), "\n");
    if (!absl::IsInvalidArgument(status)) return kFailed;
    *err += usage;
    return kUsage;
  }
  *err += name.empty() ? std::string("tinyobs: no verb given\n\n")
                       : StrCat("tinyobs: unknown verb '", EscapeForMessage(name, 40), "'\n\n");
  *err += Help();
  return kUsage;
}

}  // namespace tinyobs::cli
