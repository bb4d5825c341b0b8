#!/usr/bin/env bash
# S-14: the gate where FIPS 140-3 is enforced: GODEBUG=fips140=only makes every
# algorithm panic or fail that the standard does not approve of. Left out are tests
# whose attackers use such algorithms themselves, and those in a bubble of
# testing/synctest, where the module waits in vain for its noise.
set -euo pipefail
cd "$(dirname "$0")/.."
attackers='^(TestVerifyPSSForm|TestVerifyPKCS1Form)$|/^(DPOP-14|INTR-17)$'

GODEBUG=fips140=only go test -count=1 -skip "$attackers" ./token ./policy ./proxy ./validator ./validator/signals ./validator/revoke
GODEBUG=fips140=only go test -count=1 -skip "$attackers" -run '^(TestVerify|TestParse|TestZero)' ./jwks
GODEBUG=fips140=only go test -count=1 -skip "$attackers" -run '^(TestHardening|TestConformance)$/^(S-|JWS|DPOP-[0-4]|MTLS)' ./cmd/wicketgate

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The module with a certificate, and what the program says of itself with it.
CGO_ENABLED=0 GOFIPS140=v1.0.0 go build -tags grpcnotrace -trimpath -buildvcs=false -ldflags '-s -w' -o "$work/wicketgate" ./cmd/wicketgate
"$work/wicketgate" version | grep -Fx 'FIPS 140-3: on'
GODEBUG=fips140=only "$work/wicketgate" version | grep -Fx 'FIPS 140-3: only'
GODEBUG=fips140=only "$work/wicketgate" demo --once | tail -n 1
