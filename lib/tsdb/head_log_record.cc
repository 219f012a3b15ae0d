#include "lib/tsdb/head_log_record.h"

#include <bit>
#include <cmath>

#include "lib/base/coding.h"
#include "lib/base/strings.h"

namespace tinyobs::tsdb {

namespace {

constexpr uint8_t kCommitRecord = 1;

// How a value is written: the low bits of the ref distance. On disk: never renumber.
enum ValueForm : uint64_t {
  kRaw = 0,       // 8 bytes
  kInteger = 1,   // zigzag varint
  kSwapped = 2,   // varint of the bits with their bytes in reverse: short when the mantissa is
  kRepeated = 3,  // the bits of the sample before: nothing
};
constexpr int kFormBits = 2;

// Beyond 2^53 not every integer is a double, and the varint would be as long as the raw form
// anyway.
constexpr double kLargestInteger = 9007199254740992.0;

bool IsSmallInteger(double value) {
  // -0 is no integer: its sign would be lost. NaN compares false.
  return value >= -kLargestInteger && value <= kLargestInteger && std::trunc(value) == value &&
         !(value == 0 && std::signbit(value));
}

ValueForm FormOf(double value, double previous) {
  const auto bits = std::bit_cast<uint64_t>(value);
  if (bits == std::bit_cast<uint64_t>(previous)) return kRepeated;
  if (IsSmallInteger(value)) return kInteger;
  return VarintLength(__builtin_bswap64(bits)) < 8 ? kSwapped : kRaw;
}

// Differences wrap around, so that any two int64 have one.
int64_t WrappingSubtract(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}
int64_t WrappingAdd(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

void ReadSample(ByteReader* reader, const RefSample& previous, RefSample* sample) {
  const uint64_t head = reader->Varint64();
  const int64_t ref = static_cast<int64_t>(previous.ref) + 1 + UnZigZag(head >> kFormBits);
  if (ref < 0 || ref > int64_t{kMaxSeriesRef}) return reader->Fail();
  sample->ref = static_cast<SeriesRef>(ref);
  sample->timestamp_ms = WrappingAdd(previous.timestamp_ms, reader->ZigZag64());
  switch (static_cast<ValueForm>(head & ((1 << kFormBits) - 1))) {
    case kRaw:
      sample->value = std::bit_cast<double>(reader->Fixed64());
      return;
    case kInteger:
      sample->value = static_cast<double>(reader->ZigZag64());
      return;
    case kSwapped:
      sample->value = std::bit_cast<double>(__builtin_bswap64(reader->Varint64()));
      return;
    case kRepeated:
      sample->value = previous.value;
      return;
  }
}

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

void ReadNewSeries(ByteReader* reader, CommitRecord* record) {
  const uint64_t count = ReadCount(reader, 3);
  record->new_series.reserve(count);
  for (uint64_t i = 0; i < count && reader->ok(); ++i) {
    NewSeries& series = record->new_series.emplace_back();
    series.ref = static_cast<SeriesRef>(reader->BoundedVarint64(kMaxSeriesRef));
    series.id = reader->Varint64();
    series.canonical_labels = std::string(reader->LengthPrefixed());
    if (i > 0 && series.ref <= record->new_series[i - 1].ref) reader->Fail();
  }
}

void ReadMetadata(ByteReader* reader, CommitRecord* record) {
  const uint64_t count = ReadCount(reader, 4);
  record->metadata.reserve(count);
  for (uint64_t i = 0; i < count && reader->ok(); ++i) {
    NamedMetadata& named = record->metadata.emplace_back();
    named.metric = std::string(reader->LengthPrefixed());
    named.metadata.type = std::string(reader->LengthPrefixed());
    named.metadata.help = std::string(reader->LengthPrefixed());
    named.metadata.unit = std::string(reader->LengthPrefixed());
  }
}

}  // namespace

void SampleWriter::Put(const RefSample& sample) {
  const ValueForm form = FormOf(sample.value, previous_.value);
  const int64_t distance =
      static_cast<int64_t>(sample.ref) - static_cast<int64_t>(previous_.ref) - 1;
  char buffer[3 * kMaxVarint64Bytes];
  char* end = StoreVarint64(buffer, ZigZag(distance) << kFormBits | form);
  end = StoreVarint64(end, ZigZag(WrappingSubtract(sample.timestamp_ms, previous_.timestamp_ms)));
  const auto bits = std::bit_cast<uint64_t>(sample.value);
  switch (form) {
    case kRaw:
      StoreFixed64(end, bits);
      end += sizeof(bits);
      break;
    case kInteger:
      end = StoreVarint64(end, ZigZag(static_cast<int64_t>(sample.value)));
      break;
    case kSwapped:
      end = StoreVarint64(end, __builtin_bswap64(bits));
      break;
    case kRepeated:
      break;
  }
  out_->append(buffer, end - buffer);
  previous_ = sample;
}

void PutMetadata(const MetricMetadata& metadata, std::string* out) {
  PutLengthPrefixed(out, metadata.type);
  PutLengthPrefixed(out, metadata.help);
  PutLengthPrefixed(out, metadata.unit);
}

void EncodeCommit(const CommitRecord& record, std::string* out) {
  out->push_back(static_cast<char>(kCommitRecord));
  PutVarint64(out, record.new_series.size());
  for (const NewSeries& series : record.new_series) {
    PutVarint64(out, series.ref);
    PutVarint64(out, series.id);
    PutLengthPrefixed(out, series.canonical_labels);
  }
  PutVarint64(out, record.metadata.size());
  for (const NamedMetadata& named : record.metadata) {
    PutLengthPrefixed(out, named.metric);
    PutMetadata(named.metadata, out);
  }
  PutVarint64(out, record.samples.size());
  SampleWriter writer(out);
  for (const RefSample& sample : record.samples) writer.Put(sample);
}

absl::Status DecodeCommit(std::string_view bytes, CommitRecord* record) {
  record->clear();
  ByteReader reader(bytes);
  const uint8_t kind = reader.Byte();
  if (reader.ok() && kind != kCommitRecord) {
    return absl::FailedPreconditionError(
        StrCat("head log record of kind ", kind, ", this version knows ", kCommitRecord));
  }
  ReadNewSeries(&reader, record);
  ReadMetadata(&reader, record);
  const uint64_t count = ReadCount(&reader, 2);
  record->samples.reserve(count);
  RefSample previous;
  for (uint64_t i = 0; i < count && reader.ok(); ++i) {
    RefSample& sample = record->samples.emplace_back();
    ReadSample(&reader, previous, &sample);
    previous = sample;
  }
  if (!reader.ok() || !reader.empty()) {
    record->clear();
    return absl::DataLossError(
        StrCat("head log record of ", bytes.size(),
               " bytes: expected whole fields and no bytes after them, found ",
               reader.ok() ? "extra bytes" : "a field past the end"));
  }
  return absl::OkStatus();
}

}  // namespace tinyobs::tsdb
