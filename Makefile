# The tasks of the project; `make` alone lists them.

.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

# A Go that is older than go.mod asks for fetches the one that it names.
export GOTOOLCHAIN := auto
# The version comes from git describe below; a checkout of another owner's must build too.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

GO = $(shell .ci/go 2>/dev/null || echo go)
VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
PACKAGES = ./... ./.ci/tally ./.ci/table
# The fault campaigns have their own targets: they want root.
TESTED = $(shell $(GO) list $(PACKAGES) | grep -v /integration/faults)
# Real processes under the race detector cost minutes and find nothing more:
# what races is below them.
RACE_PACKAGES = $(addsuffix /...,$(addprefix ./,$(wildcard cluster cmd kafka metalog objstore segment wal)))
TEST_TIMEOUT ?= 10m
export FUZZTIME ?= 20s
ARGS ?=
COUNT ?= 1
BENCHMARKED = $(addprefix ./,wal wal/arena segment metalog metalog/image cluster/partlog cluster/replica kafka/batch kafka/wire kafka/server)

.PHONY: help go build build-null run cluster check test race test-clients faults soak fuzz fmt bench bench-e2e bench-cluster bench-vs-kafka bench-vs-kafka-quick

help: ## show this list
	@echo "make run starts a broker on port 9092; make test passes the tests."
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' Makefile

go:
	@.ci/go >/dev/null

build: go ## build every command into bin/
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/ ./cmd/...

run: build ## build, then start a broker (ARGS="--kafka-port 9093" adds flags)
	@exec bin/chronik-server $(ARGS)

cluster: build ## build, then start three nodes that are one cluster, on ports 9092 to 9094 (ARGS adds flags)
	@exec .ci/cluster $(ARGS)

check: go ## format, vet, staticcheck, govulncheck, floors and tidiness
	@unformatted=$$("$$($(GO) env GOROOT)/bin/gofmt" -l $$($(GO) list -f '{{.Dir}}' $(PACKAGES))); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run make fmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet $(PACKAGES)
	$(GO) tool staticcheck $(PACKAGES)
	GO=$(GO) .ci/vulncheck
	$(GO) test -count=1 -run 'Floors|Tidy' ./integration

test: go ## unit and integration tests, without the client suites
	@$(GO) test -json -timeout $(TEST_TIMEOUT) $(TESTED) | $(GO) run ./.ci/tally

race: go ## the same below the integration tests, under the race detector
	@CGO_ENABLED=1 $(GO) test -json -race -short -timeout $(TEST_TIMEOUT) $(RACE_PACKAGES) | $(GO) run ./.ci/tally

test-clients: go ## real Kafka clients against a started server, and against three
	@integration/clients/run.sh
	@SERVER=cluster integration/clients/run.sh
	@integration/clients/admin/run.sh

faults: build ## a share of the fault campaigns, with new seeds (as root; RUN=TestFaultsKill runs some)
	@GO=$(GO) .ci/faults share

soak: build ## all of the fault campaigns, which takes long
	@GO=$(GO) .ci/faults soak

fuzz: go ## every fuzz target for FUZZTIME (20s) each
	@GO=$(GO) .ci/fuzz

bench: go ## Go benchmarks of the hot path, for benchstat (COUNT=6 repeats, ARGS="-bench Append")
	$(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) $(ARGS) $(BENCHMARKED)

build-null: build
	CGO_ENABLED=0 $(GO) build -trimpath -tags nullsink -o bin/chronik-server-null ./cmd/chronik-server

bench-e2e: build-null ## the server against the null sink, into integration/bench/RESULTS.md (ARGS="-rounds 3 -loads raw")
	$(GO) run ./integration/bench $(ARGS)

bench-cluster: build-null ## three nodes beside Apache Kafka's, which it installs, into integration/bench/CLUSTER.md (ARGS="-loads gaps")
	kafka=$$(integration/bench/kafka.sh) && $(GO) run ./integration/bench -kafka "$$kafka" -rounds 5 -out integration/bench/CLUSTER.md $(ARGS)

# Everything that bench-vs-kafka needs, and what both of its targets have in common.
VERSUS = kafka=$$(integration/bench/kafka.sh) && python=$$(integration/bench/kafka.sh python) && \
	$(GO) run ./integration/bench -versus -kafka "$$kafka" -python "$$python" -out integration/bench/KAFKA.md -readme README.md \
	-profiles bin/profiles -go $(GO)

bench-vs-kafka: build-null ## beside Apache Kafka, which it installs, into integration/bench/KAFKA.md and README.md; takes some one and a half hours (ARGS="-loads raw")
	$(VERSUS) -kafka-warm 3m -duration 3s -fill 3072 $(ARGS)

bench-vs-kafka-quick: build-null ## a part of that in less than ten minutes
	$(VERSUS) -quick -kafka-warm 40s -within 8m30s -duration 1500ms -fill 512 $(ARGS)

fmt: go ## format the Go files
	@$(GO) fmt $(PACKAGES)
