// The picker is a pure function, so its tests are a text: testdata/compaction_picker.txt.
#include "lib/lsm/compaction_picker.h"

#include <fstream>
#include <list>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

constexpr PickerOptions kOptions{
    .l0_trigger = 4, .level1_bytes = 400, .level_ratio = 4, .table_bytes = 100};

// NUMBER:FIRST-LAST[@SEQUENCE][=BYTES][!TOMBSTONES]
TableMeta ParseTable(const std::string& text) {
  TableMeta meta;
  meta.file_bytes = 100;
  meta.entries = 100;
  uint64_t sequence = 1;
  std::string part;
  char kind = '#';
  std::string first;
  const auto finish = [&] {
    if (kind == '#') meta.number = std::stoull(part);
    if (kind == ':') first = part;
    if (kind == '-') meta.largest = part;
    if (kind == '@') sequence = std::stoull(part);
    if (kind == '=') meta.file_bytes = std::stoull(part);
    if (kind == '!') meta.tombstones = std::stoull(part);
  };
  for (const char c : text) {
    if (std::string_view(":-@=!").find(c) == std::string_view::npos) {
      part.push_back(c);
      continue;
    }
    finish();
    part.clear();
    kind = c;
  }
  finish();
  meta.smallest_sequence = sequence;
  meta.largest_sequence = sequence + 9;
  meta.smallest = MakeInternalKey(first, PackTrailer(sequence + 9, ValueType::kPut));
  meta.largest = MakeInternalKey(meta.largest, PackTrailer(sequence, ValueType::kPut));
  return meta;
}

std::string Numbers(const TableList& tables) {
  std::string text;
  for (const TablePtr& table : tables) StrAppend(&text, " ", table->meta.number);
  return text;
}

std::string Describe(const std::optional<CompactionChoice>& choice) {
  if (!choice.has_value()) return "none";
  std::string text =
      StrCat("L", choice->level, ">L", choice->output_level, ":", Numbers(choice->inputs));
  if (!choice->next_inputs.empty()) StrAppend(&text, " +", Numbers(choice->next_inputs));
  if (choice->trivial_move) return text + " move";
  if (choice->ranges.size() > 1) StrAppend(&text, " in ", choice->ranges.size(), " parts");
  return text;
}

std::string Scores(const Version& version) {
  const auto scores = LevelScores(version, kOptions);
  std::multimap<double, std::string, std::greater<>> due;
  for (int level = 0; level < kLevels; ++level) {
    const double score = scores[static_cast<size_t>(level)];
    if (score >= 1) due.emplace(score, StrCat("L", level));
  }
  std::string text;
  for (const auto& [score, name] : due) text += (text.empty() ? "" : " ") + name;
  return text.empty() ? "none" : text;
}

std::string Targets(const Version& version) {
  const LevelTargets targets = TargetsOf(version, kOptions);
  std::string text = StrCat("base L", targets.base_level);
  for (int level = 0; level < kLevels; ++level) {
    const uint64_t bytes = targets.bytes[static_cast<size_t>(level)];
    if (bytes > 0) StrAppend(&text, " L", level, "=", bytes);
  }
  return text;
}

std::string Answer(const Version& version, const std::string& command) {
  std::istringstream words(command);
  std::string verb, word;
  words >> verb;
  if (verb == "scores") return Scores(version);
  if (verb == "targets") return Targets(version);
  if (verb == "pick") {
    Claims claims;
    std::list<std::string> keys;
    while (words >> word && word != "writing") {
      if (word != "busy") claims.tables.insert(std::stoull(word));
    }
    int level = 0;
    std::string first, last;
    while (words >> level >> first >> last) {
      const std::string& a = keys.emplace_back(first);
      const std::string& b = keys.emplace_back(last);
      claims.outputs.push_back({level, {a, b, b == "*"}});
    }
    return Describe(PickCompaction(version, kOptions, claims));
  }
  int level = 0;
  std::string first, last, all;
  words >> level >> first >> last >> all;
  return Describe(
      PickRange(version, kOptions, {}, level, {first, last, last == "*"}, all == "all"));
}

TEST(CompactionPicker, ChoosesAsTheTextSays) {
  std::ifstream file("tests/lsm/testdata/compaction_picker.txt");
  ASSERT_TRUE(file.is_open());
  auto registry = std::make_shared<TableRegistry>();
  std::string line, command, name;
  VersionEdit edit;
  int checked = 0;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    if (line.rfind("case ", 0) == 0) {
      name = line.substr(5);
      edit = VersionEdit();
    } else if (line[0] == 'L') {
      std::istringstream words(line.substr(2));
      std::string table;
      while (words >> table) edit.added.push_back({line[1] - '0', ParseTable(table)});
    } else if (line == "----") {
      std::getline(file, line);
      ASSERT_OK_AND_ASSIGN(auto version, Version::Apply(Version(), edit, registry, nullptr));
      EXPECT_EQ(Answer(*version, command), line) << name << ": " << command;
      ++checked;
    } else {
      command = line;
    }
  }
  EXPECT_GT(checked, 40);
}

}  // namespace
}  // namespace tinyobs::lsm
