// MemoryAccount and MemoryAccountant. Limits are kept by compare-and-swap and not by adding first
// and looking afterwards: two that would not fit together must not both be refused.
#include "lib/base/memory_accountant.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/cord.h"
#include "lib/base/check.h"
#include "lib/base/strings.h"

namespace tinyobs {
namespace {

// Adds unless the sum would exceed `limit`; 0 = no limit.
bool AddWithin(std::atomic<size_t>* used, size_t bytes, size_t limit) {
  size_t now = used->load(std::memory_order_relaxed);
  do {
    if (limit != 0 && (now > limit || bytes > limit - now)) return false;
  } while (!used->compare_exchange_weak(now, now + bytes, std::memory_order_relaxed));
  return true;
}

size_t Left(size_t used, size_t limit) {
  if (limit == 0) return SIZE_MAX;
  return limit - std::min(used, limit);
}

constexpr char kPayloadType[] = "tinyobs/memory-exhausted";

}  // namespace

absl::Status MemoryExhaustedError(std::string_view message) {
  absl::Status status = absl::ResourceExhaustedError(ToAbsl(message));
  status.SetPayload(kPayloadType, absl::Cord());
  return status;
}

bool IsMemoryExhausted(const absl::Status& status) {
  return absl::IsResourceExhausted(status) && status.GetPayload(kPayloadType).has_value();
}

void MemoryAccount::Charge(size_t bytes) {
  used_.fetch_add(bytes, std::memory_order_relaxed);
  accountant_->used_.fetch_add(bytes, std::memory_order_relaxed);
}

void MemoryAccount::Release(size_t bytes) {
  [[maybe_unused]] const size_t before = used_.fetch_sub(bytes, std::memory_order_relaxed);
  TINYOBS_DCHECK(before >= bytes);
  accountant_->used_.fetch_sub(bytes, std::memory_order_relaxed);
}

void MemoryAccount::SetUsed(size_t bytes) {
  const size_t before = used_.exchange(bytes, std::memory_order_relaxed);
  // Wraps when it shrinks, as it should.
  accountant_->used_.fetch_add(bytes - before, std::memory_order_relaxed);
}

bool MemoryAccount::TryCharge(size_t bytes) {
  if (!AddWithin(&used_, bytes, share_bytes_)) return false;
  if (AddWithin(&accountant_->used_, bytes, accountant_->limit_bytes_)) return true;
  used_.fetch_sub(bytes, std::memory_order_relaxed);
  return false;
}

bool MemoryAccount::over() const {
  return (share_bytes_ != 0 && used() > share_bytes_) || accountant_->over();
}

size_t MemoryAccount::left() const {
  return std::min(Left(used(), share_bytes_), Left(accountant_->used(), accountant_->limit()));
}

absl::Status MemoryAccount::ExhaustedError(size_t wanted_bytes) const {
  const bool share = Left(used(), share_bytes_) < wanted_bytes;
  std::string message =
      share ? StrCat("memory of ", name_, ": ", wanted_bytes, " bytes more than the ", used(),
                     " in use would exceed its share of ", share_bytes_, " bytes of the limit of ",
                     accountant_->limit())
            : StrCat("memory budget: ", wanted_bytes, " bytes more for ", name_, " than the ",
                     accountant_->used(), " in use would exceed the limit of ",
                     accountant_->limit(), " bytes");
  std::string_view separator = "; in use: ";
  for (const MemoryAccountant::Used& used : accountant_->Usage()) {
    if (used.used_bytes == 0) continue;
    message += StrCat(separator, used.name, " ", used.used_bytes);
    separator = ", ";
  }
  return MemoryExhaustedError(message);
}

MemoryAccount* MemoryAccountant::NewAccount(std::string name, size_t share_bytes) {
  MutexLock lock(&mutex_);
  accounts_.emplace_back(new MemoryAccount(this, std::move(name), share_bytes));
  return accounts_.back().get();
}

std::vector<MemoryAccountant::Used> MemoryAccountant::Usage() const {
  MutexLock lock(&mutex_);
  std::vector<Used> usage;
  usage.reserve(accounts_.size());
  for (const auto& account : accounts_) {
    usage.push_back({account->name(), account->used(), account->share()});
  }
  return usage;
}

}  // namespace tinyobs
