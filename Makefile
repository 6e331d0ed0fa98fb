# One word a task. Each installs what it needs (tools/install-deps), says what it does, and does nothing twice.

# Compilers share two cores with whatever else runs here: they step back.
NICE := nice -n 5
BUILD = cmake --preset $(1) >build/$(1).configure.log || { cat build/$(1).configure.log; exit 1; }; \
	$(NICE) cmake --build --preset $(1)

FUZZ_SECONDS ?= 60
N ?= 1000
PROFILES ?= 1
STEPS ?= 0

.PHONY: help build demo test unit lint format bench bench-fleet bench-planner image fuzz install-deps clean

help: ## show this list
	@printf 'make TARGET, on Debian 12 or newer, as root or with sudo:\n\n'
	@sed -n 's/^\([a-z-]*\):.*## /  \1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '%-15s%s\n' "$$name" "$$text"; done
	@printf '\nWhat is built lies in build/, what is expensive to make also in ~/.cache/hauberk.\n'

build: ## compile the programs as they are shipped, into build/release/bin
	@tools/install-deps build
	@mkdir -p build
	@$(call BUILD,release)
	@printf 'The programs are in build/release/bin.\n'

demo: build ## show all of it in a real cluster of two nodes on this machine
	@tools/install-deps lab
	@e2e/demo

test: ## every test: units, fuzz inputs, sanitizers, and end to end in a real cluster
	@tools/install-deps test lab
	@tools/run-tests

unit: ## the tests that need no cluster (a minute or so)
	@tools/install-deps test
	@tools/run-tests --only unit

lint: ## check form, common defects and layers; changes nothing
	@tools/install-deps lint
	@tools/lint

format: ## let clang-format put the C sources into form
	@tools/install-deps lint
	@tools/lint --format

bench: build ## measure how fast and how large it is; writes build/bench.json
	@tools/install-deps lab
	@bench/run

bench-fleet: build ## the same for a fleet of N (1000) simulated nodes, PROFILES (1) and STEPS (0); writes build/bench-fleet.json
	@tools/install-deps lab
	@bench/fleet/run --agents=$(N) --profiles=$(PROFILES) --steps=$(STEPS)

bench-planner: ## what it costs to plan 50 profiles on 10,000 nodes, and one report
	@tools/install-deps build
	@mkdir -p build
	@$(call BUILD,release) --target bench_planner >build/bench-planner.log || { cat build/bench-planner.log; exit 1; }
	@build/release/bin/bench_planner

image: build ## make the container image, build/image/hauberk.tar
	@tools/install-deps image
	@tools/build-image

fuzz: ## feed each parser FUZZ_SECONDS (60) of random input
	@tools/install-deps test
	@mkdir -p build
	@$(call BUILD,fuzz)
	@tools/run-fuzz $(FUZZ_SECONDS)

install-deps: ## install all that any target needs
	@tools/install-deps all

clean: ## end the lab and remove build/; the cache in ~/.cache/hauberk stays
	@[ ! -e build/lab/lab.json ] || e2e/lab down
	@rm -rf build
