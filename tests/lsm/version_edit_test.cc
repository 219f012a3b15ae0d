// Version edits as bytes, versions made of edits, and the manifest that keeps them.
#include "lib/lsm/version_edit.h"

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/manifest.h"
#include "lib/lsm/version.h"
#include "lib/vfs/whole_file.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using absl::StatusCode;
using testing::MemoryFileSystem;
using testing::Operation;

TableMeta Meta(uint64_t number, std::string_view first, std::string_view last,
               uint64_t sequence = 1) {
  TableMeta meta;
  meta.number = number;
  meta.file_bytes = 1000 * number;
  meta.entries = 10;
  meta.tombstones = 2;
  meta.smallest_sequence = sequence;
  meta.largest_sequence = sequence + 9;
  meta.smallest = MakeInternalKey(first, PackTrailer(sequence, ValueType::kPut));
  meta.largest = MakeInternalKey(last, PackTrailer(sequence + 9, ValueType::kPut));
  return meta;
}

VersionEdit SomeEdit() {
  VersionEdit edit;
  edit.log_number = 7;
  edit.next_file_number = 300;
  edit.last_sequence = kMaxSequence;
  edit.removed = {{0, 5}, {6, 1'000'000'007}};
  edit.added = {{1, Meta(12, "a", "b")}, {6, Meta(13, std::string("\0", 1), "\xff\xff")}};
  return edit;
}

TEST(VersionEdit, ComesBackAsItWas) {
  const VersionEdit edit = SomeEdit();
  ASSERT_OK_AND_ASSIGN(const VersionEdit decoded, VersionEdit::Decode(edit.Encode()));
  EXPECT_EQ(decoded, edit);
  ASSERT_OK_AND_ASSIGN(const VersionEdit empty, VersionEdit::Decode(""));
  EXPECT_EQ(empty, VersionEdit());
}

TEST(VersionEdit, CutOrDamagedBytesAreDataLossOrAnotherSoundEdit) {
  const std::string bytes = SomeEdit().Encode();
  for (size_t size = 0; size < bytes.size(); ++size) {
    auto edit = VersionEdit::Decode(std::string_view(bytes).substr(0, size));
    if (edit.ok()) {
      ASSERT_EQ(edit->Encode(), bytes.substr(0, size));
    }
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int flip = 1; flip < 256; ++flip) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      auto edit = VersionEdit::Decode(damaged);
      if (edit.ok()) continue;
      ASSERT_CODE(edit, StatusCode::kDataLoss);
    }
  }
}

TEST(VersionEdit, UnsoundTablesAreRefused) {
  const auto decode = [](TableMeta meta) {
    VersionEdit edit;
    edit.added.push_back({0, std::move(meta)});
    return VersionEdit::Decode(edit.Encode()).status();
  };
  EXPECT_OK(decode(Meta(1, "a", "b")));
  EXPECT_CODE(decode(Meta(1, "b", "a")), StatusCode::kDataLoss);
  EXPECT_CODE(decode(Meta(0, "a", "b")), StatusCode::kDataLoss);
  TableMeta no_key = Meta(1, "a", "b");
  no_key.smallest = "1234567";
  EXPECT_CODE(decode(no_key), StatusCode::kDataLoss);
  TableMeta sequences = Meta(1, "a", "b");
  std::swap(sequences.smallest_sequence, sequences.largest_sequence);
  EXPECT_CODE(decode(sequences), StatusCode::kDataLoss);
}

class VersionTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::shared_ptr<const Version>> Apply(const Version& base, VersionEdit edit) {
    return Version::Apply(base, edit, registry_, &replaced_);
  }
  std::shared_ptr<TableRegistry> registry_ = std::make_shared<TableRegistry>();
  TableList replaced_;
};

TEST_F(VersionTest, L0IsNewestFirstAndDeeperLevelsInKeyOrder) {
  VersionEdit edit;
  edit.added = {{0, Meta(1, "a", "z", 10)},
                {0, Meta(2, "a", "z", 30)},
                {0, Meta(3, "a", "z", 20)},
                {1, Meta(4, "m", "p")},
                {1, Meta(5, "a", "c")}};
  ASSERT_OK_AND_ASSIGN(auto version, Apply(Version(), edit));
  EXPECT_EQ(version->level(0)[0]->meta.number, 2u);
  EXPECT_EQ(version->level(0)[2]->meta.number, 1u);
  EXPECT_EQ(version->level(1)[0]->meta.number, 5u);
  EXPECT_EQ(version->l0_depth(), 3);
  EXPECT_EQ(version->LevelBytes(1), 9000u);
}

TEST_F(VersionTest, ATableThatMovesKeepsItsFile) {
  VersionEdit first;
  first.added = {{0, Meta(1, "a", "b")}};
  ASSERT_OK_AND_ASSIGN(auto version, Apply(Version(), first));
  VersionEdit move;
  move.removed = {{0, 1}};
  move.added = {{1, Meta(1, "a", "b")}};
  ASSERT_OK_AND_ASSIGN(auto moved, Apply(*version, move));
  EXPECT_EQ(moved->level(1)[0], version->level(0)[0]);
  EXPECT_TRUE(replaced_.empty());
}

TEST_F(VersionTest, AFileIsObsoleteOnlyWhenTheLastVersionThatHoldsItIsGone) {
  VersionEdit add;
  add.added = {{0, Meta(1, "a", "b")}};
  ASSERT_OK_AND_ASSIGN(auto version, Apply(Version(), add));
  VersionEdit remove;
  remove.removed = {{0, 1}};
  ASSERT_OK_AND_ASSIGN(auto after, Apply(*version, remove));
  ASSERT_EQ(replaced_.size(), 1u);
  EXPECT_FALSE(registry_->AwaitsObsolete());
  replaced_[0]->MarkObsolete();
  replaced_[0]->MarkObsolete();  // is one file all the same
  replaced_.clear();
  EXPECT_TRUE(registry_->AwaitsObsolete());
  EXPECT_FALSE(registry_->HasObsolete());
  EXPECT_TRUE(registry_->Contains(1));
  version = nullptr;
  EXPECT_FALSE(registry_->AwaitsObsolete());
  EXPECT_TRUE(registry_->HasObsolete());
  EXPECT_EQ(registry_->TakeObsolete(), std::vector<uint64_t>{1});
  EXPECT_FALSE(registry_->Contains(1));
}

TEST_F(VersionTest, EditsThatContradictTheVersionAreDataLoss) {
  VersionEdit add;
  add.added = {{1, Meta(1, "c", "f")}};
  ASSERT_OK_AND_ASSIGN(auto version, Apply(Version(), add));
  VersionEdit wrong_level;
  wrong_level.removed = {{2, 1}};
  EXPECT_CODE(Apply(*version, wrong_level), StatusCode::kDataLoss);
  VersionEdit twice;
  twice.added = {{2, Meta(1, "c", "f")}};
  EXPECT_CODE(Apply(*version, twice), StatusCode::kDataLoss);
  VersionEdit overlap;
  overlap.added = {{1, Meta(2, "f", "g")}};
  EXPECT_CODE(Apply(*version, overlap), StatusCode::kDataLoss);
}

TEST(SideBySide, MakesAsFewRowsAsTablesLieOverOneKey) {
  auto registry = std::make_shared<TableRegistry>();
  const auto rows = [&](std::vector<std::pair<std::string, std::string>> ranges) {
    TableList tables;
    for (const auto& [first, last] : ranges) {
      tables.push_back(
          std::make_shared<const TableFile>(Meta(tables.size() + 1, first, last), registry));
    }
    std::string text;
    for (const TableList& row : SideBySide(tables)) {
      for (const TablePtr& table : row) {
        StrAppend(&text, table->smallest_user_key(), "-", table->largest_user_key(), " ");
      }
      text += "| ";
    }
    return text;
  };
  EXPECT_EQ(rows({}), "");
  EXPECT_EQ(rows({{"e", "f"}, {"a", "b"}, {"c", "d"}}), "a-b c-d e-f | ");
  EXPECT_EQ(rows({{"a", "c"}, {"c", "d"}}), "a-c | c-d | ");
  EXPECT_EQ(rows({{"a", "z"}, {"b", "c"}, {"d", "e"}, {"d", "x"}}), "a-z | b-c d-e | d-x | ");
  EXPECT_EQ(rows({{"a", "c"}, {"b", "f"}, {"d", "e"}, {"g", "h"}}), "a-c d-e g-h | b-f | ");
}

class ManifestTest : public ::testing::Test {
 protected:
  ManifestTest() { EXPECT_OK(fs_.CreateDirectories("/db")); }
  absl::StatusOr<ManifestState> Read() {
    return ReadManifest(&fs_, "/db", std::make_shared<TableRegistry>());
  }
  MemoryFileSystem fs_;
};

TEST_F(ManifestTest, EditsAddUpToTheState) {
  VersionEdit state;
  state.log_number = 1;
  state.next_file_number = 4;
  state.last_sequence = 9;
  state.added = {{1, Meta(2, "a", "b")}};
  ASSERT_OK_AND_ASSIGN(auto manifest, ManifestWriter::Create(&fs_, "/db", 3, state));
  VersionEdit edit;
  edit.log_number = 5;
  edit.last_sequence = 20;
  edit.removed = {{1, 2}};
  edit.added = {{2, Meta(6, "a", "b")}};
  ASSERT_OK(manifest->Append(edit));
  fs_.Crash();  // all of it is durable
  ASSERT_OK_AND_ASSIGN(const ManifestState read, Read());
  EXPECT_EQ(read.manifest_number, 3u);
  EXPECT_EQ(read.log_number, 5u);
  EXPECT_EQ(read.next_file_number, 4u);
  EXPECT_EQ(read.last_sequence, 20u);
  EXPECT_TRUE(read.version->level(1).empty());
  ASSERT_EQ(read.version->level(2).size(), 1u);
  EXPECT_EQ(read.version->level(2)[0]->meta, edit.added[0].meta);
}

TEST_F(ManifestTest, ATornEditIsCutAndCounted) {
  ASSERT_OK_AND_ASSIGN(auto manifest, ManifestWriter::Create(&fs_, "/db", 3, VersionEdit()));
  VersionEdit edit;
  edit.last_sequence = 20;
  ASSERT_OK(manifest->Append(edit));
  const std::string path = ManifestFileName("/db", 3);
  ASSERT_OK_AND_ASSIGN(const std::string bytes, fs_.Contents(path));
  ASSERT_OK(fs_.SetContents(path, bytes.substr(0, bytes.size() - 1)));
  ASSERT_OK_AND_ASSIGN(const ManifestState read, Read());
  EXPECT_EQ(read.last_sequence, 0u);
  EXPECT_GT(read.torn_bytes, 0u);
}

TEST_F(ManifestTest, NoCurrentIsNotFoundAndAnythingWrongInItDataLoss) {
  EXPECT_CODE(Read(), StatusCode::kNotFound);
  ASSERT_OK_AND_ASSIGN(auto manifest, ManifestWriter::Create(&fs_, "/db", 3, VersionEdit()));
  for (const char* const content :
       {"", "MANIFEST-000003", "MANIFEST-3\n", "MANIFEST-000004\n", "../MANIFEST-000003\n",
        "MANIFEST-000003\n\n", "000003.log\n"}) {
    ASSERT_OK(fs_.SetContents("/db/CURRENT", content));
    EXPECT_CODE(Read(), StatusCode::kDataLoss) << content;
  }
}

TEST_F(ManifestTest, EveryDamagedByteIsNoticedOrHarmlessOnceLaterEditsAreThere) {
  ASSERT_OK_AND_ASSIGN(auto manifest, ManifestWriter::Create(&fs_, "/db", 3, VersionEdit()));
  VersionEdit edit;
  edit.added = {{2, Meta(6, "a", "b")}};
  ASSERT_OK(manifest->Append(edit));
  ASSERT_OK(manifest->Seal());
  const std::string path = ManifestFileName("/db", 3);
  ASSERT_OK_AND_ASSIGN(const std::string bytes, fs_.Contents(path));
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] ^= '\x04';
    ASSERT_OK(fs_.SetContents(path, damaged));
    auto read = Read();
    if (read.ok()) {
      ASSERT_EQ(read->version->level(2).size(), 1u) << i;
    } else {
      ASSERT_CODE(read, StatusCode::kDataLoss) << i;
    }
  }
}

TEST(FileNames, AreParsedBackAndOthersAreLeftAlone) {
  const auto type_of = [](std::string_view name) { return ParseFileName(name).type; };
  EXPECT_EQ(type_of("000012.log"), FileType::kLog);
  EXPECT_EQ(ParseFileName("1234567.sst").number, 1'234'567u);
  EXPECT_EQ(type_of("MANIFEST-000001"), FileType::kManifest);
  EXPECT_EQ(type_of("CURRENT"), FileType::kCurrent);
  EXPECT_EQ(type_of("LOCK"), FileType::kLock);
  EXPECT_EQ(type_of(TemporaryNameFor("CURRENT")), FileType::kTemporary);
  for (const char* const name :
       {"", "12.log", "0000012.log", "000012.LOG", "000012.log.bak", "x000012.sst", "-00012.sst",
        "MANIFEST-", "MANIFEST-1", "18446744073709551616.sst", "notes.txt", "000012.tmp"}) {
    EXPECT_EQ(type_of(name), FileType::kUnknown) << name;
  }
}

}  // namespace
}  // namespace tinyobs::lsm
