// AnswerRoom: how large one growing answer may become, by its own limit and by its part of what all
// answers share.
//
// Thread-safety: one thread's.
#ifndef TINYOBS_TOOLS_SERVE_ANSWER_ROOM_H_
#define TINYOBS_TOOLS_SERVE_ANSWER_ROOM_H_

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "lib/base/memory_accountant.h"
#include "lib/base/strings.h"
#include "tinyobs/querier.h"
#include "tools/serve/byte_budget.h"

namespace tinyobs::serve {

class AnswerRoom {
 public:
  // `shared` may be null: then only the limit counts.
  AnswerRoom(size_t limit_bytes, ByteBudget* shared) : limit_(limit_bytes), memory_(shared) {}

  // False: it may not become as large; status() says why.
  bool Fits(size_t bytes) {
    if (bytes > limit_) {
      status_ = QueryLimitError(StrCat("answer is larger than ", limit_, " bytes"));
      return false;
    }
    // In steps, so that the shared counter is not touched for every sample.
    constexpr size_t kStepBytes = 256 << 10;
    if (bytes <= memory_.bytes() || memory_.Resize(std::min(limit_, bytes + kStepBytes))) {
      return true;
    }
    status_ = MemoryExhaustedError("too many large answers at once, try again");
    return false;
  }
  const absl::Status& status() const { return status_; }
  // For the answer, which holds it until it is sent.
  ByteLease TakeMemory() { return std::move(memory_); }

 private:
  const size_t limit_;
  ByteLease memory_;
  absl::Status status_;
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_ANSWER_ROOM_H_
