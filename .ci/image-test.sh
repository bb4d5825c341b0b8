#!/usr/bin/env bash
# Builds the Dockerfile of a tree (the repository, or the folder given) unchanged
# and without a network, for amd64 and arm64, on stand-ins for its two base images,
# puts both into one OCI index, and runs that of this machine as a cluster would at
# its strictest: uid 65532, read-only root, no capability, no new privileges, and
# only the system calls of docs/deploy/seccomp.json (S-03, S-05, S-06); then ends it
# under traffic. Needs root; buildah and runc come from Debian. With IMAGE_OUT=FOLDER
# the index (an OCI layout) and a bill of materials for each architecture are left there.
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
architectures="amd64 arm64"
# What the Dockerfile puts on its base, in octets; the real base has 2 MB, 0.8 MB of
# them compressed. docs/decisions/0005 says what once made it far more, 0027 what
# expressions cost, 0042 what gRPC does.
limit=32000000
limit_compressed=12000000
revision=0123456789abcdef0123456789abcdef01234567
created=2026-01-02T03:04:05Z

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
stand_in() { # name, architecture, folder that is its root, configuration
	local name=$1 arch=$2 root=$3 container
	shift 3
	container=$(buildah from --arch "$arch" scratch)
	buildah copy -q "$container" "$root" / >/dev/null
	buildah config --arch "$arch" "$@" "$container"
	buildah commit -q "$container" "$name" >/dev/null
	buildah rm "$container" >/dev/null
}

native=$(go env GOHOSTARCH)
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
stand_in "$builder_base" "$native" "$base" \
	--env PATH=/usr/local/go/bin:/bin --env HOME=/root --env GOPATH=/go --env GOTOOLCHAIN=local \
	--env GOMODCACHE=/modules --env GOCACHE=/cache --env GOPROXY=off --env GOFLAGS=-buildvcs=false

say "stand-in $final_base"
base=$work/final
mkdir -p "$base"/{etc/ssl/certs,home/nonroot,tmp,proc,dev,sys}
chmod 1777 "$base/tmp"
cp -L /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/certs/"
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$base/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$base/etc/group"
buildah manifest create "$final_base" >/dev/null
for arch in $architectures; do
	stand_in "localhost/final:$arch" "$arch" "$base" --user 65532:65532 --workingdir / \
		--env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		--env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
	buildah manifest add "$final_base" "localhost/final:$arch" >/dev/null
done

# --- the image --------------------------------------------------------------
# BUILDPLATFORM is what buildkit says by itself, and buildah 1.28 does not know.
build() { # architecture
	local started=$SECONDS
	buildah build --isolation chroot --pull-never --format docker --platform "linux/$1" \
		-v "$goroot:/usr/local/go:ro" -v "$modules:/modules:ro" -v "$cache:/cache" \
		--build-arg BUILDPLATFORM="linux/$native" \
		--build-arg VERSION=image-test --build-arg REVISION=$revision --build-arg CREATED=$created \
		-t "$image-$1" -f "$tree/Dockerfile" "$tree" >"$work/build.log" 2>&1 || {
		cat "$work/build.log" >&2
		die "$tree/Dockerfile does not build for $1"
	}
	say "$1: built in $((SECONDS - started)) s"
}

# The ELF machine of a program (e_machine).
machine() { od -An -tx1 -j18 -N2 "$1" | tr -d ' \n'; }
declare -A machines=([amd64]=3e00 [arm64]=b700)

octets() { # of all files below a folder
	find "$1" -xdev -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }'
}

inspect() { buildah inspect --type image "$image-$1" | jq '.Docker'; }

check_labels() { # architecture
	local labels base
	labels=$(inspect "$1" | jq '.config.Labels')
	base=$(awk '$1 == "FROM" { base = $2 } END { print base }' "$tree/Dockerfile")
	jq -e --arg base "$base" --arg revision "$revision" --arg created "$created" '
		def named($name): .["org.opencontainers.image." + $name] // "";
		named("version") == "image-test" and named("revision") == $revision and named("created") == $created and
		named("base.name") == $base and named("licenses") == "Apache-2.0" and
		([named("url"), named("source"), named("documentation")] | all(startswith("https://"))) and
		([named("title"), named("description"), named("vendor")] | all(length > 0))' <<<"$labels" >/dev/null ||
		die "$1: the labels are not complete: $labels"
}

# The bill of materials says of the program what deps.txt says of the tree, and is
# of this very program.
check_bill() { # architecture, program
	local bill=$work/wicketgate-$1.cdx.json
	(cd "$tree" && go run ./internal/sbom "$2") >"$bill"
	jq -r '.components[] | select(.name != "std") | .name' "$bill" | LC_ALL=C sort | diff - "$tree/deps.txt" >&2 ||
		die "$1: the program is linked with other modules than deps.txt says"
	jq -e --arg sum "$(sha256sum "$2" | cut -d' ' -f1)" '.metadata.component.hashes[0].content == $sum' "$bill" >/dev/null ||
		die "$1: the bill of materials is of another program"
}

check_files() { # architecture, root of the image
	local base=$work/final program=$2/wicketgate size added shell
	[ -x "$program" ] || die "$1: /wicketgate is not there, or is no program"
	[ "$(machine "$program")" = "${machines[$1]}" ] || die "$1: the program is for another machine: $(machine "$program")"
	size=$(stat -c %s "$program")
	added=$(($(octets "$2") - $(octets "$base")))
	say "$1: $size octets of program; files: $(cd "$2" && find . -type f | sort | tr '\n' ' ')"
	[ "$added" -le "$limit" ] || die "$1: $added octets are put on the base, more than $limit; if go build -ldflags=-dumpdep shows <ReflectMethod>, that is why (docs/decisions/0005)"
	[ "$added" = "$size" ] || die "$1: something else than the program is put on the base"
	for shell in bin/sh usr/bin/sh busybox bin/busybox; do
		[ ! -e "$2/$shell" ] || die "$1: the image has a shell: /$shell"
	done
	[ -z "$(find "$2" -xdev -perm /6000)" ] || die "$1: somebody may become somebody else: $(find "$2" -xdev -perm /6000)"
}

buildah manifest create "$image" >/dev/null
for arch in $architectures; do
	build "$arch"
	[ "$(inspect "$arch" | jq -r .architecture)" = "$arch" ] || die "$arch: the image says it is for $(inspect "$arch" | jq -r .architecture)"
	check_labels "$arch"
	root=$(buildah mount "$(buildah from --pull-never --arch "$arch" "$image-$arch")")
	check_files "$arch" "$root"
	check_bill "$arch" "$root/wicketgate"
	[ "$arch" != "$native" ] || rootfs=$root
	buildah manifest add "$image" "$image-$arch" >/dev/null
done
jq -s -e '.[0].components == .[1].components' "$work"/wicketgate-*.cdx.json >/dev/null || die "the architectures are linked with different modules"

# One index of all, as a registry would have it.
layout=$work/layout
buildah manifest push -q --all --format oci "$image" "oci:$layout:test" >/dev/null
blob() { cat "$layout/blobs/${1/://}"; }
index=$(blob "$(jq -r '.manifests[0].digest' "$layout/index.json")")
[ "$(jq -r '[.manifests[].platform | .os + "/" + .architecture] | sort | join(" ")' <<<"$index")" = "linux/amd64 linux/arm64" ] ||
	die "the index: $(jq -c . <<<"$index")"
for arch in $architectures; do
	manifest=$(blob "$(jq -r --arg arch "$arch" '.manifests[] | select(.platform.architecture == $arch) | .digest' <<<"$index")")
	[ "$(blob "$(jq -r .config.digest <<<"$manifest")" | jq -r .architecture)" = "$arch" ] || die "$arch: the index and the image differ"
	compressed=$(jq '[.layers[1:][].size] | add' <<<"$manifest") # the first is the base
	say "$arch: $compressed octets compressed"
	[ "$compressed" -le "$limit_compressed" ] || die "$arch: $compressed octets compressed, more than $limit_compressed"
done
if [ -n "${IMAGE_OUT:-}" ]; then
	mkdir -p "$IMAGE_OUT"
	cp -r "$layout" "$work"/wicketgate-*.cdx.json "$IMAGE_OUT"
fi

settings=$(inspect "$native" | jq .config)
setting() { jq -r "$1" <<<"$settings"; }
[ "$(setting .User)" = 65532:65532 ] || die "the image runs as user $(setting .User), not 65532:65532"
[ "$(setting '.ExposedPorts | keys | join(" ")')" = "8420/tcp 8421/tcp" ] || die "exposed ports: $(setting -c .ExposedPorts)"
probe=$(setting '.Healthcheck.Test | select(.[0] == "CMD") | .[1:] | join(" ")')
[ -n "$probe" ] || die "the image has no health check in exec form"
say "S-03: $architectures in one index, user 65532, no shell, bills of materials of $(jq '.components | length' "$work/wicketgate-$native.cdx.json") parts"

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
drain: {delay: 2s, timeout: 5s}
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
asked 200 "http://127.0.0.1:$admin/"
asked 200 "http://127.0.0.1:$admin/debug/pprof/heap"
asked 403 -H "Host: gate.example.com" "http://127.0.0.1:$admin/debug/pprof/heap"
asked 403 -H "X-Forwarded-For: 192.0.2.1" "http://127.0.0.1:$admin/config"
asked 404 "http://127.0.0.1:$admin/debug/pprof/cmdline"
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

# Ended under traffic: clients go on until readyz has said no for half a second, as
# they do behind a balancer, and nothing they sent may be lost.
kill "$web"
wait "$web" 2>/dev/null || true
web=
(cd "$tree/e2e/lifecycle" && go build -o "$work/traffic" ./traffic)
mkfifo "$work/under-way"
"$work/traffic" -gate "127.0.0.1:$traffic" -ready "http://127.0.0.1:$admin/readyz" -upstream "127.0.0.1:$upstream" -path /open/x \
	>"$work/under-way" 2>"$work/failures" &
web=$!
exec 4<"$work/under-way"
read -r -t 60 line <&4 && [ "$line" = "under way" ] || trouble "no traffic: $(cat "$work/failures")"
runc kill "$id" TERM
wait "$web" || trouble "SIGTERM under traffic: $(cat "$work/failures")"
web=
say "SIGTERM under traffic: $(cat <&4)"
exec 4<&-
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
