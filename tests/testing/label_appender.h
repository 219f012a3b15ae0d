// LabelAppender: what the appenders of fake databases share: they know no handles.
//
// Thread-safety: as tinyobs/appender.h says.
#ifndef TINYOBS_TESTS_TESTING_LABEL_APPENDER_H_
#define TINYOBS_TESTS_TESTING_LABEL_APPENDER_H_

#include <cstdint>
#include <span>

#include "tinyobs/appender.h"

namespace tinyobs {

class LabelAppender : public Appender {
 public:
  using Appender::Add;
  absl::StatusOr<SeriesHandle> Resolve(const Labels&) override { return NoHandles(); }
  absl::Status Add(SeriesHandle, int64_t, double) override { return NoHandles(); }
  absl::Status AddAt(int64_t, std::span<const SeriesHandle>, std::span<const double>) override {
    return NoHandles();
  }
  absl::Status AddBatch(std::span<const SeriesHandle>, std::span<const int64_t>,
                        std::span<const double>) override {
    return NoHandles();
  }
  absl::Status AddColumn(SeriesHandle, std::span<const int64_t>, std::span<const double>) override {
    return NoHandles();
  }

 private:
  static absl::Status NoHandles() {
    return absl::UnimplementedError("this fake stores by labels only");
  }
};

}  // namespace tinyobs

#endif  // TINYOBS_TESTS_TESTING_LABEL_APPENDER_H_
