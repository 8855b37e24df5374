# Pinseal: everything a fresh checkout needs. `make` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

CARGO ?= cargo
# Aborts at named steps, for the crash tests, and marks for valgrind; never part of a release build.
TEST_FEATURES := pinseal-cli/fault-points,pinseal-enclaved/fault-points,pinseal-enclave/constant-time-check

.PHONY: help setup page docs screens build demo up test lint help-texts bench bench-page soak profile mutants fuzz fuzz-corpus schemathesis attack constant-time sim model chaos

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## Install what is missing: system packages, test peers, crates, npm packages
	@scripts/setup

page: setup ## Build the wallet page, which `pinseal` then has inside
	@scripts/page

build: page ## Build `pinseal` and `pinseal-enclaved` for development, the wallet page inside
	@$(CARGO) build --locked -p pinseal-cli -p pinseal-enclaved

demo: build ## Show the whole main job in this terminal
	@target/debug/pinseal demo

up: build ## Start the system and keep it running (data in ./pinseal-data)
	@target/debug/pinseal up

lint: setup ## Check formatting and lints
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --locked --features $(TEST_FEATURES) -- -D warnings

test: ## Pass every test, and say what each stage takes
	@CARGO="$(CARGO)" FEATURES="$(TEST_FEATURES)" scripts/test

bench: setup ## Measure whole signatures beside their peers (ARGS="--docs docs" writes docs/performance.*)
	@CARGO="$(CARGO)" scripts/bench $(ARGS)

bench-page: setup ## Measure the wallet page in Chromium: open to PIN pad, PIN to signature
	@CARGO="$(CARGO)" scripts/bench-page

soak: setup ## Load, wrong PINs and kills for half an hour (ARGS="--minutes N")
	@CARGO="$(CARGO)" scripts/bench soak $(ARGS)

profile: setup ## Say where host and enclave spend their time at 64 clients
	@CARGO="$(CARGO)" scripts/profile $(ARGS)

schemathesis: build ## Hold the server to docs/openapi.json with many generated calls (EXAMPLES, SEED, CALLERS)
	@scripts/schemathesis/run

attack: build ## Attack the API at full size: ten thousand idle connections, slow and long bodies, floods
	@ATTACK=full $(CARGO) test --locked -p pinseal-journeys --test it attack:: -- --test-threads 2 --nocapture

chaos: build ## Kill real processes and put directories back for MINUTES=4, guesses counted from outside (SEED=)
	@CHAOS_MINUTES="$(or $(MINUTES),4)" CHAOS_SEED="$(SEED)" $(CARGO) test --locked -p pinseal-journeys --test it crash::chaos:: -- --test-threads 1 --nocapture

constant-time: setup ## Look for branches and addresses that depend on secrets in optimised code (make test: unoptimised)
	@$(CARGO) test --release --locked -p pinseal-enclave --features constant-time-check --lib operation::constant_time

mutants: setup ## Mutation tests of PACKAGE=enclave, protocol or keys, of FILE=glob, of SHARD=k/n (docs/mutation-testing.md)
	@PACKAGE="$(PACKAGE)" FILE="$(FILE)" SHARD="$(SHARD)" scripts/mutants

docs: setup ## Write the reference of the npm packages to target/docs/web; fails on what is undocumented or leads nowhere
	@cd web && npm run --silent docs -- --logLevel Warn

screens: build ## Write a picture of every screen of the wallet page to SCREENS=target/screens, outside version control
	@cd web/wallet && SCREENS="$(abspath $(or $(SCREENS),target/screens))" PINSEAL_PROGRAMS="$(abspath target/debug)" node scripts/test.mjs --screens

help-texts: ## Write docs/cli/ anew after a change of the command line
	@UPDATE=1 $(CARGO) test --locked -p pinseal-cli --test cli help_texts

sim: setup ## Simulate SCHEDULES=10000 from SEED=1 (ARGS="--json", "--planted", "--trace SEED"); see docs/simulation.md
	@$(CARGO) run --locked --quiet -p pinseal-sim -- --schedules $(or $(SCHEDULES),10000) --seed $(or $(SEED),1) $(ARGS)

model: setup ## Explore the model of charge, anchor and reveal without a gap (ARGS="--tries 3 --restarts 2", "--defects", "--show NAME"); docs/model.md
	@$(CARGO) run --locked --quiet -p pinseal-model -- $(ARGS)

fuzz: ## Fuzz: TARGET=name (all), SECONDS=60 or CPU_SECONDS= each, JOBS=1 at once; see docs/fuzzing.md
	@TARGET="$(TARGET)" FUZZ_SECONDS="$(or $(SECONDS),60)" CPU_SECONDS="$(CPU_SECONDS)" JOBS="$(or $(JOBS),1)" SANITIZER="$(SANITIZER)" scripts/fuzz run

fuzz-corpus: ## Merge what fuzzing found into the committed corpora: TARGET=name (all)
	@TARGET="$(TARGET)" SANITIZER="$(SANITIZER)" scripts/fuzz corpus
