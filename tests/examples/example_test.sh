#!/bin/sh
# The README's program prints what the README shows, on a new folder and on the one it left behind.
set -eu
program=$PWD/$1
expected=$PWD/$2
cd "$TEST_TMPDIR"
for run in new again; do
  "$program" > "$run.txt"
  diff -u "$expected" "$run.txt"
done
test -d example-data
