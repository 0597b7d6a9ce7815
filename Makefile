# make train   environment, small real model, a local Ray, the AAG job, result table     PRESET=quick|embedded|nq_open  FRESH=1
# make serve   the page and the OpenAI-compatible endpoint on http://127.0.0.1:8000, until Ctrl-C
# make test    environment, lint, types, import contracts, all tests
# make clean   removes the environment and caches, never a run

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PRESET ?= embedded
FRESH ?=
PYTHON ?= $(shell for python in python3 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$python && break; done)

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TESTABLE := $(VENV)/.testable
PINS := pyproject.toml constraints.txt
comma := ,

# uv is many times faster than pip, but does not read pip's own settings, so the one that names wheel folders is passed on.
install = $(if $(PIP_FIND_LINKS),UV_FIND_LINKS="$(PIP_FIND_LINKS)") $(BIN)/uv pip install --compile-bytecode --python $(BIN)/python -c constraints.txt -e "$(1)" \
	|| { echo "uv did not manage; trying pip, which takes some minutes" >&2; $(BIN)/python -m pip install -c constraints.txt -e "$(1)"; }

.PHONY: help train serve test clean

help:
	@sed -n '/^# make/s/^# //p' Makefile

train: $(INSTALLED)
	$(BIN)/python jobs/run_locally.py jobs/train_aag.py --config configs/$(PRESET).yaml $(if $(filter-out 0 no false,$(FRESH)),run.fresh=true)

serve: $(INSTALLED)
	$(BIN)/python jobs/run_locally.py -m ray.serve.scripts run serve_config.yaml

test: $(TESTABLE)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

$(BIN)/uv:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null || { \
		echo "aag-ray needs Python 3.11 or 3.12, and $(or $(PYTHON),none of python3 python3.12 python3.11) is not one; name one: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt uv

$(INSTALLED): $(PINS) | $(BIN)/uv
	$(call install,.[world])
	touch $@

$(TESTABLE): $(PINS) | $(BIN)/uv
	$(call install,.[world$(comma)test])
	touch $(INSTALLED) $@

clean:
	rm -rf $(VENV) *.egg-info .cache .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find aag_ray jobs tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
