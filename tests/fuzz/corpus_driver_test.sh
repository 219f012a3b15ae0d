#!/bin/bash
# corpus_driver itself: it must find a planted bug, say where, and refuse an empty corpus.
set -euo pipefail
driver=tests/fuzz/planted_bug_driver
export TEST_UNDECLARED_OUTPUTS_DIR=$TEST_TMPDIR
mkdir "$TEST_TMPDIR/corpus" "$TEST_TMPDIR/empty"
printf 'plain text' >"$TEST_TMPDIR/corpus/seed"

fail() {
  echo "FAILED: $1"
  cat "$TEST_TMPDIR/log"
  exit 1
}

if "$driver" "$TEST_TMPDIR/empty" 10 2>"$TEST_TMPDIR/log"; then fail "an empty corpus passed"; fi
if "$driver" "$TEST_TMPDIR/none" 10 2>"$TEST_TMPDIR/log"; then fail "a missing corpus passed"; fi
"$driver" "$TEST_TMPDIR/corpus" 0 >"$TEST_TMPDIR/log" 2>&1 || fail "a harmless seed did not pass"

if "$driver" "$TEST_TMPDIR/corpus" 4000 >"$TEST_TMPDIR/log" 2>&1; then fail "the planted bug was not found"; fi
found=$(sed -n 's/.*failed in mutation, case \([0-9]*\)$/\1/p' "$TEST_TMPDIR/log")
[ -n "$found" ] || fail "the case is not named"
LC_ALL=C grep -q -a '[^ -~]' "$TEST_TMPDIR/crash" || fail "the bytes were not kept"
if "$driver" "$TEST_TMPDIR/corpus" 4000 "$found" >"$TEST_TMPDIR/log" 2>&1; then fail "case $found alone passed"; fi
