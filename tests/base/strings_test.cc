#include "lib/base/strings.h"

#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace tinyobs {
namespace {

TEST(StrCat, TakesBothKindsOfViewsAndNumbers) {
  const std::string_view standard = "standard";
  EXPECT_EQ(StrCat(standard, " ", absl::string_view("absl"), " ", std::string("string"), " ", 42,
                   " ", 1.5),
            "standard absl string 42 1.5");
  std::string out = "a";
  StrAppend(&out, standard, 7u);
  EXPECT_EQ(out, "astandard7");
}

TEST(EscapeForMessage, KeepsPrintableTextAndEscapesTheRest) {
  EXPECT_EQ(EscapeForMessage("plain text"), "plain text");
  EXPECT_EQ(EscapeForMessage(std::string_view("\0\n\"\\\x7f\xff", 6)),
            "\\x00\\x0a\\x22\\x5c\\x7f\\xff");
}

TEST(EscapeForMessage, IsBounded) {
  EXPECT_EQ(EscapeForMessage("abcdef", 6), "abcdef");
  EXPECT_EQ(EscapeForMessage("abcdef", 3), "abc...");
  EXPECT_LT(EscapeForMessage(std::string(1 << 20, '\xff')).size(), 500u);
}

}  // namespace
}  // namespace tinyobs
