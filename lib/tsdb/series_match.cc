// The searching half of SeriesIndex: which series matchers accept.
#include <algorithm>
#include <bit>

#include "lib/tsdb/regex_literals.h"
#include "lib/tsdb/series_index.h"

namespace tinyobs::tsdb {

namespace {

using Refs = std::vector<SeriesRef>;
using Op = Matcher::Op;

// Values that an expression is run over under one hold of the lock: some 50 us.
constexpr size_t kValuesPerHold = 512;
// Asking one series for its label costs as much as reading so many refs off posting lists: three
// cache misses against sequential bytes.
constexpr uint64_t kWalkCost = 16;

Refs Intersect(const Refs& a, const Refs& b) {
  Refs both;
  both.reserve(std::min(a.size(), b.size()));
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return both;
}

Refs Subtract(const Refs& from, const Refs& what) {
  Refs left;
  left.reserve(from.size());
  std::set_difference(from.begin(), from.end(), what.begin(), what.end(), std::back_inserter(left));
  return left;
}

// Equality with a value that is not empty: answered by one posting list.
bool IsPlainEquality(const Matcher& matcher) {
  return matcher.op() == Op::kEqual && !matcher.value().empty();
}

bool IsRegex(const Matcher& matcher) {
  return matcher.op() == Op::kRegex || matcher.op() == Op::kNotRegex;
}

}  // namespace

std::vector<SeriesRef> SeriesIndex::AllRefs() const {
  Refs refs;
  refs.reserve(table_->live());
  table_->ForEachLiving([&](SeriesRef ref) { refs.push_back(ref); });
  return refs;
}

bool SeriesIndex::ListPairs(const Matcher& matcher, const SeriesTable::Name& name, size_t limit,
                            Listed* listed) const {
  const SeriesTable& table = *table_;
  listed->accepted = !matcher.MatchesEmpty();
  const bool negative = matcher.op() == Op::kNotEqual || matcher.op() == Op::kNotRegex;
  // Whether what we list are the values that the text of the matcher is equal to or matches; those
  // of a set or of equality are few and known, the others are nearly all.
  const bool as_written = listed->accepted != negative;
  const auto list_one = [&](std::string_view value) {
    if (value.empty()) return;
    const SeriesTable::Pair* const pair = table.FindPair(name.name, value);
    if (pair != nullptr) listed->pairs.push_back(name.pairs[pair->position]);
  };
  if (!IsRegex(matcher)) {
    if (as_written) {
      list_one(matcher.value());
    } else {
      listed->pairs = name.pairs;  // l="" and l!=""
    }
    return true;
  }
  const RegexLiterals literals = LiteralsOf(matcher.value());
  if (literals.is_set && as_written) {
    for (const std::string& value : literals.set) list_one(value);
    std::sort(listed->pairs.begin(), listed->pairs.end());
    listed->pairs.erase(std::unique(listed->pairs.begin(), listed->pairs.end()),
                        listed->pairs.end());
    return true;
  }
  return cache_.List(table, name, matcher, literals.prefix, limit, as_written, &listed->pairs);
}

std::vector<SeriesRef> SeriesIndex::Union(std::span<const PairNumber> pairs, uint64_t count) const {
  const SeriesTable& table = *table_;
  Refs refs;
  const size_t words = table.ref_end() / 64 + 1;
  if (words > count * 8) {
    refs.reserve(count);
    for (const PairNumber pair : pairs) {
      table.PairAt(pair).postings.ForEach([&](SeriesRef ref) { refs.push_back(ref); });
    }
    std::sort(refs.begin(), refs.end());
    return refs;
  }
  // A bit a series, because the lists come in no order and sorting a million refs costs more.
  std::vector<uint64_t> member(words);
  for (const PairNumber pair : pairs) {
    table.PairAt(pair).postings.ForEach(
        [&](SeriesRef ref) { member[ref / 64] |= uint64_t{1} << ref % 64; });
  }
  refs.reserve(count);
  for (size_t word = 0; word < words; ++word) {
    for (uint64_t left = member[word]; left != 0; left &= left - 1) {
      refs.push_back(static_cast<SeriesRef>(word * 64 + std::countr_zero(left)));
    }
  }
  return refs;
}

template <typename Accept>
void SeriesIndex::EraseUnless(Refs* refs, NameNumber name, Accept accept) const {
  const SeriesTable& table = *table_;
  // Fetched ahead: each series is three cache misses away otherwise.
  constexpr size_t kAhead = 16;
  size_t kept = 0;
  for (size_t i = 0; i < refs->size(); ++i) {
    if (i + 2 * kAhead < refs->size()) table.PrefetchEntry((*refs)[i + 2 * kAhead]);
    if (i + kAhead < refs->size()) {
      __builtin_prefetch(table.EntryOf((*refs)[i + kAhead])->pairs);
    }
    const SeriesRef ref = (*refs)[i];
    if (accept(table.PairOf(*table.EntryOf(ref), name))) (*refs)[kept++] = ref;
  }
  refs->resize(kept);
}

void SeriesIndex::Narrow(const Matcher& matcher, std::optional<Refs>* refs) const {
  const SeriesTable& table = *table_;
  const SeriesTable::Name* const name = table.FindName(matcher.label());
  if (name == nullptr) {
    // Nobody has the label.
    if (!matcher.MatchesEmpty()) *refs = Refs();
    return;
  }
  Listed listed;
  ListPairs(matcher, *name, SIZE_MAX, &listed);
  uint64_t count = 0;
  uint64_t live = 0;
  for (const PairNumber number : listed.pairs) {
    const SeriesTable::Pair& pair = table.PairAt(number);
    count += pair.postings.count();
    live += pair.live;
  }
  // Often it changes nothing: env=~"prod|dev" where there is no other.
  if (refs->has_value() && live == (listed.accepted ? table.live() : 0)) return;
  if (refs->has_value() && (*refs)->size() < count / kWalkCost) {
    const auto number = static_cast<NameNumber>(name - table.names().data());
    std::sort(listed.pairs.begin(), listed.pairs.end());
    EraseUnless(&**refs, number, [&](PairNumber pair) {
      return std::binary_search(listed.pairs.begin(), listed.pairs.end(), pair) == listed.accepted;
    });
    return;
  }
  const Refs listed_refs = Union(listed.pairs, count);
  if (listed.accepted) {
    *refs = refs->has_value() ? Intersect(**refs, listed_refs) : listed_refs;
  } else {
    *refs = Subtract(refs->has_value() ? **refs : AllRefs(), listed_refs);
  }
}

SeriesIndex::MatchResult SeriesIndex::Match(std::span<const Matcher> matchers) const {
  // Expressions over many values come first, a part at a time, so that nobody waits for them.
  for (const Matcher& matcher : matchers) {
    if (!IsRegex(matcher)) continue;
    for (bool done = false; !done;) {
      ReaderMutexLock lock(&lock_);
      const SeriesTable::Name* const name = table_->FindName(matcher.label());
      Listed ignored;
      done = name == nullptr || ListPairs(matcher, *name, kValuesPerHold, &ignored);
    }
  }

  ReaderMutexLock lock(&lock_);
  const SeriesTable& table = *table_;
  MatchResult result;
  result.ref_limit = next_ref_;

  std::vector<const SeriesTable::Pair*> equal;
  std::vector<const Matcher*> others;
  for (const Matcher& matcher : matchers) {
    if (!IsPlainEquality(matcher)) {
      others.push_back(&matcher);
      continue;
    }
    const SeriesTable::Pair* const pair = table.FindPair(matcher.label(), matcher.value());
    if (pair == nullptr || pair->live == 0) return result;
    equal.push_back(pair);
  }
  std::sort(equal.begin(), equal.end(),
            [](const auto* a, const auto* b) { return a->postings.count() < b->postings.count(); });
  std::optional<Refs> refs;
  for (const SeriesTable::Pair* const pair : equal) {
    if (!refs.has_value()) {
      refs = pair->postings.ToVector();
    } else if (pair->live == table.live()) {
      // All series have it.
    } else if (refs->size() < pair->postings.count() / kWalkCost) {
      const PairNumber wanted = table.names()[pair->name].pairs[pair->position];
      EraseUnless(&*refs, pair->name, [&](PairNumber number) { return number == wanted; });
    } else {
      pair->postings.IntersectInto(&*refs);
    }
  }
  // Those that require the label first: they narrow, while the rest would start from all series.
  std::stable_partition(others.begin(), others.end(),
                        [](const Matcher* matcher) { return !matcher->MatchesEmpty(); });
  for (const Matcher* matcher : others) Narrow(*matcher, &refs);
  result.refs = refs.has_value() ? *std::move(refs) : AllRefs();
  if (table.dead() > 0) {
    std::erase_if(result.refs, [&](SeriesRef ref) { return !table.Lives(ref); });
  }
  return result;
}

bool SeriesIndex::Matches(SeriesRef ref, std::span<const Matcher> matchers) const {
  ReaderMutexLock lock(&lock_);
  const SeriesTable& table = *table_;
  if (!table.Lives(ref)) return false;
  const SeriesTable::Series& series = *table.EntryOf(ref);
  for (const Matcher& matcher : matchers) {
    std::string_view value;
    if (const auto* const name = table.FindName(matcher.label()); name != nullptr) {
      const PairNumber pair =
          table.PairOf(series, static_cast<NameNumber>(name - table.names().data()));
      if (pair != kNoNumber) value = table.PairAt(pair).value();
    }
    if (!matcher.Matches(value)) return false;
  }
  return true;
}

}  // namespace tinyobs::tsdb
