#!/usr/bin/env bash
# tools/setup, tools/start, tools/test and tools/bench against a machine made of fakes: a folder first on the PATH holds an
# apt-get, dpkg-query, dpkg-deb, sudo and id that write down how they were called and answer as told. The scripts are
# copied beside a packages.txt of our own, so neither the real machine nor the real list matters.
#
# Told through files in $FAKE: installed (one package a line), apt_fails (text printed by a failing install), uid,
# sudo_refuses, list_is_empty (the first download fails), filesystem and free_mb (of every folder), changes (git's),
# result and bench_status (of a benchmark), hangs (it says so through the fifo `started` and waits for ever).
set -euo pipefail

runfiles=${TEST_SRCDIR:?}/tinyobs
work=$(mktemp -d "${TEST_TMPDIR:?}/scripts.XXXXXX")
failures=0

new_machine() {
  machine=$(mktemp -d "$work/machine.XXXXXX")
  export FAKE=$machine/fake
  mkdir -p "$FAKE/bin" "$machine/repo/third_party" "$machine/elsewhere"
  cp -rL "$runfiles/tools" "$machine/repo/tools"
  cat >"$machine/repo/third_party/packages.txt" <<'LIST'
# A comment.
[build]
alpha
beta   # why
vendor ? vendor-program >= 18
[test]
gamma
[peers]
node-thing   # unpacked
[bench]
rival-dev
LIST
  printf 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n' >"$FAKE/os-release"
  echo 0 >"$FAKE/uid"
  : >"$FAKE/installed"
  : >"$FAKE/calls"
  cat >"$FAKE/bin/dpkg-query" <<'FAKE_END'
#!/bin/bash
if grep -qx "${!#}" "$FAKE/installed"; then printf installed; else echo "no packages found" >&2; exit 1; fi
FAKE_END
  cat >"$FAKE/bin/apt-get" <<'FAKE_END'
#!/bin/bash
echo "apt-get $*" >>"$FAKE/calls"
verb= packages=()
while [ $# -gt 0 ]; do
  case $1 in
    -o) shift ;;
    -*) ;;
    *) if [ -z "$verb" ]; then verb=$1; else packages+=("$1"); fi ;;
  esac
  shift
done
case $verb in
  update) rm -f "$FAKE/list_is_empty" ;;
  install)
    if [ -e "$FAKE/apt_fails" ]; then cat "$FAKE/apt_fails"; exit 100; fi
    if [ ! -e "$FAKE/apt_lies" ]; then printf '%s\n' "${packages[@]}" >>"$FAKE/installed"; fi ;;
  download)
    if [ -e "$FAKE/list_is_empty" ]; then echo "E: Unable to locate package"; exit 100; fi
    if [ -e "$FAKE/download_fails" ]; then echo "E: Failed to fetch: Could not connect"; exit 100; fi
    touch "${packages[0]}_1_all.deb" ;;
esac
FAKE_END
  cat >"$FAKE/bin/dpkg-deb" <<'FAKE_END'
#!/bin/bash
echo "dpkg-deb $1" >>"$FAKE/calls"
mkdir -p "$3/usr/bin" && touch "$3/usr/bin/node-thing"
FAKE_END
  # shellcheck disable=SC2016  # the fakes expand these, not this script
  printf '#!/bin/bash\nif [ "$1" = -u ]; then cat "$FAKE/uid"; else echo somebody; fi\n' >"$FAKE/bin/id"
  cat >"$FAKE/bin/sudo" <<'FAKE_END'
#!/bin/bash
if [ -e "$FAKE/sudo_refuses" ]; then exit 1; fi
if [ "$1" = -n ]; then shift; exec "$@"; fi
echo "sudo" >>"$FAKE/calls"
exec "$@"
FAKE_END
  printf '#!/bin/bash\necho v18.2.0\n' >"$FAKE/bin/vendor-program"
  cat >"$FAKE/bin/fake-bazel" <<'FAKE_END'
#!/bin/bash
echo "bazel $*" >>"$FAKE/calls"
for argument in "$@"; do
  case $argument in
    --build_event_json_file=*) if [ -e "$FAKE/events" ]; then cat "$FAKE/events" >"${argument#*=}"; fi ;;
  esac
done
if [ "$1" = info ]; then echo "$FAKE/bazel-bin"; fi
if [ -e "$FAKE/bazel_status" ]; then exit "$(cat "$FAKE/bazel_status")"; fi
FAKE_END
  echo ext4 >"$FAKE/filesystem"
  echo 99999 >"$FAKE/free_mb"
  cat >"$FAKE/bin/df" <<'FAKE_END'
#!/bin/bash
case $1 in
  --output=fstype,source) printf 'Type Filesystem\n%s /dev/disk7\n' "$(cat "$FAKE/filesystem")" ;;
  --output=fstype) printf 'Type\n%s\n' "$(cat "$FAKE/filesystem")" ;;
  --output=avail) printf '  Avail\n%sM\n' "$(cat "$FAKE/free_mb")" ;;
esac
FAKE_END
  cat >"$FAKE/bin/git" <<'FAKE_END'
#!/bin/bash
case "$*" in
  *rev-parse*) echo abc1234 ;;
  *status*) if [ -e "$FAKE/changes" ]; then cat "$FAKE/changes"; fi ;;
esac
FAKE_END
  mkdir -p "$FAKE/bazel-bin/tools/serve" "$FAKE/bazel-bin/bench/peers"
  cat >"$FAKE/bazel-bin/bench/peers/lsm_bench" <<'FAKE_END'
#!/bin/bash
echo "lsm_bench $*" >>"$FAKE/calls"
while [ $# -gt 0 ]; do
  case $1 in
    --dir) echo data >"$2/data"; echo "$2" >"$FAKE/scratch"; shift ;;
    --json) json=$2; shift ;;
  esac
  shift
done
if [ -e "$FAKE/hangs" ]; then
  mkfifo "$FAKE/never"
  echo "$$" >"$FAKE/started"
  read -r _ <"$FAKE/never"
fi
echo "the table of ratios"
if [ -n "${json:-}" ]; then cat "$FAKE/result" >"$json"; fi
exit "$(cat "$FAKE/bench_status" 2>/dev/null || echo 0)"
FAKE_END
  cat >"$FAKE/result" <<'FAKE_END'
{"machine":"m","commit":"c","date":"2026-01-01T00:00:00Z","repetitions":5,"versions":{},
 "rows":[{"bench":"b","metric":"ops_per_s","better":"higher","ours":2,"peers":{"leveldb":1}}]}
FAKE_END
  printf '#!/bin/bash\necho "serve $*"\n' >"$FAKE/bazel-bin/tools/serve/tinyobs-serve"
  chmod +x "$FAKE"/bin/* "$FAKE/bazel-bin/tools/serve/tinyobs-serve" "$FAKE/bazel-bin/bench/peers/lsm_bench"
}

# run SCRIPT ARGUMENTS...: from another folder, without a terminal; sets $status and $output.
run() {
  local script=$1
  shift
  status=0
  output=$(cd "$machine/elsewhere" && env -u TINYOBS_PEERS_DIR -u TINYOBS_SKIP_SETUP -u CI TMPDIR="$machine" HOME="$machine/elsewhere" \
    PATH="$FAKE/bin:/usr/bin:/bin" TINYOBS_OS_RELEASE="$FAKE/os-release" TINYOBS_BAZEL="$FAKE/bin/fake-bazel" \
    "${environment[@]}" "$machine/repo/tools/$script" "$@" </dev/null 2>&1) || status=$?
}

# expect DESCRIPTION COMMAND...: the command must succeed.
expect() {
  local description=$1
  shift
  if ! "$@"; then
    echo "FAILED: $name: $description"
    printf '  status %s, output:\n%s\n  calls:\n%s\n' "$status" "$output" "$(cat "$FAKE/calls")"
    failures=$((failures + 1))
  fi
}
says() { grep -qF -- "$1" <<<"$output"; }
called() { grep -qF -- "$1" "$FAKE/calls"; }
not() { ! "$@"; }
calls_of() { grep -c "^$1" "$FAKE/calls" || true; }
environment=()

name="a machine that has everything"
new_machine
printf 'alpha\nbeta\ngamma\n' >"$FAKE/installed"
mkdir -p "$machine/repo/third_party/peers/node-thing"
touch "$machine/repo/third_party/peers/node-thing/.complete"
run setup
expect "succeeds" test "$status" = 0
expect "apt-get is never called" test "$(calls_of apt-get)" = 0

name="a machine that lacks some"
new_machine
echo alpha >"$FAKE/installed"
run setup
expect "succeeds" test "$status" = 0
expect "the lists are fetched once" test "$(grep -c '^apt-get.* update$' "$FAKE/calls")" = 1
expect "exactly the missing ones are installed" grep -q -- ' install --yes --no-install-recommends beta gamma$' "$FAKE/calls"
expect "the peer is unpacked" test -e "$machine/repo/third_party/peers/node-thing/usr/bin/node-thing"
expect "no scratch folder stays" test -z "$(find "$machine/repo/third_party/peers" -name '.unpack*')"
: >"$FAKE/calls"
run setup
expect "the second run calls nothing" test ! -s "$FAKE/calls"

name="only the groups asked for"
new_machine
run setup build
expect "succeeds" test "$status" = 0
expect "build only" grep -q ' --no-install-recommends alpha beta$' "$FAKE/calls"
expect "no peer" test ! -e "$machine/repo/third_party/peers"

name="a vendor's program that is too old"
new_machine
printf '#!/bin/bash\necho v16.9.0\n' >"$FAKE/bin/vendor-program"
run setup build
expect "Debian's package is installed" grep -q ' alpha beta vendor$' "$FAKE/calls"

name="apt-get fails without network"
new_machine
echo "E: Failed to fetch http://mirror/x  Temporary failure resolving 'mirror'" >"$FAKE/apt_fails"
run setup
expect "fails" test "$status" = 1
expect "names the packages" says "FAILED: apt-get could not install: alpha beta gamma"
expect "names the cause" says "is the network up"
expect "shows apt's words" says "Temporary failure resolving"
expect "no peer is tried" not called download

name="apt-get says yes and installs nothing"
new_machine
touch "$FAKE/apt_lies"
run setup
expect "fails" test "$status" = 1
expect "names the packages" says "still missing after the installation: alpha beta gamma"

name="not root, sudo without a password"
new_machine
echo 1000 >"$FAKE/uid"
run setup
expect "succeeds" test "$status" = 0
expect "through sudo" called sudo
expect "installs" called "install --yes --no-install-recommends alpha beta gamma"

name="not root, sudo refuses, nobody to ask"
new_machine
echo 1000 >"$FAKE/uid"
touch "$FAKE/sudo_refuses"
run setup
expect "fails" test "$status" = 1
expect "tells the administrator's command" says "apt-get install --no-install-recommends alpha beta gamma"
expect "apt-get is never called" test "$(calls_of apt-get)" = 0

name="another distribution"
new_machine
printf 'ID=ubuntu\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04"\n' >"$FAKE/os-release"
run setup
expect "fails" test "$status" = 1
expect "says which" says "Ubuntu 24.04"
expect "names the packages" says "alpha beta gamma"
expect "names the way out" says "TINYOBS_SKIP_SETUP=1"
expect "apt-get is never called" test "$(calls_of apt-get)" = 0
environment=(TINYOBS_SKIP_SETUP=1)
run setup
expect "the way out works" test "$status" = 0
environment=()

name="a peer that cannot be downloaded"
new_machine
printf 'alpha\nbeta\ngamma\n' >"$FAKE/installed"
touch "$FAKE/download_fails"
run setup
expect "fails" test "$status" = 1
expect "names it" says "cannot download the Debian package node-thing"
expect "names the cause" says "is the network up"
expect "leaves nothing half-done" test -z "$(ls -A "$machine/repo/third_party/peers")"
rm "$FAKE/download_fails"
touch "$FAKE/list_is_empty"
run setup
expect "without package lists they are fetched" test "$status" = 0

name="an unknown group"
run setup nonsense
expect "fails" test "$status" = 1
expect "says so" says "unknown group: nonsense"

name="tools/start"
new_machine
run start --no-host-metrics
expect "prepares, builds, serves" test "$status" = 0
expect "builds the server" grep -q '^bazel build .*//tools/serve:tinyobs-serve$' "$FAKE/calls"
expect "default folder, then the arguments" says "serve --storage.path=$machine/repo/data/tinyobs --no-host-metrics"
expect "prints the address" says "http://localhost:8080"
expect "tests and peers are not its business" not called gamma
run start --storage.path=/x --web.listen-address=127.0.0.1:9000
expect "own folder" says "serve --storage.path=/x --web.listen-address=127.0.0.1:9000"
expect "own address" says "http://localhost:9000"
echo 1 >"$FAKE/bazel_status"
run start
expect "a failed build serves nothing" not says "serve --storage"
expect "and fails" test "$status" = 1

name="tools/test"
new_machine
cat >"$FAKE/events" <<'EVENTS'
{"id":{"targetConfigured":{"label":"//a:x"}},"configured":{"testSize":"SMALL"}}
{"id":{"testSummary":{"label":"//a:x"}},"testSummary":{"overallStatus":"PASSED"}}
EVENTS
run test
expect "succeeds" test "$status" = 0
expect "everything by default" grep -q '^bazel test .* -- //\.\.\.$' "$FAKE/calls"
expect "closing line" test "$(tail -n 1 <<<"$output")" = "1 passed, 0 failed"
run test --config=asan //a/... -- -//a/b
expect "options and patterns find their places" grep -q '^bazel test .* --config=asan -- //a/\.\.\. -//a/b$' "$FAKE/calls"
expect "the server stays for a developer" not called "bazel shutdown"
environment=(CI=true)
run test
expect "a build machine keeps nothing running" called "bazel shutdown"
environment=(TINYOBS_PEERS_DIR="$machine/peers")
run test
expect "the tests learn where the peers are" called "--test_env=TINYOBS_PEERS_DIR=$machine/peers"
expect "and they are there" test -e "$machine/peers/node-thing/.complete"
environment=(HOME="$machine/none")
run test
expect "without a home the caches go into the checkout" test -d "$machine/repo/.cache/home"
environment=()
echo 3 >"$FAKE/bazel_status"
run test
expect "bazel's status is not lost" test "$status" = 3
expect "closing line of a failure" test "$(tail -n 1 <<<"$output")" = "1 passed, 1 failed"
expect "no event file stays" test -z "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'tmp.*' -newer "$FAKE/events" -user "$(id -u)" -size -2 -exec grep -l '//a:x' {} + 2>/dev/null)"

# The folder of the last benchmark's data, and nothing half-written anywhere.
nothing_stays() {
  test ! -e "$(cat "$FAKE/scratch" 2>/dev/null || echo "$machine/none")" &&
    test -z "$(find "$machine" \( -name 'tinyobs-bench.*' -o -name '*.part.*' \) -print -quit)"
}

name="tools/bench"
new_machine
run bench
expect "without a name it says what there is" says "tools/bench lsm"
expect "and that is no failure" test "$status" = 0
run bench --help
expect "--help too" says "--quick"
run bench nonsense
expect "an unknown name fails" test "$status" = 1
expect "and names the known" says "There are: lsm"
run bench lsm --nonsense
expect "an unknown option fails" says "unknown argument: --nonsense"
run bench lsm --json
expect "an option without its value fails" says "--json needs a value"
expect "none of these touches the machine" test ! -s "$FAKE/calls"
run bench lsm --quick --only=fillseq,open --repetitions 3
expect "succeeds" test "$status" = 0
expect "installs the peers" grep -q ' alpha beta rival-dev$' "$FAKE/calls"
expect "builds" grep -q '^bazel build .*//bench/peers:lsm_bench$' "$FAKE/calls"
expect "hands the options on" grep -q '^lsm_bench --quick --only fillseq,open --repetitions 3 --dir ' "$FAKE/calls"
expect "says which machine" grep -q -- '--machine .* processors, .* GiB, Linux .*, ext4 on disk7 ' "$FAKE/calls"
expect "says which commit" grep -q -- '--commit abc1234$' "$FAKE/calls"
expect "prints the table" says "the table of ratios"
expect "its data are gone" nothing_stays
echo " M lib/x.cc" >"$FAKE/changes"
run bench lsm
expect "a changed tree is said" grep -q -- '--commit abc1234-dirty$' "$FAKE/calls"

name="tools/bench --json"
run bench lsm --json out.json
expect "succeeds" test "$status" = 0
expect "the result, relative to where the user is" cmp -s "$FAKE/result" "$machine/elsewhere/out.json"
expect "nothing else stays" nothing_stays
echo '{"rows":[' >"$FAKE/result"
run bench lsm --json out.json
expect "half a result is a failure" test "$status" = 1
expect "the old file is untouched" grep -q ops_per_s "$machine/elsewhere/out.json"
run bench lsm --json "$machine/none/out.json"
expect "a folder that is missing is told before anything runs" says "the folder of the --json file does not exist"
echo 7 >"$FAKE/bench_status"
run bench lsm --json new.json
expect "a failed benchmark fails" test "$status" = 1
expect "with its status" says "ended with status 7"
expect "and writes no result" test ! -e "$machine/elsewhere/new.json"
expect "nothing stays of it" nothing_stays

name="tools/bench tsdb"
new_machine
cp "$FAKE/bazel-bin/bench/peers/lsm_bench" "$FAKE/bazel-bin/bench/peers/tsdb_bench"
mkdir -p "$machine/repo/bench/workload"
cat >"$machine/repo/bench/workload/capture.py" <<'FAKE_END'
import os, sys
open(os.environ["FAKE"] + "/calls", "a").write("capture " + " ".join(sys.argv[1:]) + "\n")
open(sys.argv[sys.argv.index("--output") + 1], "w").write("samples")
FAKE_END
run bench lsm --series 5
expect "an option of tsdb is none of lsm" says "unknown argument: --series"
run bench tsdb --capture "$machine/none/none"
expect "a capture that is missing is told" says "no such file"
run bench tsdb --quick --series 5
expect "succeeds" test "$status" = 0
expect "a short capture for a short run" grep -q '^capture --output .* --count 30 ' "$FAKE/calls"
expect "which it hands on" grep -q -- '--quick --series 5 --capture ' "$FAKE/calls"
expect "and does not keep" nothing_stays
run bench tsdb
expect "a whole one for a whole run" grep -q '^capture --output [^ ]*/repo/.cache/bench/node_exporter.capture$' "$FAKE/calls"
: >"$FAKE/calls"
run bench tsdb
expect "which is kept" test "$(grep -c '^capture' "$FAKE/calls")" = 0
expect "and used again" grep -q -- '--capture [^ ]*/repo/.cache/bench/node_exporter.capture ' "$FAKE/calls"
run bench capture --count 7 --output own.capture
expect "one of one's own" grep -q '^capture --output [^ ]*/elsewhere/own.capture --count 7$' "$FAKE/calls"

name="tools/bench on an unfit folder"
new_machine
echo tmpfs >"$FAKE/filesystem"
run bench lsm
expect "memory is no disk" says "is in memory (tmpfs), not on a disk"
echo ext4 >"$FAKE/filesystem"
echo 10 >"$FAKE/free_mb"
run bench lsm --quick
expect "a full disk is told" says "only 10 MB are free"
run bench lsm --dir "$machine/none"
expect "a folder that is missing is told" says "not a folder that can be written"
expect "nothing was built or run" test ! -s "$FAKE/calls"

for signal in INT TERM; do
  name="tools/bench ended by SIG$signal"
  new_machine
  touch "$FAKE/hangs"
  mkfifo "$FAKE/started"
  output=
  (
    cd "$machine/elsewhere"
    # A shell's background job ignores SIGINT unless told otherwise.
    exec env --default-signal=INT -u CI TMPDIR="$machine" HOME="$machine/elsewhere" PATH="$FAKE/bin:/usr/bin:/bin" \
      TINYOBS_SKIP_SETUP=1 TINYOBS_BAZEL="$FAKE/bin/fake-bazel" "$machine/repo/tools/bench" lsm --json out.json
  ) >/dev/null 2>&1 </dev/null &
  script=$!
  read -r program <"$FAKE/started"
  kill "-$signal" "$script"
  status=0
  wait "$script" || status=$?
  expect "says so in its status" test "$status" -gt 128
  expect "the benchmark is ended" not kill -0 "$program" 2>/dev/null
  expect "its data are gone" nothing_stays
  expect "no result" test ! -e "$machine/elsewhere/out.json"
done

if [ "$failures" != 0 ]; then
  echo "$failures expectations failed"
  exit 1
fi
echo "all expectations met"
