// Writes one chunk of every kind of samples, and the samples as text, into a folder. Run by hand
// once per format version, with the writer of that version.
#include <cstdio>
#include <fstream>
#include <string>

#include "lib/chunk/chunk.h"
#include "tests/chunk/sample_generators.h"

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

}  // namespace
}  // namespace tinyobs::chunk

int main(int argc, char** argv) {
  using namespace tinyobs::chunk;
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_golden_chunks FOLDER\n");
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
  return ok ? 0 : 1;
}
