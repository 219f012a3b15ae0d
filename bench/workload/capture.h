// Reads what capture.py wrote: real samples of a node exporter. The format is described there.
//
// All of it is kept in memory (10 bytes a sample); the bytes are checked as far as that a damaged
// file ends the program with a word instead of anything worse.
//
// One thread.
#ifndef TINYOBS_BENCH_WORKLOAD_CAPTURE_H_
#define TINYOBS_BENCH_WORKLOAD_CAPTURE_H_

#include <memory>
#include <string>

#include "bench/workload/sample_source.h"

namespace tinyobs::bench {

// The scrapes of the file, series in the order in which the exporter first named them. Null and
// `error` set when it cannot be read.
std::unique_ptr<SampleSource> ReadCapture(const std::string& path, std::string* error);

}  // namespace tinyobs::bench

#endif  // TINYOBS_BENCH_WORKLOAD_CAPTURE_H_
