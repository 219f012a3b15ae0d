#!/bin/bash
# A program that links only //:tinyobs needs, at run time, only what the engine may use: no HTTP, JSON, TLS, Boost.
set -euo pipefail
allowed='^(libsnappy|libxxhash|libabsl_[a-z0-9_]+|libre2|libstdc\+\+|libm|libgcc_s|libc|libpthread|libasan|libubsan|libtsan|ld-linux-[a-z0-9_-]+)\.so'

# needed: the libraries a program names, one a line.
needed() { readelf --dynamic --wide "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
offenders() { grep -Ev "$allowed" || true; }

list=$(needed tests/tidy/engine_only)
if ! grep -q '^libsnappy' <<<"$list"; then
  echo "FAILED: the program does not even need Snappy; is the engine linked?"
  exit 1
fi
# The self-test: intruders are seen.
for intruder in libcurl.so.4 libssl.so.3 libsimdjson.so.14 libboost_system.so.1.81.0; do
  if [ "$(echo "$intruder" | offenders)" != "$intruder" ]; then
    echo "FAILED: the check does not see $intruder"
    exit 1
  fi
done
found=$(offenders <<<"$list")
if [ -n "$found" ]; then
  printf 'FAILED: the engine drags in:\n%s\n' "$found"
  exit 1
fi
