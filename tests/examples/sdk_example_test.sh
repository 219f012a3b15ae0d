#!/bin/sh
set -eu
exec python3 "$1" "$2"
