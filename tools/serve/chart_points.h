// The points of one line of a chart, from the samples and windows of one series.
//
// What a database has of a year is uneven: windows of an hour, then of five minutes, then samples
// every 15 s. Drawn as it is, one line would change its meaning on the way, and thinned by count
// would show mostly today. So samples and finer windows are first gathered into the coarsest
// windows of the answer, and only then thinned. Each point stands for the samples from its time on
// until the next point's, whatever they come from, and its value says one thing about them.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_TOOLS_SERVE_CHART_POINTS_H_
#define TINYOBS_TOOLS_SERVE_CHART_POINTS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "tinyobs/querier.h"
#include "tinyobs/sample.h"
#include "tinyobs/windows.h"

namespace tinyobs::serve {

struct ChartOptions {
  TimeRange range;
  // Not kByType. kLast puts a point at the time of the sample it is, the others at the first time
  // they are about: only so a counter's rate between two points is right.
  WindowValue value = WindowValue::kAverage;
  // Samples and windows finer than this are gathered into its windows; kRaw = none.
  Resolution even = Resolution::kRaw;
  // More points become one for each floor(points / max_points) neighbours, so there may be up to
  // twice as many. At least 1.
  size_t max_points = 1;
};

// Points ascend and are in the range. A window that only overlaps the range is left out, unless the
// range is shorter than a window: then it is drawn at the nearest time in it. NaN does not count; a
// point of nothing else is NaN.
Columns ChartPoints(std::span<const Windows> windows, const Columns& samples,
                    const ChartOptions& options);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_CHART_POINTS_H_
