#!/usr/bin/env bash
# Has systemd read docs/deploy/wicketgate.service and say how exposed what it
# starts would be: 0.0 is not at all, 10.0 entirely. systemd comes from Debian and
# need not run.
set -euo pipefail
cd "$(dirname "$0")/.."
unit=docs/deploy/wicketgate.service
most=15 # tenths

if ! command -v systemd-analyze >/dev/null; then
	apt-get update -q >/dev/null
	DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends systemd >/dev/null
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A root with nothing but the unit, what is dropped into it, and what it starts.
mkdir -p "$work/etc/systemd/system" "$work/usr/local/bin" "$work/usr/lib/systemd/system" "$work/bin"
cp -r "$unit" "$unit.d" "$work/etc/systemd/system/"
cp /usr/lib/systemd/system/*.target "$work/usr/lib/systemd/system/" 2>/dev/null || cp /lib/systemd/system/*.target "$work/usr/lib/systemd/system/"
for program in usr/local/bin/wicketgate bin/kill; do
	printf '#!/bin/sh\n' >"$work/$program"
	chmod 755 "$work/$program"
done
complaints=$(systemd-analyze verify --root="$work" --man=no wicketgate.service 2>&1 | grep -E 'wicketgate\.service|\.conf:' || true)
if [ -n "$complaints" ]; then
	printf '%s\n' "$complaints" >&2
	exit 1
fi
systemd-analyze security --offline=true --no-pager --threshold="$most" "$unit" | tail -n 1
