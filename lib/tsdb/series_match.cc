// The reading half of SeriesIndex: matchers, label names and values.
#include <algorithm>

#include "lib/tsdb/series_index.h"

namespace tinyobs::tsdb {

namespace {

using Refs = std::vector<SeriesRef>;

Refs Intersect(const Refs& a, const Refs& b) {
  Refs both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return both;
}

Refs Subtract(const Refs& from, const Refs& what) {
  Refs left;
  std::set_difference(from.begin(), from.end(), what.begin(), what.end(), std::back_inserter(left));
  return left;
}

// Equality with a value that is not empty: answered by one posting list.
bool IsPlainEquality(const Matcher& matcher) {
  return matcher.op() == Matcher::Op::kEqual && !matcher.value().empty();
}

void SortUnique(std::vector<std::string>* strings) {
  std::sort(strings->begin(), strings->end());
  strings->erase(std::unique(strings->begin(), strings->end()), strings->end());
}

}  // namespace

std::string_view SeriesIndex::ValueOf(SeriesRef ref, std::string_view name) const {
  const Series& series = series_[ref];
  const char* at = series.pairs;
  const char* const limit = at + series.pairs_bytes;
  while (at < limit) {
    uint64_t number = 0;
    at = LoadVarint64(at, limit, &number);
    if (pairs_[number].name == name) return pairs_[number].value;
  }
  return {};
}

std::vector<SeriesRef> SeriesIndex::AllRefs() const {
  Refs refs;
  refs.reserve(count_);
  for (SeriesRef ref = 0; ref < series_.size(); ++ref) {
    if (series_[ref].pairs != nullptr) refs.push_back(ref);
  }
  return refs;
}

std::vector<SeriesRef> SeriesIndex::RefsOfValues(const Name& name, const Matcher& matcher,
                                                 bool matching) const {
  // A bitmap, because the lists of many values come in no order and sorting a million refs costs
  // more than walking a bit per series. A series has one value of a label, so lists are disjoint.
  std::vector<bool> member(series_.size());
  size_t count = 0;
  for (const auto& [value, number] : name.values) {
    if (matcher.Matches(value) != matching) continue;
    const Postings& postings = pairs_[number].postings;
    postings.ForEach([&](SeriesRef ref) { member[ref] = true; });
    count += postings.count();
  }
  Refs refs;
  refs.reserve(count);
  for (SeriesRef ref = 0; ref < member.size() && refs.size() < count; ++ref) {
    if (member[ref]) refs.push_back(ref);
  }
  return refs;
}

void SeriesIndex::Narrow(const Matcher& matcher, std::optional<Refs>* refs) const {
  const bool accepts_missing = matcher.MatchesEmpty();
  const auto name = names_.find(std::string_view(matcher.label()));
  if (name == names_.end()) {
    // Nobody has the label.
    if (!accepts_missing) *refs = Refs();
    return;
  }
  if (refs->has_value() && (*refs)->size() <= name->second.values.size()) {
    Refs kept;
    for (const SeriesRef ref : **refs) {
      if (matcher.Matches(ValueOf(ref, matcher.label()))) kept.push_back(ref);
    }
    *refs = std::move(kept);
    return;
  }
  Refs listed = RefsOfValues(name->second, matcher, /*matching=*/!accepts_missing);
  if (accepts_missing) {
    *refs = Subtract(refs->has_value() ? **refs : AllRefs(), listed);
  } else {
    *refs = refs->has_value() ? Intersect(**refs, listed) : std::move(listed);
  }
}

SeriesIndex::MatchResult SeriesIndex::Match(std::span<const Matcher> matchers) const {
  ReaderMutexLock lock(&lock_);
  MatchResult result;
  result.ref_limit = static_cast<SeriesRef>(series_.size());

  std::vector<const Postings*> equal;
  std::vector<const Matcher*> others;
  for (const Matcher& matcher : matchers) {
    if (!IsPlainEquality(matcher)) {
      others.push_back(&matcher);
      continue;
    }
    const auto name = names_.find(std::string_view(matcher.label()));
    if (name == names_.end()) return result;
    const auto value = name->second.values.find(std::string_view(matcher.value()));
    if (value == name->second.values.end()) return result;
    equal.push_back(&pairs_[value->second].postings);
  }
  std::sort(equal.begin(), equal.end(),
            [](const Postings* a, const Postings* b) { return a->count() < b->count(); });
  std::optional<Refs> refs;
  for (const Postings* postings : equal) {
    if (refs.has_value()) {
      postings->IntersectInto(&*refs);
    } else {
      refs = postings->ToVector();
    }
  }
  // Those that require the label first: they narrow, while the rest would start from all series.
  std::stable_partition(others.begin(), others.end(),
                        [](const Matcher* matcher) { return !matcher->MatchesEmpty(); });
  for (const Matcher* matcher : others) Narrow(*matcher, &refs);
  result.refs = refs.has_value() ? *std::move(refs) : AllRefs();
  return result;
}

bool SeriesIndex::Matches(SeriesRef ref, std::span<const Matcher> matchers) const {
  ReaderMutexLock lock(&lock_);
  if (ref >= series_.size() || series_[ref].pairs == nullptr) return false;
  for (const Matcher& matcher : matchers) {
    if (!matcher.Matches(ValueOf(ref, matcher.label()))) return false;
  }
  return true;
}

std::vector<std::string> SeriesIndex::LabelNames() const {
  ReaderMutexLock lock(&lock_);
  std::vector<std::string> names;
  for (const auto& [name, values] : names_) names.emplace_back(name);
  SortUnique(&names);
  return names;
}

std::vector<std::string> SeriesIndex::LabelNames(std::span<const SeriesRef> refs) const {
  ReaderMutexLock lock(&lock_);
  absl::flat_hash_set<std::string_view, ViewHash> seen;
  for (const SeriesRef ref : refs) {
    ForEachPair(ref, [&](const Pair& pair) {
      seen.insert(pair.name);
      return true;
    });
  }
  std::vector<std::string> names(seen.begin(), seen.end());
  SortUnique(&names);
  return names;
}

std::vector<std::string> SeriesIndex::LabelValues(std::string_view name) const {
  ReaderMutexLock lock(&lock_);
  std::vector<std::string> values;
  const auto found = names_.find(name);
  if (found == names_.end()) return values;
  for (const auto& [value, number] : found->second.values) values.emplace_back(value);
  SortUnique(&values);
  return values;
}

std::vector<std::string> SeriesIndex::LabelValues(std::string_view name,
                                                  std::span<const SeriesRef> refs) const {
  ReaderMutexLock lock(&lock_);
  absl::flat_hash_set<std::string_view, ViewHash> seen;
  for (const SeriesRef ref : refs) {
    const std::string_view value = ValueOf(ref, name);
    if (!value.empty()) seen.insert(value);
  }
  std::vector<std::string> values(seen.begin(), seen.end());
  SortUnique(&values);
  return values;
}

}  // namespace tinyobs::tsdb
