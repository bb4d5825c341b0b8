#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time, one after another.
# A crasher is kept in the package's testdata/fuzz and fails the run.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}

# go test -list prints the names of a package's targets, then "ok <package> …".
targets=$(go test -list '^Fuzz' ./... | awk '/^Fuzz/ { names[n++] = $1 } /^ok/ { for (i = 0; i < n; i++) print $2, names[i]; n = 0 } /^\?/ { n = 0 }')
if [ -z "$targets" ]; then
	echo "no fuzz target found" >&2
	exit 1
fi

count=0
while read -r package name; do
	echo "--- $package $name ($time)"
	# Making an interesting input smaller takes up to a minute unless told otherwise,
	# in which nothing else is tried.
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 1s "$package" </dev/null
	count=$((count + 1))
done <<<"$targets"
echo "$count fuzz targets, no crash"
