#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time, one after another.
# A crasher is kept in the package's testdata/fuzz and fails the run.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
corpus=$(go env GOCACHE)/fuzz

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Runs one target of a program that is built once for all targets of its package:
# go test would link it anew for each.
fuzz() {
	local package=$1 folder=$2 name=$3
	echo "--- $package $name ($time)"
	# Making an interesting input smaller takes up to a minute unless told otherwise,
	# in which nothing else is tried.
	if ! (cd "$folder" && "$scratch/fuzz.test" -test.run '^$' -test.fuzz "^$name\$" -test.fuzztime "$time" -test.fuzzminimizetime 1s \
		-test.fuzzcachedir "$corpus/$package" </dev/null) >"$scratch/log" 2>&1; then
		# When time is up while a worker is busy, that is sometimes taken for a fault
		# of the target. A real one names its input.
		if ! grep -qx '    context deadline exceeded' "$scratch/log" || grep -qE 'Failing input|seed#|hung or terminated|panic:' "$scratch/log"; then
			cat "$scratch/log"
			exit 1
		fi
		sed -i -E '/^(--- )?FAIL|^    context deadline exceeded/d' "$scratch/log"
	fi
	cat "$scratch/log"
}

count=0
while read -r package folder; do
	names=$(cd "$folder" && grep -ohE '^func Fuzz[A-Za-z0-9_]*' -- *_test.go | cut -c6- || true)
	[ -n "$names" ] || continue
	go test -vet=off -c -fuzz=. -o "$scratch/fuzz.test" "$package"
	for name in $names; do
		fuzz "$package" "$folder" "$name"
		count=$((count + 1))
	done
done < <(go list -f '{{.ImportPath}} {{.Dir}}' ./...)
if [ "$count" = 0 ]; then
	echo "no fuzz target found" >&2
	exit 1
fi
echo "$count fuzz targets, no crash"
