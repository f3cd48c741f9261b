# Every target installs what it needs first, into .venv, and does nothing where nothing changed. `make help` lists them.
PYTHON ?= python3
CATALOG ?=
PRESET ?= tiny
WORKSPACE ?= workspace
FUSION ?= average
FIRST ?=
ARCHITECTURE ?=
SEEDS ?= 5
ARGS ?=

BIN := .venv/bin
FUSECAT := $(BIN)/fusecat
# A catalogue's path may hold blanks; an empty variable is the shipped sample.
WHERE = $(if $(CATALOG),"$(CATALOG)") --workspace "$(WORKSPACE)"
NARROW = $(if $(FIRST),--first-merge $(FIRST)) $(if $(ARCHITECTURE),--architecture $(ARCHITECTURE))

.DEFAULT_GOAL := help
.PHONY: install demo check extract fuse report test lint docs bench bench-gpu help clean

.venv/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fusecat needs Python 3.11 or newer; try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/installed: pyproject.toml | .venv/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@$(BIN)/python -m fusecat.pipeline.installed
	@touch $@

.venv/installed-for-tests: pyproject.toml .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	@touch $@

.venv/installed-for-benchmarks: pyproject.toml .venv/installed-for-tests
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint,bench]'
	@touch $@

.venv/installed-for-docs: pyproject.toml .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

install: .venv/installed ## install fusecat and everything it needs into .venv, and import it once

demo: .venv/installed ## the whole job on the shipped sample: check, extract, fuse the thesis strategies with 5 seeds, report
	$(FUSECAT) check --workspace "$(WORKSPACE)"
	$(FUSECAT) extract --preset tiny --workspace "$(WORKSPACE)"
	$(FUSECAT) fuse --fusion thesis --seeds 5 --workspace "$(WORKSPACE)"

check: .venv/installed ## read and validate CATALOG
	$(FUSECAT) check $(WHERE) $(ARGS)

extract: .venv/installed ## stage one: PRESET's networks on CATALOG
	$(FUSECAT) extract $(WHERE) --preset $(PRESET) $(ARGS)

fuse: .venv/installed ## stage two: FUSION (a merge, thesis or all) with SEEDS; ARCHITECTURE and FIRST narrow it
	$(FUSECAT) fuse --fusion $(FUSION) --seeds $(SEEDS) $(NARROW) --workspace "$(WORKSPACE)" $(ARGS)

report: .venv/installed ## compare all runs of WORKSPACE
	$(FUSECAT) report --workspace "$(WORKSPACE)" $(ARGS)

test: .venv/installed-for-tests ## all quick tests (ARGS="-m slow" runs the long ones)
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/installed-for-tests ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@[ ! -x $(BIN)/hadolint ] || $(BIN)/hadolint --config docker/hadolint.yaml docker/Dockerfile docker/Dockerfile.cuda

docs: .venv/installed-for-docs ## these pages as a site, in build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

bench: .venv/installed-for-benchmarks ## the benchmarks at small size (each file names its full command)
	$(BIN)/python -m benchmarks

bench-gpu: ## stage one and heads on this machine's GPU, ten minutes at most, into benchmarks/RESULTS.md (installs nothing)
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m benchmarks.gpu $(ARGS)

clean: ## remove what tests and type checks leave behind (not .venv, not workspaces)
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  variables: CATALOG PRESET WORKSPACE FUSION FIRST ARCHITECTURE SEEDS ARGS"
