# Everything a developer or CI does with this project; `make` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TOOLS := target/tools
CHART := helm/dialplane
KUBERNETES := 1.37.0
LOCKED := $(if $(CI),--locked)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' $(MAKEFILE_LIST) | while read -r name what; do printf '%-14s%s\n' "$$name" "$$what"; done

.PHONY: demo
demo: packages ## see it work: a private engine, leads and dialers; options in ARGS
	cargo run $(LOCKED) -- demo $(ARGS)

.PHONY: test
test: packages ## all tests of the engine
	cargo test $(LOCKED)

.PHONY: torture
torture: packages ## a storm of faults and its verdict; SEED=7 MINUTES=3, PINNED=1: under an old snapshot
	cargo test $(LOCKED) --test torture -- storm $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(PINNED),--pinned-snapshot)

.PHONY: test-clients
test-clients: packages ## clients in other languages against a running engine
	scripts/test-clients.sh

.PHONY: mutants
mutants: packages ## plant a bug at a time; the test that must notice it runs; one alone: ONLY=name
	scripts/mutants.sh $(ONLY)

.PHONY: bench
bench: packages ## how fast the engine is; QUICK=1: shorter, LONG=1: ten million leads and more, ageing too, ONLY=lives,grants: these parts, PROFILE=1: statements
	QUICK=$(QUICK) LONG=$(LONG) ONLY=$(ONLY) PROFILE=$(PROFILE) cargo bench $(LOCKED) --bench life

.PHONY: check check-rust check-deps check-proto check-chart
check: check-rust check-deps check-proto check-chart ## format, lints, docs, licenses, contract, chart

check-rust:
	cargo fmt --check
	cargo clippy $(LOCKED) --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc $(LOCKED) --no-deps

check-deps:
	@scripts/tools.sh cargo-deny
	$(TOOLS)/bin/cargo-deny --locked check bans licenses sources

check-proto:
	@scripts/tools.sh buf
	$(TOOLS)/node_modules/.bin/buf lint

check-chart:
	@scripts/tools.sh helm kubernetes-validate
	for values in $(CHART)/ci/*.yaml; do \
	    $(TOOLS)/bin/helm lint --strict --quiet --kube-version $(KUBERNETES) --values "$$values" $(CHART); \
	    $(TOOLS)/bin/helm template --kube-version $(KUBERNETES) --values "$$values" dialplane $(CHART) \
	        | $(TOOLS)/venv/bin/kubernetes-validate --kubernetes-version $(KUBERNETES) --strict -; \
	done

# Apart from `check`: it fetches RustSec's database from a git host, which not every network reaches.
.PHONY: advisories
advisories: ## known vulnerabilities in dependencies (needs the network)
	@scripts/tools.sh cargo-deny
	$(TOOLS)/bin/cargo-deny --locked check advisories

.PHONY: breaking
breaking: ## the contract against the last release
	@scripts/tools.sh buf
	@if tag=$$(git describe --tags --abbrev=0 2>/dev/null); \
	then $(TOOLS)/node_modules/.bin/buf breaking --against ".git#tag=$$tag"; \
	else echo "No release yet to compare with."; \
	fi

.PHONY: fmt
fmt: ## format the Rust code
	cargo fmt

.PHONY: clean
clean: ## remove build outputs, but not the tools
	find target -mindepth 1 -maxdepth 1 ! -name tools -exec rm -rf {} +

.PHONY: packages
packages:
	@scripts/system-packages.sh
