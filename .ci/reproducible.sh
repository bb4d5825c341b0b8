#!/usr/bin/env bash
# S-02: the program is the same octet for octet whoever builds it and where. It is
# built from two folders of different names and lengths, each with a build cache of
# its own, one of which begins empty (the other is this machine's); the sums must
# agree. The module cache is shared: what is in it is held by go.sum.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The tree as it is, without what no build reads.
copy() { # folder
	mkdir -p "$1"
	tar -c --exclude=./.git --exclude=node_modules --exclude=./e2e . | tar -x -C "$1"
}

build() { # folder, cache, program
	(cd "$1" && env GOCACHE="$2" GOFLAGS= CGO_ENABLED=0 GOOS=linux GOARCH=amd64 GOAMD64=v1 GOFIPS140=off GOTOOLCHAIN=local \
		go build -tags grpcnotrace -trimpath -buildvcs=false -ldflags '-s -w -X main.linkedVersion=reproducible' -o "$3" ./cmd/wicketgate)
}

one=$work/one two=$work/somewhere/else/with/a/longer/name
copy "$one"
copy "$two"
build "$one" "$(go env GOCACHE)" "$work/first" &
first=$!
build "$two" "$work/cache" "$work/second"
wait "$first"
(cd "$work" && sha256sum first second)
if ! cmp -s "$work/first" "$work/second"; then
	echo "S-02: two builds of one tree differ" >&2
	exit 1
fi
if grep -aq -e "$work" -e "$HOME/" "$work/second"; then
	echo "S-02: the program tells in which folder it was built" >&2
	exit 1
fi
