# Yunshu. `make run` starts the whole stack, `make test` tests it; everything they need they build or install themselves.
SHELL := /bin/bash
.DEFAULT_GOAL := help
TOOLS := $(CURDIR)/.tools/bin
BINARIES := yunshu-gateway yunshu-worker yunshu yunshu-vcsim yunshu-bmcsim
WITH_STACK := ./bin/yunshu-dev with-stack --

.PHONY: help run test fuzz e2e boot-test discovery-image bench check vuln generate openapi build dev clean-dev clean go-version

help: ## show this
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

go-version:
	@command -v go >/dev/null || { echo "Yunshu needs Go 1.26 or newer: https://go.dev/dl"; exit 1; }
	@go version | awk '{ split(substr($$3, 3), v, "."); if (v[1] < 1 || v[1] == 1 && v[2] < 26) { print "Yunshu needs Go 1.26 or newer; this is " $$3; exit 1 } }'

run: build ## the whole stack in the foreground, ready for the first VM
	@YUNSHU_DIE_WITH_PARENT=1 exec ./bin/yunshu-dev run

build: go-version dev ## every binary, into bin/
	@echo "Building $(BINARIES)."
	@go build -o bin/yunshu-gateway ./cmd/gateway
	@go build -o bin/yunshu-worker ./cmd/worker
	@go build -o bin/yunshu ./cmd/yunshu
	@go build -o bin/yunshu-vcsim ./test/vcenter/vcsim
	@go build -o bin/yunshu-bmcsim ./test/bmc/bmcsim

dev: go-version
	@[ -x bin/yunshu-dev ] || echo "Building yunshu-dev: a Temporal server with its Web UI. The first time takes some ten minutes on two cores."
	@cd dev && go build -o ../bin/yunshu-dev .

test: build $(TOOLS)/gotestsum ## all tests, on a PostgreSQL and a Temporal of their own
	@$(WITH_STACK) $(TOOLS)/gotestsum --format pkgname-and-test-fails -- -timeout 12m -p 2 ./...
	@cd dev && go test ./...

fuzz: dev ## 20,000 requests generated from the contract, others each time: no 5xx, no hang, no write without its audit event
	@YUNSHU_FUZZ_REQUESTS=20000 YUNSHU_FUZZ_SEED=$$RANDOM $(WITH_STACK) go test -count 1 -v -run TestFuzz ./api

e2e: build ## the whole stack from outside: make run, a VM through the CLI, and everything stopped again
	@go test -tags e2e -count 1 -timeout 15m -v ./test/e2e

boot-test: build ## a machine of QEMU boots the discovery image, and is enrolled, discovered, leased and wiped by the whole stack
	@go test -tags boot -count 1 -timeout 10m -p 1 -v ./test/bmc/qemu ./test/e2e

discovery-image: go-version ## the image that physical servers boot, into .dev/discovery/; KERNEL=linux-image-amd64 for real ones
	@go run ./test/bmc/image/discovery $(if $(KERNEL),-kernel $(KERNEL)) $(if $(ISO_URL),-iso-url $(ISO_URL))

bench: dev ## the promised figures, each beside its floor
	@$(WITH_STACK) go run ./test/bench

check: dev $(TOOLS)/golangci-lint $(TOOLS)/workflowcheck ## format, vet, lint, determinism, contract
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "not formatted:"; echo "$$unformatted"; exit 1; }
	@go vet ./...
	@$(TOOLS)/workflowcheck ./workflows/...
	@$(TOOLS)/golangci-lint run ./...
	@go run ./cmd/gateway openapi | diff -u api/openapi.yaml - || { echo "api/openapi.yaml is not what the code serves: run make openapi"; exit 1; }

vuln: ## known vulnerabilities of what we build on (needs the network)
	@go run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./...

openapi: ## write api/openapi.yaml from the code
	@go run ./cmd/gateway openapi > api/openapi.yaml.new && mv api/openapi.yaml.new api/openapi.yaml

generate: openapi ## everything that is generated: contract, docs/errors.md, golden files
	@go test -count 1 ./models ./activities/contract ./api ./api/authz -update >/dev/null || true
	@git status --short -- api docs models activities

clean-dev: ## forget the development stack's data
	@if [ -f .dev/postgres.dir ]; then dir=$$(cat .dev/postgres.dir); case "$$dir" in "$(CURDIR)"/.dev/*|/var/tmp/yunshu-*) rm -rf "$$dir";; esac; fi
	@rm -rf .dev
	@echo "The development stack's data is gone."

clean: clean-dev ## forget everything that was built, too
	@rm -rf bin .tools

# Tools are built from pinned sources, once.
$(TOOLS)/gotestsum:
	@echo "Building gotestsum: it runs the tests and prints what matters."
	@GOBIN=$(TOOLS) go install gotest.tools/gotestsum@v1.13.0
$(TOOLS)/golangci-lint:
	@echo "Building golangci-lint: it looks for mistakes. The first time takes some minutes."
	@GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
$(TOOLS)/workflowcheck:
	@echo "Building workflowcheck: it proves that workflows are deterministic."
	@GOBIN=$(TOOLS) go install go.temporal.io/sdk/contrib/tools/workflowcheck@v0.6.0
