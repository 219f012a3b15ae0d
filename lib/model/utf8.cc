#include "lib/model/utf8.h"

#include <cstdint>

#include "lib/base/coding.h"

namespace tinyobs {
namespace {

bool IsContinuation(unsigned char byte) { return (byte & 0xc0) == 0x80; }

// Length of the well-formed sequence of two to four bytes at `at`, or 0. The second byte carries
// all the exceptions: after E0 and F0 a low one would be overlong, after ED a high one a surrogate,
// after F4 a high one beyond U+10FFFF.
size_t MultiByteLength(const unsigned char* at, size_t left) {
  const unsigned char lead = at[0];
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (left < length) return 0;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  switch (lead) {
    case 0xe0:
      low = 0xa0;
      break;
    case 0xed:
      high = 0x9f;
      break;
    case 0xf0:
      low = 0x90;
      break;
    case 0xf4:
      high = 0x8f;
      break;
  }
  if (at[1] < low || at[1] > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (!IsContinuation(at[i])) return 0;
  }
  return length;
}

}  // namespace

bool IsValidUtf8(std::string_view text) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  size_t left = text.size();
  while (left > 0) {
    if (left >= 8 && (LoadFixed64(at) & 0x8080808080808080) == 0) {
      at += 8;
      left -= 8;
      continue;
    }
    const size_t length = *at < 0x80 ? 1 : MultiByteLength(at, left);
    if (length == 0) return false;
    at += length;
    left -= length;
  }
  return true;
}

}  // namespace tinyobs
