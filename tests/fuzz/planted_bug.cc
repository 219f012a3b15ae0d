// A decoder with a bug for corpus_driver_test.sh: it dies on any byte above 0x7f.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (data[i] > 0x7f) std::abort();
  }
  return 0;
}
