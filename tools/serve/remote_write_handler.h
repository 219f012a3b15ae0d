// POST /api/v1/write (Prometheus' remote write 1.0) and POST /api/v1/import/prometheus (text).
//
// Both store the good part of a request and answer 204 when that was all of it. Else 400, which
// tells a sender not to try again, with how many samples were stored and refused, and why. 503, 507
// and 500 mean that the same request can succeed later; what was stored of it by then is stored
// once more, which changes nothing.
//
// Remote write: Content-Encoding is snappy, also when the header is missing; another one, and
// another message (remote write 2.0 has a `proto` of its own in Content-Type) is 415, and senders
// that can fall back do. Native histograms are left out, counted and answered 400, so that nobody
// takes them for stored; exemplars are left out without a word.
//
// Import: one line at a time, see lib/wire/exposition_parse.h; any Content-Type but OpenMetrics is
// the plain format. Parameters: `timestamp`, in milliseconds, for samples without one;
// `extra_label=NAME=VALUE`, as often as you like, for every series.
//
// Bodies over 1 MiB are stored two at a time, the others wait: what is decoded is several times as
// large.
//
// Thread-safety: the handlers are thread-safe.
#ifndef TINYOBS_TOOLS_SERVE_REMOTE_WRITE_HANDLER_H_
#define TINYOBS_TOOLS_SERVE_REMOTE_WRITE_HANDLER_H_

#include <cstddef>
#include <memory>

#include "lib/wire/series_writer.h"
#include "tools/serve/handler_context.h"
#include "tools/serve/http_message.h"
#include "tools/serve/turns.h"

namespace tinyobs::serve {

// What the two share.
struct WriteSide {
  explicit WriteSide(const HandlerContext* context, size_t max_body_bytes);

  const HandlerContext* const context;
  const size_t max_body_bytes;  // after decompression
  wire::SeriesWriter writer;
  Turns large_bodies;
};

Handler RemoteWriteHandler(std::shared_ptr<WriteSide> side);
Handler ImportHandler(std::shared_ptr<WriteSide> side);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_REMOTE_WRITE_HANDLER_H_
