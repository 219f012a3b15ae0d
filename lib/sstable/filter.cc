#include "lib/sstable/filter.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/checksum.h"
#include "lib/base/coding.h"
#include "lib/base/strings.h"

namespace tinyobs::sstable {
namespace {

// Values reach disk; never renumber.
constexpr uint8_t kBlockedBloom = 1;
// Behind the lines: probes u8, kind u8.
constexpr size_t kFilterTailBytes = 2;
// One multiplied hash yields seven bit positions of nine bits.
constexpr int kProbesPerWord = 7;
constexpr uint64_t kFirstMultiplier = 0x9fb21c651e98df25;
constexpr uint64_t kSecondMultiplier = 0xd6e8feb86659fd93;

// The upper half of the hash, scaled to [0, count).
uint32_t LineOf(uint64_t hash, uint32_t count) {
  return static_cast<uint32_t>(((hash >> 32) * count) >> 32);
}

// Calls `probe` with `probes` bit positions in [0, 512) until it returns false.
template <typename Probe>
bool ForEachBit(uint64_t hash, int probes, Probe probe) {
  uint64_t word = hash * kFirstMultiplier;
  for (int i = 0; i < probes; ++i) {
    if (i == kProbesPerWord) word = hash * kSecondMultiplier;
    // From the top down: the upper bits of a product depend on all bits of the hash.
    if (!probe(static_cast<uint32_t>(word >> 55))) return false;
    word <<= 9;
  }
  return true;
}

// The number of probes with the fewest false answers for lines of 512 bits: a little below
// bits * ln 2, because lines fill unevenly.
int ProbesFor(int bits_per_key) {
  return std::clamp(static_cast<int>(bits_per_key * 0.65), 1, kMaxFilterProbes);
}

}  // namespace

uint64_t FilterHash(std::string_view user_key) { return Checksum64(user_key); }

void FilterBuilder::Add(std::string_view user_key) {
  if (prefix_bytes_ > 0 && user_key.size() >= prefix_bytes_) {
    user_key = user_key.substr(0, prefix_bytes_);
    if (user_key == last_prefix_) return;
    last_prefix_.assign(user_key);
  }
  hashes_.push_back(FilterHash(user_key));
}

size_t FilterBuilder::LineCount() const {
  const size_t bits = hashes_.size() * static_cast<size_t>(bits_per_key_);
  return std::max<size_t>(1, (bits + 8 * kFilterLineBytes - 1) / (8 * kFilterLineBytes));
}

size_t FilterBuilder::SizeBytes() const {
  return LineCount() * kFilterLineBytes + kFilterTailBytes;
}

std::string FilterBuilder::Finish() const {
  TINYOBS_CHECK(!hashes_.empty());
  const auto line_count = static_cast<uint32_t>(LineCount());
  const int probes = ProbesFor(bits_per_key_);
  std::string bytes(line_count * kFilterLineBytes, '\0');
  for (const uint64_t hash : hashes_) {
    char* const line = bytes.data() + LineOf(hash, line_count) * kFilterLineBytes;
    ForEachBit(hash, probes, [line](uint32_t bit) {
      line[bit / 8] = static_cast<char>(line[bit / 8] | (1 << (bit % 8)));
      return true;
    });
  }
  bytes.push_back(static_cast<char>(probes));
  bytes.push_back(static_cast<char>(kBlockedBloom));
  return bytes;
}

absl::StatusOr<Filter> Filter::Create(std::string_view bytes) {
  if (bytes.size() < kFilterLineBytes + kFilterTailBytes ||
      (bytes.size() - kFilterTailBytes) % kFilterLineBytes != 0) {
    return absl::DataLossError(StrCat("filter of ", bytes.size(), " bytes, expected lines of ",
                                      kFilterLineBytes, " and ", kFilterTailBytes));
  }
  const int probes = static_cast<uint8_t>(bytes[bytes.size() - 2]);
  const int kind = static_cast<uint8_t>(bytes[bytes.size() - 1]);
  if (kind != kBlockedBloom) {
    return absl::DataLossError(StrCat("filter kind ", kind, ", expected ", kBlockedBloom));
  }
  if (probes < 1 || probes > kMaxFilterProbes) {
    return absl::DataLossError(
        StrCat("filter with ", probes, " probes, expected 1 to ", kMaxFilterProbes));
  }
  const size_t line_count = (bytes.size() - kFilterTailBytes) / kFilterLineBytes;
  if (line_count > UINT32_MAX) return absl::DataLossError("filter with 2^32 lines or more");
  auto lines = std::make_unique_for_overwrite<Line[]>(line_count);
  std::memcpy(lines.get(), bytes.data(), line_count * kFilterLineBytes);
  return Filter(std::move(lines), static_cast<uint32_t>(line_count), probes);
}

bool Filter::MayContain(uint64_t hash) const {
  const Line& line = lines_[LineOf(hash, line_count_)];
  return ForEachBit(hash, probes_, [&line](uint32_t bit) {
    return (line.words[bit / 64] >> (bit % 64) & 1) != 0;
  });
}

}  // namespace tinyobs::sstable
