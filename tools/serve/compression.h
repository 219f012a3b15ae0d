// gzip for bodies in both directions, and Snappy for requests, as a Handler around a Handler.
//
// JSON of samples shrinks to a tenth; over loopback it does not matter, over a wireless network it
// is the difference between a second and ten. Request bodies are decompressed against a limit,
// because a kilobyte of gzip can become a megabyte. Snappy is what senders of remote write speak:
// one block without a frame or a checksum, whose length stands in front.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_TOOLS_SERVE_COMPRESSION_H_
#define TINYOBS_TOOLS_SERVE_COMPRESSION_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tools/serve/byte_budget.h"
#include "tools/serve/http_message.h"

namespace tinyobs::serve {

// One or more gzip members. InvalidArgument: not gzip, or it ends too early. ResourceExhausted:
// more than `limit_bytes` come out. Unavailable: `memory` cannot grow with what comes out; it holds
// the capacity of the result (nullptr = not charged).
absl::StatusOr<std::string> Gunzip(std::string_view bytes, size_t limit_bytes,
                                   ByteLease* memory = nullptr);
// One Snappy block, with the same errors. What the block says of its length is believed only when
// it is within the limit and within what so many bytes can become.
absl::StatusOr<std::string> Unsnappy(std::string_view bytes, size_t limit_bytes,
                                     ByteLease* memory = nullptr);
// 413, 503 or 400 for what they answer.
HttpResponse BodyErrorResponse(const absl::Status& status);

std::string Gzip(std::string_view bytes);

// True when an Accept-Encoding header allows gzip.
bool AcceptsGzip(std::string_view accept_encoding);

// Request bodies in gzip or Snappy reach `inner` as plain bytes: 415 for other encodings, 413 over
// `max_body_bytes`, 400 when damaged, 503 when they do not fit `request_bytes`, the budget of all
// request bodies (nullptr = none; must outlive the handler). Answers of 1 KiB and more, of a type
// worth it, leave in gzip when the client takes it; a strong ETag becomes weak then.
Handler WithCompression(Handler inner, size_t max_body_bytes, ByteBudget* request_bytes = nullptr);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_COMPRESSION_H_
