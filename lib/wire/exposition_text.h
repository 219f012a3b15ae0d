// Prometheus' text exposition format, version 0.0.4, the writing side: the server's own /metrics.
//
//   ExpositionWriter out;
//   out.Family("tinyobs_series", "gauge", "Series in the database.");
//   out.Sample(9);
//   out.Family("http_requests_total", "counter", "Requests answered, by status.");
//   out.Sample(3, {{"code", "200"}});
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_WIRE_EXPOSITION_TEXT_H_
#define TINYOBS_LIB_WIRE_EXPOSITION_TEXT_H_

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace tinyobs::wire {

inline constexpr std::string_view kExpositionContentType =
    "text/plain; version=0.0.4; charset=utf-8";

class ExpositionWriter {
 public:
  // Begins a metric; the samples that follow are its. `type`: counter, gauge, histogram, summary or
  // untyped.
  void Family(std::string_view name, std::string_view type, std::string_view help);
  void Sample(double value,
              std::initializer_list<std::pair<std::string_view, std::string_view>> labels = {});
  std::string Finish() { return std::move(out_); }

 private:
  std::string out_;
  std::string name_;
};

}  // namespace tinyobs::wire

#endif  // TINYOBS_LIB_WIRE_EXPOSITION_TEXT_H_
