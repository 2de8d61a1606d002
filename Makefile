# Entry point for every task; `make` lists the targets.
# On a bare machine it needs Python 3.11 to 3.13 (PYTHON=python3.12 names one) and nothing else.

SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
UV_VERSION := 0.13.9
TOOLS := .hocket-tools
VENV := .venv
BIN := $(VENV)/bin
# Expanded when a recipe runs: by then `$(TOOLS)` has put one there where PATH has none. Quoted: paths may have spaces.
UV = "$(or $(shell command -v uv 2>/dev/null),$(CURDIR)/$(TOOLS)/bin/uv)"
SERVICES := ratelimit vision rag llm_router speech media_gateway
CHECKED := hatch_build.py hocket services local scripts bench examples tests
# What wire compatibility is held against: the main branch, where there is one.
BASE ?= $(shell git rev-parse -q --verify origin/main 2>/dev/null || git rev-parse -q --verify main 2>/dev/null)

# The interpreter is the one named above, never a download.
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(VENV)
# The machine's own authorities, so that it works behind a proxy that has one.
export UV_SYSTEM_CERTS ?= true
# A package index configured for pip serves uv, too.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

# Where the home folder is missing or cannot be written, uv keeps its cache in the clone.
ifndef UV_CACHE_DIR
NO_CACHE := $(shell d="$${XDG_CACHE_HOME:-$${HOME:+$$HOME/.cache}}"; [ -n "$$d" ] || { echo yes; exit; }; \
	while [ ! -e "$$d" ]; do d=$$(dirname "$$d"); done; [ -w "$$d" ] || echo yes)
ifneq ($(NO_CACHE),)
export UV_CACHE_DIR := $(CURDIR)/$(TOOLS)/uv-cache
endif
endif

# `PYTHON=python3.12` on the command line replaces an environment of another version.
ifneq ($(origin PYTHON),file)
DROPPED := $(shell [ ! -x $(BIN)/python ] || [ "$$("$(PYTHON)" -V 2>&1)" = "$$($(BIN)/python -V 2>&1)" ] \
	|| rm -f $(TOOLS)/.python $(VENV)/.runs $(VENV)/.develops)
endif

.PHONY: help setup demo up down status test steady fresh unit contract integration e2e kube check format lint mypy pyright \
	imports buf stubs docs-fresh site licences charts golden chart licences-fresh extras wheel-check fmt protos docs images release cover bench clean distclean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' Makefile

# --- setting up -------------------------------------------------------------------------------------------------

$(TOOLS)/.python: Makefile
	@command -v "$(PYTHON)" >/dev/null 2>&1 \
		|| { echo "no $(PYTHON) on PATH; install Python 3.11 to 3.13, or pass its path: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; (3, 11) <= sys.version_info[:2] <= (3, 13) or sys.exit("hocket needs Python 3.11 to 3.13, but $(PYTHON) is %d.%d; pass another one: make PYTHON=python3.12" % sys.version_info[:2])'
	@[ -d $(VENV) ] || df -Pk . | awk 'NR == 2 && $$4 < 3000000 {printf "cannot install: the disk has %.1f GB free and 3 are needed; free some space\n", $$4 / 1e6; exit 1}' >&2
	@mkdir -p $(TOOLS) && touch $@

# uv from PATH, else a pinned version in its own folder.
$(TOOLS)/.uv: $(TOOLS)/.python
	@if ! command -v uv >/dev/null 2>&1 && [ ! -x $(TOOLS)/bin/uv ]; then \
		echo "Fetching uv $(UV_VERSION) into $(TOOLS)"; \
		{ "$(PYTHON)" -m venv $(TOOLS) && $(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); } >$(TOOLS)/.log 2>&1 \
		|| "$(PYTHON)" -m pip install --quiet --disable-pip-version-check --target $(TOOLS) uv==$(UV_VERSION) >>$(TOOLS)/.log 2>&1 \
		|| { echo "cannot fetch uv: $$(tail -n 1 $(TOOLS)/.log) (install uv or the package python3-venv, or check the network)" >&2; exit 1; }; \
	fi
	@touch $@

# A failure of uv becomes one line with the fix; its full output is in $(TOOLS)/.log.
define sync
	@$(UV) sync --quiet --locked --inexact $(1) --python "$(PYTHON)" 2>$(TOOLS)/.log || { \
		why="$$(grep -m 1 -iE 'error|failed|×|not found|denied' $(TOOLS)/.log || tail -n 1 $(TOOLS)/.log)"; \
		if grep -qi 'no space left' $(TOOLS)/.log; then why='the disk is full; free 4 GB and run again'; \
		elif grep -qiE 'dns|resolve host|connect|timed out|tls|certificate' $(TOOLS)/.log; then why="$$why (is there a network?)"; fi; \
		echo "cannot install into $(VENV): $$(echo "$$why" | cut -c1-300); full log: $(TOOLS)/.log" >&2; exit 1; }
endef

# Packages that run the mesh, without development tools.
$(VENV)/.runs: $(TOOLS)/.uv pyproject.toml uv.lock
	@echo "Installing the mesh into $(VENV)"
	$(call sync,--no-dev --extra local)
	@touch $@

$(VENV)/.develops: $(TOOLS)/.uv pyproject.toml uv.lock
	@echo "Installing the mesh and its tools into $(VENV)"
	$(call sync,--all-extras --all-groups)
	@touch $@ $(VENV)/.runs

setup: $(VENV)/.develops ## Install everything, build the LiveKit server once
	@UV=$(UV) $(BIN)/hocket-local setup

# --- running ----------------------------------------------------------------------------------------------------

demo: $(VENV)/.runs ## Start the mesh, hold a scripted conversation, stop it (WAV=question.wav asks your own question)
	@UV=$(UV) $(BIN)/hocket-local demo $(if $(WAV),--wav "$(WAV)") $(ARGS)

up: $(VENV)/.runs ## Start the mesh in the background, print endpoints and a token (LOGS=1 stays in front and prints logs)
	@UV=$(UV) $(BIN)/hocket-local up $(if $(LOGS),--logs,--detach)

down: $(VENV)/.runs ## Stop the mesh that `up` started
	@$(BIN)/hocket-local down

status: $(VENV)/.runs ## Print the running processes, endpoints and a token
	@$(BIN)/hocket-local status

bench: $(VENV)/.runs ## Measure one part (S=voice, S=llm_router, S=vision; ARGS="--help")
	@$(if $(S),,echo "S is empty; choose a benchmark with make bench S=NAME: $$(cd bench && ls -d */ | tr -d '/' | grep -v __ | tr '\n' ' ')" >&2; exit 1)
	@$(BIN)/python -m bench.$(S) $(ARGS)

# --- tests ------------------------------------------------------------------------------------------------------
# T narrows any of them, by a path (T=tests/unit/rag) or an option of pytest (T="-k name"); S=rag keeps to one service.

PYTEST = UV=$(UV) $(BIN)/python -m pytest
tier = $(if $(filter tests/%,$(T)),,$(wildcard $(if $(S),tests/$(1)/$(S),tests/$(1))))

test: setup ## All tests: unit, contract, integration, end to end
	$(PYTEST) $(foreach each,unit contract integration e2e chart,$(call tier,$(each))) $(T)

unit: $(VENV)/.develops ## Decisions and flows: pure, no socket
	$(PYTEST) $(call tier,unit) $(T)

contract: $(VENV)/.develops ## Every RPC over a real in-process gRPC server
	$(PYTEST) $(call tier,contract) $(T)

steady: setup ## All tests with one busy loop per core beside them (RUNS=3 passes three times in a row)
	@UV=$(UV) $(BIN)/python scripts/steady.py --runs $(or $(RUNS),1) $(foreach each,unit contract integration e2e chart,$(call tier,$(each))) $(T)

fresh: ## Both README commands in a fresh clone with an empty home (ARGS="--help": as root below 0700, as a user, other Pythons)
	@"$(PYTHON)" scripts/fresh_clone.py $(ARGS)

integration: setup ## Real Redis, Postgres, LiveKit
	$(PYTEST) $(call tier,integration) $(T)

e2e: setup ## The whole mesh in conversation
	$(PYTEST) $(call tier,e2e) $(T)

kube: $(VENV)/.develops ## Build a Kubernetes control plane once, install, scale, upgrade and evict the charts on it
	@UV=$(UV) $(BIN)/python -m scripts.control_plane build
	$(PYTEST) tests/chart/live $(T)

# Line and branch coverage that decision modules must keep, in per cent; unit and contract tests reach 98.
DECISIONS_COVERED_MIN := 97
NOT_DECISIONS := */__main__.py,*/server.py,*/flow.py,*/settings.py,*/telemetry.py,*/wire.py,*/wire/*,*/adapters/*,*/commands/*,*/envoy_server.py,services/media_gateway/session/*,services/media_gateway/dispatch/*,services/media_gateway/http/*

cover: setup ## Unit, contract and integration tests with branch coverage
	$(BIN)/coverage run --branch --source hocket,services,local -m pytest tests/unit tests/contract tests/integration $(T)
	$(BIN)/coverage report --skip-covered --sort cover
	@echo "Decisions alone, held at $(DECISIONS_COVERED_MIN) %:"
	$(BIN)/coverage report --skip-covered --sort cover --fail-under $(DECISIONS_COVERED_MIN) \
		--include 'services/*' --omit '$(NOT_DECISIONS)'

# --- checks -----------------------------------------------------------------------------------------------------

check: format lint mypy pyright imports buf stubs docs-fresh site licences-fresh extras wheel-check ## Everything that is not a test: style, types, rules, contracts, generated files
	@echo "check: all good"

format: $(VENV)/.develops ## Formatted as ruff does
	@$(BIN)/ruff format --check --quiet $(CHECKED) || { echo "not formatted: make fmt" >&2; exit 1; }

lint: $(VENV)/.develops ## ruff's rules
	@$(BIN)/ruff check --quiet $(CHECKED)

mypy: $(VENV)/.develops ## Types, strictly
	@$(BIN)/mypy --no-error-summary && $(BIN)/mypy --no-error-summary tests

pyright: $(VENV)/.develops ## Types, strictly, by the other checker
	@$(BIN)/pyright --warnings

imports: $(VENV)/.develops ## Who may import whom
	@$(BIN)/lint-imports --no-logo || { echo "see [tool.importlinter] in pyproject.toml" >&2; exit 1; }

buf: $(VENV)/.develops ## Contracts: style, and nothing broken against main
	@cd protos && ../$(BIN)/buf lint .
	@if [ -n "$(BASE)" ] && git cat-file -e "$(BASE):protos/buf.yaml" 2>/dev/null; then \
		$(BIN)/buf breaking protos --against ".git#ref=$(BASE),subdir=protos"; fi

stubs: $(VENV)/.develops ## gen/ is what the protos generate
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/gen_protos.py --check

docs-fresh: $(VENV)/.develops ## docs/config.md and docs/errors.md are what the code says
	@$(BIN)/python scripts/gen_docs.py --check
	@$(BIN)/python -m scripts.gen_metrics --check
	@$(BIN)/python -m scripts.gen_monitoring --check
	@$(BIN)/python -m scripts.gen_api_reference --check
	@$(BIN)/python -m scripts.gen_benchmarks --check
	@$(BIN)/python -m scripts.gen_charts --check
	@$(BIN)/python -m scripts.package_charts --check

site: $(VENV)/.develops ## The documentation site builds, and its links and anchors lead somewhere
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT \
		&& NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --site-dir "$$scratch/site" >"$$scratch/log" 2>&1 \
		|| { grep -v '^INFO' "$$scratch/log" >&2; exit 1; }

licences-fresh: $(VENV)/.develops ## Every dependency's licence is known and on the allow list
	@$(BIN)/python -m scripts.licences --check

extras: $(VENV)/.develops ## Each service starts with its own extra and nothing else
	@UV=$(UV) $(BIN)/python scripts/check_extras.py $(or $(S),$(SERVICES))

wheel-check: $(VENV)/.develops ## The published wheel installs alone, is typed, and calls a server
	@UV=$(UV) $(BIN)/python scripts/check_wheel.py

fmt: $(VENV)/.develops ## Format and fix what can be fixed
	@$(BIN)/ruff check --quiet --fix $(CHECKED); $(BIN)/ruff format --quiet $(CHECKED)

protos: $(VENV)/.develops ## Regenerate gen/ from protos/
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/gen_protos.py

docs: $(VENV)/.develops ## Regenerate the generated pages of docs/, build the documentation site into site/
	@$(BIN)/python scripts/gen_docs.py
	@$(BIN)/python -m scripts.gen_metrics
	@$(BIN)/python -m scripts.gen_monitoring
	@$(BIN)/python -m scripts.gen_api_reference
	@$(BIN)/python -m scripts.gen_benchmarks
	@$(BIN)/python -m scripts.gen_charts
	@$(BIN)/python scripts/fetch_mermaid.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --no-strict && echo "site/index.html"

images: $(VENV)/.develops ## Build the images with labels and bills of materials (S=rag, VERSION, REGISTRY, PLATFORM, BASE_IMAGE, CA; ARGS="--help")
	@$(BIN)/python -m scripts.images $(if $(VERSION),--version "$(VERSION)") $(if $(REGISTRY),--registry "$(REGISTRY)") \
		$(if $(PLATFORM),--platform "$(PLATFORM)") $(if $(BASE_IMAGE),--base "$(BASE_IMAGE)") $(if $(CA),--ca "$(CA)") $(S) $(ARGS)

charts: $(VENV)/.develops ## Lint the Helm charts and package them into dist/
	@$(BIN)/python -m scripts.package_charts

golden: $(VENV)/.develops ## Render the Helm charts into tests/chart/golden, for review
	@$(BIN)/python -m tests.chart.golden

chart: $(VENV)/.develops ## Tests of the Helm charts
	$(PYTEST) $(call tier,chart) $(T)

licences: $(VENV)/.develops ## List the licence of every dependency in docs/licences.md
	@$(BIN)/python -m scripts.licences

release: $(VENV)/.develops ## Check version and CHANGELOG, build wheel, sdist, SBOMs, images and charts into dist/, tag; publish nothing
	@UV=$(UV) $(BIN)/python -m scripts.release $(ARGS)

# --- cleaning ---------------------------------------------------------------------------------------------------

clean: ## End the mesh and remove its data and reports (not the caches)
	@[ ! -x $(BIN)/hocket-local ] || [ ! -d .hocket ] || HOCKET_LOCAL_DATA_DIR=.hocket $(BIN)/hocket-local down >/dev/null 2>&1 || true
	rm -rf .hocket demo-report.json demo-recording.wav .coverage dist site/

distclean: clean ## Also remove what was installed into the clone
	rm -rf $(VENV) $(TOOLS) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
