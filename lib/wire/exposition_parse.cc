// A cursor over one line at a time. No recursion, and nothing is copied but what is escaped.
#include "lib/wire/exposition_parse.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <vector>

#include "lib/base/strings.h"
#include "lib/model/limits.h"
#include "lib/model/text.h"

namespace tinyobs::wire {
namespace {

constexpr size_t kSamplesOfBatch = 16 << 10;

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

std::string_view SkipBlanks(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  return text;
}

// Cuts the next word off `rest`, and the blanks before it.
std::string_view TakeWord(std::string_view* rest) {
  *rest = SkipBlanks(*rest);
  size_t end = 0;
  while (end < rest->size() && !IsBlank((*rest)[end])) ++end;
  const std::string_view word = rest->substr(0, end);
  rest->remove_prefix(end);
  return word;
}

// Behind the quote that ends what begins with one at `at`; npos: there is none.
size_t EndOfQuoted(std::string_view text, size_t at) {
  for (++at; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '"') {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

// Length of the series that a line begins with; 0: braces or quotes do not end.
size_t SeriesLength(std::string_view line) {
  size_t at = 0;
  while (at < line.size() && !IsBlank(line[at]) && line[at] != '{') ++at;
  // Blanks may stand before the brace.
  const size_t brace = std::min(line.find_first_not_of(" \t", at), line.size());
  if (brace == line.size() || line[brace] != '{') return at;
  for (at = brace + 1; at < line.size();) {
    if (line[at] == '}') return at + 1;
    at = line[at] == '"' ? EndOfQuoted(line, at) : at + 1;
  }
  return 0;
}

// \\, \" and \n; a backslash before anything else is one.
std::string Unescape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (text[i] == '\\' && (next == '\\' || next == '"' || next == 'n')) {
      out.push_back(next == 'n' ? '\n' : next);
      ++i;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

// As Go writes numbers, decimal only: with a sign, NaN and infinities in any case. What is too
// small for a double is zero, what is too large is refused.
bool ParseValue(std::string_view text, double* value) {
  if (text.starts_with('+') && text.size() > 1 && text[1] != '-') text.remove_prefix(1);
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, *value);
  if (read.ptr != end || read.ec == std::errc::invalid_argument || text.ends_with(')')) {
    return false;
  }
  if (read.ec == std::errc::result_out_of_range) {
    const size_t exponent = text.find_first_of("eE");
    if (exponent == std::string_view::npos || exponent + 1 == text.size() ||
        text[exponent + 1] != '-') {
      return false;
    }
    *value = text.starts_with('-') ? -0.0 : 0.0;
  }
  if (std::isnan(*value)) *value = std::numeric_limits<double>::quiet_NaN();
  return true;
}

bool ParseTime(std::string_view text, bool in_seconds, int64_t* timestamp_ms) {
  const char* const end = text.data() + text.size();
  if (!in_seconds && text.find_first_of(".eE") == std::string_view::npos) {
    if (text.starts_with('+')) text.remove_prefix(1);
    const auto read = std::from_chars(text.data(), end, *timestamp_ms);
    return read.ec == std::errc() && read.ptr == end;
  }
  double seconds = 0;
  if (!ParseValue(text, &seconds)) return false;
  const double ms = std::round(seconds * 1000);
  if (!(std::fabs(ms) < 9.2e18)) return false;  // NaN is not below it, either
  *timestamp_ms = static_cast<int64_t>(ms);
  return true;
}

// What stands in braces, one label after another.
class LabelReader {
 public:
  explicit LabelReader(std::string_view text) : rest_(text) {}

  // Empty: all of it was read.
  std::string_view Read(std::vector<Labels::Pair>* pairs) {
    while (true) {
      Skip();
      if (rest_.empty()) return {};
      if (pairs->size() == kMaxLabels) return "too many labels";
      auto& [name, value] = pairs->emplace_back();
      const bool quoted = rest_.front() == '"';
      if (const auto wrong = quoted ? ReadQuoted(&name) : ReadName(&name); !wrong.empty()) {
        return wrong;
      }
      Skip();
      if (quoted && (rest_.empty() || rest_.front() == ',')) {
        value = std::move(name);  // a metric name that is not plain
        name = kMetricName;
      } else {
        if (rest_.empty() || rest_.front() != '=') return "'=' expected after a label name";
        rest_.remove_prefix(1);
        Skip();
        if (const auto wrong = ReadQuoted(&value); !wrong.empty()) return wrong;
        Skip();
      }
      if (rest_.empty()) return {};
      if (rest_.front() != ',') return "',' expected after a label";
      rest_.remove_prefix(1);
    }
  }

 private:
  void Skip() { rest_ = SkipBlanks(rest_); }

  std::string_view ReadName(std::string* out) {
    const std::string_view name = rest_.substr(0, rest_.find_first_of("= \t,\""));
    if (!IsPlainLabelName(name)) return "a label name that needs quotes, or is none";
    out->assign(name);
    rest_.remove_prefix(name.size());
    return {};
  }
  std::string_view ReadQuoted(std::string* out) {
    if (rest_.empty() || rest_.front() != '"') return "'\"' expected before a label value";
    const size_t end = EndOfQuoted(rest_, 0);
    if (end == std::string_view::npos) return "a quote that does not end";
    *out = Unescape(rest_.substr(1, end - 2));
    rest_.remove_prefix(end);
    return {};
  }

  std::string_view rest_;
};

}  // namespace

bool ExpositionReader::Next(SeriesBatch* batch, WriteReport* report) {
  batch->clear();
  texts_.clear();
  while (!rest_.empty() && batch->values.size() + batch->metadata.size() < kSamplesOfBatch) {
    const size_t end = std::min(rest_.find('\n'), rest_.size());
    std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    ++line_number_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    line = SkipBlanks(line);
    if (line.empty()) continue;
    if (line.front() == '#') {
      ReadComment(line.substr(1), batch);
    } else if (const std::string_view wrong = ReadSample(line, batch); !wrong.empty()) {
      report->Refuse(1, StrCat("line ", line_number_, ": ", wrong, ": ", EscapeForMessage(line)));
    }
  }
  return !rest_.empty() || !batch->values.empty() || !batch->metadata.empty();
}

// Comments that are no metadata, or say nothing of it, are comments.
void ExpositionReader::ReadComment(std::string_view line, SeriesBatch* batch) {
  const std::string_view keyword = TakeWord(&line);
  if (keyword != "HELP" && keyword != "TYPE" && keyword != "UNIT") return;
  const std::string_view metric = TakeWord(&line);
  std::string_view text = SkipBlanks(line);
  if (!IsPlainMetricName(metric) || text.empty()) return;
  if (batch->metadata.empty() || batch->metadata.back().metric != metric) {
    batch->metadata.push_back({.metric = metric, .type = {}, .help = {}, .unit = {}});
  }
  SeriesBatch::Metadata& metadata = batch->metadata.back();
  if (keyword == "HELP") {
    if (text.find('\\') != std::string_view::npos) text = texts_.emplace_back(Unescape(text));
    metadata.help = text;
  } else if (keyword == "TYPE") {
    metadata.type = TakeWord(&text);
  } else {
    metadata.unit = TakeWord(&text);
  }
}

std::string_view ExpositionReader::ReadSample(std::string_view line, SeriesBatch* batch) {
  const size_t length = SeriesLength(line);
  if (length == 0) return "labels that do not end";
  std::string_view rest = line.substr(length);
  double value = 0;
  if (!ParseValue(TakeWord(&rest), &value)) return "a value must follow, as 1.5, NaN or +Inf";
  int64_t timestamp_ms = default_ms_;
  rest = SkipBlanks(rest);
  if (!rest.empty() && rest.front() != '#') {
    if (!ParseTime(TakeWord(&rest), is_openmetrics_, &timestamp_ms)) {
      return "a time must be milliseconds since 1970";
    }
    rest = SkipBlanks(rest);
  }
  if (!rest.empty() && rest.front() != '#') return "more than a value and a time";
  const size_t at = batch->values.size();
  batch->series.push_back({line.substr(0, length), at, at + 1});
  batch->timestamps_ms.push_back(timestamp_ms);
  batch->values.push_back(value);
  return {};
}

absl::StatusOr<Labels> ExpositionLabels(std::string_view name,
                                        std::span<const Labels::Pair> extra) {
  const auto wrong = [name](std::string_view what) {
    return absl::InvalidArgumentError(StrCat(what, ": ", EscapeForMessage(name)));
  };
  std::vector<Labels::Pair> pairs;
  const size_t brace = name.find('{');
  std::string_view metric = name.substr(0, brace);
  metric = metric.substr(0, metric.find_first_of(" \t"));
  if (!metric.empty()) {
    if (!IsPlainMetricName(metric)) return wrong("a metric name that needs quotes, or is none");
    pairs.emplace_back(kMetricName, metric);
  }
  if (brace != std::string_view::npos) {
    const std::string_view inside = name.substr(brace + 1, name.size() - brace - 2);
    if (const std::string_view what = LabelReader(inside).Read(&pairs); !what.empty()) {
      return wrong(what);
    }
  }
  for (const Labels::Pair& label : extra) {
    std::erase_if(pairs, [&](const Labels::Pair& pair) { return pair.first == label.first; });
    pairs.push_back(label);
  }
  auto labels = Labels::Create(std::move(pairs));
  if (labels.ok() && labels->metric().empty()) return wrong("a metric name is missing");
  return labels;
}

}  // namespace tinyobs::wire
