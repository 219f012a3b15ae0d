// The dashboard's files as the server sees them.
//
// Method: the embedded bytes are compared with the files of the build, which reach the test through
// its runfiles; the embedding is also tried on a file of all 256 bytes, which no real asset holds.
#include "tools/dashboard/assets.h"

#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "gtest/gtest.h"

namespace tinyobs::dashboard {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

TEST(Assets, BodiesAreTheFilesOfTheBuild) {
  const std::pair<const char*, const char*> files[] = {
      {"/", "tools/dashboard/index.html"},
      {"/web/app.js", "tools/dashboard/app.js"},
      {"/web/favicon.svg", "tools/dashboard/favicon.svg"},
      {"/web/style.css", "tools/dashboard/bundled/style.css"},
  };
  ASSERT_EQ(AllAssets().size(), std::size(files));
  for (const auto& [path, file] : files) {
    const Asset* asset = FindAsset(path);
    ASSERT_NE(asset, nullptr) << path;
    EXPECT_EQ(asset->path, path);
    EXPECT_FALSE(asset->body.empty()) << path;
    EXPECT_TRUE(asset->body == ReadFile(file)) << path << " differs from " << file;
  }
}

TEST(Assets, ContentTypesAreWhatBrowsersDemandWithoutSniffing) {
  EXPECT_EQ(FindAsset("/")->content_type, "text/html; charset=utf-8");
  EXPECT_EQ(FindAsset("/web/app.js")->content_type, "text/javascript; charset=utf-8");
  EXPECT_EQ(FindAsset("/web/style.css")->content_type, "text/css; charset=utf-8");
  EXPECT_EQ(FindAsset("/web/favicon.svg")->content_type, "image/svg+xml");
}

TEST(Assets, TheIndexHasTwoNames) { EXPECT_EQ(FindAsset("/index.html"), FindAsset("/")); }

TEST(Assets, UnknownPathsAreNotFound) {
  for (const char* path :
       {"", "/web", "/web/", "/web/../index.html", "/app.js", "web/app.js", "/web/app.js?x"}) {
    EXPECT_EQ(FindAsset(path), nullptr) << path;
  }
}

TEST(Assets, TagsAreStrongQuotedAndDifferent) {
  std::set<std::string_view> tags;
  for (const Asset& asset : AllAssets()) {
    ASSERT_GT(asset.etag.size(), 10u);
    EXPECT_EQ(asset.etag.front(), '"');
    EXPECT_EQ(asset.etag.back(), '"');
    EXPECT_EQ(asset.etag.find('"', 1), asset.etag.size() - 1);
    tags.insert(asset.etag);
  }
  EXPECT_EQ(tags.size(), AllAssets().size());
}

TEST(Assets, ThePageNamesNoOtherHostAndRunsNoInlineScript) {
  const std::string_view page = FindAsset("/")->body;
  EXPECT_EQ(page.find("http"), std::string_view::npos);
  EXPECT_EQ(page.find("<script>"), std::string_view::npos);
  EXPECT_EQ(page.find(" onclick"), std::string_view::npos);
  EXPECT_EQ(FindAsset("/web/style.css")->body.find("url("), std::string_view::npos);
}

TEST(Assets, TheScriptBuildsNoMarkupFromText) {
  const std::string_view script = FindAsset("/web/app.js")->body;
  for (const char* word :
       {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("}) {
    EXPECT_EQ(script.find(word), std::string_view::npos) << word;
  }
}

TEST(Assets, EveryFileThePageNamesIsEmbedded) {
  const std::string_view page = FindAsset("/")->body;
  int found = 0;
  for (size_t at = page.find("\"web/"); at != std::string_view::npos;
       at = page.find("\"web/", at + 1)) {
    const std::string_view name = page.substr(at + 1, page.find('"', at + 1) - at - 1);
    EXPECT_NE(FindAsset("/" + std::string(name)), nullptr) << name;
    ++found;
  }
  EXPECT_GE(found, 3);
}

}  // namespace
}  // namespace tinyobs::dashboard
