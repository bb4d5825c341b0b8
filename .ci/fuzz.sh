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

log=$(mktemp)
trap 'rm -f "$log"' EXIT
count=0
while read -r package name; do
	echo "--- $package $name ($time)"
	# Making an interesting input smaller takes up to a minute unless told otherwise,
	# in which nothing else is tried.
	if ! go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 1s "$package" </dev/null 2>&1 | tee "$log"; then
		# When time is up while a worker is busy, go test sometimes takes that for a
		# fault of the target. A real one names its input.
		if ! grep -qx '    context deadline exceeded' "$log" || grep -qE 'Failing input|seed#|hung or terminated|panic:' "$log"; then
			exit 1
		fi
		echo "not a fault: time was up"
	fi
	count=$((count + 1))
done <<<"$targets"
echo "$count fuzz targets, no crash"
