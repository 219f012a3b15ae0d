// Cutting canonical bytes: labels are sorted by name, and so are the names that are asked for, so
// that one walk over both finds which labels stay. What stays is copied run by run.
#include "lib/promql/label_sets.h"

#include <algorithm>
#include <span>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/model/text.h"
#include "lib/model/trusted_labels.h"

namespace tinyobs::promql {
namespace {

// One label in canonical bytes.
struct Place {
  const char* begin;
  std::string_view name;
  std::string_view value;
  const char* end;
};

const char* ReadString(const char* at, const char* limit, std::string_view* text) {
  uint64_t length = static_cast<unsigned char>(*at);
  if (length < 0x80) {
    ++at;
  } else {
    at = LoadVarint64(at, limit, &length);
    TINYOBS_DCHECK(at != nullptr);
  }
  *text = {at, length};
  return at + length;
}

Place ReadLabel(const char* at, const char* limit) {
  Place place;
  place.begin = at;
  at = ReadString(at, limit, &place.name);
  place.end = ReadString(at, limit, &place.value);
  return place;
}

// Appends the labels of `bytes` whose name is among `names` (keep), or is not.
void AppendSubset(std::string_view bytes, std::span<const std::string> names, bool keep,
                  std::string* out) {
  const char* const limit = bytes.data() + bytes.size();
  const char* run = bytes.data();  // from here on, nothing is copied or dropped yet
  size_t next = 0;                 // of names
  for (const char* at = run; at != limit;) {
    const Place place = ReadLabel(at, limit);
    while (next < names.size() && names[next] < place.name) ++next;
    if (next == names.size()) {
      if (!keep) break;
      out->append(run, at);
      return;
    }
    if ((names[next] == place.name) != keep) {
      out->append(run, place.begin);
      run = place.end;
    }
    at = place.end;
  }
  out->append(run, limit);
}

}  // namespace

LabelSubset::LabelSubset(std::vector<std::string> names, bool keep)
    : names_(std::move(names)), keep_(keep) {
  if (!keep_) names_.emplace_back(kMetricName);
  std::sort(names_.begin(), names_.end());
}

std::string_view LabelSubset::Of(const Labels& labels) {
  buffer_.clear();
  AppendSubset(labels.canonical_bytes(), names_, keep_, &buffer_);
  return buffer_;
}

Labels LabelsOfSubset(std::string_view canonical_bytes) {
  return TrustedLabels::Of(std::string(canonical_bytes));
}

Labels WithoutName(const Labels& labels) { return WithLabel(labels, kMetricName, {}); }

Labels WithLabel(const Labels& labels, std::string_view name, std::string_view value) {
  const std::string& bytes = labels.canonical_bytes();
  const char* const limit = bytes.data() + bytes.size();
  // [at, after) gives way.
  const char* at = bytes.data();
  const char* after = at;
  while (at != limit) {
    const Place place = ReadLabel(at, limit);
    after = place.end;
    if (place.name >= name) {
      if (place.name > name) after = at;
      break;
    }
    at = after;
  }
  std::string out;
  out.reserve(bytes.size() + name.size() + value.size() + 2 * kMaxVarint64Bytes);
  out.append(bytes.data(), at);
  if (!value.empty()) {
    PutLengthPrefixed(&out, name);
    PutLengthPrefixed(&out, value);
  }
  out.append(after, limit);
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
