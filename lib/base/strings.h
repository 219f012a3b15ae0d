// The one place where std::string_view meets absl::string_view.
//
// Debian builds Abseil with its own string_view type, which does not convert from std::string_view
// inside absl::StrCat. All our interfaces use std::string_view; these helpers carry it across.
#ifndef TINYOBS_LIB_BASE_STRINGS_H_
#define TINYOBS_LIB_BASE_STRINGS_H_

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tinyobs {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view FromAbsl(absl::string_view text) { return {text.data(), text.size()}; }

namespace internal {
template <typename T>
decltype(auto) StrCatPiece(const T& piece) {
  if constexpr (std::is_same_v<T, std::string_view>) {
    return ToAbsl(piece);
  } else {
    return (piece);
  }
}
}  // namespace internal

// absl::StrCat that also takes std::string_view.
template <typename... Pieces>
std::string StrCat(const Pieces&... pieces) {
  return absl::StrCat(internal::StrCatPiece(pieces)...);
}

template <typename... Pieces>
void StrAppend(std::string* out, const Pieces&... pieces) {
  absl::StrAppend(out, internal::StrCatPiece(pieces)...);
}

// The same error, with where it happened in front of its message.
inline absl::Status WithContext(const absl::Status& status, std::string_view where) {
  return absl::Status(status.code(), StrCat(where, ": ", FromAbsl(status.message())));
}

// `bytes` with everything outside printable ASCII (and the quote and backslash) as \xNN, cut to
// `limit_bytes` with "...": for error messages that quote keys, names and other untrusted bytes.
std::string EscapeForMessage(std::string_view bytes, size_t limit_bytes = 100);

}  // namespace tinyobs

#endif  // TINYOBS_LIB_BASE_STRINGS_H_
