// POST /v1/ingest with libcurl, one easy handle for the life of the transport: libcurl keeps the
// connection open between requests and opens it again when the server was restarted.
#include <curl/curl.h>

#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/wire/ingest.h"
#include "tinyobs/sdk/http_client.h"
#include "tinyobs/version.h"

namespace tinyobs::sdk {
namespace {

// Of an answer, what an error message can need; the rest is read and thrown away.
constexpr size_t kMaxKeptAnswerBytes = 4096;
// A server that streams without end is cut off here.
constexpr size_t kMaxAnswerBytes = 1 << 20;

struct Answer {
  std::string kept;
  size_t bytes = 0;
};

size_t OnAnswer(char* data, size_t size, size_t count, void* user) {
  auto* const answer = static_cast<Answer*>(user);
  const size_t bytes = size * count;
  answer->bytes += bytes;
  if (answer->bytes > kMaxAnswerBytes) return 0;  // tells libcurl to give up
  const size_t room = kMaxKeptAnswerBytes - answer->kept.size();
  answer->kept.append(data, bytes < room ? bytes : room);
  return bytes;
}

// The text of "message" in a JSON error answer, or the whole text. Looks for the key instead of
// parsing: it is for a person to read, and a JSON parser would be the SDK's largest dependency.
std::string_view MessageOf(std::string_view body) {
  constexpr std::string_view kKey = "\"message\":\"";
  const size_t key = body.find(kKey);
  if (key == std::string_view::npos) return body;
  const std::string_view text = body.substr(key + kKey.size());
  size_t end = 0;
  while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
  return text.substr(0, end);
}

bool HasControlCharacter(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

// The host of an http or https URL.
absl::StatusOr<std::string> HostOf(const std::string& endpoint) {
  const auto refuse = [&endpoint] {
    return absl::InvalidArgumentError(
        StrCat("endpoint ", EscapeForMessage(endpoint),
               " is not an http or https URL such as http://localhost:8080/v1/ingest"));
  };
  if (HasControlCharacter(endpoint)) return refuse();
  const std::unique_ptr<CURLU, void (*)(CURLU*)> url(curl_url(), curl_url_cleanup);
  if (url == nullptr || curl_url_set(url.get(), CURLUPART_URL, endpoint.c_str(), 0) != CURLUE_OK) {
    return refuse();
  }
  const auto part = [&url](CURLUPart which) {
    char* text = nullptr;
    if (curl_url_get(url.get(), which, &text, 0) != CURLUE_OK) return std::string();
    std::string result = text;
    curl_free(text);
    return result;
  };
  const std::string scheme = part(CURLUPART_SCHEME);
  std::string host = part(CURLUPART_HOST);
  if ((scheme != "http" && scheme != "https") || host.empty()) return refuse();
  return host;
}

class HttpTransport final : public Transport {
 public:
  HttpTransport(HttpOptions options, CURL* curl) : options_(std::move(options)), curl_(curl) {}
  ~HttpTransport() override {
    curl_slist_free_all(headers_);
    curl_easy_cleanup(curl_);
  }
  HttpTransport(const HttpTransport&) = delete;
  HttpTransport& operator=(const HttpTransport&) = delete;

  // What stays the same for every request.
  absl::Status Prepare() {
    TINYOBS_ASSIGN_OR_RETURN(const std::string host, HostOf(options_.endpoint));
    AddHeader("Content-Type: application/json");
    AddHeader("Expect:");  // no 100-continue: it costs a round trip
    if (!options_.api_key.empty()) AddHeader("Authorization: Bearer " + options_.api_key);
    curl_easy_setopt(curl_, CURLOPT_URL, options_.endpoint.c_str());
    curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers_);
    curl_easy_setopt(curl_, CURLOPT_USERAGENT, "tinyobs-sdk/" TINYOBS_VERSION);
    curl_easy_setopt(curl_, CURLOPT_POST, 1L);
    curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl_, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl_, CURLOPT_TIMEOUT_MS, static_cast<long>(options_.timeout_ms));
    curl_easy_setopt(curl_, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, OnAnswer);
    if (host == "localhost" || host == "[::1]" || host.starts_with("127.")) {
      curl_easy_setopt(curl_, CURLOPT_PROXY, "");
    }
    return absl::OkStatus();
  }

  absl::Status Send(std::span<const OutgoingSample> samples) override {
    wire_samples_.resize(samples.size());
    for (size_t i = 0; i < samples.size(); ++i) {
      wire_samples_[i] = {*samples[i].labels, MetricKindName(samples[i].kind),
                          samples[i].timestamp_ms, samples[i].value};
    }
    TINYOBS_ASSIGN_OR_RETURN(const std::string body, wire::EncodeIngest(wire_samples_));

    Answer answer;
    curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &answer);
    const CURLcode result = curl_easy_perform(curl_);
    if (result != CURLE_OK) {
      return absl::UnavailableError(
          StrCat("cannot reach ", options_.endpoint, ": ", curl_easy_strerror(result)));
    }
    long code = 0;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &code);
    return StatusOf(code, answer.kept);
  }

 private:
  void AddHeader(const std::string& line) { headers_ = curl_slist_append(headers_, line.c_str()); }

  absl::Status StatusOf(long code, std::string_view body) const {
    if (code >= 200 && code < 300) return absl::OkStatus();
    const std::string text =
        StrCat(options_.endpoint, " answered ", code, ": ", EscapeForMessage(MessageOf(body), 300));
    if (code == 429 || code >= 500) return absl::UnavailableError(text);
    if (code == 400 || code == 413) return absl::InvalidArgumentError(text);
    if (code == 401 || code == 403) return absl::PermissionDeniedError(text);
    return absl::FailedPreconditionError(text);
  }

  const HttpOptions options_;
  CURL* const curl_;
  curl_slist* headers_ = nullptr;
  std::vector<wire::IngestSample> wire_samples_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Transport>> NewHttpTransport(HttpOptions options) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  if (HasControlCharacter(options.api_key)) {
    return absl::InvalidArgumentError("api_key holds control characters");
  }
  if (options.timeout_ms <= 0) {
    return absl::InvalidArgumentError(
        StrCat("timeout_ms is ", options.timeout_ms, "; it must be positive"));
  }
  CURL* const curl = curl_easy_init();
  if (curl == nullptr) return absl::ResourceExhaustedError("libcurl has no memory for a handle");
  auto transport = std::make_unique<HttpTransport>(std::move(options), curl);
  TINYOBS_RETURN_IF_ERROR(transport->Prepare());
  return std::unique_ptr<Transport>(std::move(transport));
}

absl::StatusOr<std::unique_ptr<Client>> NewHttpClient(Config config) {
  TINYOBS_ASSIGN_OR_RETURN(
      std::unique_ptr<Transport> transport,
      NewHttpTransport({config.endpoint, config.api_key, config.send_timeout_ms}));
  return Client::Create(std::move(config), std::move(transport));
}

}  // namespace tinyobs::sdk
