// WriteRequest: bodies of remote write, for tests and benchmarks: what a sender does, and what none
// should.
//
// Thread-safety: one thread.
#ifndef TINYOBS_TESTS_TESTING_WRITE_REQUEST_H_
#define TINYOBS_TESTS_TESTING_WRITE_REQUEST_H_

#include <snappy.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protozero/pbf_writer.hpp"
#include "tinyobs/labels.h"
#include "tinyobs/sample.h"

namespace tinyobs {

class WriteRequest {
 public:
  using Pairs = std::vector<std::pair<std::string_view, std::string_view>>;

  // Labels in the order they are given.
  WriteRequest& Series(const Pairs& labels, const std::vector<Sample>& samples,
                       int histograms = 0) {
    protozero::pbf_writer request(bytes_);
    protozero::pbf_writer series(request, 1);
    for (const auto& [name, value] : labels) AddLabel(name, value, &series);
    AddSamples(samples, &series);
    for (int i = 0; i < histograms; ++i) series.add_message(4, "\x08\x01", 2);
    return *this;
  }
  WriteRequest& Series(const Labels& labels, const std::vector<Sample>& samples) {
    protozero::pbf_writer request(bytes_);
    protozero::pbf_writer series(request, 1);
    for (const Label label : labels) AddLabel(label.name, label.value, &series);
    AddSamples(samples, &series);
    return *this;
  }
  WriteRequest& Metadata(uint32_t type, std::string_view metric, std::string_view help,
                         std::string_view unit) {
    protozero::pbf_writer request(bytes_);
    protozero::pbf_writer metadata(request, 3);
    metadata.add_uint32(1, type);
    metadata.add_string(2, metric.data(), metric.size());
    metadata.add_string(4, help.data(), help.size());
    metadata.add_string(5, unit.data(), unit.size());
    return *this;
  }

  const std::string& protobuf() const { return bytes_; }
  std::string Snappy() const {
    std::string out;
    snappy::Compress(bytes_.data(), bytes_.size(), &out);
    return out;
  }

 private:
  static void AddLabel(std::string_view name, std::string_view value,
                       protozero::pbf_writer* series) {
    protozero::pbf_writer label(*series, 1);
    label.add_string(1, name.data(), name.size());
    label.add_string(2, value.data(), value.size());
  }
  static void AddSamples(const std::vector<Sample>& samples, protozero::pbf_writer* series) {
    for (const Sample& sample : samples) {
      protozero::pbf_writer message(*series, 2);
      message.add_double(1, sample.value);
      message.add_int64(2, sample.timestamp_ms);
    }
  }

  std::string bytes_;
};

}  // namespace tinyobs

#endif  // TINYOBS_TESTS_TESTING_WRITE_REQUEST_H_
