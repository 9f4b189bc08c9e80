# SPDX-License-Identifier: Apache-2.0
SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# npm writes this file when an installation is complete: as good as a stamp of our own.
INSTALLED := node_modules/.package-lock.json
SOURCES := $(shell find src gen -type f 2>/dev/null)
bin := node_modules/.bin

# Any target with another supported Node in every process: make test NODE=26.
ifdef NODE
export PATH := $(CURDIR)/node_modules/.cache/node-$(NODE):$(PATH)
dist/main.js: | other-node
.PHONY: other-node
other-node: | $(INSTALLED)
	@scripts/fetch-node.sh $(NODE)
endif

##@ Use
.PHONY: run
run: dist/main.js ## Serve on 127.0.0.1:50051 with a database in ./data (settings come from the environment)
	@node dist/main.js serve

.PHONY: build
build: dist/main.js ## Compile to dist/

##@ Develop
mocha := $(bin)/mocha $(if $(CI),--forbid-only)

.PHONY: test
test: dist/main.js ## Run the short tests; those of a folder or a file: make test ONLY=store
	@scripts/install-test-tools.sh mariadb python $(if $(ONLY),|| echo "Continuing: selected tests that need it will fail." >&2)
ifdef ONLY
	@files=$$(scripts/select-tests.sh short $(ONLY)) && $(mocha) $$files $(ARGS)
else
	@$(mocha) --parallel --jobs 2 --ignore 'test/**/*.long.test.ts' $(ARGS)
endif

.PHONY: test-all
test-all: dist/main.js ## Run all tests, including the long ones: behind proxies, through upgrades, on installed packages ...
	@scripts/install-test-tools.sh caddy chart galera haproxy mariadb nginx promtool python
ifdef ONLY
	@files=$$(scripts/select-tests.sh all $(ONLY)) && $(mocha) $$files $(ARGS)
else
	@$(mocha) $(ARGS)
endif

.PHONY: check
check: dist/main.js ## Lint, types, unused code, and the contract against its last release
	@$(bin)/biome check --error-on-warnings
	@$(bin)/tsc --noEmit
	@$(bin)/tsc --noEmit -p examples
	@$(bin)/knip
	@scripts/check-proto.sh
	@scripts/check-generated.sh
	@node --import tsx scripts/api-reference.ts --check

.PHONY: bench
bench: dist/main.js ## Measure the service and alternatives; options: make bench ARGS="..."
	@scripts/install-test-tools.sh mariadb redis
	@node --import tsx bench/main.ts $(ARGS)

.PHONY: capacity
capacity: dist/main.js ## Measure and draw the curves of docs/performance.md, on an otherwise idle machine
	@scripts/install-test-tools.sh mariadb redis
	@node --import tsx bench/main.ts --only Capacity: --json --rounds 3 $(ARGS) > docs/plots/capacity.new || { rm -f docs/plots/capacity.new; exit 1; }
	@mv docs/plots/capacity.new docs/plots/capacity.json
	@$(MAKE) plots

.PHONY: plots
plots: $(INSTALLED) ## Draw the plots of docs/performance.md, and write its tables, from docs/plots/capacity.json
	@node --import tsx bench/plots/main.ts

.PHONY: histories
histories: dist/main.js ## Check the promises under faults; options: make histories ARGS="--seeds 1-1000"
	@scripts/install-test-tools.sh mariadb
	@node --import tsx test/histories/main.ts $(ARGS)

.PHONY: mutants
mutants: dist/main.js ## Break one rule at a time, and check that the histories detect it
	@scripts/install-test-tools.sh mariadb
	@node --import tsx test/histories/mutants.ts $(ARGS)

.PHONY: attacks
attacks: dist/main.js ## Attack the service without a credential, and measure the effect on its callers: make attacks ARGS="--only pings"
	@node --import tsx test/attacks/main.ts $(ARGS)

.PHONY: soak
soak: dist/main.js ## Run the service for long under faults, and watch its memory: make soak ARGS="--minutes 30"
	@scripts/install-test-tools.sh mariadb
	@node --import tsx test/soak/main.ts $(ARGS)

.PHONY: format
format: $(INSTALLED) ## Format everything, and apply automatic fixes
	@$(bin)/biome check --write
	@$(bin)/buf format --write proto

.PHONY: gen
gen: $(INSTALLED) ## Generate gen/ and docs/api.md from proto/
	@scripts/generate.sh
	@node --import tsx scripts/api-reference.ts

.PHONY: clean
clean: ## Remove everything that was installed or built; ./data stays
	rm -rf {node_modules,dist,gen,packages}.{new,old}-* node_modules dist packages coverage

##@ Publish
.PHONY: packages
packages: dist/main.js ## Make the packages of the service and the client, in packages/
	@node --import tsx scripts/make-packages.ts

##@ Help
.PHONY: help
help: ## Show this
	@awk 'BEGIN { FS = ":.*## "; print "make TARGET" } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# Order-only: a look at Node's version is no reason to install anew.
$(INSTALLED): package-lock.json | check-node
	@echo "Installing npm packages"
	@scripts/install-packages.sh
	@touch $@

dist/main.js: $(INSTALLED) $(SOURCES) tsconfig.json tsconfig.build.json | check-node
	@echo "Building"
	@npm run --silent build
	@touch $@

.PHONY: check-node
check-node:
	@scripts/check-node.sh
