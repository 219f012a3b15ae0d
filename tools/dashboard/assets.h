// The dashboard's files, inside the binary.
//
// One executable is all a user copies to a machine: no folder of web files that must lie beside it,
// be found relative to a working directory, or be of the same version. The bodies are constants of
// the program (made by build/embed.mjs from the bundle), so nothing is read, allocated or cached
// while serving.
//
// A path is the path of the URL, "/" or "/web/app.js"; a path that is not listed does not exist, so
// there is nothing to traverse.
//
// Thread-safety: everything is constant.
#ifndef TINYOBS_TOOLS_DASHBOARD_ASSETS_H_
#define TINYOBS_TOOLS_DASHBOARD_ASSETS_H_

#include <span>
#include <string_view>

namespace tinyobs::dashboard {

// The views live as long as the program.
struct Asset {
  std::string_view path;          // "/" for the page itself, else "/web/<file>"
  std::string_view content_type;  // a value for Content-Type, with the charset of text
  std::string_view body;          // the bytes, not compressed
  std::string_view etag;          // a strong entity tag with its quotes, a hash of `body`
};

// The asset at a URL path without query or fragment; "/index.html" is "/". nullptr when there is
// none.
const Asset* FindAsset(std::string_view path);

// Every asset, sorted by path.
std::span<const Asset> AllAssets();

}  // namespace tinyobs::dashboard

#endif  // TINYOBS_TOOLS_DASHBOARD_ASSETS_H_
