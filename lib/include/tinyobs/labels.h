// Labels: the name of a series.
//
// A series is its label set; the metric name is the label `__name__`. Labels are kept in one
// canonical form, sorted by name and packed into one byte string, so that equality is a memcmp, the
// series key is the bytes themselves and a million series do not cost sixteen million small
// strings.
//
// Thread-safety: immutable; share freely.
#ifndef TINYOBS_LABELS_H_
#define TINYOBS_LABELS_H_

#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace tinyobs {

inline constexpr std::string_view kMetricName = "__name__";

// A view into the Labels it was read from.
struct Label {
  std::string_view name;
  std::string_view value;
  friend bool operator==(const Label&, const Label&) = default;
};

class Labels {
 public:
  using Pair = std::pair<std::string, std::string>;

  Labels() = default;

  // In any order. A label with an empty value is the same as no label and is left out.
  // InvalidArgument: an empty label name, the same name twice, a name or value that is not UTF-8,
  // or more than the limits of the format (65,535 bytes a name or value, 1,024 labels, 1 MiB in
  // all). The message names a label.
  static absl::StatusOr<Labels> Create(std::vector<Pair> pairs);
  // The same with `__name__` = `metric`.
  static absl::StatusOr<Labels> Create(std::string_view metric, std::vector<Pair> pairs);

  // For literals in code: as Create, but ends the process when the labels are invalid.
  static Labels Of(std::string_view metric,
                   std::initializer_list<std::pair<std::string_view, std::string_view>> pairs = {});

  // The canonical bytes: for each label, sorted by name: varint length, name, varint length, value.
  const std::string& canonical_bytes() const { return bytes_; }
  // The inverse; checks everything Create guarantees. DataLoss when `bytes` are not canonical.
  static absl::StatusOr<Labels> FromCanonicalBytes(std::string_view bytes);

  // The value, or "" when there is no such label. Valid as long as this object. O(labels).
  std::string_view Get(std::string_view name) const;
  bool Has(std::string_view name) const { return !Get(name).empty(); }
  std::string_view metric() const { return Get(kMetricName); }

  size_t size() const;
  bool empty() const { return bytes_.empty(); }

  // metric{a="b",c="d"} with Prometheus' escaping: for messages and text output.
  std::string ToString() const;

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Label;
    using difference_type = std::ptrdiff_t;
    using pointer = const Label*;
    using reference = Label;

    Label operator*() const { return label_; }
    const Label* operator->() const { return &label_; }
    Iterator& operator++();
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.at_ == b.at_; }

   private:
    friend class Labels;
    Iterator(const char* at, const char* limit);
    void Load();

    const char* at_;
    const char* after_ = nullptr;
    const char* limit_;
    Label label_;
  };
  Iterator begin() const { return Iterator(bytes_.data(), bytes_.data() + bytes_.size()); }
  Iterator end() const {
    return Iterator(bytes_.data() + bytes_.size(), bytes_.data() + bytes_.size());
  }

  friend bool operator==(const Labels&, const Labels&) = default;
  // Prometheus' order: label by label, name then value.
  friend bool operator<(const Labels& a, const Labels& b);

 private:
  friend struct TrustedLabels;  // lib/model/trusted_labels.h

  std::string bytes_;
};

}  // namespace tinyobs

#endif  // TINYOBS_LABELS_H_
