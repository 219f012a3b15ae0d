#include "lib/lsm/user_iterator.h"

#include <utility>

#include "lib/base/coding.h"
#include "lib/lsm/internal_key.h"

namespace tinyobs::lsm {
namespace {

// After so many hidden versions of one key in a row a seek past all of them is cheaper.
constexpr int kStepsBeforeSeek = 8;

// Forward: entries_ stands on the entry that is shown. Backward: entries_ stands before all
// versions of the shown key, which is in saved_key_ and saved_value_, because the newest visible
// version is the last one met and the cursor has to pass it to know.
class UserIterator final : public Iterator {
 public:
  UserIterator(UserIteratorOptions options, std::unique_ptr<Iterator> entries)
      : options_(std::move(options)), entries_(std::move(entries)) {}

  bool Valid() const override { return valid_; }
  std::string_view key() const override {
    return forward_ ? UserKeyOf(entries_->key()) : std::string_view(saved_key_);
  }
  std::string_view value() const override {
    return forward_ ? entries_->value() : std::string_view(saved_value_);
  }
  absl::Status status() const override { return entries_->status(); }

  void SeekToFirst() override {
    forward_ = true;
    if (options_.lower_bound.empty()) {
      entries_->SeekToFirst();
    } else {
      SeekEntries(options_.lower_bound);
    }
    FindForward(false);
  }

  void Seek(std::string_view target) override {
    forward_ = true;
    if (const size_t bytes = options_.seek_prefix_bytes; bytes > 0) {
      options_.upper_bound = PrefixEnd(target.substr(0, bytes));
    }
    const bool below = CompareUserKeys(target, options_.lower_bound) < 0;
    SeekEntries(below ? std::string_view(options_.lower_bound) : target);
    FindForward(false);
  }

  void SeekToLast() override {
    forward_ = false;
    if (options_.upper_bound.empty()) {
      entries_->SeekToLast();
    } else {
      SeekEntriesBefore(options_.upper_bound);
    }
    FindBackward();
  }

  void SeekForPrev(std::string_view target) override {
    forward_ = false;
    if (!options_.upper_bound.empty() && CompareUserKeys(target, options_.upper_bound) >= 0) {
      SeekEntriesBefore(options_.upper_bound);
    } else {
      scratch_.clear();
      AppendInternalKey(target, kLastTrailer, &scratch_);
      entries_->SeekForPrev(scratch_);
    }
    FindBackward();
  }

  void Next() override {
    if (forward_) {
      saved_key_.assign(UserKeyOf(entries_->key()));
      entries_->Next();
    } else {
      // entries_ is before all versions of saved_key_; FindForward skips those.
      forward_ = true;
      if (entries_->Valid()) {
        entries_->Next();
      } else {
        if (!entries_->status().ok()) return Invalidate();
        SeekEntries(saved_key_);
      }
    }
    FindForward(true);
  }

  void Prev() override {
    if (forward_) {
      forward_ = false;
      SeekEntriesBefore(UserKeyOf(entries_->key()));
    }
    FindBackward();
  }

 private:
  void Invalidate() { valid_ = false; }

  void SeekEntries(std::string_view user_key) {
    scratch_.clear();
    AppendInternalKey(user_key, SeekTrailer(options_.sequence), &scratch_);
    entries_->Seek(scratch_);
  }
  // To the last entry with a smaller user key.
  void SeekEntriesBefore(std::string_view user_key) {
    scratch_.clear();
    AppendInternalKey(user_key, 0,
                      &scratch_);  // no entry has trailer 0: its sequence is the largest
    entries_->SeekForPrev(scratch_);
  }

  // From entries_ on, to the first entry that is shown. `skip_saved`: versions of saved_key_ are
  // hidden.
  void FindForward(bool skip_saved) {
    valid_ = false;
    int steps = 0;
    while (entries_->Valid()) {
      const std::string_view entry = entries_->key();
      const std::string_view user_key = UserKeyOf(entry);
      if (!options_.upper_bound.empty() && CompareUserKeys(user_key, options_.upper_bound) >= 0) {
        return;
      }
      const uint64_t trailer = TrailerOf(entry);
      const bool hidden = skip_saved && CompareUserKeys(user_key, saved_key_) == 0;
      if (!hidden && SequenceOf(trailer) <= options_.sequence) {
        if (TypeOf(trailer) == ValueType::kPut) {
          valid_ = true;
          return;
        }
        saved_key_.assign(user_key);  // a tombstone hides what follows
        skip_saved = true;
        steps = 0;
      }
      if (++steps <= kStepsBeforeSeek) {
        entries_->Next();
        continue;
      }
      steps = 0;
      scratch_.clear();
      // Past all versions when they are hidden, else to the first visible one.
      const bool skip_key = skip_saved && user_key == saved_key_;
      AppendInternalKey(user_key, skip_key ? kLastTrailer : SeekTrailer(options_.sequence),
                        &scratch_);
      entries_->Seek(scratch_);
    }
  }

  // From entries_ backwards, to the last user key that is shown; leaves entries_ before all its
  // versions.
  void FindBackward() {
    valid_ = false;
    bool shown = false;  // saved_key_ has a visible put so far
    bool has_key = false;
    while (entries_->Valid()) {
      const std::string_view entry = entries_->key();
      const std::string_view user_key = UserKeyOf(entry);
      if (has_key && user_key != saved_key_) {
        if (shown) break;
        has_key = false;
      }
      if (CompareUserKeys(user_key, options_.lower_bound) < 0) break;
      if (!has_key) {
        saved_key_.assign(user_key);
        has_key = true;
      }
      const uint64_t trailer = TrailerOf(entry);
      if (SequenceOf(trailer) <= options_.sequence) {  // newer than what was seen of this key
        shown = TypeOf(trailer) == ValueType::kPut;
        if (shown) saved_value_.assign(entries_->value());
      }
      entries_->Prev();
    }
    if (!entries_->Valid() && !entries_->status().ok()) return;
    valid_ = shown;
  }

  UserIteratorOptions options_;
  const std::unique_ptr<Iterator> entries_;
  bool forward_ = true;
  bool valid_ = false;
  std::string saved_key_;
  std::string saved_value_;
  std::string scratch_;
};

class ErrorIterator final : public Iterator {
 public:
  explicit ErrorIterator(absl::Status status) : status_(std::move(status)) {}

  bool Valid() const override { return false; }
  void SeekToFirst() override {}
  void SeekToLast() override {}
  void Seek(std::string_view) override {}
  void SeekForPrev(std::string_view) override {}
  void Next() override {}
  void Prev() override {}
  std::string_view key() const override { return {}; }
  std::string_view value() const override { return {}; }
  absl::Status status() const override { return status_; }

 private:
  const absl::Status status_;
};

}  // namespace

std::unique_ptr<Iterator> NewUserIterator(UserIteratorOptions options,
                                          std::unique_ptr<Iterator> entries) {
  return std::make_unique<UserIterator>(std::move(options), std::move(entries));
}

std::unique_ptr<Iterator> NewErrorIterator(absl::Status status) {
  return std::make_unique<ErrorIterator>(std::move(status));
}

}  // namespace tinyobs::lsm
