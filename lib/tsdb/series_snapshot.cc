#include "lib/tsdb/series_snapshot.h"

#include <algorithm>
#include <numeric>

#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/model/limits.h"
#include "lib/vfs/whole_file.h"

namespace tinyobs::tsdb {

namespace {

// First byte of a record. On disk: never renumber.
constexpr uint8_t kPairs = 1;   // canonical bytes of label pairs; numbered from 0 in this order
constexpr uint8_t kSeries = 2;  // { distance of refs, metric id, number, pair count, pairs }
constexpr uint8_t kEnd = 3;     // series, pairs, end

// What one hold of the index's lock copies: under a millisecond.
constexpr size_t kEntriesPerHold = 4096;
// One pair may be nearly 128 KiB.
constexpr size_t kRecordBytes = 256 << 10;

absl::Status Damaged(std::string_view what, uint64_t found, std::string_view expected) {
  return absl::DataLossError(
      StrCat("series snapshot: ", what, " ", found, ": expected ", expected));
}

// Puts the records of a snapshot into a table.
class Loader {
 public:
  explicit Loader(uint64_t seed) : table_(std::make_unique<SeriesTable>(seed)) {}

  absl::Status Add(std::string_view record);
  // After the last record.
  absl::StatusOr<std::unique_ptr<SeriesTable>> Finish(SeriesRef* end);
  size_t MemoryBytes() const { return table_->MemoryBytes(); }

 private:
  absl::Status AddPairs(ByteReader* record);
  absl::Status AddSeries(ByteReader* record);
  void RankNames();

  std::unique_ptr<SeriesTable> table_;
  bool ended_ = false;
  uint64_t next_ref_ = 0;  // at least
  SeriesRef end_ = 0;
  std::vector<uint32_t> ranks_;  // of names, in their order
  std::vector<PairNumber> pairs_;
  std::string labels_;
};

absl::Status Loader::AddPairs(ByteReader* record) {
  while (!record->empty()) {
    const std::string_view rest = record->rest();
    record->LengthPrefixed();
    record->LengthPrefixed();
    const std::string_view pair = rest.substr(0, rest.size() - record->remaining());
    if (!record->ok() || !Labels::FromCanonicalBytes(pair).ok()) {
      return Damaged("pair", table_->pair_count(), "a canonical label");
    }
    const PairNumber next = table_->pair_count();
    if (table_->PairFor(pair) != next) return Damaged("pair", next, "one that is new");
  }
  RankNames();
  return absl::OkStatus();
}

void Loader::RankNames() {
  const auto& names = table_->names();
  std::vector<uint32_t> order(names.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return names[a].name < names[b].name; });
  ranks_.resize(names.size());
  for (uint32_t rank = 0; rank < order.size(); ++rank) ranks_[order[rank]] = rank;
}

absl::Status Loader::AddSeries(ByteReader* record) {
  const SeriesTable::Name* const metric = table_->FindName(kMetricName);
  const size_t metric_name = metric == nullptr ? SIZE_MAX : metric - table_->names().data();
  while (!record->empty()) {
    const uint64_t ref = next_ref_ + record->BoundedVarint64(kMaxSeriesRef);
    const uint64_t metric_id = record->BoundedVarint64(UINT32_MAX);
    const uint64_t number = (ref + record->BoundedVarint64(UINT32_MAX)) & UINT32_MAX;
    const uint64_t count = record->BoundedVarint64(kMaxLabels);
    if (!record->ok() || ref > kMaxSeriesRef || count == 0) {
      return Damaged("ref", ref, "a ref, an id and labels");
    }
    pairs_.clear();
    labels_.clear();
    int64_t last_rank = -1;
    bool has_metric = false;
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t pair = record->Varint64();
      if (!record->ok() || pair >= table_->pair_count()) {
        return Damaged("ref", ref, "pairs that are known");
      }
      const SeriesTable::Pair& known = table_->PairAt(static_cast<PairNumber>(pair));
      if (ranks_[known.name] <= last_rank) return Damaged("ref", ref, "labels in order");
      last_rank = ranks_[known.name];
      has_metric = has_metric || known.name == metric_name;
      labels_.append(known.bytes());
      pairs_.push_back(static_cast<PairNumber>(pair));
      if (labels_.size() > kMaxLabelSetBytes) return Damaged("ref", ref, "labels within limits");
    }
    // Found again by what the labels are, not by what a file says of them.
    if (!has_metric || !table_->Insert(static_cast<SeriesRef>(ref), metric_id << 32 | number,
                                       table_->HashOf(labels_), pairs_)) {
      return Damaged("ref", ref, "a metric name, and labels that no other series has");
    }
    next_ref_ = ref + 1;
  }
  return absl::OkStatus();
}

absl::Status Loader::Add(std::string_view bytes) {
  if (ended_) return absl::DataLossError("series snapshot: a record after the end");
  ByteReader record(bytes);
  const uint8_t kind = record.Byte();
  if (kind == kPairs) return AddPairs(&record);
  if (kind == kSeries) return AddSeries(&record);
  const uint64_t series = record.Varint64();
  const uint64_t pairs = record.Varint64();
  end_ = static_cast<SeriesRef>(record.BoundedVarint64(uint64_t{kMaxSeriesRef} + 1));
  ended_ = true;
  if (kind != kEnd || !record.ok() || !record.empty() || series != table_->live() ||
      pairs != table_->pair_count() || end_ < next_ref_) {
    return Damaged("record of kind", kind, "the end, with the counts of what was before");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SeriesTable>> Loader::Finish(SeriesRef* end) {
  if (!ended_) return absl::DataLossError("series snapshot: no end");
  table_->PostAll();
  *end = end_;
  return std::move(table_);
}

}  // namespace

absl::Status SeriesIndex::AppendSnapshot(SeriesRef end, lsm::WalWriter* writer) const {
  uint64_t removals = 0;
  PairNumber pairs = 0;  // written so far
  SeriesRef next = 0;    // ref
  uint64_t series = 0;
  SeriesRef previous_end = 0;  // one more than the last ref that was written
  bool first = true;
  bool more = true;
  std::string record;
  while (more) {
    record.clear();
    {
      ReaderMutexLock lock(&lock_);
      if (first) removals = removals_;
      first = false;
      if (removals != removals_) return absl::AbortedError("series were removed meanwhile");
      const SeriesTable& table = *table_;
      const SeriesRef last = std::min(end, table.ref_end());
      if (pairs < table.pair_count()) {
        // Those of series added since, too: each before the first series that has it.
        record.push_back(static_cast<char>(kPairs));
        const PairNumber stop = std::min<size_t>(table.pair_count(), pairs + kEntriesPerHold);
        for (; pairs < stop && record.size() < kRecordBytes; ++pairs) {
          record.append(table.PairAt(pairs).bytes());
        }
      } else {
        record.push_back(static_cast<char>(kSeries));
        const uint64_t stop = series + kEntriesPerHold;
        next = table.ForEachLivingFrom(next, last, [&](SeriesRef ref) {
          const SeriesTable::Series& entry = *table.EntryOf(ref);
          PutVarint64(&record, ref - previous_end);
          PutVarint64(&record, entry.id >> 32);
          PutVarint64(&record, (static_cast<uint32_t>(entry.id) - ref) & UINT32_MAX);
          const size_t ends = std::count_if(entry.pairs, entry.pairs + entry.pairs_bytes,
                                            [](char byte) { return (byte & 0x80) == 0; });
          PutVarint64(&record, ends);
          record.append(entry.pairs, entry.pairs_bytes);
          previous_end = ref + 1;
          ++series;
          return series < stop && record.size() < kRecordBytes;
        });
        more = next < last;
      }
    }
    writer->Add(record);
    TINYOBS_RETURN_IF_ERROR(writer->Write());
  }
  record.assign(1, static_cast<char>(kEnd));
  PutVarint64(&record, series);
  PutVarint64(&record, pairs);
  PutVarint64(&record, end);
  writer->Add(record);
  return writer->Write();
}

absl::Status SeriesIndex::LoadSnapshot(lsm::WalReader* reader, SeriesRef* end, size_t most_bytes) {
  Loader loader(seed_);
  while (true) {
    std::string_view record;
    TINYOBS_ASSIGN_OR_RETURN(const bool more, reader->Next(&record));
    if (!more) break;
    TINYOBS_RETURN_IF_ERROR(loader.Add(record));
    if (loader.MemoryBytes() > most_bytes) {
      return absl::ResourceExhaustedError(StrCat("series take more than ", most_bytes, " bytes"));
    }
  }
  if (!reader->sealed()) return absl::DataLossError("series snapshot: not sealed");
  TINYOBS_ASSIGN_OR_RETURN(auto table, loader.Finish(end));
  Adopt(std::move(table));
  return absl::OkStatus();
}

absl::Status WriteSeriesSnapshot(FileSystem* file_system, const std::string& path, uint64_t number,
                                 const SeriesIndex& index, SeriesRef end) {
  TINYOBS_ASSIGN_OR_RETURN(
      const auto writer,
      lsm::WalWriter::Create(file_system, TemporaryNameFor(path), {kWalKindSeries, number, 0}));
  TINYOBS_RETURN_IF_ERROR(index.AppendSnapshot(end, writer.get()));
  TINYOBS_RETURN_IF_ERROR(writer->Seal());
  TINYOBS_RETURN_IF_ERROR(writer->Sync());
  TINYOBS_RETURN_IF_ERROR(writer->Close());
  TINYOBS_RETURN_IF_ERROR(file_system->RenameFile(writer->path(), path));
  return file_system->SyncDirectory(DirectoryOf(path));
}

absl::Status ReadSeriesSnapshot(FileSystem* file_system, const std::string& path, uint64_t number,
                                SeriesIndex* index, SeriesRef* end, size_t most_bytes) {
  TINYOBS_ASSIGN_OR_RETURN(const auto file, file_system->OpenRandomAccess(path));
  TINYOBS_ASSIGN_OR_RETURN(const auto reader,
                           lsm::WalReader::Open(file.get(), path, kWalKindSeries, number));
  const absl::Status status = index->LoadSnapshot(reader.get(), end, most_bytes);
  if (status.ok()) return status;
  return WithContext(status, StrCat(path, ": offset ", reader->record_offset()));
}

}  // namespace tinyobs::tsdb
