#include "lib/tsdb/commit_record.h"

#include "lib/base/strings.h"

namespace tinyobs::tsdb {

namespace {

// First byte. On disk: never renumber.
constexpr uint8_t kCommitRecord = 2;

// A count of things that take at least `least_bytes` each, so that a hostile count cannot make us
// allocate more than the record is long.
uint64_t ReadCount(ByteReader* reader, size_t least_bytes) {
  const uint64_t count = reader->Varint64();
  if (count > reader->remaining() / least_bytes) {
    reader->Fail();
    return 0;
  }
  return count;
}

void ReadNewSeries(ByteReader* reader, std::vector<NewSeries>* out) {
  const uint64_t count = ReadCount(reader, 3);
  out->clear();
  out->reserve(count);
  for (uint64_t i = 0; i < count && reader->ok(); ++i) {
    NewSeries& series = out->emplace_back();
    series.ref = static_cast<SeriesRef>(reader->BoundedVarint64(kMaxSeriesRef));
    series.id = reader->Varint64();
    series.canonical_labels = std::string(reader->LengthPrefixed());
    if (i > 0 && series.ref <= (*out)[i - 1].ref) reader->Fail();
  }
}

void ReadAllMetadata(ByteReader* reader, std::vector<NamedMetadata>* out) {
  const uint64_t count = ReadCount(reader, 4);
  out->clear();
  out->reserve(count);
  for (uint64_t i = 0; i < count && reader->ok(); ++i) {
    NamedMetadata& named = out->emplace_back();
    named.metric = std::string(reader->LengthPrefixed());
    named.metadata = ReadMetadata(reader);
  }
}

// An absolute sample after its head. `time_ms` is that of the absolute one before, and becomes its
// own. `after` is the state that it leaves, unless it is late. nullptr: damaged.
const char* ReadAbsolute(const char* at, const char* limit, int64_t* time_ms, double* value,
                         DeltaState* after, bool* late) {
  uint64_t difference;
  at = LoadVarint64(at, limit, &difference);
  if (at == nullptr || at == limit) return nullptr;
  *time_ms = static_cast<int64_t>(static_cast<uint64_t>(*time_ms) +
                                  static_cast<uint64_t>(UnZigZag(difference)));
  const auto mark = static_cast<uint8_t>(*at++);
  *late = (mark & kLateMark) != 0;
  const int exponent = mark & ~kLateMark;
  if (exponent > kNoExponent) return nullptr;
  *after = {*time_ms, 0, 0, static_cast<int8_t>(exponent)};
  if (exponent < kNoExponent) {
    uint64_t integer;
    at = LoadVarint64(at, limit, &integer);
    if (at == nullptr) return nullptr;
    after->integer = UnZigZag(integer);
    if (after->integer < -chunk::kDecimalLimit || after->integer >= chunk::kDecimalLimit) {
      return nullptr;
    }
    *value = FromDecimal(after->integer, exponent);
  } else {
    if (limit - at < static_cast<ptrdiff_t>(sizeof(uint64_t))) return nullptr;
    *value = std::bit_cast<double>(LoadFixed64(at));
    at += sizeof(uint64_t);
  }
  if (!*late) {
    uint64_t step;
    at = LoadVarint64(at, limit, &step);
    if (at == nullptr || step > INT32_MAX) return nullptr;
    after->step_ms = static_cast<int32_t>(step);
  }
  return at;
}

}  // namespace

void PutMetadata(const MetricMetadata& metadata, std::string* out) {
  PutLengthPrefixed(out, metadata.type);
  PutLengthPrefixed(out, metadata.help);
  PutLengthPrefixed(out, metadata.unit);
}

MetricMetadata ReadMetadata(ByteReader* reader) {
  MetricMetadata metadata;  // in this order
  metadata.type = std::string(reader->LengthPrefixed());
  metadata.help = std::string(reader->LengthPrefixed());
  metadata.unit = std::string(reader->LengthPrefixed());
  return metadata;
}

void BeginCommit(std::span<const NewSeries> new_series, std::span<const NamedMetadata> metadata,
                 std::string* out) {
  out->push_back(static_cast<char>(kCommitRecord));
  PutVarint64(out, new_series.size());
  for (const NewSeries& series : new_series) {
    PutVarint64(out, series.ref);
    PutVarint64(out, series.id);
    PutLengthPrefixed(out, series.canonical_labels);
  }
  PutVarint64(out, metadata.size());
  for (const NamedMetadata& named : metadata) {
    PutLengthPrefixed(out, named.metric);
    PutMetadata(named.metadata, out);
  }
}

void SampleSectionWriter::Grow() {
  const auto used = static_cast<size_t>(next_ - out_->data());
  out_->resize(used + (used - begin_) / 2 + kMaxBytes);
  next_ = out_->data() + used;
  limit_ = out_->data() + out_->size();
}

const char* CommitDecoder::DecodeSamples(const char* at, const char* limit, SampleBatch* out) {
  out->resize(static_cast<size_t>(limit - at) / 2);  // none is shorter
  int64_t ref = -1;
  int64_t absolute_ms = 0;
  SeriesRef page_number = UINT32_MAX;
  Page* page = nullptr;
  size_t count = 0;
  for (; at < limit; ++count) {
    uint64_t head;
    at = LoadVarint64(at, limit, &head);
    if (at == nullptr || count == out->size()) return nullptr;
    ref += 1 + UnZigZag(head >> 1);
    if (ref < 0 || ref > int64_t{kMaxSeriesRef}) return nullptr;
    const auto series = static_cast<SeriesRef>(ref);
    if (series / kPageRefs != page_number) {
      page_number = series / kPageRefs;
      const auto found = pages_.find(page_number);
      page = found == pages_.end() ? nullptr : found->second.get();
    }
    const uint32_t bit = uint32_t{1} << series % kPageRefs;
    out->refs[count] = series;
    if ((head & 1) == 0) [[likely]] {
      if (page == nullptr || (page->known & bit) == 0) return nullptr;
      at = DecodeDelta(at, limit, &page->states[series % kPageRefs], &out->timestamps_ms[count],
                       &out->values[count]);
      if (at == nullptr) return nullptr;
      continue;
    }
    DeltaState after;
    bool late = false;
    at = ReadAbsolute(at, limit, &absolute_ms, &out->values[count], &after, &late);
    if (at == nullptr) return nullptr;
    out->timestamps_ms[count] = absolute_ms;
    if (late) continue;
    if (page == nullptr) {
      page = pages_.try_emplace(page_number, std::make_unique<Page>()).first->second.get();
    }
    page->states[series % kPageRefs] = after;
    page->known |= bit;
  }
  out->resize(count);
  return at;
}

absl::Status CommitDecoder::Decode(std::string_view record, DecodedCommit* out) {
  ByteReader reader(record);
  const uint8_t kind = reader.Byte();
  if (reader.ok() && kind != kCommitRecord) {
    return absl::FailedPreconditionError(
        StrCat("head log record of kind ", kind, ", this version knows ", kCommitRecord));
  }
  ReadNewSeries(&reader, &out->new_series);
  ReadAllMetadata(&reader, &out->metadata);
  const std::string_view samples = reader.rest();
  if (reader.ok() &&
      DecodeSamples(samples.data(), samples.data() + samples.size(), &out->samples) != nullptr) {
    return absl::OkStatus();
  }
  *out = DecodedCommit();
  return absl::DataLossError(StrCat("head log record of ", record.size(),
                                    " bytes: expected whole fields and samples "
                                    "that follow one in this segment, found others"));
}

}  // namespace tinyobs::tsdb
