#include "lib/lsm/memtable_budget.h"

#include <algorithm>
#include <utility>

namespace tinyobs::lsm {

MemtableBudget::Member::Member(std::shared_ptr<MemtableBudget> budget, std::function<void()> wake)
    : budget_(std::move(budget)), wake_(std::move(wake)) {
  MutexLock lock(&budget_->mutex_);
  budget_->members_.push_back(this);
}

MemtableBudget::Member::~Member() {
  MutexLock lock(&budget_->mutex_);
  std::erase(budget_->members_, this);
  budget_->Rebalance();
}

void MemtableBudget::Member::Report(const Use& use) {
  if (use == reported_) return;
  reported_ = use;
  MutexLock lock(&budget_->mutex_);
  use_ = use;
  budget_->Rebalance();
}

double MemtableBudget::Fill() const {
  const size_t used = used_bytes(), soft = soft_bytes();
  if (used <= soft) return 0;
  return static_cast<double>(used - soft) / static_cast<double>(std::max<size_t>(bytes_ - soft, 1));
}

bool MemtableBudget::WillShrink() const {
  MutexLock lock(&mutex_);
  return std::any_of(members_.begin(), members_.end(), [](const Member* member) {
    const Use& use = member->use_;
    return use.flushes_by_itself && (use.unflushed_bytes > 0 || member->flush_wanted());
  });
}

void MemtableBudget::Rebalance() {
  const bool was_used_up = IsUsedUp();
  size_t used = 0;
  size_t stays = 0;  // what nobody frees as things are
  for (const Member* member : members_) {
    const Use& use = member->use_;
    used += use.active_bytes + use.unflushed_bytes;
    stays += use.active_bytes + (use.flushes_by_itself ? 0 : use.unflushed_bytes);
  }
  used_bytes_.store(used, std::memory_order_relaxed);
  std::vector<Member*> wanted;
  if (stays > soft_bytes()) {
    std::vector<Member*> largest_first = members_;
    std::sort(largest_first.begin(), largest_first.end(), [](const Member* a, const Member* b) {
      return a->use_.active_bytes > b->use_.active_bytes;
    });
    for (Member* const member : largest_first) {
      // Not for crumbs, when what is large cannot go: that would be a flush for each write.
      const size_t worth_it = std::max<size_t>(largest_first[0]->use_.active_bytes / 8, 1);
      if (stays <= soft_bytes() || member->use_.active_bytes < worth_it) break;
      wanted.push_back(member);
      if (member->use_.flushes_by_itself) stays -= member->use_.active_bytes;
    }
  }
  const bool freed = was_used_up && !IsUsedUp();
  for (Member* const member : members_) {
    const bool want = std::find(wanted.begin(), wanted.end(), member) != wanted.end();
    const bool had = member->flush_wanted_.exchange(want, std::memory_order_relaxed);
    if (freed || (want && !had)) member->wake_();
  }
}

}  // namespace tinyobs::lsm
