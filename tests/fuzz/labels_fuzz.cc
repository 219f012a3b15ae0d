// Labels::FromCanonicalBytes on hostile bytes: what it accepts must be exactly what Labels::Create
// writes.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/check.h"
#include "tinyobs/labels.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tinyobs::Label;
  using tinyobs::Labels;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto read = Labels::FromCanonicalBytes(bytes);
  if (!read.ok()) {
    TINYOBS_CHECK(absl::IsDataLoss(read.status()));
    return 0;
  }
  TINYOBS_CHECK(read->canonical_bytes() == bytes);
  std::vector<Labels::Pair> pairs;
  for (const Label label : *read) {
    TINYOBS_CHECK(read->Get(label.name) == label.value);
    pairs.emplace_back(label.name, label.value);
  }
  const auto again = Labels::Create(pairs);
  TINYOBS_CHECK(again.ok() && *again == *read);
  TINYOBS_CHECK(!(*again < *read));
  TINYOBS_CHECK(!read->ToString().empty());
  return 0;
}
