#include "tests/chunk/window_text.h"

#include <bit>
#include <ios>
#include <sstream>

namespace tinyobs::chunk {
namespace {

uint64_t Bits(double value) { return std::bit_cast<uint64_t>(value); }

}  // namespace

std::string WindowsToText(std::span<const Window> windows) {
  std::ostringstream text;
  for (const Window& w : windows) {
    text << std::dec << w.start_ms << ' ' << w.first_ms << ' ' << w.last_ms << ' ' << w.count << ' '
         << w.resets << std::hex;
    for (const double value :
         {w.first, w.last, w.min, w.max, w.sum.value, w.lost.value, w.increase}) {
      text << ' ' << Bits(value);
    }
    text << std::dec << ' ' << w.sum.integer << ' ' << w.sum.exponent << ' ' << w.lost.integer
         << ' ' << w.lost.exponent << '\n';
  }
  return text.str();
}

std::vector<Window> WindowsFromText(const std::string& text) {
  std::vector<Window> windows;
  std::istringstream lines(text);
  Window w;
  while (lines >> std::dec >> w.start_ms >> w.first_ms >> w.last_ms >> w.count >> w.resets) {
    for (double* const value :
         {&w.first, &w.last, &w.min, &w.max, &w.sum.value, &w.lost.value, &w.increase}) {
      uint64_t bits = 0;
      lines >> std::hex >> bits;
      *value = std::bit_cast<double>(bits);
    }
    lines >> std::dec >> w.sum.integer >> w.sum.exponent >> w.lost.integer >> w.lost.exponent;
    windows.push_back(w);
  }
  return windows;
}

bool SameNumber(const Number& a, const Number& b) {
  if (a.decimal() != b.decimal() || Bits(a.value) != Bits(b.value)) return false;
  if (!a.decimal()) return true;
  __int128 x = a.integer;
  __int128 y = b.integer;
  for (int e = a.exponent; e < b.exponent; ++e) x *= 10;
  for (int e = b.exponent; e < a.exponent; ++e) y *= 10;
  return x == y;
}

bool SameWindow(const Window& a, const Window& b) {
  return a.start_ms == b.start_ms && a.first_ms == b.first_ms && a.last_ms == b.last_ms &&
         a.count == b.count && a.resets == b.resets && Bits(a.first) == Bits(b.first) &&
         Bits(a.last) == Bits(b.last) && Bits(a.min) == Bits(b.min) && Bits(a.max) == Bits(b.max) &&
         SameNumber(a.sum, b.sum) && SameNumber(a.lost, b.lost) &&
         Bits(a.increase) == Bits(b.increase);
}

}  // namespace tinyobs::chunk
