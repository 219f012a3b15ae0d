// Cutting canonical bytes: labels are sorted by name, and so are the names that are asked for, so
// that one walk over both finds which labels stay. What stays is copied run by run.
#include "lib/promql/label_sets.h"

#include <algorithm>

#include "lib/base/coding.h"
#include "lib/model/text.h"
#include "lib/model/trusted_labels.h"

namespace tinyobs::promql {
namespace {

// Canonical bytes are one label after the other: where one ends, the next begins.
const char* EndOf(const Label& label) { return label.value.data() + label.value.size(); }

}  // namespace

LabelSubset::LabelSubset(std::vector<std::string> names, bool keep)
    : names_(std::move(names)), keep_(keep) {
  if (!keep_) names_.emplace_back(kMetricName);
  std::sort(names_.begin(), names_.end());
}

std::string_view LabelSubset::Of(const Labels& labels) {
  buffer_.clear();
  const std::string& bytes = labels.canonical_bytes();
  const char* run = bytes.data();  // from here on, nothing is copied or dropped yet
  const char* begin = run;         // of the label
  auto next = names_.begin();
  for (const Label& label : labels) {
    while (next != names_.end() && *next < label.name) ++next;
    if (next == names_.end()) break;
    if ((*next == label.name) != keep_) {
      buffer_.append(run, begin);
      run = EndOf(label);
    }
    begin = EndOf(label);
  }
  // Of the labels from here on, none is named.
  buffer_.append(run, keep_ ? begin : bytes.data() + bytes.size());
  return buffer_;
}

Labels LabelsOfSubset(std::string_view canonical_bytes) {
  return TrustedLabels::Of(std::string(canonical_bytes));
}

Labels WithoutName(const Labels& labels) { return WithLabel(labels, kMetricName, {}); }

Labels WithLabel(const Labels& labels, std::string_view name, std::string_view value) {
  const std::string& bytes = labels.canonical_bytes();
  // [at, after) gives way.
  const char* at = bytes.data();
  const char* after = at;
  for (const Label& label : labels) {
    if (label.name > name) break;
    after = EndOf(label);
    if (label.name == name) break;
    at = after;
  }
  std::string out;
  out.reserve(bytes.size() + name.size() + value.size() + 2 * kMaxVarint64Bytes);
  out.append(bytes.data(), at);
  if (!value.empty()) {
    PutLengthPrefixed(&out, name);
    PutLengthPrefixed(&out, value);
  }
  out.append(after, bytes.data() + bytes.size());
  return TrustedLabels::Of(std::move(out));
}

std::string ErrorText(const Labels& labels) {
  std::string out = "{";
  for (const Label label : labels) {
    if (out.size() > 1) out.append(", ");
    out.append(label.name).push_back('=');
    AppendQuoted(label.value, &out);
  }
  out.push_back('}');
  return out;
}

}  // namespace tinyobs::promql
