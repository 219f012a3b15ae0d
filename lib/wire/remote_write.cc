// Field by field. protozero checks every length against the bytes that are left, and throws; it is
// caught at the two functions of the header.
#include "lib/wire/remote_write.h"

#include <algorithm>
#include <array>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/strings.h"
#include "lib/model/limits.h"
#include "protozero/pbf_reader.hpp"

namespace tinyobs::wire {
namespace {

using protozero::pbf_reader;
using protozero::pbf_wire_type;
using protozero::tag_and_type;

constexpr auto kBytes = pbf_wire_type::length_delimited;
constexpr auto kVarint = pbf_wire_type::varint;

// Samples that a body may hold although nobody could have meant them: for the few bytes of a test.
constexpr size_t kFreeSamples = 1024;
// Time, value, and what is around them. One whose value is 0 has 9.
constexpr size_t kLeastSampleBytes = 8;

std::string_view ViewOf(protozero::data_view view) { return {view.data(), view.size()}; }

void ReadSample(pbf_reader sample, SeriesBatch* batch) {
  double value = 0;  // what is left out is 0
  int64_t timestamp_ms = 0;
  while (sample.next()) {
    switch (sample.tag_and_type()) {
      case tag_and_type(1, pbf_wire_type::fixed64):
        value = sample.get_double();
        break;
      case tag_and_type(2, kVarint):
        timestamp_ms = sample.get_int64();
        break;
      default:
        sample.skip();
    }
  }
  batch->timestamps_ms.push_back(timestamp_ms);
  batch->values.push_back(value);
}

// False: there are more than `most_samples` of them.
bool ReadSeries(protozero::data_view bytes, size_t most_samples, RemoteWrite* out) {
  pbf_reader series(bytes);
  SeriesBatch& batch = out->batch;
  const char* name = nullptr;
  const char* name_end = nullptr;
  const size_t begin = batch.values.size();
  const char* field = bytes.data();
  while (series.next()) {
    switch (series.tag_and_type()) {
      case tag_and_type(1, kBytes):
        series.skip();
        if (name == nullptr) name = field;
        name_end = series.data().data();
        break;
      case tag_and_type(2, kBytes):
        if (batch.values.size() == most_samples) return false;
        ReadSample(series.get_message(), &batch);
        break;
      case tag_and_type(4, kBytes):
        ++out->histograms;
        series.skip();
        break;
      default:
        series.skip();
    }
    field = series.data().data();
  }
  if (batch.values.size() == begin) return true;
  const std::string_view labels =
      name == nullptr ? std::string_view() : std::string_view(name, name_end - name);
  batch.series.push_back({labels, begin, batch.values.size()});
  return true;
}

std::string_view TypeName(uint32_t type) {
  constexpr std::array<std::string_view, 8> kNames = {
      "unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"};
  return type < kNames.size() ? kNames[type] : kNames[0];
}

void ReadMetadata(pbf_reader message, SeriesBatch* batch) {
  SeriesBatch::Metadata metadata{.metric = {}, .type = TypeName(0), .help = {}, .unit = {}};
  while (message.next()) {
    switch (message.tag_and_type()) {
      case tag_and_type(1, kVarint):
        metadata.type = TypeName(message.get_uint32());
        break;
      case tag_and_type(2, kBytes):
        metadata.metric = ViewOf(message.get_view());
        break;
      case tag_and_type(4, kBytes):
        metadata.help = ViewOf(message.get_view());
        break;
      case tag_and_type(5, kBytes):
        metadata.unit = ViewOf(message.get_view());
        break;
      default:
        message.skip();
    }
  }
  if (!metadata.metric.empty()) batch->metadata.push_back(metadata);
}

absl::Status Damaged(std::string_view what, const std::exception& error) {
  return absl::InvalidArgumentError(StrCat(what, ": ", error.what()));
}

}  // namespace

absl::Status DecodeRemoteWrite(std::string_view body, RemoteWrite* out) {
  out->batch.clear();
  out->histograms = 0;
  const size_t most_samples = kFreeSamples + body.size() / kLeastSampleBytes;
  bool few_enough = true;
  try {
    pbf_reader request(body.data(), body.size());
    while (few_enough && request.next()) {
      switch (request.tag_and_type()) {
        case tag_and_type(1, kBytes):
          few_enough = ReadSeries(request.get_view(), most_samples, out);
          break;
        case tag_and_type(3, kBytes):
          ReadMetadata(request.get_message(), &out->batch);
          few_enough = out->batch.metadata.size() <= most_samples;
          break;
        default:
          request.skip();
      }
    }
  } catch (const std::exception& error) {
    return Damaged("remote write: not a WriteRequest of protobuf", error);
  }
  if (!few_enough) {
    return absl::InvalidArgumentError(StrCat("remote write: more than ", most_samples,
                                             " samples in a body of ", body.size(), " bytes"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Labels> RemoteWriteLabels(std::string_view name) {
  std::vector<Labels::Pair> pairs;
  bool has_metric = false;
  try {
    pbf_reader series(name.data(), name.size());
    while (series.next()) {
      if (series.tag_and_type() != tag_and_type(1, kBytes)) {
        series.skip();  // between labels, if the sender likes it so
        continue;
      }
      if (pairs.size() == kMaxLabels) {
        return absl::InvalidArgumentError(StrCat("a series of more than ", kMaxLabels, " labels"));
      }
      auto& [label, value] = pairs.emplace_back();
      pbf_reader message = series.get_message();
      while (message.next()) {
        if (message.tag_and_type() == tag_and_type(1, kBytes)) {
          label = ViewOf(message.get_view());
        } else if (message.tag_and_type() == tag_and_type(2, kBytes)) {
          value = ViewOf(message.get_view());
        } else {
          message.skip();
        }
      }
      has_metric = has_metric || (label == kMetricName && !value.empty());
    }
  } catch (const std::exception& error) {
    return Damaged("labels", error);
  }
  auto labels = Labels::Create(std::move(pairs));
  if (labels.ok() && !has_metric) {
    return absl::InvalidArgumentError(
        StrCat(labels->ToString(), ": a series needs a metric name, the label ", kMetricName));
  }
  return labels;
}

}  // namespace tinyobs::wire
