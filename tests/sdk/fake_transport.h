// A transport for tests: keeps what it was sent, answers as told, and can be held in the middle of
// a Send. Notices when two Sends overlap, which must never happen.
//
// Thread-safety: thread-safe.
#ifndef TINYOBS_TESTS_SDK_FAKE_TRANSPORT_H_
#define TINYOBS_TESTS_SDK_FAKE_TRANSPORT_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "lib/base/mutex.h"
#include "tinyobs/sdk/transport.h"

namespace tinyobs::sdk {

struct SentSample {
  std::string series;  // Labels::ToString()
  std::string kind;
  int64_t timestamp_ms = 0;
  double value = 0;
};

class FakeTransport : public Transport {
 public:
  using Batch = std::vector<SentSample>;
  // Decides on a batch. Called with no lock held.
  using Answer = std::function<absl::Status(const Batch&)>;

  absl::Status Send(std::span<const OutgoingSample> samples) override {
    Batch batch;
    for (const OutgoingSample& sample : samples) {
      batch.push_back({sample.labels->ToString(), MetricKindName(sample.kind), sample.timestamp_ms,
                       sample.value});
    }
    Answer answer;
    {
      MutexLock lock(&mutex_);
      if (in_send_) overlapped_ = true;
      in_send_ = true;
      ++sends_begun_;
      changed_.NotifyAll();
      while (held_) changed_.Wait(&mutex_);
      answer = answer_;
    }
    const absl::Status status = answer ? answer(batch) : absl::OkStatus();
    MutexLock lock(&mutex_);
    in_send_ = false;
    ++sends_ended_;
    if (status.ok()) accepted_.push_back(std::move(batch));
    changed_.NotifyAll();
    return status;
  }

  void AnswerWith(Answer answer) {
    MutexLock lock(&mutex_);
    answer_ = std::move(answer);
  }
  void AnswerWith(absl::Status status) {
    AnswerWith([status](const Batch&) { return status; });
  }

  // Sends block until Release.
  void Hold() {
    MutexLock lock(&mutex_);
    held_ = true;
  }
  void Release() {
    MutexLock lock(&mutex_);
    held_ = false;
    changed_.NotifyAll();
  }

  void WaitForSendsBegun(int count) {
    MutexLock lock(&mutex_);
    while (sends_begun_ < count) changed_.Wait(&mutex_);
  }
  void WaitForSendsEnded(int count) {
    MutexLock lock(&mutex_);
    while (sends_ended_ < count) changed_.Wait(&mutex_);
  }

  int sends_begun() const {
    MutexLock lock(&mutex_);
    return sends_begun_;
  }
  bool overlapped() const {
    MutexLock lock(&mutex_);
    return overlapped_;
  }
  std::vector<Batch> batches() const {
    MutexLock lock(&mutex_);
    return accepted_;
  }
  Batch samples() const {
    Batch all;
    for (const Batch& batch : batches()) all.insert(all.end(), batch.begin(), batch.end());
    return all;
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  Answer answer_ ABSL_GUARDED_BY(mutex_);
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  bool in_send_ ABSL_GUARDED_BY(mutex_) = false;
  bool overlapped_ ABSL_GUARDED_BY(mutex_) = false;
  int sends_begun_ ABSL_GUARDED_BY(mutex_) = 0;
  int sends_ended_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Batch> accepted_ ABSL_GUARDED_BY(mutex_);
};

// Hands every call to a FakeTransport that the test keeps, for clients that own their transport.
class BorrowedTransport : public Transport {
 public:
  explicit BorrowedTransport(Transport* target) : target_(target) {}
  absl::Status Send(std::span<const OutgoingSample> samples) override {
    return target_->Send(samples);
  }

 private:
  Transport* const target_;
};

}  // namespace tinyobs::sdk

#endif  // TINYOBS_TESTS_SDK_FAKE_TRANSPORT_H_
