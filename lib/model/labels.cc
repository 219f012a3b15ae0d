// Labels: building, checking and reading the canonical bytes.
//
// Invariants of bytes_, established by Create and FromCanonicalBytes and relied on by everything
// else without another check:
//  1. names strictly ascending (memcmp order), none empty; no value empty;
//  2. names and values are UTF-8 within the limits of limits.h; at most kMaxLabels labels;
//  3. lengths are varints of minimal length, and the last value ends where the bytes end.
// So equal label sets have equal bytes, and only they.
#include "tinyobs/labels.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/model/limits.h"
#include "lib/model/text.h"
#include "lib/model/utf8.h"

namespace tinyobs {
namespace {

absl::Status CheckName(std::string_view name) {
  if (name.empty()) return absl::InvalidArgumentError("a label name is empty");
  if (name.size() > kMaxLabelBytes) {
    return absl::InvalidArgumentError(StrCat("label name \"", EscapeForMessage(name), "\" has ",
                                             name.size(), " bytes, the limit is ", kMaxLabelBytes));
  }
  if (!IsValidUtf8(name)) {
    return absl::InvalidArgumentError(
        StrCat("label name \"", EscapeForMessage(name), "\" is not valid UTF-8"));
  }
  return absl::OkStatus();
}

absl::Status CheckValue(std::string_view name, std::string_view value) {
  if (value.size() > kMaxLabelBytes) {
    return absl::InvalidArgumentError(StrCat("the value of label \"", EscapeForMessage(name),
                                             "\" has ", value.size(), " bytes, the limit is ",
                                             kMaxLabelBytes));
  }
  if (!IsValidUtf8(value)) {
    return absl::InvalidArgumentError(StrCat("the value \"", EscapeForMessage(value),
                                             "\" of label \"", EscapeForMessage(name),
                                             "\" is not valid UTF-8"));
  }
  return absl::OkStatus();
}

// A length-prefixed string whose length is a minimal varint of at most kMaxLabelBytes; fails the
// reader otherwise.
std::string_view ReadCanonicalString(ByteReader* reader) {
  const size_t before = reader->remaining();
  const uint64_t length = reader->BoundedVarint64(kMaxLabelBytes);
  if (reader->ok() && before - reader->remaining() != static_cast<size_t>(VarintLength(length))) {
    reader->Fail();
  }
  return reader->Bytes(length);
}

}  // namespace

absl::StatusOr<Labels> Labels::Create(std::vector<Pair> pairs) {
  size_t bytes = 0;
  for (const auto& [name, value] : pairs) {
    TINYOBS_RETURN_IF_ERROR(CheckName(name));
    TINYOBS_RETURN_IF_ERROR(CheckValue(name, value));
    bytes += name.size() + value.size() + VarintLength(name.size()) + VarintLength(value.size());
  }
  std::erase_if(pairs, [](const Pair& pair) { return pair.second.empty(); });
  if (pairs.size() > kMaxLabels) {
    return absl::InvalidArgumentError(StrCat(pairs.size(), " labels, the limit is ", kMaxLabels,
                                             "; the last one is \"",
                                             EscapeForMessage(pairs.back().first), "\""));
  }
  std::sort(pairs.begin(), pairs.end(),
            [](const Pair& a, const Pair& b) { return a.first < b.first; });

  if (bytes > kMaxLabelSetBytes) {
    return absl::InvalidArgumentError(StrCat("a label set of ", bytes, " bytes, the limit is ",
                                             kMaxLabelSetBytes, "; the first label is \"",
                                             EscapeForMessage(pairs.front().first), "\""));
  }

  Labels labels;
  labels.bytes_.reserve(bytes);
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (i > 0 && pairs[i].first == pairs[i - 1].first) {
      return absl::InvalidArgumentError(
          StrCat("label \"", EscapeForMessage(pairs[i].first), "\" is given twice"));
    }
    PutLengthPrefixed(&labels.bytes_, pairs[i].first);
    PutLengthPrefixed(&labels.bytes_, pairs[i].second);
  }
  return labels;
}

absl::StatusOr<Labels> Labels::Create(std::string_view metric, std::vector<Pair> pairs) {
  pairs.emplace_back(kMetricName, metric);
  return Create(std::move(pairs));
}

Labels Labels::Of(std::string_view metric,
                  std::initializer_list<std::pair<std::string_view, std::string_view>> pairs) {
  auto labels = Create(metric, std::vector<Pair>(pairs.begin(), pairs.end()));
  if (!labels.ok()) {
    std::fprintf(stderr, "Labels::Of: %s\n", labels.status().ToString().c_str());
    TINYOBS_CHECK(labels.ok());
  }
  return *std::move(labels);
}

absl::StatusOr<Labels> Labels::FromCanonicalBytes(std::string_view bytes) {
  if (bytes.size() > kMaxLabelSetBytes) {
    return absl::DataLossError(
        StrCat("labels: ", bytes.size(), " bytes, the limit is ", kMaxLabelSetBytes));
  }
  ByteReader reader(bytes);
  std::string_view previous;
  for (size_t count = 0; !reader.empty(); ++count) {
    const size_t offset = bytes.size() - reader.remaining();
    const std::string_view name = ReadCanonicalString(&reader);
    const std::string_view value = ReadCanonicalString(&reader);
    if (!reader.ok() || name.empty() || value.empty() || count == kMaxLabels) {
      return absl::DataLossError(
          StrCat("labels: no canonical label at byte ", offset, " of ", bytes.size()));
    }
    if (name <= previous) {
      return absl::DataLossError(StrCat("labels: name \"", EscapeForMessage(name), "\" at byte ",
                                        offset, " is not after \"", EscapeForMessage(previous),
                                        "\""));
    }
    if (!IsValidUtf8(name) || !IsValidUtf8(value)) {
      return absl::DataLossError(StrCat("labels: label at byte ", offset, " is not valid UTF-8"));
    }
    previous = name;
  }
  if (!reader.ok()) return absl::DataLossError("labels: not canonical");
  Labels labels;
  labels.bytes_ = std::string(bytes);
  return labels;
}

std::string_view Labels::Get(std::string_view name) const {
  for (const Label label : *this) {
    if (label.name == name) return label.value;
    if (label.name > name) break;
  }
  return {};
}

size_t Labels::size() const { return static_cast<size_t>(std::distance(begin(), end())); }

std::string Labels::ToString() const {
  const std::string_view metric = this->metric();
  const bool bare_metric = IsPlainMetricName(metric);
  std::string out;
  if (bare_metric) out.append(metric);
  // A metric name that is no identifier stands in the braces, in quotes: {"my.metric",a="b"}.
  std::string inside;
  if (!metric.empty() && !bare_metric) AppendQuoted(metric, &inside);
  for (const Label label : *this) {
    if (label.name == kMetricName) continue;
    if (!inside.empty()) inside.push_back(',');
    AppendLabelName(label.name, &inside);
    inside.push_back('=');
    AppendQuoted(label.value, &inside);
  }
  if (!inside.empty() || out.empty()) StrAppend(&out, "{", inside, "}");
  return out;
}

bool operator<(const Labels& a, const Labels& b) {
  const std::string_view left = a.bytes_;
  const std::string_view right = b.bytes_;
  // Series of one query share much: what is the same in both is skipped by words, then whole names
  // and values, and only the one that has the difference is compared.
  const size_t shorter = std::min(left.size(), right.size());
  size_t same = 0;
  while (same + 8 <= shorter && std::memcmp(&left[same], &right[same], 8) == 0) same += 8;
  while (same < shorter && left[same] == right[same]) ++same;
  if (same == shorter) return left.size() < right.size();
  for (size_t field = 0;;) {
    ByteReader reader(left.substr(field));
    const std::string_view text = reader.LengthPrefixed();
    const size_t end = left.size() - reader.remaining();
    TINYOBS_DCHECK(reader.ok());
    if (end > same) return text < ByteReader(right.substr(field)).LengthPrefixed();
    field = end;
  }
}

Labels::Iterator::Iterator(const char* at, const char* limit) : at_(at), limit_(limit) { Load(); }

Labels::Iterator& Labels::Iterator::operator++() {
  at_ = after_;
  Load();
  return *this;
}

void Labels::Iterator::Load() {
  if (at_ == limit_) return;
  // Canonical bytes were checked when they became Labels; nearly all lengths are one byte.
  const char* at = at_;
  for (std::string_view* const text : {&label_.name, &label_.value}) {
    uint64_t length = static_cast<unsigned char>(*at);
    at = length < 0x80 ? at + 1 : LoadVarint64(at, limit_, &length);
    TINYOBS_DCHECK(at != nullptr);
    *text = {at, length};
    at += length;
  }
  after_ = at;
}

}  // namespace tinyobs
