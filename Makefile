# One target a task; `make help` lists them. What is longer than a line lives in scripts/.

# `make run` takes PORT=6380 (listens there instead of on 6379), and all of them REDIS_SERVER=server
# (default: redis-server, else valkey-server). Both reach the scripts and the tests by the environment.
# A path is made absolute, for the tests start servers in folders of their own; empty is as not given.
ifneq (,$(findstring /,$(REDIS_SERVER)))
export override REDIS_SERVER := $(abspath $(REDIS_SERVER))
else ifeq (,$(REDIS_SERVER))
unexport REDIS_SERVER
endif
# The module as cargo builds it; CARGO_TARGET_DIR moves it.
export REDIS_LOCK_MODULE ?= $(abspath $(or $(CARGO_TARGET_DIR),target))/release/libredis_lock.so

# rustup puts cargo here; a shell opened before its installation does not look there yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help setup ready build tool run demo port test matrix sim bench fmt lint clean
# Prerequisites stand in the order in which they have to happen; cargo uses all cores by itself.
.NOTPARALLEL:

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

setup: ready ## Install what is missing to build and test (Debian packages; says so where it cannot)
	@scripts/packages.sh --setup

ready:
	@scripts/setup.sh

build: ready ## Build the module: target/release/libredis_lock.so
	cargo build --release

tool: ready ## Build the tool: target/release/redis-lock
	cargo build --release --package redis-lock-cli

run: port build ## Start a server with the module in the foreground (PORT=6380 for another port)
	@scripts/run.sh

demo: build ## Show a lock over five local servers, two of which die, and then a third
	@cargo run --quiet --release --package redis-lock-cli -- demo

port:
	@scripts/port.sh

# The release profile throughout: what clippy and the build share is compiled once.
# The module comes before the tests: they load the built file, and cargo does not build it for them.
test: setup ## Check everything: format, clippy, build, all tests (needs no running server)
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	cargo build --release
	cargo test --release --workspace
	scripts/packages.sh

matrix: ready ## Run the tests on newer servers too: Redis 8, Valkey 8.1 and 9 (fetched once, SERVERS="valkey-9.1" for some)
	cargo build --release
	scripts/matrix.sh $(SERVERS)

sim: ready ## Run engine and client on virtual time, all faults, MINUTES=20 (SEED=… or CROWD=… repeats one)
	cargo run --release --package redis-lock-sim -- $(if $(SEED),--seed $(SEED),$(if $(CROWD),--crowd $(CROWD),--minutes $(or $(MINUTES),20)))

bench: build ## Measure: lock against SET NX PX, memory, a million locks held
	cargo run --release --package redis-lock-bench

fmt: ready ## Format the code
	cargo fmt --all

lint: ready ## Check format and clippy only
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings

clean: ## Remove what was built (data/ stays)
	cargo clean
