// The listing half of SeriesIndex: label names and values, and series in the order of their labels.
// Only living series count, so a name goes with the last series that had it.
#include <algorithm>
#include <numeric>

#include "lib/tsdb/series_index.h"

namespace tinyobs::tsdb {

namespace {

// The part of the (distinct) texts that was asked for, sorted. Copies only that part.
std::vector<std::string> SortedPart(std::vector<std::string_view> texts, const Listing& listing) {
  std::erase_if(texts, [&](std::string_view text) { return !text.starts_with(listing.prefix); });
  if (listing.limit > 0 && listing.limit < texts.size()) {
    std::nth_element(texts.begin(), texts.begin() + listing.limit, texts.end());
    texts.resize(listing.limit);
  }
  std::sort(texts.begin(), texts.end());
  return {texts.begin(), texts.end()};
}

}  // namespace

void SeriesIndex::SortByLabels(std::vector<SeriesRef>* refs, size_t limit) const {
  // Comparing labels where they are would mean a dozen cache misses a comparison, all under the
  // lock, seconds for a million series. So their pairs are copied, a part at a time, the distinct
  // pairs are ranked, and what is sorted is lists of ranks.
  constexpr size_t kSeriesPerHold = 1024;
  struct Key {
    uint64_t first_two;  // ranks, 0 = no such label
    size_t begin, end;   // of all, in `ranks`
    SeriesRef ref;
  };
  std::shared_ptr<const SeriesTable> table;  // pinned, its texts stay where they are
  std::vector<Key> keys;
  std::vector<uint32_t> ranks;  // first numbers of distinct pairs, as in `numbers`
  absl::flat_hash_map<PairNumber, uint32_t> numbers;
  std::vector<std::pair<std::string_view, std::string_view>> texts;
  keys.reserve(refs->size());
  for (size_t next = 0; next < refs->size();) {
    ReaderMutexLock lock(&lock_);
    if (table == nullptr) table = table_;
    for (const size_t stop = std::min(refs->size(), next + kSeriesPerHold); next < stop; ++next) {
      const SeriesRef ref = (*refs)[next];
      if (!table->Lives(ref)) continue;
      const size_t begin = ranks.size();
      table->ForEachPair(*table->EntryOf(ref),
                         [&](PairNumber number, const SeriesTable::Pair& pair) {
                           const auto [at, is_new] = numbers.try_emplace(number, texts.size());
                           if (is_new)
                             texts.emplace_back(table->names()[pair.name].name, pair.value());
                           ranks.push_back(at->second);
                           return true;
                         });
      keys.push_back({0, begin, ranks.size(), ref});
    }
  }
  std::vector<uint32_t> order(texts.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return texts[a] < texts[b]; });
  std::vector<uint32_t> rank_of(texts.size());
  for (uint32_t i = 0; i < order.size(); ++i) rank_of[order[i]] = i + 1;
  for (uint32_t& rank : ranks) rank = rank_of[rank];
  for (Key& key : keys) {
    key.first_two = uint64_t{ranks[key.begin]} << 32;
    if (key.end - key.begin > 1) key.first_two |= ranks[key.begin + 1];
  }
  const auto less = [&](const Key& a, const Key& b) {
    if (a.first_two != b.first_two) return a.first_two < b.first_two;
    return std::lexicographical_compare(ranks.begin() + a.begin, ranks.begin() + a.end,
                                        ranks.begin() + b.begin, ranks.begin() + b.end);
  };
  if (limit > 0 && limit < keys.size()) {
    std::nth_element(keys.begin(), keys.begin() + limit, keys.end(), less);
    keys.resize(limit);
  }
  std::sort(keys.begin(), keys.end(), less);
  refs->clear();
  for (const Key& key : keys) refs->push_back(key.ref);
}

std::vector<std::string> SeriesIndex::LabelNames(const Listing& listing) const {
  ReaderMutexLock lock(&lock_);
  const SeriesTable& table = *table_;
  std::vector<std::string_view> names;
  for (const SeriesTable::Name& name : table.names()) {
    if (name.live > 0) names.push_back(name.name);
  }
  return SortedPart(std::move(names), listing);
}

std::vector<std::string> SeriesIndex::LabelNames(std::span<const SeriesRef> refs,
                                                 const Listing& listing) const {
  ReaderMutexLock lock(&lock_);
  const SeriesTable& table = *table_;
  std::vector<bool> seen(table.names().size());
  std::vector<std::string_view> names;
  for (const SeriesRef ref : refs) {
    if (!table.Lives(ref)) continue;
    table.ForEachPair(*table.EntryOf(ref), [&](PairNumber, const SeriesTable::Pair& pair) {
      if (!seen[pair.name]) names.push_back(table.names()[pair.name].name);
      seen[pair.name] = true;
      return true;
    });
  }
  return SortedPart(std::move(names), listing);
}

std::vector<std::string> SeriesIndex::LabelValues(std::string_view name,
                                                  const Listing& listing) const {
  ReaderMutexLock lock(&lock_);
  const SeriesTable& table = *table_;
  std::vector<std::string_view> values;
  if (const SeriesTable::Name* const found = table.FindName(name); found != nullptr) {
    for (const PairNumber number : found->pairs) {
      const SeriesTable::Pair& pair = table.PairAt(number);
      if (pair.live > 0) values.push_back(pair.value());
    }
  }
  return SortedPart(std::move(values), listing);
}

std::vector<std::string> SeriesIndex::LabelValues(std::string_view name,
                                                  std::span<const SeriesRef> refs,
                                                  const Listing& listing) const {
  ReaderMutexLock lock(&lock_);
  const SeriesTable& table = *table_;
  const SeriesTable::Name* const found = table.FindName(name);
  if (found == nullptr) return {};
  const auto number = static_cast<NameNumber>(found - table.names().data());
  std::vector<bool> seen(found->pairs.size());
  std::vector<std::string_view> values;
  for (const SeriesRef ref : refs) {
    if (!table.Lives(ref)) continue;
    const PairNumber value = table.PairOf(*table.EntryOf(ref), number);
    if (value == kNoNumber) continue;
    const SeriesTable::Pair& pair = table.PairAt(value);
    if (!seen[pair.position]) values.push_back(pair.value());
    seen[pair.position] = true;
  }
  return SortedPart(std::move(values), listing);
}

}  // namespace tinyobs::tsdb
