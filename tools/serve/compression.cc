// zlib's streaming interface with a window of gzip (15 + 16); Snappy's flat one.
#include "tools/serve/compression.h"

#include <snappy.h>
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "lib/base/check.h"
#include "lib/base/strings.h"
#include "tools/serve/answers.h"

namespace tinyobs::serve {
namespace {

constexpr int kGzipWindow = 15 + 16;
constexpr int kFastest = 1;  // JSON gains little from more
constexpr int kZlibMemory = 8;
constexpr size_t kWorthwhileBytes = 1024;
// Three bytes of Snappy copy 64 at most.
constexpr size_t kMostSnappyRatio = 22;

bool IsCompressible(std::string_view content_type) {
  return content_type.starts_with("text/") || content_type.starts_with("application/json") ||
         content_type.starts_with("application/javascript") ||
         content_type.starts_with("image/svg");
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// RAII over z_stream, which holds memory until its End function is called.
class Inflater {
 public:
  Inflater() { TINYOBS_CHECK(inflateInit2(&stream, kGzipWindow) == Z_OK); }
  ~Inflater() { inflateEnd(&stream); }
  z_stream stream{};
};

class Deflater {
 public:
  Deflater() {
    TINYOBS_CHECK(deflateInit2(&stream, kFastest, Z_DEFLATED, kGzipWindow, kZlibMemory,
                               Z_DEFAULT_STRATEGY) == Z_OK);
  }
  ~Deflater() { deflateEnd(&stream); }
  z_stream stream{};
};

Bytef* ZlibBytes(std::string_view bytes) {
  // zlib's interface lacks a const; it only reads.
  return reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
}

absl::Status TooLarge(size_t limit_bytes) {
  return absl::ResourceExhaustedError(
      StrCat("request body too large (max ", limit_bytes, " bytes after decompression)"));
}

absl::Status TooManyBodies() {
  return absl::UnavailableError("too many request bodies at once, try again");
}

void CompressAnswer(HttpResponse* response) {
  response->body = Gzip(response->body);
  response->SetHeader("Content-Encoding", "gzip");
  const std::string etag(response->Header("ETag"));
  if (etag.starts_with('"')) response->SetHeader("ETag", StrCat("W/", etag));
}

}  // namespace

absl::StatusOr<std::string> Gunzip(std::string_view bytes, size_t limit_bytes, ByteLease* memory) {
  if (bytes.size() > std::numeric_limits<uInt>::max()) {
    return absl::ResourceExhaustedError("gzip input larger than 4 GiB");
  }
  Inflater inflater;
  z_stream& stream = inflater.stream;
  stream.next_in = ZlibBytes(bytes);
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  while (true) {
    char buffer[16 << 10];
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof(buffer);
    const int result = inflate(&stream, Z_NO_FLUSH);
    const size_t more = sizeof(buffer) - stream.avail_out;
    if (more > limit_bytes - out.size()) {
      return TooLarge(limit_bytes);
    }
    if (const size_t wanted = out.size() + more; wanted > out.capacity()) {
      const size_t capacity = std::max(wanted, std::min(2 * out.capacity(), limit_bytes));
      if (memory != nullptr && !memory->Resize(capacity)) {
        return TooManyBodies();
      }
      out.reserve(capacity);
    }
    out.append(buffer, more);
    if (result == Z_STREAM_END) {
      if (stream.avail_in == 0) return out;
      if (inflateReset(&stream) == Z_OK) continue;  // another member follows
    }
    if (result != Z_OK) return absl::InvalidArgumentError("damaged gzip body");
  }
}

absl::StatusOr<std::string> Unsnappy(std::string_view bytes, size_t limit_bytes,
                                     ByteLease* memory) {
  size_t length = 0;
  if (!snappy::GetUncompressedLength(bytes.data(), bytes.size(), &length) ||
      length > bytes.size() * kMostSnappyRatio) {
    return absl::InvalidArgumentError("damaged Snappy body");
  }
  if (length > limit_bytes) return TooLarge(limit_bytes);
  if (memory != nullptr && !memory->Resize(length)) return TooManyBodies();
  std::string out(length, '\0');
  if (!snappy::RawUncompress(bytes.data(), bytes.size(), out.data())) {
    return absl::InvalidArgumentError("damaged Snappy body");
  }
  return out;
}

HttpResponse BodyErrorResponse(const absl::Status& status) {
  int code = absl::IsUnavailable(status) ? 503 : 400;
  if (absl::IsResourceExhausted(status)) code = 413;
  return ErrorResponse(code, FromAbsl(status.message()));
}

std::string Gzip(std::string_view bytes) {
  TINYOBS_CHECK(bytes.size() <= std::numeric_limits<uInt>::max());
  Deflater deflater;
  z_stream& stream = deflater.stream;
  stream.next_in = ZlibBytes(bytes);
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  int result = Z_OK;
  while (result != Z_STREAM_END) {
    char buffer[16 << 10];
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof(buffer);
    result = deflate(&stream, Z_FINISH);
    TINYOBS_CHECK(result == Z_OK || result == Z_STREAM_END);
    out.append(buffer, sizeof(buffer) - stream.avail_out);
  }
  return out;
}

bool AcceptsGzip(std::string_view accept_encoding) {
  while (!accept_encoding.empty()) {
    const size_t comma = accept_encoding.find(',');
    const std::string_view entry = accept_encoding.substr(0, comma);
    accept_encoding.remove_prefix(comma == std::string_view::npos ? accept_encoding.size()
                                                                  : comma + 1);
    const size_t semicolon = entry.find(';');
    if (!EqualsIgnoringCase(Trim(entry.substr(0, semicolon)), "gzip")) continue;
    if (semicolon == std::string_view::npos) return true;
    const std::string_view weight = Trim(entry.substr(semicolon + 1));
    // "q=0", "q=0.0": anything else wants it at least a little.
    return weight.find_first_of("123456789") != std::string_view::npos;
  }
  return false;
}

Handler WithCompression(Handler inner, size_t max_body_bytes, ByteBudget* request_bytes) {
  return [inner = std::move(inner), max_body_bytes, request_bytes](const HttpRequest& request) {
    const std::string_view encoding = Trim(request.Header("Content-Encoding"));
    HttpResponse response;
    if (encoding.empty() || EqualsIgnoringCase(encoding, "identity")) {
      response = inner(request);
    } else if (const bool gzip = EqualsIgnoringCase(encoding, "gzip");
               gzip || EqualsIgnoringCase(encoding, "snappy")) {
      ByteLease memory(request_bytes);  // until the handler is done with the body
      auto body = gzip ? Gunzip(request.body, max_body_bytes, &memory)
                       : Unsnappy(request.body, max_body_bytes, &memory);
      if (!body.ok()) return BodyErrorResponse(body.status());
      response = inner({.method = request.method,
                        .path = request.path,
                        .query = request.query,
                        .headers = request.headers,
                        .body = *std::move(body),
                        .received_ns = request.received_ns,
                        .abandoned = request.abandoned});
    } else {
      return ErrorResponse(415, StrCat("Content-Encoding \"", encoding,
                                       "\" is not supported; send gzip, snappy or nothing"));
    }
    if (response.body.size() >= kWorthwhileBytes &&
        IsCompressible(response.Header("Content-Type")) &&
        response.Header("Content-Encoding").empty()) {
      response.SetHeader("Vary", response.Header("Vary").empty()
                                     ? "Accept-Encoding"
                                     : StrCat(response.Header("Vary"), ", Accept-Encoding"));
      if (AcceptsGzip(request.Header("Accept-Encoding"))) CompressAnswer(&response);
    }
    return response;
  };
}

}  // namespace tinyobs::serve
