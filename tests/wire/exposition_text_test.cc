// Goal: text that Prometheus reads. Method: the whole text of a small page.
#include "lib/wire/exposition_text.h"

#include <cmath>

#include "gtest/gtest.h"

namespace tinyobs::wire {
namespace {

TEST(ExpositionWriter, WritesFamiliesAndSamples) {
  ExpositionWriter out;
  out.Family("requests_total", "counter", "Requests \\ answered\nby status.");
  out.Sample(3, {{"code", "200"}, {"path", "a\"b\\c\n"}});
  out.Sample(0.5, {{"code", "500"}});
  out.Family("temperature", "gauge", "How hot.");
  out.Sample(std::nan(""));
  out.Sample(HUGE_VAL);
  EXPECT_EQ(out.Finish(),
            "# HELP requests_total Requests \\\\ answered\\nby status.\n"
            "# TYPE requests_total counter\n"
            "requests_total{code=\"200\",path=\"a\\\"b\\\\c\\n\"} 3\n"
            "requests_total{code=\"500\"} 0.5\n"
            "# HELP temperature How hot.\n"
            "# TYPE temperature gauge\n"
            "temperature NaN\n"
            "temperature +Inf\n");
}

}  // namespace
}  // namespace tinyobs::wire
