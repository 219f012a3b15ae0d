#include "tools/cli/lsm_commands.h"

#include <charconv>
#include <memory>
#include <utility>
#include <vector>

#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/internal_key.h"
#include "lib/lsm/store.h"
#include "lib/lsm/version_edit.h"
#include "lib/lsm/wal_reader.h"
#include "lib/sstable/table_reader.h"
#include "lib/tsdb/key_schema.h"
#include "lib/vfs/whole_file.h"
#include "tinyobs/file_system.h"

namespace tinyobs::cli {

const std::string_view kLsmHelp = R"(
  tinyobs lsm stats PATH            tables, levels and bytes
  tinyobs lsm verify PATH           reads every byte and checks everything; lists what is wrong
  tinyobs lsm repair PATH           puts damaged files aside (in the folder `lost`) and keeps the
                                    rest; stop the server first
  tinyobs lsm dump-sst FILE         entries of a table (000012.sst)
  tinyobs lsm dump-wal FILE         records of a log (000012.log)
  tinyobs lsm dump-manifest FILE    changes of the set of tables (MANIFEST-000012)

PATH is the data folder of a server, or a folder that holds a store. stats and verify may run beside
the server and change nothing. The dumps print 20 lines of content; --limit N prints more.
)";

namespace {

// Of keys and values in the dumps.
constexpr size_t kShownBytes = 64;
constexpr size_t kShownKeyBytes = 120;
constexpr uint64_t kLimitDefault = 20;
constexpr uint64_t kLimitMax = 10'000'000;

struct Place {
  std::string folder;  // of the store
  lsm::StoreOptions options;
};

// `path` as a store's folder, or as a data folder with a store in it.
absl::StatusOr<Place> FindStore(std::string path) {
  FileSystem* const file_system = FileSystem::Posix();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (file_system->FileExists(path + "/IDENTITY")) path += "/lsm";
  const absl::StatusOr<std::vector<std::string>> names = file_system->ListDirectory(path);
  if (!names.ok()) {
    return absl::NotFoundError(StrCat(FromAbsl(names.status().message()),
                                      "; give the data folder of a server, or a store in it"));
  }
  Place place;
  for (const std::string& name : *names) {
    if (lsm::ParseFileName(name).type != lsm::FileType::kUnknown) place.folder = path;
  }
  if (place.folder.empty()) {
    return absl::NotFoundError(
        StrCat(path, ": no store here; give the data folder of a server, or a store in it"));
  }
  // The tables of a server hold one partition each, which verify checks and repair keeps so.
  if (file_system->FileExists(DirectoryOf(path) + "/IDENTITY")) {
    place.options.partition_of = tsdb::PartitionPrefix;
  }
  return place;
}

std::string Quoted(std::string_view bytes, size_t shown = kShownBytes) {
  return StrCat("\"", EscapeForMessage(bytes, shown), "\"",
                bytes.size() > shown ? StrCat(" (", bytes.size(), " bytes)") : std::string());
}

void Row(std::string_view name, uint64_t value, std::string* out) {
  StrAppend(out, name, std::string(name.size() < 16 ? 16 - name.size() : 1, ' '), value, "\n");
}

absl::Status WithHint(const absl::Status& status, const std::string& folder) {
  if (!absl::IsDataLoss(status)) return status;
  return absl::Status(
      status.code(),
      StrCat(FromAbsl(status.message()), "\nstop the server and run: tinyobs lsm repair ", folder));
}

absl::Status Stats(const std::string& path, std::string* out) {
  TINYOBS_ASSIGN_OR_RETURN(const Place place, FindStore(path));
  const auto store = lsm::Store::OpenReadOnly(place.folder, place.options);
  if (!store.ok()) return WithHint(store.status(), place.folder);
  const lsm::StoreStats stats = (*store)->Stats();
  uint64_t tables = 0;
  for (const lsm::LevelStats& level : stats.levels) tables += level.files;
  Row("tables", tables, out);
  Row("disk bytes", stats.disk_bytes, out);
  Row("log bytes", stats.wal_bytes, out);
  Row("log records", stats.recovered_wal_records, out);
  Row("last sequence", stats.last_sequence, out);
  *out += "level  tables           bytes\n";
  for (size_t i = 0; i < stats.levels.size(); ++i) {
    const lsm::LevelStats& level = stats.levels[i];
    if (level.files == 0) continue;
    StrAppend(out, absl::Dec(i, absl::kSpacePad5), "  ", absl::Dec(level.files, absl::kSpacePad6),
              "  ", absl::Dec(level.bytes, absl::kSpacePad14), "\n");
  }
  return absl::OkStatus();
}

void ListProblems(const std::vector<lsm::FileProblem>& problems, std::string* out) {
  for (const lsm::FileProblem& problem : problems) {
    const std::string_view message = FromAbsl(problem.status.message());
    StrAppend(out, "  ",
              message.starts_with(problem.file) ? std::string(message)
                                                : StrCat(problem.file, ": ", message),
              "\n");
  }
}

absl::Status Verify(const std::string& path, std::string* out) {
  TINYOBS_ASSIGN_OR_RETURN(const Place place, FindStore(path));
  const auto store = lsm::Store::OpenReadOnly(place.folder, place.options);
  if (!store.ok()) return WithHint(store.status(), place.folder);
  TINYOBS_ASSIGN_OR_RETURN(const lsm::VerifyReport report, (*store)->Verify());
  StrAppend(out, "read ", report.tables, " tables (", report.entries, " entries, ",
            report.table_bytes, " bytes) and ", report.logs, " logs (", report.log_records,
            " records): ");
  if (report.problems.empty()) {
    *out += "all is well\n";
    return absl::OkStatus();
  }
  const std::string count =
      StrCat(report.problems.size(), report.problems.size() == 1 ? " problem" : " problems");
  StrAppend(out, count, "\n");
  ListProblems(report.problems, out);
  return WithHint(absl::DataLossError(StrCat(place.folder, ": ", count)), place.folder);
}

absl::Status Repair(const std::string& path, std::string* out) {
  TINYOBS_ASSIGN_OR_RETURN(const Place place, FindStore(path));
  const auto report = lsm::Store::Repair(place.folder, place.options);
  if (absl::IsFailedPrecondition(report.status())) {
    return absl::FailedPreconditionError(
        StrCat(FromAbsl(report.status().message()), "; is a server running? Stop it first"));
  }
  TINYOBS_RETURN_IF_ERROR(report.status());
  StrAppend(out, "kept ", report->tables_kept, " tables (", report->entries_kept, " entries) and ",
            report->log_records_kept, " records of logs\n");
  if (report->manifest_rebuilt) {
    *out += "the list of tables was lost and made anew: deleted keys may have come back\n";
  }
  if (report->quarantined.empty()) {
    *out += "nothing was damaged\n";
  } else {
    StrAppend(out, "put aside in ", lsm::LostFolderName(place.folder), ":\n");
    ListProblems(report->quarantined, out);
  }
  return absl::OkStatus();
}

// The lines of a dump, no more than asked for.
class Lines {
 public:
  Lines(uint64_t limit, std::string* out) : left_(limit), out_(out) {}
  // False: enough.
  template <typename... Pieces>
  bool Add(const Pieces&... pieces) {
    if (left_ == 0) {
      *out_ += "... more; see --limit\n";
      return false;
    }
    --left_;
    StrAppend(out_, pieces..., "\n");
    return true;
  }

 private:
  uint64_t left_;
  std::string* const out_;
};

std::string KeyText(std::string_view key, bool internal) {
  if (!internal || key.size() < lsm::kTrailerBytes) return Quoted(key, kShownKeyBytes);
  const uint64_t trailer = lsm::TrailerOf(key);
  const lsm::ValueType type = lsm::TypeOf(trailer);
  const std::string_view name = type == lsm::ValueType::kPut      ? "put"
                                : type == lsm::ValueType::kDelete ? "delete"
                                                                  : "unknown";
  return StrCat(Quoted(lsm::UserKeyOf(key), kShownKeyBytes), " @", lsm::SequenceOf(trailer), " ",
                name);
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenFile(const std::string& path) {
  auto file = FileSystem::Posix()->OpenRandomAccess(path);
  if (absl::IsFailedPrecondition(file.status())) {
    return absl::FailedPreconditionError(StrCat(path, ": a folder; give one of the files in it"));
  }
  return file;
}

absl::Status DumpTable(const std::string& path, uint64_t limit, std::string* out) {
  TINYOBS_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file, OpenFile(path));
  TINYOBS_ASSIGN_OR_RETURN(const auto reader,
                           sstable::TableReader::Open({}, path, std::move(file)));
  const sstable::TableProperties& properties = reader->properties();
  const bool internal = reader->trailer_bytes() == lsm::kTrailerBytes;
  Row("file bytes", reader->file_bytes(), out);
  Row("entries", properties.entries, out);
  Row("user keys", properties.user_keys, out);
  Row("key bytes", properties.raw_key_bytes, out);
  Row("value bytes", properties.raw_value_bytes, out);
  Row("data blocks", properties.data_blocks, out);
  Row("index bytes", properties.index_bytes, out);
  Row("filter bytes", properties.filter_bytes, out);
  StrAppend(out, "smallest        ", KeyText(properties.smallest_key, internal), "\n",
            "largest         ", KeyText(properties.largest_key, internal), "\n");
  Lines lines(limit, out);
  const std::unique_ptr<Iterator> entries = reader->NewIterator({});
  for (entries->SeekToFirst(); entries->Valid(); entries->Next()) {
    if (!lines.Add(KeyText(entries->key(), internal), " ", Quoted(entries->value()))) break;
  }
  return entries->status();
}

// Kind and number stand in the header of a log, so a log under any name can be dumped.
absl::StatusOr<lsm::WalIdentity> ReadIdentity(const RandomAccessFile& file,
                                              const std::string& path) {
  char header[lsm::kFrameHeaderBytes + lsm::kHeaderPayloadBytes];
  TINYOBS_ASSIGN_OR_RETURN(const size_t got, file.Read(0, sizeof(header), header));
  if (got < sizeof(header) || LoadFixed64(header + 8) != lsm::kWalMagic) {
    return absl::DataLossError(StrCat(path, ": not a TinyObs log"));
  }
  return lsm::WalIdentity{LoadFixed32(header + 20), LoadFixed64(header + 24),
                          LoadFixed64(header + 32)};
}

absl::StatusOr<bool> DumpBatch(std::string_view record, uint64_t offset, Lines* lines) {
  lsm::BatchRecord batch;
  TINYOBS_RETURN_IF_ERROR(lsm::DecodeBatchRecord(record, &batch));
  if (!lines->Add("offset ", offset, ": ", batch.count, " entries from sequence ", batch.sequence,
                  " on")) {
    return false;
  }
  lsm::BatchReader entries(batch.entries);
  lsm::ValueType type;
  std::string_view key, value;
  while (entries.Next(&type, &key, &value)) {
    const bool more = type == lsm::ValueType::kPut
                          ? lines->Add("  put ", Quoted(key, kShownKeyBytes), " ", Quoted(value))
                          : lines->Add("  delete ", Quoted(key, kShownKeyBytes));
    if (!more) return false;
  }
  if (!entries.ok()) return absl::DataLossError("a batch with a damaged entry");
  return true;
}

absl::StatusOr<bool> DumpEdit(std::string_view record, uint64_t offset, Lines* lines) {
  TINYOBS_ASSIGN_OR_RETURN(const lsm::VersionEdit edit, lsm::VersionEdit::Decode(record));
  std::string numbers;
  if (edit.log_number.has_value()) StrAppend(&numbers, " log ", *edit.log_number);
  if (edit.next_file_number.has_value()) StrAppend(&numbers, " next file ", *edit.next_file_number);
  if (edit.last_sequence.has_value()) StrAppend(&numbers, " last sequence ", *edit.last_sequence);
  bool more = lines->Add("offset ", offset, ":", numbers);
  for (size_t i = 0; more && i < edit.removed.size(); ++i) {
    more = lines->Add("  - level ", edit.removed[i].level, " table ", edit.removed[i].number);
  }
  for (size_t i = 0; more && i < edit.added.size(); ++i) {
    const lsm::TableMeta& meta = edit.added[i].meta;
    more =
        lines->Add("  + level ", edit.added[i].level, " table ", meta.number, ": ", meta.file_bytes,
                   " bytes, ", meta.entries, " entries, ", meta.tombstones,
                   " deletions, sequences ", meta.smallest_sequence, " to ", meta.largest_sequence,
                   ", ", KeyText(meta.smallest, true), " to ", KeyText(meta.largest, true));
  }
  return more;
}

absl::Status DumpLog(const std::string& path, bool manifest, uint64_t limit, std::string* out) {
  TINYOBS_ASSIGN_OR_RETURN(const std::unique_ptr<RandomAccessFile> file, OpenFile(path));
  TINYOBS_ASSIGN_OR_RETURN(const lsm::WalIdentity identity, ReadIdentity(*file, path));
  if (manifest != (identity.kind == lsm::kWalKindManifest)) {
    return absl::InvalidArgumentError(
        StrCat(path, manifest ? ": no manifest; try dump-wal" : ": a manifest; try dump-manifest"));
  }
  TINYOBS_ASSIGN_OR_RETURN(const auto reader,
                           lsm::WalReader::Open(file.get(), path, identity.kind, identity.number));
  StrAppend(out, "log ", identity.number, " of kind ", identity.kind, ", behind log ",
            identity.previous, ", ", reader->file_bytes(), " bytes\n");
  Lines lines(limit, out);
  std::string_view record;
  while (true) {
    TINYOBS_ASSIGN_OR_RETURN(const bool is_record, reader->Next(&record));
    if (!is_record) break;
    const uint64_t offset = reader->record_offset();
    absl::StatusOr<bool> more = false;
    if (manifest) {
      more = DumpEdit(record, offset, &lines);
    } else if (identity.kind == lsm::kWalKindStore) {
      more = DumpBatch(record, offset, &lines);
    } else {
      more = lines.Add("offset ", offset, ": ", Quoted(record));
    }
    if (!more.ok()) {
      return absl::DataLossError(
          StrCat(path, ": offset ", offset, ": ", FromAbsl(more.status().message())));
    }
    if (!*more) return absl::OkStatus();
  }
  StrAppend(out, reader->sealed() ? "sealed: ended in good order" : "not sealed",
            ", durable up to ", reader->durable_bytes());
  if (reader->torn_bytes() > 0) StrAppend(out, ", a torn tail of ", reader->torn_bytes(), " bytes");
  *out += "\n";
  return absl::OkStatus();
}

}  // namespace

absl::Status Lsm(const Arguments& arguments, std::string* out) {
  if (arguments.words.size() != 2) {
    return absl::InvalidArgumentError("expected a command and a path; see tinyobs lsm --help");
  }
  const std::string& command = arguments.words[0];
  const std::string& path = arguments.words[1];
  uint64_t limit = kLimitDefault;
  const std::string text = arguments.Get("limit", "");
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (!text.empty() &&
      (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || limit > kLimitMax)) {
    return absl::InvalidArgumentError(
        StrCat("--limit is '", EscapeForMessage(text, 40), "'; expected 0 to ", kLimitMax));
  }
  if (command == "stats") return Stats(path, out);
  if (command == "verify") return Verify(path, out);
  if (command == "repair") return Repair(path, out);
  if (command == "dump-sst") return DumpTable(path, limit, out);
  if (command == "dump-wal") return DumpLog(path, /*manifest=*/false, limit, out);
  if (command == "dump-manifest") return DumpLog(path, /*manifest=*/true, limit, out);
  return absl::InvalidArgumentError(
      StrCat("unknown command '", EscapeForMessage(command, 40), "'; see tinyobs lsm --help"));
}

}  // namespace tinyobs::cli
