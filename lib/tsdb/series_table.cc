#include "lib/tsdb/series_table.h"

#include <cstring>
#include <string>

#include "lib/base/check.h"
#include "tinyobs/labels.h"

namespace tinyobs::tsdb {

bool AreSeriesLabels(std::string_view bytes) {
  const auto labels = Labels::FromCanonicalBytes(bytes);
  return labels.ok() && !labels->metric().empty();
}

std::string_view SeriesTable::Store(std::string_view bytes) {
  char* const to = arena_.Allocate(bytes.size());
  std::memcpy(to, bytes.data(), bytes.size());
  return {to, bytes.size()};
}

PairNumber SeriesTable::PairFor(std::string_view pair_bytes) {
  const uint32_t hash = HashOf(pair_bytes);
  const PairNumber known =
      by_pair_.Find(hash, [&](PairNumber number) { return PairAt(number).bytes() == pair_bytes; });
  if (known != kNoNumber) return known;

  ByteReader reader(pair_bytes);
  const std::string_view name = reader.LengthPrefixed();
  const std::string_view value = reader.LengthPrefixed();
  auto found = name_numbers_.find(name);
  if (found == name_numbers_.end()) {
    const std::string_view stored = Store(name);
    found = name_numbers_.emplace(stored, static_cast<NameNumber>(names_.size())).first;
    names_.push_back({stored, {}, 0});
  }
  const PairNumber number = pair_count_++;
  if (number % kBlockPairs == 0) pair_blocks_.push_back(std::make_unique<Pair[]>(kBlockPairs));
  Pair& pair = MutablePair(number);
  pair.text = Store(pair_bytes).data();
  pair.value_bytes = static_cast<uint32_t>(value.size());
  pair.value_at = static_cast<uint32_t>(pair_bytes.size() - value.size());
  pair.name = found->second;
  pair.position = static_cast<uint32_t>(names_[pair.name].pairs.size());
  names_[pair.name].pairs.push_back(number);
  by_pair_.Insert(hash, number);
  return number;
}

SeriesTable::Series* SeriesTable::MakeEntry(SeriesRef ref) {
  const size_t group = ref / (kPageRefs * kGroupPages);
  if (group >= groups_.size()) groups_.resize(group + 1);
  if (groups_[group] == nullptr) {
    groups_[group] = std::make_unique<Group>();
    page_bytes_ += sizeof(Group);
  }
  Page* const page = MutablePage(ref);
  const uint64_t bit = uint64_t{1} << ref % kPageRefs;
  const size_t count = std::popcount(page->present);
  const size_t before = std::popcount(page->present & (bit - 1));
  if (count == page->Room()) {
    const size_t room = std::max<size_t>(4, count * 2);
    auto entries = std::make_unique<Series[]>(room);
    std::copy_n(page->entries.get(), count, entries.get());
    page->entries = std::move(entries);
    page_bytes_ += (room - count) * sizeof(Series);
  }
  Series* const entries = page->entries.get();
  std::copy_backward(entries + before, entries + count, entries + count + 1);
  page->present |= bit;
  return &entries[before];
}

bool SeriesTable::Insert(SeriesRef ref, SeriesId id, uint32_t hash,
                         std::span<const PairNumber> pairs) {
  char buffer[256];
  std::string large;
  char* numbers = buffer;
  if (pairs.size() * kMaxVarint64Bytes > sizeof(buffer)) {
    large.resize(pairs.size() * kMaxVarint64Bytes);
    numbers = large.data();
  }
  char* end = numbers;
  for (const PairNumber pair : pairs) end = StoreVarint64(end, pair);
  const std::string_view bytes(numbers, end - numbers);
  // Pairs are unique, so equal labels are equal numbers.
  const SeriesRef same = by_labels_.Find(hash, [&](SeriesRef other) {
    const Series* const entry = EntryOf(other);
    return std::string_view(entry->pairs, entry->pairs_bytes) == bytes;
  });
  if (same != kNoSeries) return false;
  if (EntryOf(ref) != nullptr) return false;
  *MakeEntry(ref) = {Store(bytes).data(), id, hash, static_cast<uint32_t>(bytes.size())};
  MutablePage(ref)->live |= uint64_t{1} << ref % kPageRefs;
  by_labels_.Insert(hash, ref);
  for (const PairNumber number : pairs) {
    Pair& pair = MutablePair(number);
    Name& name = names_[pair.name];
    if (name.name == kMetricName && pair.metric_id == 0) {
      pair.metric_id = static_cast<uint32_t>(id >> 32);
    }
    ++pair.live;
    ++name.live;
  }
  ref_end_ = std::max(ref_end_, ref + 1);
  ++live_;
  return true;
}

bool SeriesTable::Insert(SeriesRef ref, SeriesId id, std::string_view canonical_labels) {
  std::vector<PairNumber> pairs;
  pairs.reserve(16);
  ByteReader labels(canonical_labels);
  while (!labels.empty()) {
    const std::string_view rest = labels.rest();
    labels.LengthPrefixed();
    labels.LengthPrefixed();
    TINYOBS_CHECK(labels.ok());
    pairs.push_back(PairFor(rest.substr(0, rest.size() - labels.remaining())));
  }
  TINYOBS_CHECK(!pairs.empty());
  return Insert(ref, id, HashOf(canonical_labels), pairs);
}

void SeriesTable::Post(SeriesRef ref) {
  ForEachPair(*EntryOf(ref), [&](PairNumber number, const Pair&) {
    Postings& postings = MutablePair(number).postings;
    postings_bytes_ -= postings.MemoryBytes();
    postings.Append(ref);
    postings_bytes_ += postings.MemoryBytes();
    return true;
  });
}

void SeriesTable::PostAll() {
  ForEachLiving([&](SeriesRef ref) { Post(ref); });
  for (PairNumber number = 0; number < pair_count_; ++number) {
    Postings& postings = MutablePair(number).postings;
    postings_bytes_ -= postings.MemoryBytes();
    postings.Shrink();
    postings_bytes_ += postings.MemoryBytes();
  }
}

void SeriesTable::Remove(SeriesRef ref) {
  TINYOBS_CHECK(Lives(ref));
  const Series& series = *EntryOf(ref);
  by_labels_.Erase(series.hash, ref);
  ForEachPair(series, [&](PairNumber number, const Pair& pair) {
    --MutablePair(number).live;
    --names_[pair.name].live;
    return true;
  });
  MutablePage(ref)->live &= ~(uint64_t{1} << ref % kPageRefs);
  --live_;
  ++dead_;
}

std::unique_ptr<SeriesTable> SeriesTable::Compacted() const {
  auto fresh = std::make_unique<SeriesTable>(seed_);
  fresh->ReserveSeries(live_);
  std::vector<PairNumber> renumbered(pair_count_, kNoNumber);
  std::vector<PairNumber> pairs;
  ForEachLiving([&](SeriesRef ref) {
    const Series& series = *EntryOf(ref);
    pairs.clear();
    ForEachPair(series, [&](PairNumber number, const Pair& pair) {
      PairNumber& now = renumbered[number];
      if (now == kNoNumber) {
        now = fresh->PairFor(pair.bytes());
        fresh->MutablePair(now).metric_id = pair.metric_id;
      }
      pairs.push_back(now);
      return true;
    });
    TINYOBS_CHECK(fresh->Insert(ref, series.id, series.hash, pairs));
  });
  fresh->PostAll();
  fresh->ref_end_ = ref_end_;
  return fresh;
}

bool SeriesTable::Equals(SeriesRef ref, std::string_view canonical_labels) const {
  const Series& series = *EntryOf(ref);
  ForEachPair(series, [&](PairNumber, const Pair& pair) {
    const std::string_view bytes = pair.bytes();
    if (!canonical_labels.starts_with(bytes)) {
      canonical_labels = std::string_view("!");  // never the end of a label set
      return false;
    }
    canonical_labels.remove_prefix(bytes.size());
    return true;
  });
  return canonical_labels.empty();
}

const SeriesTable::Pair* SeriesTable::FindPair(std::string_view name,
                                               std::string_view value) const {
  std::string bytes;
  PutLengthPrefixed(&bytes, name);
  PutLengthPrefixed(&bytes, value);
  const PairNumber number = by_pair_.Find(
      HashOf(bytes), [&](PairNumber number) { return PairAt(number).bytes() == bytes; });
  return number == kNoNumber ? nullptr : &PairAt(number);
}

PairNumber SeriesTable::PairOf(const Series& series, NameNumber name) const {
  PairNumber found = kNoNumber;
  ForEachPair(series, [&](PairNumber number, const Pair& pair) {
    if (pair.name == name) found = number;
    return found == kNoNumber;
  });
  return found;
}

uint32_t SeriesTable::MetricId(std::string_view metric) const {
  const Pair* const pair = FindPair(kMetricName, metric);
  return pair == nullptr ? 0 : pair->metric_id;
}

size_t SeriesTable::MemoryBytes() const {
  return sizeof(*this) + arena_.MemoryUsageBytes() + groups_.capacity() * sizeof(groups_[0]) +
         page_bytes_ + by_labels_.MemoryBytes() + by_pair_.MemoryBytes() + postings_bytes_ +
         pair_blocks_.size() * (sizeof(Pair) * kBlockPairs + sizeof(pair_blocks_[0])) +
         pair_count_ * 2 * sizeof(PairNumber) +  // in Name::pairs, with room for growth
         names_.capacity() * (sizeof(Name) + sizeof(std::string_view) + 8);
}

}  // namespace tinyobs::tsdb
