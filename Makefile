# Works with GNU make 3.81 (macOS) and newer. Tools are Go modules of their own under hack/tools,
# built on first use into ~/.cache/mta-sts-operator; nothing needs to be installed but Go.

SHELL := bash
.DEFAULT_GOAL := help

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
IMG       ?= ghcr.io/mta-sts-operator/mta-sts-operator:$(VERSION)
PLATFORMS ?= linux/amd64,linux/arm64
FUZZTIME  ?= 30s
SEEDS     ?= 500
WEEKS     ?= 60
TESTFLAGS ?=
KUBECTL   ?= kubectl

LDFLAGS    = -s -w -X main.version=$(VERSION)
# What controller-gen reads: types with their schema from api, RBAC markers from controllers.
GENERATE   = object paths=./api/...
MANIFESTS  = crd rbac:roleName=mta-sts-operator paths=./api/... paths=./controllers/...
APIDOCS    = --log-level=ERROR --renderer=markdown --source-path=api/v1alpha1 \
             --config=hack/apidocs/config.yaml --templates-dir=hack/apidocs/templates

##@ General

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make <target> [VARIABLE=value]" } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: clean
clean: ## Remove what was built in the tree; the cache of tools and control planes stays.
	rm -rf bin dist

##@ Generated files

.PHONY: generate
generate: ## Write api/**/zz_generated.deepcopy.go.
	@gen=$$(hack/tools/build.sh controller-gen) && "$$gen" $(GENERATE)

.PHONY: manifests
manifests: ## Write config/crd/bases, config/rbac/role.yaml and docs/api.md from the comments in the code.
	@gen=$$(hack/tools/build.sh controller-gen) && \
	"$$gen" $(MANIFESTS) output:crd:dir=config/crd/bases output:rbac:dir=config/rbac
	@gen=$$(hack/tools/build.sh crd-ref-docs) && "$$gen" $(APIDOCS) --output-path=docs/api.md
	@$(MAKE) chart

.PHONY: chart
chart: ## Write what in charts/ follows from config/ and from the comments of values.yaml.
	@go run ./hack/chart

.PHONY: fmt
fmt: ## Format all Go files (gofumpt, imports in three groups).
	@lint=$$(hack/tools/build.sh golangci-lint) && "$$lint" fmt ./...

##@ Checks

.PHONY: verify
verify: verify-generated verify-deps verify-fmt ## Check that generated files, go.mod and formatting are up to date.

# Generates beside the tree and compares, so that a check never changes a file.
.PHONY: verify-generated
verify-generated:
	@gen=$$(hack/tools/build.sh controller-gen) && doc=$$(hack/tools/build.sh crd-ref-docs) && \
	tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && \
	"$$gen" $(GENERATE) output:object:dir="$$tmp/api" && \
	"$$gen" $(MANIFESTS) output:crd:dir="$$tmp/crd" output:rbac:dir="$$tmp/rbac" && \
	"$$doc" $(APIDOCS) --output-path="$$tmp/api.md" && \
	{ diff -u api/v1alpha1/zz_generated.deepcopy.go "$$tmp/api/zz_generated.deepcopy.go" && \
	  diff -ruN config/crd/bases "$$tmp/crd" && diff -u config/rbac/role.yaml "$$tmp/rbac/role.yaml" && \
	  diff -u docs/api.md "$$tmp/api.md" || \
	  { echo "generated files are out of date: run 'make generate manifests'" >&2; exit 1; }; }

.PHONY: verify-deps
verify-deps:
	@go mod tidy -diff || { echo "go.mod or go.sum is out of date: run 'go mod tidy'" >&2; exit 1; }
	@awk '$$2 ~ /^v[0-9]/ && !/\/\/ indirect/ { print $$1 }' go.mod | while read -r module; do \
	  grep -qF "\`$$module\`" docs/dependencies.md || \
	  { echo "$$module: say in docs/dependencies.md why it is needed" >&2; exit 1; }; \
	done

.PHONY: verify-fmt
verify-fmt:
	@lint=$$(hack/tools/build.sh golangci-lint) && \
	{ "$$lint" fmt --diff ./... || { echo "files are not formatted: run 'make fmt'" >&2; exit 1; }; }

.PHONY: lint
lint: lint-go lint-chart ## Run golangci-lint with the Kubernetes API rules, and helm lint.

.PHONY: lint-go
lint-go:
	@lint=$$(hack/tools/build.sh golangci-lint) && "$$lint" run ./...

# For the oldest Kubernetes the chart is for; without it a Helm 3 built from its module assumes 1.20.
.PHONY: lint-chart
lint-chart:
	@for tool in helm helm3; do \
	  helm=$$(hack/tools/build.sh $$tool) || exit 1; \
	  for values in charts/mta-sts-operator/ci/*.yaml; do \
	    echo "$$tool lint --strict -f $$values"; \
	    out=$$("$$helm" lint --strict --quiet --kube-version 1.31.0 -f "$$values" charts/mta-sts-operator 2>&1) || \
	    { echo "$$out" >&2; exit 1; }; \
	  done; \
	done

.PHONY: test
test: ## Run every test, those with a control plane included. TESTFLAGS are passed on.
	@KUBEBUILDER_ASSETS=$$(hack/assets.sh --with-controller-manager) && \
	HELM=$$(hack/tools/build.sh helm) && HELM3=$$(hack/tools/build.sh helm3) && \
	HELM_UNITTEST=$$(hack/tools/build.sh helm-unittest) && \
	export KUBEBUILDER_ASSETS HELM HELM3 HELM_UNITTEST && \
	start=$$SECONDS && go test -timeout 30m $(TESTFLAGS) ./... && echo "tests took $$((SECONDS - start)) s"

# A package needs a control plane if its tests import envtest, directly or not. A whole release takes minutes.
.PHONY: test-unit
test-unit: ## Run the tests that need no control plane.
	@packages=$$(go list -test -f '{{.ImportPath}} {{join .Deps " "}} ' ./... | grep '^[^ ]*\.test ' | \
	  grep -v -e ' sigs.k8s.io/controller-runtime/pkg/envtest ' -e '/hack/release\.test ' | sed 's/\.test .*//') && \
	go test -timeout 10m $(TESTFLAGS) $$packages

# In control groups with the memory that the chart gives. Elsewhere than on Linux, as root, it says why it does not run.
.PHONY: test-limits
test-limits: ## Try to make operator and policy server exceed the chart's limits (Linux, root, five minutes).
	@KUBEBUILDER_ASSETS=$$(hack/assets.sh) && export KUBEBUILDER_ASSETS && \
	MTASTS_LIMITS=1 go test -count=1 -timeout 15m -v $(TESTFLAGS) ./test/limits

# The decision alone first, then the controllers with all that they write, then shards alone. SEED=n lives one history of
# each again; what they tell is the story of that seed.
.PHONY: simulate
simulate: ## Live through months of faults: SEEDS (500) for the decision and for shards, WEEKS (60) for the controllers; SEED=n replays one.
	@SIMULATION_SEEDS=$(SEEDS) SIMULATION_SEED=$(SEED) \
	  go test -count=1 -timeout 0 -v -run TestMonthsOfEditsAndFaultsBreakNoPromise ./controllers/internal/simulation
	@SIMULATION_SEEDS=$(WEEKS) SIMULATION_SEED=$(SEED) \
	  go test -count=1 -timeout 0 -v -run TestWeeksOfFaultsBreakNoPromise ./test/simulation
	@SIMULATION_SEEDS=$(SEEDS) SIMULATION_SEED=$(SEED) \
	  go test -count=1 -timeout 0 -v -run TestNoHistoryOfShardsLosesAHost ./controllers

.PHONY: mutants
mutants: ## Put mistakes into decision and controllers one by one: some history of SEEDS, or WEEKS, must find each.
	@SIMULATION_SEEDS=$(SEEDS) \
	  go test -count=1 -timeout 0 -tags mutants -run TestEveryMutantIsCaught ./controllers/internal/simulation
	@SIMULATION_SEEDS=$(WEEKS) \
	  go test -count=1 -timeout 0 -tags mutants -run TestEveryMutantIsCaught ./test/simulation
	@SIMULATION_SEEDS=$(SEEDS) \
	  go test -count=1 -timeout 0 -tags mutants -run TestEveryMutantIsCaught ./controllers

# Built on first use from Go modules and Debian packages; test/e2e/README.md says from which.
.PHONY: e2e
e2e: ## Run the stories of test/e2e in a real cluster (a quarter of an hour). RUN=name selects.
	@RUN='$(RUN)' PARALLEL=$(PARALLEL) test/e2e/run.sh

# The operator as a process of its own, a kube-apiserver, and a world that takes what it writes. Three runs of
# each size take two hours on two cores; BENCHFLAGS="-sizes 100,1000 -runs 1" takes five minutes.
.PHONY: bench
bench: ## Measure what thousands of policies cost, into dist/bench. BENCHFLAGS are passed on.
	@mkdir -p dist/bench && KUBEBUILDER_ASSETS=$$(hack/assets.sh) go run ./test/bench -json dist/bench/operator.json $(BENCHFLAGS)

.PHONY: bench-check
bench-check: ## Fail if counts and ratios are worse than those in test/bench/recorded.json by more than their noise.
	@KUBEBUILDER_ASSETS=$$(hack/assets.sh) go run ./test/bench -sizes 1000 -namespaces 1 -check test/bench/recorded.json $(BENCHFLAGS)

# On Linux with two cores and nothing else to do, for half an hour; the others come from Debian packages.
.PHONY: bench-server
bench-server: build ## Compare the policy server with nginx, HAProxy and Caddy, into dist/bench. BENCHFLAGS are passed on.
	@go run ./test/bench/server $(BENCHFLAGS)

# Needs vuln.go.dev, and so is no part of CI's own check.
.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities that the program can reach.
	@vuln=$$(hack/tools/build.sh govulncheck) && "$$vuln" ./...

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (30s).
	@grep -r --include='*_test.go' -o '^func Fuzz[A-Za-z0-9_]*' . | sort | while IFS=: read -r file target; do \
	  echo "==> $${file%/*} $${target#func }"; \
	  go test -run '^$$' -fuzz "^$${target#func }$$" -fuzztime $(FUZZTIME) "$${file%/*}" </dev/null || exit 1; \
	done

##@ Build and run

.PHONY: build
build: ## Build bin/mta-sts-operator, and bin/mta-sts-server, which its command serve becomes.
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o bin/ . ./internal/policyserver/mta-sts-server

.PHONY: run
run: ## Run the manager on this machine against the cluster of the current kubeconfig.
	go run . manager

.PHONY: demo
demo: ## Show a policy go from testing to enforce, in a cluster of its own. KEEP=1 leaves it running.
	@KUBEBUILDER_ASSETS=$$(hack/assets.sh) && export KUBEBUILDER_ASSETS && \
	echo "demo: building it (a minute or two the first time)" >&2 && \
	go build -o bin/demo ./hack/demo && KEEP=$(KEEP) exec bin/demo

.PHONY: docker-build
docker-build: ## Build the image for this machine's platform and load it into docker.
	docker buildx build --load --build-arg VERSION=$(VERSION) -t $(IMG) .

.PHONY: docker-push
docker-push: ## Build the image for PLATFORMS and push it, with SBOM and provenance.
	docker buildx build --push --platform $(PLATFORMS) --sbom=true --provenance=mode=max \
	  --build-arg VERSION=$(VERSION) -t $(IMG) .

.PHONY: chart-package
chart-package: ## Pack the Helm chart into dist, for `helm push`.
	@helm=$$(hack/tools/build.sh helm) && "$$helm" package --destination dist charts/mta-sts-operator

# RELEASE_FLAGS: -tag and -builder, as .github/workflows/release.yml gives them; -platforms for less.
.PHONY: release-dry-run
release-dry-run: ## Make what a release consists of into dist/release, and publish nothing.
	@helm=$$(hack/tools/build.sh helm) && roots=$$(hack/tools/build.sh roots) && \
	go run ./hack/release -helm "$$helm" -roots "$$roots" $(RELEASE_FLAGS) && \
	cat dist/release/image.txt dist/release/checksums.txt

##@ Deployment (to the cluster of the current kubeconfig)

.PHONY: install
install: ## Install the CRDs only.
	$(KUBECTL) apply --server-side -f config/crd/bases

.PHONY: deploy
deploy: ## Install the CRDs and the operator.
	$(KUBECTL) apply --server-side -k config/default

# The CRDs go with it, and every publication with them: senders that cached a policy would find
# nothing in its place. So a domain that is still published stops this.
.PHONY: undeploy
undeploy: ## Remove operator and CRDs; refused while domains are published (FORCE=1 removes all the same).
	@if [ -z "$(FORCE)" ] && [ -n "$$($(KUBECTL) get mtastspublications.mtasts.dev -A -o name)" ]; then \
	  echo "domains are still published: delete the policies and wait until they have retired, or set FORCE=1" >&2; exit 1; fi
	$(KUBECTL) delete --ignore-not-found -k config/default
