#!/bin/sh
# Runs the real parts against a freshly built gate. Ends only what it started.
set -eu
cd "$(dirname "$0")"

folder=$(mktemp -d "${TMPDIR:-/tmp}/wicketgate-e2e.XXXXXX")
tests=

finish() {
	status=$?
	trap - EXIT INT TERM
	# Parts leave their process id in a file for as long as they run, so what is
	# left here outlived the tests.
	if [ -n "$tests" ]; then
		kill "$tests" 2>/dev/null || :
		wait "$tests" || : # timeout kills what does not end in 10 s
	fi
	for file in "$folder"/*.pid; do
		[ -e "$file" ] || continue
		kill -KILL "$(cat "$file")" 2>/dev/null || :
	done
	if [ "$status" -ne 0 ]; then
		echo "e2e: logs are in $folder" >&2
	else
		rm -rf "$folder"
	fi
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

as_root() {
	if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Debian keeps servers where an ordinary user's PATH does not look.
PATH=$PATH:/usr/sbin
missing=
for part in nginx:nginx-light haproxy:haproxy curl:curl openssl:openssl; do
	command -v "${part%:*}" >/dev/null || missing="$missing ${part#*:}"
done
if [ -n "$missing" ]; then
	as_root apt-get update -q
	# A package must not start its service: the tests start their own.
	# shellcheck disable=SC2086 # names of packages
	as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
fi
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci
(cd .. && go build -o "$folder/wicketgate" ./cmd/wicketgate)

[ $# -gt 0 ] || set -- verdicts.test.js bound.test.js discovery.test.js opaque.test.js rotation.test.js outage.test.js playground.test.js
WICKETGATE="$folder/wicketgate" E2E_TMP="$folder" \
	timeout -k 10 220 node --test --test-concurrency=1 --test-reporter=spec "$@" &
tests=$!
if wait "$tests"; then status=0; else status=$?; fi
tests=
exit "$status"
