// The smallest program that links the whole engine, for linked_test.sh.
#include "tinyobs/db.h"

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  return tinyobs::Db::Open(argv[1]).ok() ? 0 : 1;
}
