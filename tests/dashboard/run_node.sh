#!/bin/sh
# Runs node for a test: run_node.sh NODE SCRIPT [ARGUMENTS]. Packages are found through NODE_PATH;
# the browser gets a home folder that it may write to. Output of node's test runner goes to the log
# of the test.
set -eu
if [ -n "${TEST_SRCDIR:-}" ]; then
  NODE_PATH="$TEST_SRCDIR/dashboard_npm/node_modules"
  export NODE_PATH
fi
if [ -n "${TEST_TMPDIR:-}" ]; then
  HOME="$TEST_TMPDIR"
  export HOME
fi
TZ=UTC
export TZ
exec "$@"
