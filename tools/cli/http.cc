#include "tools/cli/http.h"

#include <curl/curl.h>

#include <memory>

#include "lib/base/strings.h"
#include "tinyobs/version.h"

namespace tinyobs::cli {
namespace {

constexpr size_t kMaxAnswerBytes = 64 << 20;

size_t OnBody(char* data, size_t size, size_t count, void* user) {
  auto* const body = static_cast<std::string*>(user);
  if (body->size() + size * count > kMaxAnswerBytes) return 0;  // libcurl gives up
  body->append(data, size * count);
  return size * count;
}

std::string Escaped(CURL* curl, const std::string& text) {
  char* const escaped = curl_easy_escape(curl, text.c_str(), static_cast<int>(text.size()));
  std::string result = escaped != nullptr ? escaped : "";
  curl_free(escaped);
  return result;
}

}  // namespace

absl::StatusOr<HttpAnswer> Request(const std::string& server, std::string_view path,
                                   const std::vector<std::pair<std::string, std::string>>& query,
                                   const std::string& body, long timeout_s) {
  if (!server.starts_with("http://") && !server.starts_with("https://")) {
    return absl::InvalidArgumentError(
        StrCat("--server must be a URL such as http://localhost:8080, not '", server, "'"));
  }
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  if (curl == nullptr) return absl::ResourceExhaustedError("libcurl has no memory");
  std::string url = server;
  while (url.ends_with('/')) url.pop_back();
  url += path;
  char separator = '?';
  for (const auto& [name, value] : query) {
    StrAppend(&url, std::string(1, separator), name, "=", Escaped(curl.get(), value));
    separator = '&';
  }

  HttpAnswer answer;
  std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(nullptr, curl_slist_free_all);
  if (!body.empty()) {
    headers.reset(curl_slist_append(nullptr, "Content-Type: application/json"));
    curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  }
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, "tinyobs-cli/" TINYOBS_VERSION);
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, timeout_s);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
  const CURLcode result = curl_easy_perform(curl.get());
  if (result != CURLE_OK) {
    return absl::UnavailableError(
        StrCat("cannot reach ", server, ": ", curl_easy_strerror(result),
               ". Is tinyobs-serve running there? Name another server with --server URL"));
  }
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.code);
  return answer;
}

}  // namespace tinyobs::cli
