// Writes the files of golden_store.h into the folder given. Run by hand once per format version,
// with the writer of that version.
#include <cstdio>
#include <fstream>
#include <string>

#include "tests/lsm/golden_store.h"
#include "tests/testing/memory_file_system.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_golden_store FOLDER\n");
    return 2;
  }
  tinyobs::testing::MemoryFileSystem fs;
  tinyobs::lsm::GoldenContent content;
  const absl::Status status = tinyobs::lsm::WriteGoldenStore(&fs, "/db", &content);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  for (const std::string& path : fs.Files()) {
    if (path == "/db/LOCK") continue;
    std::ofstream file(argv[1] + path.substr(3), std::ios::binary);
    file << fs.Contents(path).value();
    if (!file.flush()) return 1;
  }
  return 0;
}
