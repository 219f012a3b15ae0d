// label_replace and label_join. The replacement is taken apart once, by the rules of Go's templates
// ($1, $name, ${name}, $$), to pieces: RE2's own rewriting has other rules (\1) and no names.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/model/text.h"
#include "lib/promql/vector_functions.h"
#include "re2/re2.h"

namespace tinyobs::promql {

namespace {

constexpr int64_t kRegexMemoryBytes = 8 << 20;  // see lib/model/matcher.cc

re2::StringPiece ToRe2(std::string_view text) { return {text.data(), text.size()}; }

absl::Status CheckName(std::string_view what, std::string_view function, std::string_view name) {
  if (IsPlainLabelName(name)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("invalid ", what, " label name in ", function, "(): ", name));
}

absl::Status SetLabel(const std::string& name, std::string value, Labels* labels) {
  std::vector<Labels::Pair> pairs;
  for (const Label& label : *labels) {
    if (label.name != name) pairs.emplace_back(label.name, label.value);
  }
  pairs.emplace_back(name, std::move(value));  // an empty value is no label
  TINYOBS_ASSIGN_OR_RETURN(*labels, Labels::Create(std::move(pairs)));
  return absl::OkStatus();
}

// A text, and the text of a group of the match.
struct Piece {
  std::string text;
  int group;
};

// The number of a group that stays empty.
int NoGroup(const RE2& regex) { return regex.NumberOfCapturingGroups() + 1; }

int GroupOf(const std::string& name, const RE2& regex) {
  int number = 0;
  if ((name[0] != '0' || name.size() == 1) && absl::SimpleAtoi(name, &number)) {
    return std::min(number, NoGroup(regex));
  }
  const auto found = regex.NamedCapturingGroups().find(name);
  return found == regex.NamedCapturingGroups().end() ? NoGroup(regex) : found->second;
}

std::vector<Piece> PiecesOf(std::string_view replacement, const RE2& regex) {
  static const RE2 kReference("\\$(?:(\\$)|([\\pL\\p{Nd}_]+)|\\{([\\pL\\p{Nd}_]+)\\})");
  std::vector<Piece> pieces;
  re2::StringPiece rest = ToRe2(replacement);
  re2::StringPiece found[4];
  while (kReference.Match(rest, 0, rest.size(), RE2::UNANCHORED, found, 4)) {
    const auto at = static_cast<size_t>(found[0].data() - rest.data());
    const std::string name(found[2].empty() ? found[3] : found[2]);
    const std::string text(rest.data(), at + found[1].size());  // of "$$" one stays
    pieces.push_back({text, name.empty() ? NoGroup(regex) : GroupOf(name, regex)});
    rest.remove_prefix(at + found[0].size());
  }
  pieces.push_back({std::string(rest), NoGroup(regex)});
  return pieces;
}

}  // namespace

absl::Status LabelReplace(std::span<const std::string> texts, Vector* vector) {
  const std::string& destination = texts[0];
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kRegexMemoryBytes);
  const RE2 regex(ToRe2(texts[3]), options);
  if (!regex.ok()) {
    return absl::FailedPreconditionError(
        StrCat("invalid regular expression in label_replace(): ", texts[3]));
  }
  TINYOBS_RETURN_IF_ERROR(CheckName("destination", "label_replace", destination));
  const std::vector<Piece> pieces = PiecesOf(texts[1], regex);
  const int groups = NoGroup(regex);
  std::vector<re2::StringPiece> found(static_cast<size_t>(groups) + 1);
  for (VectorSeries& series : *vector) {
    const std::string_view source = series.labels.Get(texts[2]);
    // RE2 tells "no text" from "empty text".
    const re2::StringPiece text = source.empty() ? re2::StringPiece("", 0) : ToRe2(source);
    if (!regex.Match(text, 0, text.size(), RE2::ANCHOR_BOTH, found.data(), groups)) continue;
    std::string value;
    for (const Piece& piece : pieces) {
      const re2::StringPiece& group = found[static_cast<size_t>(piece.group)];
      value += piece.text;
      value.append(group.data(), group.size());
    }
    TINYOBS_RETURN_IF_ERROR(SetLabel(destination, std::move(value), &series.labels));
  }
  return absl::OkStatus();
}

absl::Status LabelJoin(std::span<const std::string> texts, Vector* vector) {
  const std::string& destination = texts[0];
  const std::span<const std::string> sources = texts.subspan(2);
  for (const std::string& source : sources) {
    TINYOBS_RETURN_IF_ERROR(CheckName("source", "label_join", source));
  }
  TINYOBS_RETURN_IF_ERROR(CheckName("destination", "label_join", destination));
  for (VectorSeries& series : *vector) {
    std::string value;
    for (size_t i = 0; i < sources.size(); ++i) {
      if (i > 0) value += texts[1];
      value += series.labels.Get(sources[i]);
    }
    TINYOBS_RETURN_IF_ERROR(SetLabel(destination, std::move(value), &series.labels));
  }
  return absl::OkStatus();
}

}  // namespace tinyobs::promql
