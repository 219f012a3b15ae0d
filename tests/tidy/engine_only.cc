// The smallest program that links the whole engine, for linked_test.sh.
#include "tinyobs/db.h"
#include "tinyobs/promql.h"

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const auto db = tinyobs::Db::Open(argv[1]);
  return db.ok() && tinyobs::Query(**db, "count(up)", 0).ok() ? 0 : 1;
}
