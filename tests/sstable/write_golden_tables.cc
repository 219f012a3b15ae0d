// Writes the tables of golden_tables.h into the folder given. Run by hand once per format version,
// with the writer of that version.
#include <cstdio>
#include <fstream>
#include <string>

#include "tests/sstable/golden_tables.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_golden_tables FOLDER\n");
    return 2;
  }
  for (const auto& golden : tinyobs::sstable::GoldenTables()) {
    std::ofstream file(std::string(argv[1]) + "/" + golden.file_name, std::ios::binary);
    file << tinyobs::sstable::BuildTable(golden.options, golden.entries);
    if (!file.flush()) return 1;
  }
  return 0;
}
