// The delta code from hostile bytes and any legal state: what is accepted must survive being
// written anew, and the state stays legal. Input: last time i64, integer i64, step u32, exponent
// u8, then codes to the end.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/base/coding.h"
#include "lib/tsdb/delta_code.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tinyobs;
  using namespace tinyobs::tsdb;
  const auto check = [](bool condition) {
    if (!condition) std::abort();
  };
  ByteReader reader({reinterpret_cast<const char*>(data), size});
  DeltaState state;
  state.last_ms = static_cast<int64_t>(reader.Fixed64());
  state.integer = static_cast<int64_t>(reader.Fixed64());
  state.step_ms = static_cast<int32_t>(reader.Fixed32() & INT32_MAX);
  state.exponent = static_cast<int8_t>(reader.Byte() & 0x0f);
  if (!reader.ok()) return 0;
  // A writer's integers are below the limit, so that their differences are too.
  DeltaState writer = state;
  writer.integer %= chunk::kDecimalLimit;
  DeltaState second = writer;
  const char* at = reader.rest().data();
  const char* const limit = at + reader.remaining();
  int64_t t = 0;
  double v = 0;
  while ((at = DecodeDelta(at, limit, &state, &t, &v)) != nullptr) {
    check(at <= limit && state.last_ms == t && state.step_ms >= 0);
    check(state.exponent >= 0 && state.exponent <= kNoExponent);
    char code[kMaxDeltaBytes];
    const size_t bytes = EncodeDelta(&writer, t, v, code);
    check(bytes <= sizeof(code));
    int64_t again_t = 0;
    double again_v = 0;
    check(DecodeDelta(code, code + bytes, &second, &again_t, &again_v) == code + bytes);
    check(again_t == t && std::bit_cast<uint64_t>(again_v) == std::bit_cast<uint64_t>(v));
    check(second == writer);
  }
  return 0;
}
