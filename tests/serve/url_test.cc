// Goal: query strings are read as browsers and curl write them. Method: one string a behaviour.
#include "tools/serve/url.h"

#include "gtest/gtest.h"

namespace tinyobs::serve {
namespace {

TEST(UrlParameters, DecodesNamesAndValues) {
  const UrlParameters parameters("metric=a%20b&x=1+2&%6d=%C3%a9&empty=&flag");
  EXPECT_EQ(parameters.Get("metric"), "a b");
  EXPECT_EQ(parameters.Get("x"), "1 2");
  EXPECT_EQ(parameters.Get("m"), "é");
  EXPECT_EQ(parameters.Get("empty"), "");
  EXPECT_EQ(parameters.Get("flag"), "");
  EXPECT_EQ(parameters.Get("absent"), "");
}

TEST(UrlParameters, TheFirstWins) { EXPECT_EQ(UrlParameters("a=1&a=2").Get("a"), "1"); }

TEST(UrlParameters, LeavesOutWhatCannotBeDecoded) {
  const UrlParameters parameters("a=%zz&b=%4&c=%&d=ok&&=x&%=1");
  EXPECT_EQ(parameters.Get("a"), "");
  EXPECT_EQ(parameters.Get("b"), "");
  EXPECT_EQ(parameters.Get("c"), "");
  EXPECT_EQ(parameters.Get("d"), "ok");
}

TEST(UrlParameters, ValuesMayHoldEqualSigns) { EXPECT_EQ(UrlParameters("q=a=b").Get("q"), "a=b"); }

}  // namespace
}  // namespace tinyobs::serve
