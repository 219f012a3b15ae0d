#include "lib/tsdb/matcher_cache.h"

#include <algorithm>

#include "lib/base/coding.h"

namespace tinyobs::tsdb {

std::shared_ptr<MatcherCache::Entry> MatcherCache::EntryFor(const Matcher& regex) {
  std::string key;
  PutLengthPrefixed(&key, regex.label());
  key.append(regex.value());
  MutexLock lock(&mutex_);
  const auto found = entries_.find(key);
  if (found != entries_.end()) {
    found->second->last_use = ++uses_;
    return found->second;
  }
  while (!entries_.empty() && (entries_.size() >= kMaxEntries || bytes_ > kMaxBytes)) {
    const auto oldest = std::min_element(
        entries_.begin(), entries_.end(),
        [](const auto& a, const auto& b) { return a.second->last_use < b.second->last_use; });
    bytes_ -= oldest->second->bytes;
    oldest->second->kept = false;
    entries_.erase(oldest);
  }
  auto entry = std::make_shared<Entry>();
  entry->bytes = sizeof(Entry) + key.size();
  entry->last_use = ++uses_;
  bytes_ += entry->bytes;
  entries_.emplace(std::move(key), entry);
  return entry;
}

void MatcherCache::Clear() {
  MutexLock lock(&mutex_);
  for (auto& [key, entry] : entries_) entry->kept = false;
  entries_.clear();
  bytes_ = 0;
}

bool MatcherCache::List(const SeriesTable& table, const SeriesTable::Name& name,
                        const Matcher& regex, std::string_view prefix, size_t limit, bool matching,
                        std::vector<PairNumber>* pairs) {
  const std::shared_ptr<Entry> entry = EntryFor(regex);
  const bool negated = regex.op() == Matcher::Op::kNotRegex;
  const size_t values = name.pairs.size();
  MutexLock lock(&entry->mutex);
  const size_t end = entry->evaluated + std::min(values - entry->evaluated, limit);
  entry->bits.resize((end + 63) / 64);
  for (size_t& i = entry->evaluated; i < end; ++i) {
    const std::string_view value = table.PairAt(name.pairs[i]).value();
    const bool matches = value.starts_with(prefix) && regex.Matches(value) != negated;
    entry->bits[i / 64] |= uint64_t{matches} << i % 64;
  }
  const size_t bytes = sizeof(Entry) + regex.value().size() + entry->bits.capacity() * 8;
  {
    MutexLock cache_lock(&mutex_);
    if (entry->kept) bytes_ += bytes - entry->bytes;
    entry->bytes = bytes;
  }
  if (end < values) return false;
  for (size_t word = 0; word < entry->bits.size(); ++word) {
    uint64_t left = matching ? entry->bits[word] : ~entry->bits[word];
    for (; left != 0; left &= left - 1) {
      const size_t i = word * 64 + std::countr_zero(left);
      if (i >= values) break;
      pairs->push_back(name.pairs[i]);
    }
  }
  return true;
}

}  // namespace tinyobs::tsdb
