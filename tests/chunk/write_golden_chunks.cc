// Writes one chunk of every kind of samples, and the samples as text, into a folder; and into
// another rows of windows, and the windows as text. Run by hand once per format version, with the
// writer of that version.
#include <cstdio>
#include <fstream>
#include <set>
#include <string>

#include "lib/chunk/aggregate.h"
#include "lib/chunk/chunk.h"
#include "lib/chunk/window.h"
#include "tests/chunk/sample_generators.h"
#include "tests/chunk/window_text.h"

namespace tinyobs::chunk {
namespace {

bool WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  return file.flush().good();
}

bool WriteGolden(const std::string& folder, const std::string& name, const Columns& columns) {
  std::string chunk;
  Encoder().Encode(columns.timestamps_ms, columns.values, &chunk);
  return WriteFile(folder + "/" + name + ".samples", ToText(columns)) &&
         WriteFile(folder + "/" + name + ".chunk", chunk);
}

bool WriteGoldenRow(const std::string& folder, const std::string& name, const Columns& columns) {
  constexpr int64_t kWidthMs = 300'000;
  WindowAggregator aggregator;
  aggregator.Begin(-kWidthMs << 32, INT64_MAX, kWidthMs);
  aggregator.AddSamples(columns.timestamps_ms, columns.values);
  const std::vector<Window>& windows = aggregator.Finish();
  std::string row;
  EncodeWindows(windows, kWidthMs, &row);
  return WriteFile(folder + "/" + name + ".windows", WindowsToText(windows)) &&
         WriteFile(folder + "/" + name + ".row", row);
}

}  // namespace
}  // namespace tinyobs::chunk

int main(int argc, char** argv) {
  using namespace tinyobs::chunk;
  if (argc != 3) {
    std::fprintf(stderr, "usage: write_golden_chunks CHUNKS_FOLDER WINDOWS_FOLDER\n");
    return 2;
  }
  Random random(1);
  bool ok = WriteGolden(argv[1], "one_sample", SampleKinds()[0].generate(&random, 1));
  for (const SampleKind& kind : SampleKinds()) {
    ok = WriteGolden(argv[1], kind.name, kind.generate(&random, 60)) && ok;
  }
  // Long enough for a summary.
  for (const SampleKind& kind : SampleKinds()) {
    if (kind.name != "int_counter" && kind.name != "jittered_times" &&
        kind.name != "multiples_of") {
      continue;
    }
    ok = WriteGolden(argv[1], kind.name + "_long", kind.generate(&random, 480)) && ok;
  }
  ok = WriteGoldenRow(argv[2], "one_window", SampleKinds()[0].generate(&random, 3)) && ok;
  for (const SampleKind& kind : SampleKinds()) {
    // The others are of times far apart, or of no samples.
    static const std::set<std::string> kKinds = {
        "int_counter",      "one_decimal_walk", "pages_of_bytes", "constant",
        "resets_and_stale", "full_precision",   "specials",       "decimals_with_specials",
        "mixed_exponents",  "irregular_times"};
    if (!kKinds.contains(kind.name)) continue;
    ok = WriteGoldenRow(argv[2], kind.name, kind.generate(&random, 500)) && ok;
  }
  return ok ? 0 : 1;
}
