# Everything a person or CI runs. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
URL ?= http://127.0.0.1:8000
PINNED := --require-hashes -r requirements/runtime.txt -r requirements/dev.txt
PYTHON ?= $(shell requirements/pythons.sh | head -1)
# one file for all supported versions: --universal adds markers, --python-version is the oldest
COMPILE = $(BIN)/uv pip compile --quiet --system-certs --upgrade --universal --python-version 3.12 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint types unit explore requirements docs picture peers format clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## Create .venv and install the pinned requirements

$(VENV)/.installed: requirements/bootstrap.txt requirements/runtime.txt requirements/dev.txt pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
	  echo "Nextbest needs Python 3.12, 3.13 or 3.14 with venv, and found none on PATH, below ~/.pyenv or with uv." >&2; \
	  echo "Get one with:" >&2; \
	  echo "  apt install python3 python3-venv   (Debian 13, Ubuntu 24.04 or newer)" >&2; \
	  echo "  brew install python@3.14" >&2; \
	  echo "  pyenv install 3.14" >&2; \
	  echo "  uv python install 3.14" >&2; \
	  echo "or name an interpreter: make setup PYTHON=/path/to/python3" >&2; exit 1; fi
	"$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@# uv is fast but does not read pip's settings; if it cannot reach your index, pip installs the same
	$(BIN)/uv pip install --quiet --system-certs --compile-bytecode --python $(BIN)/python $(PINNED) \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PINNED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## Run the whole engine on simulated customers; ARGS=--once stops at the end
	$(BIN)/nextbest demo $(ARGS)

test: setup check ## Everything CI checks

check: lint types unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/pyright

unit: export PYTHONDONTWRITEBYTECODE = # tests start about a hundred processes; with cached bytecode they start faster
# More threads than workers would wait for each other: training tests take a fifth longer with two threads each.
unit: export OMP_NUM_THREADS = 1
unit: export POLARS_MAX_THREADS = 1
unit: export OPENBLAS_NUM_THREADS = 1
# These tests often wait for servers and other processes, so four workers keep two cores busy.
unit: setup
	@# the core's own tests must cover all of it; measuring the other packages too would take twice as long
	$(BIN)/pytest -n 2 --dist loadscope tests/decisioning --cov=decisioning --cov-report=term:skip-covered $(ARGS)
	$(BIN)/pytest -n 4 --dist loadscope --no-loadscope-reorder --ignore=tests/decisioning $(ARGS)

explore: setup ## Run the property tests on examples drawn anew, NEXTBEST_TEST_CASES of generated catalogues
	NEXTBEST_TEST_EXPLORE=1 NEXTBEST_TEST_CASES=$${NEXTBEST_TEST_CASES:-1000} \
	  $(BIN)/pytest -n 2 --dist loadscope -m hypothesis $(ARGS)

docs: setup ## Regenerate the reference pages (CLI reference, OpenAPI, JSON Schemas)
	$(BIN)/nextbest docs generate

picture: setup ## Draw the README's picture from a decision of the demo, which must be running
	@id=$$(curl -sf '$(URL)/v1/decisions/next?customer_id=P-0000990&touchpoint=weekly-campaign&key=dispatch-1' \
	  | $(BIN)/python -c 'import json, sys; print(json.load(sys.stdin)["decision_id"])'); \
	curl -sf "$(URL)/v1/decisions/$$id" | $(BIN)/python -m pipelines.pages.decision_picture > docs/decision.svg.new
	@mv docs/decision.svg.new docs/decision.svg

peers: $(VENV)-peers/.installed ## Install the libraries that benchmarks/known_truth.py compares with

$(VENV)-peers/.installed: requirements/peers.txt | $(VENV)/.installed
	"$(PYTHON)" -m venv --clear $(VENV)-peers
	$(BIN)/uv pip install --quiet --system-certs --python $(VENV)-peers/bin/python --require-hashes -r $< \
	  || $(VENV)-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

format: setup ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

requirements: ## Update the pinned, hashed requirements from pyproject.toml (without index addresses)
	$(COMPILE) --extra grocery pyproject.toml -o requirements/runtime.txt
	$(COMPILE) --group dev -c requirements/runtime.txt -o requirements/dev.txt
	$(COMPILE) requirements/bootstrap.in -o requirements/bootstrap.txt
	$(COMPILE) requirements/peers.in -o requirements/peers.txt

clean: ## Remove the environment and all local state
	rm -rf $(VENV) $(VENV)-peers .nextbest mlruns/mlflow.db mlruns/artifacts
