// SQLite as a store of samples: one table whose rows are its primary key's B-tree.
//
// Write-ahead log, nothing synced (synchronous = OFF is what "logged and not synced" means there),
// one transaction a batch, statements prepared once. SQLite keeps no NaN: it stores NULL, which is
// read back as the one NaN that text formats know.
#include <sqlite3.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <string>

#include "bench/peers/sample_engine.h"

namespace tinyobs::bench {
namespace {

class Statement {
 public:
  Statement(sqlite3* db, const char* text) : db_(db) {
    Check(sqlite3_prepare_v3(db, text, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr), text);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void Bind(int index, int64_t value) {
    Check(sqlite3_bind_int64(statement_, index, value), "bind");
  }
  void Bind(int index, double value) {
    Check(sqlite3_bind_double(statement_, index, value), "bind");
  }
  // True for a row.
  bool Step() {
    const int answer = sqlite3_step(statement_);
    if (answer != SQLITE_ROW) Check(answer == SQLITE_DONE ? SQLITE_OK : answer, "step");
    return answer == SQLITE_ROW;
  }
  int64_t Integer(int column) { return sqlite3_column_int64(statement_, column); }
  double Real(int column) {
    if (sqlite3_column_type(statement_, column) == SQLITE_NULL) {
      return std::numeric_limits<double>::quiet_NaN();
    }
    return sqlite3_column_double(statement_, column);
  }
  void Reset() { Check(sqlite3_reset(statement_), "reset"); }

 private:
  void Check(int answer, const char* what) {
    Require(answer == SQLITE_OK, std::string("sqlite ") + what, sqlite3_errmsg(db_));
  }

  sqlite3* const db_;
  sqlite3_stmt* statement_ = nullptr;
};

class SqliteSamples final : public SampleEngine {
 public:
  SqliteSamples(const std::string& folder, const SampleEngineSettings& settings)
      : path_(folder + "/samples.db"), cache_kib_(settings.memory_bytes >> 10) {
    Open();
    Run("CREATE TABLE IF NOT EXISTS samples (series INTEGER NOT NULL, time INTEGER NOT NULL, "
        "value REAL, PRIMARY KEY (series, time)) WITHOUT ROWID");
    Prepare();
  }
  ~SqliteSamples() override { Close(); }

  void Create(std::span<const Labels>, const SampleBatch& batch) override { Append(batch); }

  void Append(const SampleBatch& batch) override {
    Run("BEGIN");
    for (size_t i = 0; i < batch.size(); ++i) {
      insert_->Bind(1, int64_t{batch.series[i]});
      insert_->Bind(2, batch.timestamps_ms[i]);
      insert_->Bind(3, batch.values[i]);
      insert_->Step();
      insert_->Reset();
    }
    Run("COMMIT");
  }

  // The table grows in place; only the log is behind it.
  void Flush() override { Run("PRAGMA wal_checkpoint(PASSIVE)"); }

  // VACUUM writes the table anew with full pages: filled in the order of time, they are half empty.
  void CompactAll() override {
    Run("VACUUM");
    Run("PRAGMA wal_checkpoint(TRUNCATE)");
    Close();
    Open();
    Prepare();
  }

  SampleTotals Scan() override {
    SampleTotals totals;
    Statement all(db_, "SELECT time, value FROM samples ORDER BY series, time");
    while (all.Step()) totals.Add(all.Integer(0), all.Real(1));
    return totals;
  }

  void Range(uint32_t series, const std::vector<Matcher>&, int64_t from_ms, int64_t to_ms,
             Columns* out) override {
    out->clear();
    range_->Bind(1, int64_t{series});
    range_->Bind(2, from_ms);
    range_->Bind(3, to_ms);
    while (range_->Step()) out->Add(range_->Integer(0), range_->Real(1));
    range_->Reset();
  }

 private:
  void Open() {
    const int answer = sqlite3_open(path_.c_str(), &db_);
    Require(answer == SQLITE_OK, "sqlite open", sqlite3_errstr(answer));
    Run("PRAGMA journal_mode = WAL");
    Run("PRAGMA synchronous = OFF");
    Run("PRAGMA cache_size = -" + std::to_string(cache_kib_));
  }
  void Prepare() {
    insert_ = std::make_unique<Statement>(db_, "INSERT INTO samples VALUES (?, ?, ?)");
    range_ = std::make_unique<Statement>(
        db_,
        "SELECT time, value FROM samples WHERE series = ? AND time BETWEEN ? AND ? ORDER BY time");
  }
  void Close() {
    insert_.reset();
    range_.reset();
    Require(sqlite3_close(db_) == SQLITE_OK, "sqlite close", sqlite3_errmsg(db_));
    db_ = nullptr;
  }
  void Run(const std::string& text) {
    const int answer = sqlite3_exec(db_, text.c_str(), nullptr, nullptr, nullptr);
    Require(answer == SQLITE_OK, "sqlite " + text, sqlite3_errmsg(db_));
  }

  const std::string path_;
  const size_t cache_kib_;
  sqlite3* db_ = nullptr;
  std::unique_ptr<Statement> insert_;
  std::unique_ptr<Statement> range_;
};

}  // namespace

SamplePeer SqliteSamplePeer() {
  return {"sqlite", sqlite3_libversion(),
          "a row a sample, WITHOUT ROWID, PRIMARY KEY (series, time); write-ahead log, "
          "synchronous = OFF; one transaction a batch, prepared statements; pages of 4 KiB and a "
          "checkpoint each 1000 pages, its defaults; the whole memory is page cache; compaction is "
          "VACUUM; no compression and no threads, which it has not",
          [](const std::string& folder, const SampleEngineSettings& settings) {
            return std::make_unique<SqliteSamples>(folder, settings);
          }};
}

}  // namespace tinyobs::bench
