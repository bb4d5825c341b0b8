#!/usr/bin/env bash
# Builds the Dockerfile of a tree (the repository, or the folder given) unchanged
# and without a network, on stand-ins for its two base images, and runs the result
# as a cluster would at its strictest: uid 65532, read-only root, no capability,
# no new privileges, and only the system calls of docs/deploy/seccomp.json (S-03,
# S-05, S-06). Needs root; buildah and runc come from Debian.
#
# The stand-ins have what the real bases are used for: the Go tree of this machine
# with a shell, and a CA bundle with a passwd file. The real bases are what a
# release is built on.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin # where Debian puts runc
tree=$(cd "${1:-$(dirname "$0")/..}" && pwd)

builder_base=docker.io/library/golang:1.26-bookworm
final_base=gcr.io/distroless/static-debian12:nonroot
image=localhost/wicketgate:test
id=wicketgate-image-test-$$
limit=24000000 # all in; docs/decisions/0005 says what once made it far more, 0027 what expressions cost

say() { printf -- '--- %s\n' "$*"; }
die() {
	printf 'image: %s\n' "$*" >&2
	exit 1
}

[ "$(id -u)" = 0 ] || die "run it as root: it builds in a chroot and starts a container"

need=()
command -v buildah >/dev/null || need+=(buildah)
command -v runc >/dev/null || need+=(runc)
command -v jq >/dev/null || need+=(jq)
command -v curl >/dev/null || need+=(curl)
[ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1 || need+=(busybox-static)
[ -s /etc/ssl/certs/ca-certificates.crt ] || need+=(ca-certificates)
if [ ${#need[@]} -gt 0 ]; then
	say "installing ${need[*]}"
	apt-get update -q >/dev/null
	DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${need[@]}" >/dev/null
fi

work=$(mktemp -d)
chmod 755 "$work"
export TMPDIR=$work # cache mounts and blobs under way go with it
runtime=
web=
buildah() { command buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
runc() { command runc --root "$work/runc" "$@"; }
cleanup() {
	if [ -n "$runtime" ]; then
		runc kill "$id" KILL 2>/dev/null || true
		wait "$runtime" 2>/dev/null || true
		runc delete --force "$id" 2>/dev/null || true
	fi
	[ -z "$web" ] || kill "$web" 2>/dev/null || true
	buildah umount --all >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap cleanup EXIT

# --- the stand-ins ----------------------------------------------------------
stand_in() { # name, folder that is its root, configuration
	local name=$1 root=$2 container
	shift 2
	container=$(buildah from scratch)
	buildah copy -q "$container" "$root" / >/dev/null
	buildah config "$@" "$container"
	buildah commit -q "$container" "$name" >/dev/null
	buildah rm "$container" >/dev/null
}

goroot=$(go env GOROOT)
modules=$(go env GOMODCACHE)
cache=$(go env GOCACHE)
mkdir -p "$modules" "$cache"

say "stand-in $builder_base"
base=$work/builder
mkdir -p "$base"/{bin,etc/ssl/certs,tmp,usr/local/go,go,root,src,modules,cache}
cp /bin/busybox "$base/bin/busybox"
for applet in sh mkdir cp rm ls cat env; do ln -s busybox "$base/bin/$applet"; done
cp -L /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/certs/"
echo 'root:x:0:0:root:/root:/bin/sh' >"$base/etc/passwd"
# The caches of this machine stand in for the network: what go.mod names is there
# after `go mod download`, and GOPROXY=off makes a gap an error.
(cd "$tree" && go mod download)
stand_in "$builder_base" "$base" \
	--env PATH=/usr/local/go/bin:/bin --env HOME=/root --env GOPATH=/go --env GOTOOLCHAIN=local \
	--env GOMODCACHE=/modules --env GOCACHE=/cache --env GOPROXY=off --env GOFLAGS=-buildvcs=false

say "stand-in $final_base"
base=$work/final
mkdir -p "$base"/{etc/ssl/certs,home/nonroot,tmp,proc,dev,sys}
chmod 1777 "$base/tmp"
cp -L /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/certs/"
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$base/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$base/etc/group"
stand_in "$final_base" "$base" --user 65532:65532 --workingdir / \
	--env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	--env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt

# --- the image --------------------------------------------------------------
say "building $tree/Dockerfile"
started=$SECONDS
buildah build --isolation chroot --pull-never --format docker \
	-v "$goroot:/usr/local/go:ro" -v "$modules:/modules:ro" -v "$cache:/cache" \
	--build-arg TARGETOS=linux --build-arg TARGETARCH="$(go env GOARCH)" --build-arg VERSION=image-test -t "$image" -f "$tree/Dockerfile" "$tree"
say "built in $((SECONDS - started)) s"

settings=$(buildah inspect --type image "$image" | jq '.Docker.config')
setting() { jq -r "$1" <<<"$settings"; }
[ "$(setting .User)" = 65532:65532 ] || die "the image runs as user $(setting .User), not 65532:65532"
[ "$(setting '.ExposedPorts | keys | join(" ")')" = "8420/tcp 8421/tcp" ] || die "exposed ports: $(setting -c .ExposedPorts)"
[ "$(setting '.Labels["org.opencontainers.image.version"]')" = image-test ] || die "the version label is not set"
probe=$(setting '.Healthcheck.Test | select(.[0] == "CMD") | .[1:] | join(" ")')
[ -n "$probe" ] || die "the image has no health check in exec form"

container=$(buildah from --pull-never "$image")
rootfs=$(buildah mount "$container")
[ -x "$rootfs/wicketgate" ] || die "/wicketgate is not there, or is no program"
size=$(stat -c %s "$rootfs/wicketgate")
say "size of /wicketgate: $size bytes; files: $(cd "$rootfs" && find . -type f | sort | tr '\n' ' ')"
[ "$size" -le "$limit" ] || die "the program is larger than $limit bytes; if go build -ldflags=-dumpdep shows <ReflectMethod>, that is why (docs/decisions/0005)"
for shell in bin/sh usr/bin/sh busybox bin/busybox; do
	[ ! -e "$rootfs/$shell" ] || die "the image has a shell: /$shell"
done

# The bill of materials says of the program what deps.txt says of the tree.
(cd "$tree" && go run ./internal/sbom "$rootfs/wicketgate") >"$work/sbom.json"
jq -r '.components[] | select(.name != "std") | .name' "$work/sbom.json" | LC_ALL=C sort | diff - "$tree/deps.txt" >&2 ||
	die "the program is linked with other modules than deps.txt says"
jq -e --arg sum "$(sha256sum "$rootfs/wicketgate" | cut -d' ' -f1)" '.metadata.component.hashes[0].content == $sum' "$work/sbom.json" >/dev/null ||
	die "the bill of materials is of another program"
[ -z "$(find "$rootfs" -xdev -perm /6000)" ] || die "somebody may become somebody else: $(find "$rootfs" -xdev -perm /6000)"
say "S-03: user 65532, no shell, bill of materials of $(jq '.components | length' "$work/sbom.json") parts"

# --- the run ----------------------------------------------------------------
free_port() { # one nobody listens on
	local port
	for _ in $(seq 50); do
		port=$((20000 + RANDOM % 10000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
	done
	return 1
}
traffic=$(free_port)
admin=$(free_port)
while [ "$admin" = "$traffic" ]; do admin=$(free_port); done
upstream=$(free_port)
while [ "$upstream" = "$traffic" ] || [ "$upstream" = "$admin" ]; do upstream=$(free_port); done
mkdir -p "$work/www/open"
head -c 5000000 /dev/urandom >"$work/www/open/file"
busybox httpd -f -p "127.0.0.1:$upstream" -h "$work/www" &
web=$!

mkdir -p "$work/etc"
# A key of RFC 7517 appendix A.1, said to be for signatures: nobody is asked for
# keys, so the gate can be ready without a network.
cat >"$work/etc/keys.json" <<'KEYS'
{"keys":[{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"1",
"x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}
KEYS
cat >"$work/etc/config.yaml" <<CONFIG
version: 1
listen: "127.0.0.1:$traffic"
admin: {listen: "127.0.0.1:$admin"}
issuers:
  - issuer: https://login.example.com/
    jwks_file: /etc/wicketgate/keys.json
resources:
  - identifier: https://api.example.com
    behind_tls: true
    upstream: http://127.0.0.1:$upstream
    routes: [{path: /open/**, public: true}, {path: /**}]
drain: {delay: 1s, timeout: 5s}
CONFIG
chmod -R a+rX "$work/etc"

mkdir -p "$work/bundle"
# No network namespace: the container shares this machine's loopback, so that its
# ports can be asked. All else is its own.
jq -n --argjson image "$settings" --arg rootfs "$rootfs" --arg etc "$work/etc" --arg cgroup "/$id" \
	--slurpfile calls "$tree/docs/deploy/seccomp.json" '{
	ociVersion: "1.0.2",
	process: {
		terminal: false, cwd: "/", noNewPrivileges: true,
		user: {uid: ($image.User | split(":")[0] | tonumber), gid: ($image.User | split(":")[1] | tonumber)},
		args: ($image.Entrypoint + $image.Cmd), env: $image.Env,
		capabilities: {bounding: [], effective: [], inheritable: [], permitted: [], ambient: []}
	},
	root: {path: $rootfs, readonly: true},
	mounts: [
		{destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"]},
		{destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"]},
		{destination: "/etc/wicketgate", type: "bind", source: $etc, options: ["rbind", "ro", "nosuid", "nodev", "noexec"]}
	],
	linux: {
		cgroupsPath: $cgroup,
		seccomp: ($calls[0] | del(.syscalls[].comment)),
		namespaces: [{type: "pid"}, {type: "ipc"}, {type: "uts"}, {type: "mount"}],
		maskedPaths: ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
		readonlyPaths: ["/proc/sys", "/proc/bus", "/proc/irq"]
	}
}' >"$work/bundle/config.json"

say "running $(jq -c .process.args "$work/bundle/config.json")"
runc run --bundle "$work/bundle" --pid-file "$work/pid" "$id" >"$work/log" 2>&1 </dev/null &
runtime=$!
trouble() {
	sed 's/^/    /' "$work/log" >&2
	die "$@"
}

# Ready within 20 s, asked ten times a second.
answer=none
for _ in $(seq 200); do
	kill -0 "$runtime" 2>/dev/null || trouble "the container stopped before it was ready"
	answer=$(curl -s -o /dev/null -m 2 -w '%{http_code}' "http://127.0.0.1:$admin/readyz" || true)
	[ "$answer" != 200 ] || break
	sleep 0.1
done
[ "$answer" = 200 ] || trouble "readyz answered $answer for 20 s"
say "readyz answers 200"

pid=$(cat "$work/pid")
status() { awk -v field="$1:" '$1 == field { $1 = ""; print substr($0, 2) }' "/proc/$pid/status"; }
[ "$(status Uid)" = "65532 65532 65532 65532" ] || trouble "uids: $(status Uid)"
[ "$(status Gid)" = "65532 65532 65532 65532" ] || trouble "gids: $(status Gid)"
[ "$(status NoNewPrivs)" = 1 ] || trouble "it may gain privileges"
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
	[ "$(status $set)" = 0000000000000000 ] || trouble "$set: $(status $set)"
done
# Even this script, as root, cannot write where the container sees its root.
for place in / /etc/wicketgate /tmp; do
	refused=$(touch "/proc/$pid/root${place%/}/x" 2>&1) && trouble "$place can be written to"
	[[ $refused == *"Read-only file system"* ]] || trouble "writing to $place failed otherwise: $refused"
done
[ "$(status Seccomp)" = 2 ] || trouble "its system calls are not filtered"
say "S-06: uid 65532, no capability, no new privileges, read-only root; S-05: filtered system calls"

# What it has to do, it can do with those: requests of all kinds, a reload, and a
# whole demonstration, issuer, proofs and API included, as another process.
asked() { # what is wanted, then what curl is told
	local want=$1 got
	shift
	got=$(curl -s -o "$work/got" -m 10 -w '%{http_code}' "$@" || true)
	[ "$got" = "$want" ] || trouble "$got instead of $want for $*"
}
gate=http://127.0.0.1:$traffic
asked 200 "$gate/open/file"
cmp -s "$work/got" "$work/www/open/file" || trouble "the file came otherwise than it was sent"
asked 200 --http2-prior-knowledge "$gate/open/file"
asked 401 "$gate/x"
asked 401 -H "Authorization: Bearer a.b.c" "$gate/x"
asked 400 --path-as-is "$gate/open/../x"
asked 200 "http://127.0.0.1:$admin/metrics"
asked 404 "http://127.0.0.1:$admin/debug/pprof/"
echo "# changed" >>"$work/etc/config.yaml"
runc kill "$id" HUP
for _ in $(seq 100); do
	! grep -q '"configuration replaced"' "$work/log" || break
	sleep 0.1
done
grep -q '"configuration replaced"' "$work/log" || trouble "it was not reloaded"
runc exec --user 65532:65532 "$id" /wicketgate demo --once </dev/null >"$work/demo" 2>&1 || {
	cat "$work/demo" >&2
	trouble "the demonstration does not run"
}
say "requests, a reload and the demonstration work so"

read -ra words <<<"$probe"
runc exec --user 65532:65532 "$id" "${words[@]}" </dev/null || trouble "the health check of the image says no"
say "$probe says yes"

runc kill "$id" TERM
code=none
for _ in $(seq 150); do
	if ! kill -0 "$runtime" 2>/dev/null; then
		code=0
		wait "$runtime" || code=$?
		break
	fi
	sleep 0.1
done
[ "$code" != none ] || trouble "it still runs 15 s after SIGTERM"
runtime=
[ "$code" = 0 ] || trouble "it left with exit code $code after SIGTERM"
say "SIGTERM: exit code 0"
say "image: built, ready, locked down and stopped in $SECONDS s"
