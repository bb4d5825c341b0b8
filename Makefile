# Every target that starts with "## " in its comment is printed by `make`.

GO        ?= go
FUZZTIME  ?= 10s
BENCHTIME ?= 1s
BENCHCOUNT ?= 6
# For bench-proxy and bench-peers: -only dpop,es256-once, -against COMMIT, -rounds, -requests, -config-extra YAML, -markdown FILE; see docs/benchmarks.md.
BENCHFLAGS ?=
# For mutants: -sample 1/10, -only token/jwt.go, -tests TestNew, -recheck, -list, -v.
MUTANTFLAGS ?=
MUTANTS     := token validator validator/dpop policy proxy proxy/onward proxy/bound proxy/clientcert proxy/streams proxy/tunnel config
# For soak: how long, how many requests a second, and -gate PROGRAM, -keep.
SOAK      ?= 60s
SOAKRATE  ?= 300
SOAKFLAGS ?=
# For echo: how many requests, and -seed N, -odd 0.05, -gate PROGRAM, -keep.
ECHO      ?= 100000
ECHOFLAGS ?=
BUILDER   ?= docker
IMAGE     ?= wicketgate:dev

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
REVISION  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
CREATED   ?= $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo 1970-01-01T00:00:00Z)
LDFLAGS   := -s -w -X main.linkedVersion=$(VERSION) -X main.linkedRevision=$(REVISION)
GOLANGCI  := $(GO) tool -modfile=internal/tools/go.mod golangci-lint

.DEFAULT_GOAL := help
.PHONY: help build test race fuzz lint arch triples mutants conformance wycheproof alternatives tables tables-never bench benchstat bench-proxy bench-peers bench-gates e2e grpc websocket streams upstreams redis zitadel lifecycle peers doors prometheus charts soak echo faults smuggle image image-test unit-test compose reproducible fips sbom deps ci

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build ./wicketgate as it is in the image
	CGO_ENABLED=0 $(GO) build -tags grpcnotrace -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o wicketgate ./cmd/wicketgate

test: ## run all Go tests; needs Go and nothing else
	$(GO) test ./...

# For race: -skip and -run of go test.
RACEFLAGS ?=
race: ## run all Go tests under the race detector (needs a C compiler; RACEFLAGS)
	$(GO) test -race -timeout 25m $(RACEFLAGS) $$($(GO) list ./... | grep -v /internal/arch) # which reads sources, and starts nothing

fuzz: ## run every fuzz target for FUZZTIME (10s)
	.ci/fuzz.sh $(FUZZTIME)

lint: ## gofmt, go vet, that every nested module resolves, and golangci-lint, pinned in internal/tools
	@unformatted=$$(find . -name '*.go' -not -path '*/testdata/*' -not -path '*/node_modules/*' -exec gofmt -l {} +); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	@for mod in bench/go.mod charts/tests/go.mod e2e/*/go.mod; do (cd $$(dirname $$mod) && $(GO) list -deps -test ./... >/dev/null) || exit 1; done
	$(GOLANGCI) run

arch: ## check floors, doors, budgets and habits only
	$(GO) test -count=1 ./internal/arch

mutants: ## take out each check one at a time and see that a test fails (MUTANTFLAGS; takes an hour)
	$(GO) run ./internal/mutants $(MUTANTFLAGS) $(MUTANTS)

conformance: ## run the tests of every row of the conformance list and write docs/conformance.md
	$(GO) run ./internal/conformance

bench: ## time decisions and other parts, BENCHCOUNT (6) times for BENCHTIME (1s) each; make benchstat compares what two runs print
	@$(GO) test -run '^$$' -bench . -benchmem -count $(BENCHCOUNT) -benchtime $(BENCHTIME) ./...

benchstat: ## compare two runs of bench: make bench > new.txt, make benchstat OLD=old.txt NEW=new.txt
	$(GO) tool -modfile=internal/tools/go.mod benchstat $(OLD) $(NEW)

bench-proxy: ## measure whole gates against a bare proxy and against another commit (a module of its own; needs Linux; BENCHFLAGS)
	cd bench && $(GO) run . $(BENCHFLAGS)

bench-peers: ## compare the gate with HAProxy, Apache's OAuth modules and nginx as Debian ships them, in turns (needs Linux and those; BENCHFLAGS)
	cd bench && $(GO) vet ./rivals && $(GO) test -count=1 ./rivals && $(GO) run . -peers $(BENCHFLAGS)

bench-gates: ## fail when the gate has become slow, large or slow to start, by wide margins (a module of its own; needs Linux)
	cd bench && $(GO) vet ./... && $(GO) test -count=1 -p 1 $$($(GO) list ./... | grep -v /rivals) # which need what Debian ships: see bench-peers

e2e: ## run a real authorization server, client and upstream through the gate (needs node, nginx, haproxy, curl)
	e2e/run.sh

soak: ## send requests for SOAK (60s) at SOAKRATE (300) a second while issuers fail and rotate; every verdict is known (needs Linux)
	$(GO) run ./internal/soak -duration $(SOAK) -rate $(SOAKRATE) $(SOAKFLAGS)
	$(GO) run ./internal/soak -echo $(ECHO) $(ECHOFLAGS)

echo: ## send ECHO (100000) requests that name themselves through faults on all sides: nobody gets another's answer (needs Linux)
	$(GO) run ./internal/soak -echo $(ECHO) $(ECHOFLAGS)

triples: ## hold a million random (policy, request, claims) against the slow evaluator; WICKETGATE_SEED repeats a run
	WICKETGATE_TRIPLES=$${WICKETGATE_TRIPLES:-1000000} $(GO) test -count=1 -v -timeout 20m -run '^TestReference$$' ./policy

wycheproof: ## try the vectors of Wycheproof three ways each (needs the network or a filled module cache)
	$(GO) test -count=1 -tags wycheproof ./internal/wycheproof
	$(GO) test -count=1 -tags wycheproof,tables_always ./internal/wycheproof

# For alternatives: -run and -skip of go test.
ALTFLAGS ?=
alternatives: ## run the tests of the whole program with net/http as transport and a table for every key
	WICKETGATE_TEST_TRANSPORT=std $(GO) test -count=1 -timeout 20m -tags tables_always $(ALTFLAGS) ./cmd/wicketgate

tables: ## run the tests with a table for every key from its first use, each verdict checked twice, and with none at all
	$(GO) test -count=1 -tags tables_always ./jwks/... ./validator/... ./proxy/... ./cmd/wicketgate
	$(GO) test -count=1 -tags tables_never ./jwks/... ./validator/... ./proxy/... ./cmd/wicketgate

tables-never: ## run what tables of keys decide about without any, as where FIPS 140-3 is on; the whole of it is in make tables
	$(GO) test -count=1 -tags tables_never ./jwks ./validator ./validator/dpop
	$(GO) test -count=1 -tags tables_never -run '^(TestKeyTables|TestHostileProofs|TestSession)$$' ./cmd/wicketgate

grpc: ## run a real gRPC client and service through the gate (a module of its own)
	cd e2e/grpc && $(GO) vet ./... && $(GO) test -count=1 ./...

websocket: ## run a real WebSocket client and service through the gate (a module of its own)
	cd e2e/websocket && $(GO) vet ./... && $(GO) test -count=1 ./...

upstreams: ## run each protocol of clients against each of upstreams, and bodies of 1 GiB (a module of its own; needs Linux)
	cd e2e/upstreams && $(GO) vet ./... && $(GO) test -count=1 ./...

streams: ## run event streams, 100-continue, trailers and bodies of 1 GiB through the gate (a module of its own; needs node, curl)
	cd e2e/streams && $(GO) vet ./... && $(GO) test -count=1 ./...

zitadel: ## run an authorization server of another family beside the gate (a module of its own)
	cd e2e/zitadel && $(GO) vet ./... && $(GO) test -count=1 ./...

redis: ## take a real Redis away from two gates in every way there is (a module of its own; needs redis-server)
	cd e2e/redis && $(GO) vet ./... && $(GO) test -count=1 -timeout 15m ./...

# For lifecycle: -siege 5m -rolls 10 -reloads 1000 -turns 100.
LIFEFLAGS ?=
lifecycle: ## start, reload, starve, besiege and stop whole gates (a module of its own; needs Linux, root and haproxy)
	cd e2e/lifecycle && $(GO) vet ./... && $(GO) test -count=1 -timeout 30m ./... -args $(LIFEFLAGS)

peers: ## run haproxy, nginx and apache2 before and behind the gate, and curl, h2load, h2spec and slowhttptest against it (a module of its own)
	cd e2e/peers && $(GO) vet ./... && $(GO) test -count=1 -parallel 16 -timeout 5m ./...

charts: ## render the charts with helm's engine and judge what they would install (a module of its own)
	cd charts/tests && $(GO) vet ./... && $(GO) test -count=1 ./...

# For prometheus: -picture ../../docs/pictures/dashboard.svg.
PROMFLAGS ?=
prometheus: ## evaluate dashboard, rules and alerts on a real Prometheus that scrapes a gate under traffic (a module of its own; needs prometheus)
	cd e2e/prometheus && $(GO) vet ./... && $(GO) test -count=1 -timeout 5m ./... -args $(PROMFLAGS)

doors: ## have nginx and Caddy ask the gate about each request and forward it themselves (a module of its own)
	cd e2e/doors && $(GO) vet ./... && $(GO) test -count=1 -timeout 5m ./...

faults: ## take the upstream away in every way there is: toxics, restarts, overload, another address (a module of its own; needs root or user namespaces)
	cd e2e/faults && $(GO) vet ./... && $(GO) test -count=1 -timeout 5m ./...

smuggle: ## try every mutation of framing and heads on the wire, with an upstream that notes each octet
	WICKETGATE_ALL_MUTATIONS=1 $(GO) test -count=1 -v -run '^TestHostileHTTP$$/^H-13$$' ./cmd/wicketgate

image: ## build the container image IMAGE with BUILDER (docker)
	$(BUILDER) build --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --build-arg CREATED=$(CREATED) -t $(IMAGE) .

image-test: ## build the image for two architectures offline on stand-in bases, run it locked down, end it under traffic (needs root, buildah, runc)
	.ci/image-test.sh

unit-test: ## have systemd judge docs/deploy/wicketgate.service (needs systemd-analyze, which need not run)
	.ci/unit-test.sh

compose: ## read docs/deploy/compose.yaml as docker compose does (a module of its own)
	cd e2e/compose && $(GO) vet ./... && $(GO) test -count=1 ./...

reproducible: ## build twice, in other folders and with other caches, and compare
	.ci/reproducible.sh

fips: ## run tests and the demonstration where FIPS 140-3 is enforced, and build with the certified module
	.ci/fips.sh

sbom: build ## write what ./wicketgate is linked with to wicketgate.cdx.json (CycloneDX)
	$(GO) run ./internal/sbom wicketgate > wicketgate.cdx.json

deps: ## write deps.txt anew: the modules the program is linked with
	GOOS=linux GOARCH=amd64 CGO_ENABLED=0 $(GO) list -tags grpcnotrace -deps -f '{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}' ./cmd/wicketgate | LC_ALL=C sort -u > deps.txt.new
	mv deps.txt.new deps.txt

ci: ## run everything that must pass before a merge
	.ci/run
