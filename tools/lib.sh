# shellcheck shell=bash
# What tools/setup, tools/start, tools/test and tools/bench share. Sourced, never run.
#
# Everything here works from any directory, as root or through sudo, and with nothing but what a fresh Debian 12
# has: bash, coreutils, apt. A step that fails says what failed and what to do next, and ends the script: a
# half-prepared machine gives worse messages later.
#
# Variables a user may set:
#   TINYOBS_SKIP_SETUP=1    install nothing, check nothing (another distribution, no network, own packages)
#   TINYOBS_BAZEL           the Bazel to run (default: Debian's /usr/bin/bazel)
#   TINYOBS_BAZEL_STARTUP   Bazel's startup options, e.g. --output_base=/somewhere
#   TINYOBS_JOBS            parallel build actions (default: by processors and memory)
#   TINYOBS_PEERS_DIR       where [peers] are unpacked (default: third_party/peers)

set -euo pipefail

TINYOBS_ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd -P)
TINYOBS_PACKAGES=$TINYOBS_ROOT/third_party/packages.txt
TINYOBS_PEERS_DIR=${TINYOBS_PEERS_DIR:-$TINYOBS_ROOT/third_party/peers}
TINYOBS_OS_RELEASE=${TINYOBS_OS_RELEASE:-/etc/os-release}  # another file only in tests/scripts

# say TEXT: one line of progress, on stderr because stdout belongs to the program that is started.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# fail TEXT...: the first argument says what failed, the others what to do next; ends the script.
fail() {
  say "FAILED: $1"
  shift
  local line
  for line in "$@"; do printf '    %s\n' "$line" >&2; done
  exit 1
}

# entries GROUP: the lines of a group of packages.txt without comments.
entries() {
  sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$TINYOBS_PACKAGES" |
    awk -v want="[$1]" '/^\[/ { inside = ($0 == want); next } inside'
}

# has_command COMMAND MAJOR: COMMAND is on the PATH and says a version of at least MAJOR (0: any).
has_command() {
  command -v "$1" >/dev/null 2>&1 || return 1
  [ "$2" -gt 0 ] || return 0
  local version
  version=$("$1" --version 2>/dev/null | grep -Eo '[0-9]+' | head -n 1) || return 1
  [ "${version:-0}" -ge "$2" ]
}

# installed PACKAGE: dpkg has it, completely.
installed() {
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# missing_packages GROUP...: the packages to install, one a line.
missing_packages() {
  local group package mark command major
  for group in "$@"; do
    entries "$group" | while read -r package mark command _ major; do
      if [ "$mark" = '?' ] && has_command "$command" "${major:-0}"; then continue; fi
      installed "$package" || printf '%s\n' "$package"
    done
  done
}

# as_root COMMAND...: runs it as root, through sudo if need be; status 125 when there is no way to become root.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
    return
  fi
  command -v sudo >/dev/null 2>&1 || return 125
  if ! sudo -n true 2>/dev/null; then
    [ -t 0 ] || return 125
    say "installing needs root: sudo may ask for your password"
  fi
  # sudo drops the environment; apt needs the proxy.
  local name keep=()
  for name in http_proxy https_proxy no_proxy; do
    if [ -n "${!name:-}" ]; then keep+=("$name=${!name}"); fi
  done
  sudo env "${keep[@]}" "$@"
}

# apt_get ARGUMENTS...: as root, no questions, waits for another apt; its output is shown and kept for why_apt_failed.
apt_get() {
  local log=$1 status=0
  shift
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q "$@" \
    </dev/null 2>&1 | tee -a "$log" >&2 || status=$?
  return "$status"
}

# why_apt_failed LOG: the likely cause, in words.
why_apt_failed() {
  if grep -Eqi 'resolv|could not connect|connection (refused|timed out|failed)|unreachable|failed to fetch|unable to connect' "$1"; then
    echo "The package mirror did not answer: is the network up (and http_proxy set, if you need one)?"
  elif grep -Eqi 'unable to locate|has no installation candidate' "$1"; then
    echo "The mirror does not know a package: are Debian 12's main packages enabled in /etc/apt/sources.list?"
  elif grep -Eqi 'no space left|enough free space' "$1"; then
    echo "The disk is full: about 3 GB are needed."
  elif grep -Eqi 'could not get lock|dpkg was interrupted' "$1"; then
    echo "Another apt or dpkg is busy or was interrupted: wait for it, or run: dpkg --configure -a"
  elif grep -Eqi 'held broken|unmet dependencies|trying to overwrite' "$1"; then
    echo "A package from another source is in the way (see above)."
  else
    echo "apt-get's own words are above."
  fi
}

# install_packages GROUP...: installs what is missing of these groups; asks the network only when something is.
install_packages() {
  local packages log command status=0
  if [ ! -r "$TINYOBS_PACKAGES" ]; then
    fail "cannot read $TINYOBS_PACKAGES" "Is the checkout complete? Try: git status"
  fi
  if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    fail "this is not a Debian system: there is no dpkg or apt-get" \
      "The build is made for Debian 12. Elsewhere install the equivalents of:" \
      "$(for group in "$@"; do entries "$group"; done | cut -d' ' -f1 | tr '\n' ' ')" \
      "and run again with TINYOBS_SKIP_SETUP=1."
  fi
  mapfile -t packages < <(missing_packages "$@")
  if [ ${#packages[@]} -eq 0 ]; then
    say "packages ($*): nothing missing"
    return
  fi
  say "packages ($*): ${#packages[@]} missing: ${packages[*]}"
  if ! grep -q '^ID=debian$' "$TINYOBS_OS_RELEASE" || ! grep -q '^VERSION_ID="\?12"\?$' "$TINYOBS_OS_RELEASE"; then
    fail "this is not Debian 12 ($(sed -n 's/^PRETTY_NAME=//p' "$TINYOBS_OS_RELEASE"))" \
      "Nothing was installed. Install the equivalents of: ${packages[*]}" \
      "and run again with TINYOBS_SKIP_SETUP=1."
  fi
  command="apt-get install --no-install-recommends ${packages[*]}"
  log=$(mktemp)
  say "fetching the package lists"
  apt_get "$log" update || status=$?
  if [ "$status" = 125 ]; then
    rm -f "$log"
    fail "installing packages needs root, and there is no sudo to become root" \
      "Ask an administrator to run:" "  apt-get update && $command" "then run ${0##*/} again."
  fi
  # A failed update may be one broken source of the user's own; only the installation decides.
  status=0
  say "installing (the first time this takes some minutes)"
  apt_get "$log" install --yes --no-install-recommends "${packages[@]}" || status=$?
  if [ "$status" != 0 ]; then
    local why
    why=$(why_apt_failed "$log")
    rm -f "$log"
    fail "apt-get could not install: ${packages[*]}" "$why" "When that is solved run ${0##*/} again, or as root: $command"
  fi
  rm -f "$log"
  mapfile -t packages < <(missing_packages "$@")
  if [ ${#packages[@]} -ne 0 ]; then
    fail "still missing after the installation: ${packages[*]}" "Try as root: apt-get install ${packages[*]}"
  fi
  say "packages ($*): installed"
}

# unpack_peers: each package of [peers] below $TINYOBS_PEERS_DIR, without installing it.
unpack_peers() {
  local package folder scratch log
  for package in $(entries peers | cut -d' ' -f1); do
    folder=$TINYOBS_PEERS_DIR/$package
    if [ -e "$folder/.complete" ]; then
      say "peer $package: nothing missing"
      continue
    fi
    say "peer $package: unpacking into ${folder#"$TINYOBS_ROOT"/}"
    mkdir -p "$TINYOBS_PEERS_DIR" || fail "cannot create $TINYOBS_PEERS_DIR" "Is the checkout writable for $(id -un)?"
    scratch=$(mktemp -d "$TINYOBS_PEERS_DIR/.unpack.XXXXXX")
    log=$scratch/log
    # The lists may be absent (fresh machine, everything else installed); then fetch them and try once more.
    if ! download "$scratch" "$package" "$log"; then
      apt_get "$log" update || true
      if ! download "$scratch" "$package" "$log"; then
        local why
        cat "$log" >&2
        why=$(why_apt_failed "$log")
        rm -rf "$scratch"
        fail "cannot download the Debian package $package" "$why" \
          "The end-to-end tests need it; tools/start does not. Then run tools/setup again."
      fi
    fi
    if ! dpkg-deb -x "$scratch"/*.deb "$scratch/root"; then
      rm -rf "$scratch"
      fail "cannot unpack $package" "Is the disk full? Then run tools/setup again."
    fi
    touch "$scratch/root/.complete"
    rm -rf "$folder"
    mv "$scratch/root" "$folder"
    rm -rf "$scratch"
  done
}

# download FOLDER PACKAGE LOG: a .deb into FOLDER. No root needed.
download() {
  (cd "$1" && apt-get -q download "$2") >>"$3" 2>&1
}

# setup GROUP...: everything before a build.
setup() {
  if [ "${TINYOBS_SKIP_SETUP:-}" = 1 ]; then
    say "setup skipped (TINYOBS_SKIP_SETUP=1)"
    return
  fi
  local group packages=() peers=no
  for group in "$@"; do
    if [ "$group" = peers ]; then peers=yes; else packages+=("$group"); fi
  done
  if [ ${#packages[@]} -ne 0 ]; then install_packages "${packages[@]}"; fi
  if [ $peers = yes ]; then unpack_peers; fi
}

# A build needs a home for Bazel's and npm's caches. Without a usable one they go into the checkout's own,
# git-ignored, folder.
prepare_home() {
  if [ -n "${HOME:-}" ] && [ -d "$HOME" ] && [ -w "$HOME" ]; then return; fi
  export HOME=$TINYOBS_ROOT/.cache/home
  mkdir -p "$HOME" || fail "there is no writable HOME, and $HOME cannot be created" "Set HOME to a writable folder."
  say "HOME is not writable: caches go to $HOME"
}

# How many compilers at once: one a processor, but 1.5 GB of memory for each.
job_count() {
  if [ -n "${TINYOBS_JOBS:-}" ]; then
    echo "$TINYOBS_JOBS"
    return
  fi
  local processors memory
  processors=$(nproc)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1500000) }' /proc/meminfo)
  if [ "$memory" -lt "$processors" ]; then processors=$memory; fi
  if [ "$processors" -lt 1 ]; then processors=1; fi
  echo "$processors"
}

# run_bazel COMMAND ARGUMENTS...: Debian's Bazel in this checkout, whatever else is called bazel on the PATH.
run_bazel() {
  local program=${TINYOBS_BAZEL:-/usr/bin/bazel} command=$1
  shift
  if [ ! -x "$program" ]; then
    fail "Bazel is not installed ($program)" "Run tools/setup, or set TINYOBS_BAZEL to a Bazel 4.2."
  fi
  if [ -z "${USER:-}" ]; then
    # Bazel wants a name for its folders, also where the user id has none.
    USER=$(id -un 2>/dev/null || echo "uid-$(id -u)")
    export USER
  fi
  # Links that another user's or another output base's Bazel left would be searched for packages by //... .
  # Bazel makes its own again when it has built.
  if [ "$command" != info ]; then
    find "$TINYOBS_ROOT" -maxdepth 1 -type l -name 'bazel-*' -delete
  fi
  # shellcheck disable=SC2086  # startup options are words
  (cd "$TINYOBS_ROOT" && "$program" ${TINYOBS_BAZEL_STARTUP:-} "$command" "$@")
}
