#include "bench/peers/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <sstream>

namespace tinyobs::bench {
namespace {

std::string Number(double value) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.7g", std::isfinite(value) ? value : 0.0);
  return text;
}

// For people: enough digits to compare, no exponent.
std::string Short(double value) {
  const double size = std::abs(value);
  char text[40];
  std::snprintf(text, sizeof(text), "%.*f", size >= 1000 ? 0 : size >= 10 ? 1 : 3, value);
  return text;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::string Quoted(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\u%04x", c);
      json += escaped;
    } else {
      json += c;
    }
  }
  return json + '"';
}

std::string Object(const std::vector<std::pair<std::string, std::string>>& members) {
  std::string json = "{";
  for (const auto& [name, text] : members) {
    if (json.size() > 1) json += ",\n  ";
    json += Quoted(name) + ":" + Quoted(text);
  }
  return json + "}";
}

std::string Now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc;
  gmtime_r(&now, &utc);
  char text[40];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

// Columns as wide as their widest cell; the first two to the left, figures to the right.
std::string Align(const std::vector<std::vector<std::string>>& lines) {
  std::vector<size_t> widths;
  for (const auto& line : lines) {
    widths.resize(std::max(widths.size(), line.size()));
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string text;
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) {
      const std::string blanks(widths[i] - line[i].size(), ' ');
      text += i < 2 ? line[i] + blanks + "  " : blanks + line[i] + "  ";
    }
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  }
  return text;
}

}  // namespace

std::string Figure::ToLine() const {
  return bench + ' ' + metric + (higher_is_better ? " higher " : " lower ") + engine + ' ' +
         Number(value) + '\n';
}

bool Figure::FromLine(const std::string& line, Figure* figure) {
  std::istringstream words(line);
  std::string better;
  words >> figure->bench >> figure->metric >> better >> figure->engine >> figure->value;
  figure->higher_is_better = better == "higher";
  return !words.fail() && (better == "higher" || better == "lower");
}

void Report::Add(const Figure& figure) {
  auto row = std::find_if(rows_.begin(), rows_.end(), [&](const Row& known) {
    return known.bench == figure.bench && known.metric == figure.metric;
  });
  if (row == rows_.end()) {
    row = rows_.insert(row, {figure.bench, figure.metric, figure.higher_is_better, {}});
  }
  row->runs[figure.engine].push_back(figure.value);
}

std::string Report::Header() const {
  std::string text = "machine: " + run_.machine + "\ncommit: " + run_.commit + "\n";
  for (const auto& [engine, version] : run_.versions) text += engine + ": " + version + "\n";
  for (const auto& [what, setting] : run_.settings) {
    text += "settings, " + what + ": " + setting + "\n";
  }
  return text + "medians of " + std::to_string(run_.repetitions) +
         " (min..max); a ratio above 1: ours is better\n";
}

const Target* Report::TargetOf(const Row& row) const {
  for (const Target& target : run_.targets) {
    if (target.bench == row.bench && target.metric == row.metric) return &target;
  }
  return nullptr;
}

std::string Report::Table() const {
  std::vector<std::vector<std::string>> lines(1, {"bench", "metric"});
  for (const std::string& engine : run_.engines) lines[0].push_back(engine);
  for (size_t i = 1; i < run_.engines.size(); ++i) lines[0].push_back("vs " + run_.engines[i]);
  if (!run_.targets.empty()) lines[0].insert(lines[0].end(), {"must", "goal"});
  for (const Row& row : rows_) {
    std::vector<std::string> line = {row.bench, row.metric};
    const auto ours = row.runs.find(run_.engines[0]);
    for (const std::string& engine : run_.engines) {
      const auto found = row.runs.find(engine);
      if (found == row.runs.end()) {
        line.push_back("-");
        continue;
      }
      std::string cell = Short(Median(found->second));
      if (found->second.size() > 1) {
        const auto [least, most] = std::minmax_element(found->second.begin(), found->second.end());
        cell += " (" + Short(*least) + ".." + Short(*most) + ")";
      }
      line.push_back(std::move(cell));
    }
    for (size_t i = 1; i < run_.engines.size(); ++i) {
      const auto theirs = row.runs.find(run_.engines[i]);
      if (ours == row.runs.end() || theirs == row.runs.end()) {
        line.push_back("-");
        continue;
      }
      const double a = Median(ours->second);
      const double b = Median(theirs->second);
      char ratio[32];
      std::snprintf(ratio, sizeof(ratio), "%.2fx", row.higher_is_better ? a / b : b / a);
      line.push_back(ratio);
    }
    if (!run_.targets.empty()) {
      const Target* target = TargetOf(row);
      line.push_back(target == nullptr ? "-" : Short(target->must));
      line.push_back(target == nullptr ? "-" : Short(target->goal));
    }
    lines.push_back(std::move(line));
  }
  return Align(lines);
}

std::string Report::Json() const {
  std::string json = "{\"benchmark\":" + Quoted(run_.benchmark) +
                     ",\n \"machine\":" + Quoted(run_.machine) +
                     ",\n \"commit\":" + Quoted(run_.commit) + ",\n \"date\":" + Quoted(Now()) +
                     ",\n \"quick\":" + (run_.quick ? "true" : "false") +
                     ",\n \"repetitions\":" + std::to_string(run_.repetitions) +
                     ",\n \"versions\":" + Object(run_.versions) +
                     ",\n \"settings\":" + Object(run_.settings) + ",\n \"rows\":[\n";
  bool first_row = true;
  for (const Row& row : rows_) {
    const auto ours = row.runs.find(run_.engines[0]);
    if (ours == row.runs.end()) continue;
    std::string peers;
    std::string runs;
    for (const std::string& engine : run_.engines) {
      const auto found = row.runs.find(engine);
      if (found == row.runs.end()) continue;
      if (engine != run_.engines[0]) {
        peers += (peers.empty() ? "" : ",") + Quoted(engine) + ":" + Number(Median(found->second));
      }
      std::string values;
      for (const double value : found->second) {
        values += (values.empty() ? "" : ",") + Number(value);
      }
      runs += (runs.empty() ? "" : ",") +
              Quoted(engine == run_.engines[0] ? "ours" : std::string_view(engine)) + ":[" +
              values + "]";
    }
    const Target* target = TargetOf(row);
    json += std::string(first_row ? "" : ",\n") + "  {\"bench\":" + Quoted(row.bench) +
            ",\"metric\":" + Quoted(row.metric) + ",\"better\":\"" +
            (row.higher_is_better ? "higher" : "lower") +
            "\",\"ours\":" + Number(Median(ours->second)) + ",\"peers\":{" + peers + "}," +
            (target == nullptr
                 ? ""
                 : "\"must\":" + Number(target->must) + ",\"goal\":" + Number(target->goal) + ",") +
            "\"runs\":{" + runs + "}}";
    first_row = false;
  }
  return json + "\n ]}\n";
}

}  // namespace tinyobs::bench
