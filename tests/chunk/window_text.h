// Windows as text, for golden files: one line each, independent of generators and aggregation.
#ifndef TINYOBS_TESTS_CHUNK_WINDOW_TEXT_H_
#define TINYOBS_TESTS_CHUNK_WINDOW_TEXT_H_

#include <span>
#include <string>
#include <vector>

#include "lib/chunk/window.h"

namespace tinyobs::chunk {

// start, first and last time, count, resets; the bits of first, last, min, max, sum, lost, increase
// in hex; integer and exponent of sum and lost.
std::string WindowsToText(std::span<const Window> windows);
std::vector<Window> WindowsFromText(const std::string& text);

// The same decimal, whatever the exponents, or the same bits.
bool SameNumber(const Number& a, const Number& b);
// Bit for bit, sums as the same decimals.
bool SameWindow(const Window& a, const Window& b);

}  // namespace tinyobs::chunk

#endif  // TINYOBS_TESTS_CHUNK_WINDOW_TEXT_H_
