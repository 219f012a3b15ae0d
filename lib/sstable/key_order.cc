#include "lib/sstable/key_order.h"

#include <algorithm>

namespace tinyobs::sstable {
namespace {

// The shortest byte string found s with a < s < b, or "" when none is shorter than `a`.
// REQUIRES: a < b.
std::string ShortUserKeyBetween(std::string_view a, std::string_view b) {
  const size_t shared =
      std::mismatch(a.begin(), a.begin() + std::min(a.size(), b.size()), b.begin()).first -
      a.begin();
  if (shared == a.size()) return {};  // a is a prefix of b: nothing shorter is behind it
  // One byte more of b than they share is behind a, and before b if b goes on.
  if (b.size() > shared + 1 && shared + 1 < a.size()) return std::string(b.substr(0, shared + 1));
  // Else count one of a's bytes up and cut there: at the first different byte if that stays before
  // b's, or at a later one, which is before b anyway.
  for (size_t i = shared; i + 1 < a.size(); ++i) {
    const auto byte = static_cast<unsigned char>(a[i]);
    if (byte == 0xff) continue;
    if (i == shared && byte + 1 >= static_cast<unsigned char>(b[i])) continue;
    std::string result(a.substr(0, i + 1));
    result.back() = static_cast<char>(byte + 1);
    return result;
  }
  return {};
}

}  // namespace

std::string SeparatorBetween(std::string_view a, std::string_view b, size_t trailer_bytes) {
  const std::string_view a_user = UserKey(a, trailer_bytes);
  const std::string_view b_user = UserKey(b, trailer_bytes);
  if (a_user != b_user) {
    std::string shorter = ShortUserKeyBetween(a_user, b_user);
    if (!shorter.empty()) {
      // Strictly between the user keys, so any trailer does; the smallest one sends a search for
      // this very user key to the next block, where the keys behind it begin.
      shorter.append(trailer_bytes, '\0');
      return shorter;
    }
  }
  return std::string(a);
}

}  // namespace tinyobs::sstable
