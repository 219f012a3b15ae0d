#include "lib/lsm/memtable.h"

#include <algorithm>
#include <cstring>

#include "lib/base/coding.h"
#include "lib/sstable/filter.h"

namespace tinyobs::lsm {
namespace {

constexpr size_t kLengthsBytes = 8;

std::string_view UserKeyOfEntry(const char* entry) {
  return {entry + kLengthsBytes, LoadFixed32(entry)};
}
std::string_view InternalKeyOfEntry(const char* entry) {
  return {entry + kLengthsBytes, LoadFixed32(entry) + kTrailerBytes};
}
std::string_view ValueOfEntry(const char* entry) {
  return {entry + kLengthsBytes + LoadFixed32(entry) + kTrailerBytes, LoadFixed32(entry + 4)};
}

}  // namespace

int Memtable::EntryOrder::Compare(const char* entry, const Target& target) {
  const std::string_view key = UserKeyOfEntry(entry);
  const int result = CompareUserKeys(key, target.user_key);
  if (result != 0) return result;
  const uint64_t trailer = LoadBigEndian64(key.data() + key.size());
  return trailer < target.trailer ? -1 : (trailer > target.trailer ? 1 : 0);
}

Memtable::Memtable(size_t filter_bytes, MemoryAccount* account)
    : filter_words_(std::min<uint64_t>(filter_bytes / 8, UINT32_MAX)),
      filter_(filter_words_ > 0 ? std::make_unique<std::atomic<uint64_t>[]>(filter_words_)
                                : nullptr),
      filter_charge_(account),
      arena_(account),
      list_(&arena_) {
  filter_charge_.Add(8 * filter_words_);
}

uint64_t Memtable::HashOf(std::string_view key) { return sstable::FilterHash(key); }

void Memtable::Add(uint64_t sequence, ValueType type, std::string_view key,
                   std::string_view value) {
  const uint64_t trailer = PackTrailer(sequence, type);
  // The filter is too large for a cache: its word is asked for now and here when it is set.
  const uint64_t hash = filter_words_ > 0 ? HashOf(key) : 0;
  if (filter_words_ > 0) __builtin_prefetch(&FilterWordOf(hash), /*for writing*/ 1);
  auto* const node = list_.Allocate(kLengthsBytes + key.size() + kTrailerBytes + value.size());
  char* to = node->entry();
  StoreFixed32(to, static_cast<uint32_t>(key.size()));
  StoreFixed32(to + 4, static_cast<uint32_t>(value.size()));
  to += kLengthsBytes;
  std::memcpy(to, key.data(), key.size());
  StoreFixed64(to + key.size(), __builtin_bswap64(trailer));
  if (!value.empty()) std::memcpy(to + key.size() + kTrailerBytes, value.data(), value.size());
  list_.Insert(node, {key, trailer});
  if (filter_words_ > 0) {
    std::atomic<uint64_t>& word = FilterWordOf(hash);
    word.store(word.load(std::memory_order_relaxed) | FilterBitsOf(hash),
               std::memory_order_relaxed);
  }
  entries_.store(entries() + 1, std::memory_order_relaxed);
}

bool Memtable::Get(std::string_view key, uint64_t hash, uint64_t sequence, Found* found) const {
  if (filter_words_ > 0) {
    // What a reader's sequence shows was added before the sequence was published.
    const uint64_t bits = FilterBitsOf(hash);
    if ((FilterWordOf(hash).load(std::memory_order_relaxed) & bits) != bits) return false;
  }
  const auto* const node = list_.FindAtOrAfter({key, SeekTrailer(sequence)});
  if (node == nullptr || UserKeyOfEntry(node->entry()) != key) return false;
  found->type = TypeOf(TrailerOf(InternalKeyOfEntry(node->entry())));
  found->value = ValueOfEntry(node->entry());
  return true;
}

class MemtableIterator final : public Iterator {
 public:
  explicit MemtableIterator(const Memtable* memtable) : list_(memtable->list_) {}

  bool Valid() const override { return node_ != nullptr; }
  void SeekToFirst() override { node_ = list_.First(); }
  void SeekToLast() override { node_ = list_.Last(); }
  void Seek(std::string_view target) override { node_ = list_.FindAtOrAfter(TargetOf(target)); }
  void SeekForPrev(std::string_view target) override {
    Seek(target);
    if (node_ == nullptr) {
      SeekToLast();
    } else if (key() != target) {
      Prev();
    }
  }
  void Next() override { node_ = node_->Next(0); }
  // A search from the top: the list has no links back, which would cost every insert.
  void Prev() override { node_ = list_.FindBefore(TargetOf(key())); }
  std::string_view key() const override { return InternalKeyOfEntry(node_->entry()); }
  std::string_view value() const override { return ValueOfEntry(node_->entry()); }
  absl::Status status() const override { return absl::OkStatus(); }

 private:
  static Memtable::Target TargetOf(std::string_view internal_key) {
    return {UserKeyOf(internal_key), TrailerOf(internal_key)};
  }

  const SkipList<Memtable::EntryOrder>& list_;
  const SkipList<Memtable::EntryOrder>::Node* node_ = nullptr;
};

std::unique_ptr<Iterator> Memtable::NewIterator() const {
  return std::make_unique<MemtableIterator>(this);
}

}  // namespace tinyobs::lsm
