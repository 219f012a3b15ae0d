// The query part of a URL: a=1&b=two%20words.
//
// Thread-safety: one thread.
#ifndef TINYOBS_TOOLS_SERVE_URL_H_
#define TINYOBS_TOOLS_SERVE_URL_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tinyobs::serve {

// '+' becomes a space, %41 an A. nullopt when a % is not followed by two hexadecimal digits.
std::optional<std::string> DecodeUrlText(std::string_view text);

class UrlParameters {
 public:
  UrlParameters() = default;
  // Pairs that cannot be decoded are left out, as the Go original does.
  explicit UrlParameters(std::string_view query) { Add(query); }
  // The pairs of another text, behind those that are there.
  void Add(std::string_view query);
  // The first of that name; "" when there is none.
  std::string_view Get(std::string_view name) const;
  std::vector<std::string_view> GetAll(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_URL_H_
