// Headers -> decoder -> SeriesWriter -> answer.
#include "tools/serve/remote_write_handler.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/checksum.h"
#include "lib/base/strings.h"
#include "lib/wire/exposition_parse.h"
#include "lib/wire/json_writer.h"
#include "lib/wire/remote_write.h"
#include "tools/serve/answers.h"
#include "tools/serve/compression.h"
#include "tools/serve/url.h"

namespace tinyobs::serve {
namespace {

using wire::WriteReport;

constexpr size_t kLargeBodyBytes = 1 << 20;
constexpr size_t kLargeBodiesAtOnce = 2;

// Dialects of SeriesCache.
constexpr uint64_t kRemoteWrite = 1;
constexpr uint64_t kImport = 2;

// The first line, of which Prometheus logs the first 256 bytes, begins with what matters most.
HttpResponse PartlyWritten(const WriteReport& report) {
  std::string message = StrCat(report.stored, " samples stored, ", report.refused, " refused");
  for (const std::string& reason : report.reasons) {
    StrAppend(&message, &reason == report.reasons.data() ? ": " : "; ", reason);
  }
  std::string body;
  wire::JsonWriter json(&body);
  json.StartObject();
  json.Field("error", report.limit.has_value() ? "cardinality limit exceeded" : StatusText(400));
  if (report.limit.has_value()) {
    json.Field("current", report.limit->current);
    json.Field("limit", report.limit->limit);
  }
  json.Field("message", message);
  json.Field("stored", report.stored);
  json.Field("refused", report.refused);
  json.EndObject();
  body.push_back('\n');
  HttpResponse response = JsonResponse(std::move(body));
  response.status = 400;
  return response;
}

HttpResponse Answer(const HandlerContext& context, const absl::Status& status,
                    const WriteReport& report) {
  if (!status.ok()) {
    // Stats only now: they are for the message, and refusals are rare.
    const bool wants_usage = absl::IsResourceExhausted(status);
    return WriteErrorResponse(status, wants_usage ? context.db->Stats().disk_bytes : 0,
                              context.max_storage_bytes);
  }
  if (report.refused > 0) return PartlyWritten(report);
  return {.status = 204, .headers = {}, .body = {}};
}

// "" when it is remote write 1.0, as far as the header says, else what is wrong.
std::string WrongContentType(std::string_view type) {
  if (type.find("io.prometheus.write.v2.Request") != std::string_view::npos) {
    return "remote write 2.0 is not supported; send 1.0 (Prometheus: leave out protobuf_message, "
           "or set it to prometheus.WriteRequest)";
  }
  const std::string_view media = type.substr(0, type.find(';'));
  if (media.empty() || EqualsIgnoringCase(media, "application/x-protobuf")) return {};
  return StrCat("Content-Type \"", EscapeForMessage(type),
                "\" is not remote write; send application/x-protobuf");
}

HttpResponse RemoteWrite(const HttpRequest& request, WriteSide* side) {
  if (const std::string wrong = WrongContentType(request.Header("Content-Type")); !wrong.empty()) {
    return ErrorResponse(415, wrong);
  }
  const std::string_view encoding = request.Header("Content-Encoding");
  ByteLease memory(side->context->request_bytes);
  std::string unpacked;
  if (encoding.empty()) {
    auto body = Unsnappy(request.body, side->max_body_bytes, &memory);
    if (!body.ok()) return BodyErrorResponse(body.status());
    unpacked = *std::move(body);
  } else if (!EqualsIgnoringCase(encoding, "snappy")) {
    return ErrorResponse(415, StrCat("Content-Encoding \"", EscapeForMessage(encoding),
                                     "\" is not remote write; send snappy"));
  }
  const std::string& body = encoding.empty() ? unpacked : request.body;
  const Turns::Turn turn(body.size() > kLargeBodyBytes ? &side->large_bodies : nullptr);
  wire::RemoteWrite decoded;
  if (const absl::Status read = wire::DecodeRemoteWrite(body, &decoded); !read.ok()) {
    return ErrorResponse(400, FromAbsl(read.message()));
  }
  WriteReport report;
  const absl::Status stored =
      side->writer.Write(decoded.batch, wire::RemoteWriteLabels, kRemoteWrite, &report);
  if (stored.ok() && decoded.histograms > 0) {
    report.Refuse(decoded.histograms,
                  "native histograms cannot be stored; let the scrape send "
                  "classic ones (scrape_classic_histograms)");
  }
  return Answer(*side->context, stored, report);
}

// Splits NAME=VALUE.
bool AddExtraLabel(std::string_view text, std::vector<Labels::Pair>* labels) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string_view::npos) return false;
  labels->emplace_back(text.substr(0, equals), text.substr(equals + 1));
  return true;
}

HttpResponse Import(const HttpRequest& request, WriteSide* side) {
  const UrlParameters parameters(request.query);
  int64_t now_ms = side->context->clock->NowMs();
  if (const std::string_view text = parameters.Get("timestamp"); !text.empty()) {
    const auto read = std::from_chars(text.data(), text.data() + text.size(), now_ms);
    if (read.ec != std::errc() || read.ptr != text.data() + text.size()) {
      return ErrorResponse(400, "timestamp is not an integer of milliseconds since 1970");
    }
  }
  std::vector<Labels::Pair> extra;
  std::string extra_text;
  for (const std::string_view text : parameters.GetAll("extra_label")) {
    if (!AddExtraLabel(text, &extra)) {
      return ErrorResponse(400, "extra_label must be NAME=VALUE, as in extra_label=job=backup");
    }
    StrAppend(&extra_text, text.size(), ":", text);
  }
  const uint64_t dialect = extra.empty() ? kImport : Checksum64(extra_text);
  // Only for what is new or wrong.
  const wire::LabelsOf labels_of = [&](std::string_view name) -> absl::StatusOr<Labels> {
    auto labels = wire::ExpositionLabels(name, extra);
    if (labels.ok()) return labels;
    const auto line = 1 + std::count(request.body.data(), name.data(), '\n');
    return absl::InvalidArgumentError(
        StrCat("line ", line, ": ", FromAbsl(labels.status().message())));
  };
  const bool is_openmetrics =
      request.Header("Content-Type").starts_with("application/openmetrics-text");
  const Turns::Turn turn(request.body.size() > kLargeBodyBytes ? &side->large_bodies : nullptr);
  wire::ExpositionReader reader(request.body, now_ms, is_openmetrics);
  wire::SeriesBatch batch;
  WriteReport report;
  absl::Status stored;
  while (stored.ok() && reader.Next(&batch, &report)) {
    stored = side->writer.Write(batch, labels_of, dialect, &report);
  }
  return Answer(*side->context, stored, report);
}

}  // namespace

WriteSide::WriteSide(const HandlerContext* context, size_t max_body_bytes)
    : context(context),
      max_body_bytes(max_body_bytes),
      writer(context->db, context->db, context->series_cache_bytes),
      large_bodies(kLargeBodiesAtOnce) {}

Handler RemoteWriteHandler(std::shared_ptr<WriteSide> side) {
  return [side](const HttpRequest& request) { return RemoteWrite(request, side.get()); };
}

Handler ImportHandler(std::shared_ptr<WriteSide> side) {
  return [side](const HttpRequest& request) { return Import(request, side.get()); };
}

}  // namespace tinyobs::serve
