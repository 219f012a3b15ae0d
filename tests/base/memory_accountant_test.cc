#include "lib/base/memory_accountant.h"

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace tinyobs {
namespace {

bool Mentions(const absl::Status& status, const std::string& text) {
  return std::string(status.message()).find(text) != std::string::npos;
}

TEST(MemoryAccountant, CountsWhatAccountsUseOneByOneAndTogether) {
  MemoryAccountant accountant(0);
  MemoryAccount* const cache = accountant.NewAccount("block cache");
  MemoryAccount* const head = accountant.NewAccount("head", 500);
  cache->Charge(100);
  head->SetUsed(70);
  cache->Release(40);
  head->SetUsed(30);
  EXPECT_EQ(cache->used(), 60u);
  EXPECT_EQ(head->used(), 30u);
  EXPECT_EQ(accountant.used(), 90u);
  const auto usage = accountant.Usage();
  ASSERT_EQ(usage.size(), 2u);
  EXPECT_EQ(usage[0].name, "block cache");
  EXPECT_EQ(usage[0].used_bytes, 60u);
  EXPECT_EQ(usage[0].share_bytes, 0u);
  EXPECT_EQ(usage[1].name, "head");
  EXPECT_EQ(usage[1].used_bytes, 30u);
  EXPECT_EQ(usage[1].share_bytes, 500u);
}

TEST(MemoryAccountant, WithoutLimitsNothingIsEverOver) {
  MemoryAccountant accountant(0);
  MemoryAccount* const account = accountant.NewAccount("a");
  EXPECT_TRUE(account->TryCharge(SIZE_MAX / 2));
  EXPECT_FALSE(account->over());
  EXPECT_FALSE(accountant.over());
  EXPECT_EQ(account->left(), SIZE_MAX);
}

TEST(MemoryAccountant, AChargeUpToTheLimitIsTakenAndNoByteMore) {
  MemoryAccountant accountant(100);
  MemoryAccount* const a = accountant.NewAccount("a");
  MemoryAccount* const b = accountant.NewAccount("b");
  EXPECT_TRUE(a->TryCharge(60));
  EXPECT_FALSE(b->TryCharge(41));
  EXPECT_EQ(b->used(), 0u) << "a refused charge changes nothing";
  EXPECT_EQ(accountant.used(), 60u);
  EXPECT_EQ(b->left(), 40u);
  EXPECT_TRUE(b->TryCharge(40));
  EXPECT_FALSE(b->over()) << "at the limit is not over it";
  EXPECT_FALSE(b->TryCharge(1));
  EXPECT_FALSE(b->TryCharge(SIZE_MAX)) << "sums must not wrap";
  a->Release(60);
  EXPECT_TRUE(b->TryCharge(1));
}

TEST(MemoryAccountant, AShareBoundsItsAccountAlone) {
  MemoryAccountant accountant(1000);
  MemoryAccount* const small = accountant.NewAccount("small", 10);
  MemoryAccount* const other = accountant.NewAccount("other");
  EXPECT_EQ(small->left(), 10u);
  EXPECT_FALSE(small->TryCharge(11));
  EXPECT_TRUE(other->TryCharge(11));
  small->Charge(11);
  EXPECT_TRUE(small->over());
  EXPECT_FALSE(other->over());
}

TEST(MemoryAccountant, WhatMustNotFailMayGoOverAndTellsEverybody) {
  MemoryAccountant accountant(100);
  MemoryAccount* const a = accountant.NewAccount("a");
  MemoryAccount* const b = accountant.NewAccount("b");
  a->SetUsed(150);
  EXPECT_TRUE(accountant.over());
  EXPECT_TRUE(b->over());
  EXPECT_EQ(b->left(), 0u);
  EXPECT_FALSE(b->TryCharge(1));
  a->SetUsed(100);
  EXPECT_FALSE(b->over());
}

TEST(MemoryAccountant, ErrorsNameTheLimitItsValueAndTheUse) {
  MemoryAccountant accountant(1000);
  MemoryAccount* const queries = accountant.NewAccount("queries", 300);
  accountant.NewAccount("head")->Charge(800);
  queries->Charge(150);
  const absl::Status share = queries->ExhaustedError(151);
  EXPECT_EQ(share.code(), absl::StatusCode::kResourceExhausted);
  for (const char* const text : {"queries", "share", "300", "150", "151"}) {
    EXPECT_TRUE(Mentions(share, text)) << share << " lacks " << text;
  }
  const absl::Status total = queries->ExhaustedError(51);
  for (const char* const text : {"queries", "budget", "1000", "950", "51"}) {
    EXPECT_TRUE(Mentions(total, text)) << total << " lacks " << text;
  }
}

TEST(MemoryCharge, GivesBackWhatItTookWhenItGoes) {
  MemoryAccountant accountant(100);
  MemoryAccount* const account = accountant.NewAccount("a");
  {
    MemoryCharge charge(account);
    EXPECT_TRUE(charge.TryAdd(60).ok());
    EXPECT_EQ(charge.TryAdd(60).code(), absl::StatusCode::kResourceExhausted);
    charge.Add(60);  // must not fail
    EXPECT_EQ(account->used(), 120u);
    MemoryCharge moved = std::move(charge);
    EXPECT_EQ(moved.bytes(), 120u);
    EXPECT_EQ(account->used(), 120u);
    MemoryCharge target(account);
    target.Add(7);
    target = std::move(moved);
    EXPECT_EQ(account->used(), 120u);
  }
  EXPECT_EQ(account->used(), 0u);
  EXPECT_EQ(accountant.used(), 0u);
}

TEST(MemoryCharge, WithoutAnAccountNothingIsLimited) {
  MemoryCharge charge;
  charge.Add(SIZE_MAX / 2);
  EXPECT_TRUE(charge.TryAdd(1).ok());
  charge.Reset();
  EXPECT_EQ(charge.bytes(), 0u);
}

TEST(MemoryAccountant, ManyThreadsNeverExceedTheLimitAndLeaveNothingBehind) {
  constexpr size_t kLimit = 1000;
  MemoryAccountant accountant(kLimit);
  std::atomic<bool> exceeded{false};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    MemoryAccount* const account = accountant.NewAccount("t", 400);
    threads.emplace_back([&, account, t] {
      for (size_t i = 0; i < 20'000; ++i) {
        const size_t bytes = (i * 7 + t * 31) % 300;
        if (!account->TryCharge(bytes)) continue;
        if (accountant.used() > kLimit || account->over()) exceeded = true;
        account->Release(bytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(exceeded);
  EXPECT_EQ(accountant.used(), 0u);
  for (const auto& used : accountant.Usage()) EXPECT_EQ(used.used_bytes, 0u);
}

}  // namespace
}  // namespace tinyobs
