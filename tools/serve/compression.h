// gzip for bodies in both directions, as a Handler around a Handler.
//
// JSON of samples shrinks to a tenth; over loopback it does not matter, over a wireless network it
// is the difference between a second and ten. Request bodies are decompressed against a limit,
// because a kilobyte of gzip can become a megabyte.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_TOOLS_SERVE_COMPRESSION_H_
#define TINYOBS_TOOLS_SERVE_COMPRESSION_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tools/serve/http_message.h"

namespace tinyobs::serve {

// One or more gzip members. InvalidArgument: not gzip, or it ends too early. ResourceExhausted:
// more than `limit_bytes` come out.
absl::StatusOr<std::string> Gunzip(std::string_view bytes, size_t limit_bytes);
std::string Gzip(std::string_view bytes);

// True when an Accept-Encoding header allows gzip.
bool AcceptsGzip(std::string_view accept_encoding);

// Request bodies in gzip reach `inner` as plain bytes: 415 for other encodings, 413 over
// `max_body_bytes`, 400 when damaged. Answers of 1 KiB and more, of a type worth it, leave in gzip
// when the client takes it; a strong ETag becomes weak then.
Handler WithCompression(Handler inner, size_t max_body_bytes);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_COMPRESSION_H_
