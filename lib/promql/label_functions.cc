// label_replace and label_join. The replacement is taken apart once, by the rules of Go's templates
// ($1, $name, ${name}, $$), to pieces that are a text or the number of a group: RE2's own rewriting
// has other rules (\1) and no names.
#include <algorithm>
#include <utility>
#include <vector>

#include "lib/base/strings.h"
#include "lib/promql/vector_functions.h"
#include "re2/re2.h"

namespace tinyobs::promql {

namespace {

constexpr int64_t kRegexMemoryBytes = 8 << 20;  // see lib/model/matcher.cc

re2::StringPiece ToRe2(std::string_view text) { return {text.data(), text.size()}; }

bool IsLabelName(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !name.empty() && letter(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
    return letter(c) || (c >= '0' && c <= '9');
  });
}

absl::Status InvalidName(std::string_view what, std::string_view function, std::string_view name) {
  return absl::FailedPreconditionError(
      StrCat("invalid ", what, " label name in ", function, "(): ", name));
}

absl::StatusOr<Labels> Replaced(const Labels& labels, const std::string& name, std::string value) {
  std::vector<Labels::Pair> pairs;
  for (const Label& label : labels) {
    if (label.name != name) pairs.emplace_back(label.name, label.value);
  }
  pairs.emplace_back(name, std::move(value));  // an empty value is no label
  return Labels::Create(std::move(pairs));
}

}  // namespace

struct LabelReplacer::Rule {
  // The text of `group` of the match, or of no group (-1) and `text`.
  struct Piece {
    int group;
    std::string text;
  };

  Rule(std::string to, std::string_view replacement, std::string from, std::string_view pattern,
       const RE2::Options& options)
      : destination(std::move(to)), source(std::move(from)), regex(ToRe2(pattern), options) {
    if (regex.ok()) SplitReplacement(replacement);
  }

  void SplitReplacement(std::string_view replacement);
  int GroupOf(const std::string& name) const;

  const std::string destination;
  const std::string source;
  const RE2 regex;
  std::vector<Piece> pieces;
};

// The group that a name stands for; one that does not exist is beyond the last.
int LabelReplacer::Rule::GroupOf(const std::string& name) const {
  const int none = regex.NumberOfCapturingGroups() + 1;
  const bool number =
      std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!number || name.size() > 9 || (name[0] == '0' && name.size() > 1)) {
    const auto& names = regex.NamedCapturingGroups();
    const auto found = names.find(name);
    return found == names.end() ? none : found->second;
  }
  return std::min(std::stoi(name), none);
}

void LabelReplacer::Rule::SplitReplacement(std::string_view replacement) {
  static const RE2 kReference("\\$(?:(\\$)|([\\pL\\p{Nd}_]+)|\\{([\\pL\\p{Nd}_]+)\\})");
  std::string text;
  while (true) {
    re2::StringPiece found[4];
    const re2::StringPiece rest = ToRe2(replacement);
    if (!kReference.Match(rest, 0, rest.size(), RE2::UNANCHORED, found, 4)) break;
    const size_t at = static_cast<size_t>(found[0].data() - rest.data());
    text += replacement.substr(0, at);
    replacement.remove_prefix(at + found[0].size());
    if (!found[1].empty()) {
      text += '$';
      continue;
    }
    pieces.push_back({-1, std::exchange(text, "")});
    pieces.push_back({GroupOf(std::string(found[2].empty() ? found[3] : found[2])), ""});
  }
  pieces.push_back({-1, text + std::string(replacement)});
}

LabelReplacer::LabelReplacer(std::unique_ptr<Rule> rule) : rule_(std::move(rule)) {}
LabelReplacer::~LabelReplacer() = default;
LabelReplacer::LabelReplacer(LabelReplacer&&) noexcept = default;

absl::StatusOr<LabelReplacer> LabelReplacer::Create(std::string destination,
                                                    std::string replacement, std::string source,
                                                    std::string regex) {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kRegexMemoryBytes);
  auto rule = std::make_unique<Rule>(std::move(destination), replacement, std::move(source), regex,
                                     options);
  if (!rule->regex.ok()) {
    return absl::FailedPreconditionError(
        StrCat("invalid regular expression in label_replace(): ", regex));
  }
  if (!IsLabelName(rule->destination)) {
    return InvalidName("destination", "label_replace", rule->destination);
  }
  return LabelReplacer(std::move(rule));
}

absl::StatusOr<Labels> LabelReplacer::Apply(const Labels& labels) const {
  const std::string_view source = labels.Get(rule_->source);
  // RE2 tells "no text" from "empty text".
  const re2::StringPiece text = source.empty() ? re2::StringPiece("", 0) : ToRe2(source);
  std::vector<re2::StringPiece> groups(static_cast<size_t>(rule_->regex.NumberOfCapturingGroups()) +
                                       2);
  const int real_groups = static_cast<int>(groups.size()) - 1;  // the last is for those not there
  if (!rule_->regex.Match(text, 0, text.size(), RE2::ANCHOR_BOTH, groups.data(), real_groups)) {
    return labels;
  }
  std::string value;
  for (const Rule::Piece& piece : rule_->pieces) {
    if (piece.group < 0) {
      value += piece.text;
    } else {
      const re2::StringPiece& group = groups[static_cast<size_t>(piece.group)];
      value.append(group.data(), group.size());
    }
  }
  return Replaced(labels, rule_->destination, std::move(value));
}

absl::Status CheckLabelJoin(std::string_view destination, std::span<const std::string> sources) {
  for (const std::string& source : sources) {
    if (!IsLabelName(source)) return InvalidName("source", "label_join", source);
  }
  if (!IsLabelName(destination)) return InvalidName("destination", "label_join", destination);
  return absl::OkStatus();
}

absl::StatusOr<Labels> JoinLabels(const Labels& labels, const std::string& destination,
                                  std::string_view separator,
                                  std::span<const std::string> sources) {
  std::string value;
  for (size_t i = 0; i < sources.size(); ++i) {
    if (i > 0) value += separator;
    value += labels.Get(sources[i]);
  }
  return Replaced(labels, destination, std::move(value));
}

}  // namespace tinyobs::promql
