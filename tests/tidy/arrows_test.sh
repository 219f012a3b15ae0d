#!/bin/bash
# The arrows between the rooms, from Bazel's own dependency graph (the *_deps files are `bazel query 'deps(...)'`).
# Also proves that each check can fail, on a list with one line too many.
set -euo pipefail
failures=0

# allowed NAME LIST PATTERN: every line of LIST that is a repository of ours or of a system library matches PATTERN.
offenders_outside() { grep -E '^(//|@)' "$1" | grep -Ev '^@(bazel_tools|local_config_|rules_cc|platforms|bazel_skylib)' | grep -Ev "$2" || true; }

check() {
  local name=$1 list=$2 must_have=$3 pattern=$4 offenders
  if ! grep -qE "$must_have" "$list"; then
    echo "FAILED: $name: the list does not even hold $must_have; is the query empty?"
    failures=$((failures + 1))
  fi
  offenders=$(offenders_outside "$list" "$pattern")
  if [ -n "$offenders" ]; then
    printf 'FAILED: %s reaches what it must not know:\n%s\n' "$name" "$offenders"
    failures=$((failures + 1))
  fi
  # The self-test: one intruder is seen.
  cp -L "$list" "$TEST_TMPDIR/list"
  chmod u+w "$TEST_TMPDIR/list"
  echo "@curl//:curl" >>"$TEST_TMPDIR/list"
  if [ "$(offenders_outside "$TEST_TMPDIR/list" "$pattern" | grep -c '@curl')" != 1 ]; then
    echo "FAILED: $name: the check does not see an intruder"
    failures=$((failures + 1))
  fi
}

here=tests/tidy
engine_libraries='@(snappy|xxhash|absl_[a-z]+|re2)//'
check "lib/sstable" $here/sstable_deps '^//lib/sstable' "^(//lib/(sstable|vfs|base|include)[:/]|$engine_libraries)"
check "lib/lsm" $here/lsm_deps '^//lib/lsm' "^(//lib/(lsm|sstable|vfs|base|include)[:/]|$engine_libraries)"
check "lib/promql" $here/promql_deps '^//lib/promql' "^(//lib/(promql|model|base|include)[:/]|$engine_libraries)"
check "lib:tinyobs" $here/engine_deps '^//lib/tsdb' \
  "^(//lib:tinyobs$|//lib:BUILD|//lib/(promql|tsdb|chunk|model|lsm|sstable|vfs|base|include)[:/]|$engine_libraries)"
sdk_rooms='//lib/(sdk|wire|model|base|include)[:/]'
for list in sdk_room_deps sdk_deps; do
  # The HTTP transport brings curl; the intruder of the self-test is another name for it.
  sed -e 's/^@curl/@http_client/' -e 's/^@zlib/@http_zlib/' "$here/$list" >"$TEST_TMPDIR/$list"
  check "$list" "$TEST_TMPDIR/$list" '^//lib/sdk' \
    "^(//lib:tinyobs_sdk$|//lib:BUILD|$sdk_rooms|$engine_libraries|@http_client//|@http_zlib//|@rapidjson//)"
done

exit "$((failures > 0))"
