#!/bin/sh
# The main program of python_test.bzl. -B: no __pycache__ beside the sources, which runfiles link to.
exec /usr/bin/python3 -B "$@"
