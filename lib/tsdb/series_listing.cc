// The listing half of SeriesIndex: label names and values, and series in the order of their labels.
// Only living series count, so a name goes with the last series that had it.
#include <algorithm>
#include <numeric>

#include "lib/tsdb/series_index.h"

namespace tinyobs::tsdb {

namespace {

// The part of the (distinct) texts that was asked for, sorted. Copies only that part.
std::vector<std::string> SortedPart(std::vector<std::string_view> texts, const ListHints& hints) {
  std::erase_if(texts, [&](std::string_view text) { return !text.starts_with(hints.prefix); });
  if (hints.limit > 0 && hints.limit < texts.size()) {
    std::nth_element(texts.begin(), texts.begin() + hints.limit, texts.end());
    texts.resize(hints.limit);
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

std::vector<std::string> SeriesIndex::LabelNames(const std::vector<SeriesRef>* refs,
                                                 const ListHints& hints) const {
  ReaderMutexLock lock(&lock_);
  const SeriesTable& table = *table_;
  std::vector<bool> seen(table.names().size());
  for (size_t i = 0; refs == nullptr && i < seen.size(); ++i) seen[i] = table.names()[i].live > 0;
  for (size_t i = 0; refs != nullptr && i < refs->size(); ++i) {
    if (!table.Lives((*refs)[i])) continue;
    table.ForEachPair(*table.EntryOf((*refs)[i]), [&](PairNumber, const SeriesTable::Pair& pair) {
      seen[pair.name] = true;
      return true;
    });
  }
  std::vector<std::string_view> names;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (seen[i]) names.push_back(table.names()[i].name);
  }
  return SortedPart(std::move(names), hints);
}

std::vector<std::string> SeriesIndex::LabelValues(std::string_view name,
                                                  const std::vector<SeriesRef>* refs,
                                                  const ListHints& hints) const {
  ReaderMutexLock lock(&lock_);
  const SeriesTable& table = *table_;
  const SeriesTable::Name* const found = table.FindName(name);
  if (found == nullptr) return {};
  const auto number = static_cast<NameNumber>(found - table.names().data());
  std::vector<bool> seen(found->pairs.size());
  for (size_t i = 0; refs == nullptr && i < seen.size(); ++i) {
    seen[i] = table.PairAt(found->pairs[i]).live > 0;
  }
  for (size_t i = 0; refs != nullptr && i < refs->size(); ++i) {
    if (!table.Lives((*refs)[i])) continue;
    const PairNumber value = table.PairOf(*table.EntryOf((*refs)[i]), number);
    if (value != kNoNumber) seen[table.PairAt(value).position] = true;
  }
  std::vector<std::string_view> values;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (seen[i]) values.push_back(table.PairAt(found->pairs[i]).value());
  }
  return SortedPart(std::move(values), hints);
}

}  // namespace tinyobs::tsdb
