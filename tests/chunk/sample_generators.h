// Samples like those that come from real exporters, and samples that no exporter should send: the
// material of the chunk tests and of bench/chunk_bench.
//
// Deterministic for a seed on every platform: only the raw output of mt19937_64 is used, because
// the distributions of the standard library differ between implementations.
#ifndef TINYOBS_TESTS_CHUNK_SAMPLE_GENERATORS_H_
#define TINYOBS_TESTS_CHUNK_SAMPLE_GENERATORS_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tinyobs/sample.h"

namespace tinyobs::chunk {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t Bits() { return engine_(); }
  uint64_t Below(uint64_t bound) { return engine_() % bound; }
  int64_t Between(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(Below(static_cast<uint64_t>(most - least) + 1));
  }
  double Unit() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  // About normal: mean 0, deviation 1.
  double Normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += Unit();
    return sum;
  }

 private:
  std::mt19937_64 engine_;
};

using Generator = Columns (*)(Random* random, size_t n);

struct SampleKind {
  std::string name;
  Generator generate;
  // Bytes a sample in chunks of 120 that the encoder must not exceed on average; 0 = no promise.
  double most_bytes_per_sample = 0;
};

// All kinds; the first ten are the everyday ones that the benchmark reports.
const std::vector<SampleKind>& SampleKinds();

// One text line a sample: time in ms, the value's 64 bits in hex.
std::string ToText(const Columns& columns);
Columns FromText(const std::string& text);

// Same times and same bits.
bool SameSamples(const Columns& a, const Columns& b);

}  // namespace tinyobs::chunk

#endif  // TINYOBS_TESTS_CHUNK_SAMPLE_GENERATORS_H_
