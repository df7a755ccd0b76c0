# Every target sets itself up: the virtual environment in .venv, the locked install, then the work.
# Running a target again is quick and changes nothing.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PARTS := models pipelines shards tools
# The stamps carry a digest of the lock and of the project file: a changed pin installs anew, nothing else does.
BASE_STAMP := $(VENV)/.base-$(shell cat requirements.lock pyproject.toml | sha256sum | cut -c1-16)
DEV_STAMP := $(VENV)/.dev-$(shell cat requirements-dev.lock pyproject.toml | sha256sum | cut -c1-16)
LOCK_FLAGS := --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
    --no-emit-find-links --no-config --quiet
MEDIA ?=
OUT ?= demo-run

.PHONY: setup demo test faults lint format typecheck view bench lock clean

setup: $(BASE_STAMP)  ## virtual environment with what the main job needs

demo: $(BASE_STAMP)  ## the main job end to end; MEDIA=folder runs it on your own media
	$(BIN)/unreel demo $(OUT) $(if $(MEDIA),--media "$(MEDIA)")

test: $(DEV_STAMP)  ## the whole test suite
	$(BIN)/python -m pytest

faults: $(DEV_STAMP)  ## every drill of tests/faults in full; writes faults.json
	$(BIN)/python -m pytest tests/faults --drills

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEV_STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(DEV_STAMP) view
	$(BIN)/mypy

bench: $(BASE_STAMP)  ## loader against bare decode and bare ffmpeg, in one run
	$(BIN)/unreel bench loader

# The four folders under one name, for the type checkers; `PYTHONPATH=.typecheck` also runs unreel without an install.
view:
	@mkdir -p .typecheck/unreel
	@for part in $(PARTS); do ln -sfn ../../$$part .typecheck/unreel/$$part; done

lock:  ## resolve pyproject.toml again; needs `uv`
	# All extras first: the base lock is then a part of it, whatever an extra forbids.
	uv pip compile pyproject.toml --all-extras -o requirements-dev.lock $(LOCK_FLAGS)
	uv pip compile pyproject.toml -c requirements-dev.lock -o requirements.lock $(LOCK_FLAGS)

clean:
	rm -rf $(VENV) .typecheck build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(BASE_STAMP): | $(BIN)/python
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.base-*; touch $@

$(DEV_STAMP): $(BASE_STAMP)
	$(PIP) install --require-hashes -r requirements-dev.lock
	@rm -f $(VENV)/.dev-*; touch $@
