// Matcher: equality is a comparison, regular expressions are RE2.
//
// RE2 and not a backtracking engine: patterns come from whoever may send a query, and RE2's time is
// linear in the text and its memory bounded by kRegexMemoryBytes, whatever the pattern. When its
// automaton outgrows the bound it goes on slower, with the same answers.
//
// Anchoring is asked of RE2 instead of being written around the pattern ("^(?:" pattern ")$"), so
// that a pattern like "a)|(b" is the error it should be.
#include "tinyobs/matcher.h"

#include <utility>

#include "lib/base/check.h"
#include "lib/base/strings.h"
#include "lib/model/text.h"
#include "re2/re2.h"
#include "tinyobs/labels.h"

namespace tinyobs {
namespace {

// For the program and the lazily built automaton of one expression. Enough for an alternation of
// some thousands of host names, as dashboards generate them.
constexpr int64_t kRegexMemoryBytes = 8 << 20;

RE2::Options RegexOptions() {
  RE2::Options options;
  options.set_encoding(RE2::Options::EncodingUTF8);
  options.set_log_errors(false);
  options.set_max_mem(kRegexMemoryBytes);
  options.set_dot_nl(false);
  options.set_never_capture(true);
  return options;
}

re2::StringPiece ToRe2(std::string_view text) {
  // RE2 tells "no text" from "empty text"; for labels both are the empty string.
  return text.data() == nullptr ? re2::StringPiece("", 0)
                                : re2::StringPiece(text.data(), text.size());
}

}  // namespace

struct Matcher::Regex {
  explicit Regex(std::string_view pattern) : program(ToRe2(pattern), RegexOptions()) {}

  bool Matches(std::string_view text) const {
    const re2::StringPiece piece = ToRe2(text);
    return program.Match(piece, 0, piece.size(), RE2::ANCHOR_BOTH, nullptr, 0);
  }

  const RE2 program;
};

Matcher::Matcher(Op op, std::string label, std::string value)
    : op_(op), label_(std::move(label)), value_(std::move(value)) {}

absl::StatusOr<Matcher> Matcher::Create(Op op, std::string label, std::string value) {
  if (label.empty()) return absl::InvalidArgumentError("a matcher needs a label name");
  Matcher matcher(op, std::move(label), std::move(value));
  if (op == Op::kRegex || op == Op::kNotRegex) {
    auto regex = std::make_shared<const Regex>(matcher.value_);
    if (!regex->program.ok()) {
      return absl::InvalidArgumentError(StrCat(
          "invalid regular expression \"", EscapeForMessage(matcher.value_), "\" for label \"",
          EscapeForMessage(matcher.label_), "\": ", EscapeForMessage(regex->program.error())));
    }
    matcher.regex_ = std::move(regex);
  }
  return matcher;
}

Matcher Matcher::Equal(std::string label, std::string value) {
  TINYOBS_CHECK(!label.empty());
  return Matcher(Op::kEqual, std::move(label), std::move(value));
}

Matcher Matcher::NotEqual(std::string label, std::string value) {
  TINYOBS_CHECK(!label.empty());
  return Matcher(Op::kNotEqual, std::move(label), std::move(value));
}

Matcher Matcher::Metric(std::string metric) {
  return Equal(std::string(kMetricName), std::move(metric));
}

bool Matcher::Matches(std::string_view value) const {
  switch (op_) {
    case Op::kEqual:
      return value == value_;
    case Op::kNotEqual:
      return value != value_;
    case Op::kRegex:
      return regex_->Matches(value);
    case Op::kNotRegex:
      return !regex_->Matches(value);
  }
  TINYOBS_CHECK(false);
  return false;
}

bool Matcher::Matches(const Labels& labels) const { return Matches(labels.Get(label_)); }

std::string Matcher::ToString() const {
  static constexpr std::string_view kSigns[] = {"=", "!=", "=~", "!~"};
  std::string out;
  AppendLabelName(label_, &out);
  out.append(kSigns[static_cast<int>(op_)]);
  AppendQuoted(value_, &out);
  return out;
}

}  // namespace tinyobs
