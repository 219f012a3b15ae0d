#!/bin/sh
# tidy.py over the checkout this runfiles link points into.
exec /usr/bin/python3 -B "$(dirname "$0")/tidy.py"
