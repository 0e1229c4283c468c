# One command each: `make demo` shows Shoal at work, `make test` checks it, `make bench` measures it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
UV     := $(shell command -v uv 2>/dev/null)

# Everything is pinned with hashes; the project itself is then added without dependencies.
ifdef UV
install = $(UV) pip install --python $(BIN)/python --require-hashes -r constraints/$(1).txt \
  && $(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
else
install = $(BIN)/python constraints/install.py $(BIN)/python constraints/$(1).txt \
  && $(BIN)/python -m pip --disable-pip-version-check install -q --no-deps --no-build-isolation -e .
endif

.PHONY: help demo test lint check bench peers constraints cli-reference clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/.installed-demo ## three devices, a model trained and deployed before your eyes (ARGS=--once: run it and exit)
	@$(BIN)/shoal demo $(ARGS)

test: $(VENV)/.installed-dev lint ## every check and every test (SHOAL_TEST_REQUIRE=all: a skip is a failure)
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.installed-dev ## style, strict types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

peers: $(VENV)/.installed-dev ## other inference servers, each in an environment of its own (for one test, and benchmarks.http --peers)
	$(BIN)/python -m benchmarks.peers $(ARGS)

bench: $(VENV)/.installed-dev ## every benchmark; results in benchmarks/results/
	$(BIN)/python -m benchmarks $(ARGS)

constraints: ## resolve the pinned dependencies anew (needs uv)
	$(UV) pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --upgrade -o constraints/base.txt
	$(UV) pip compile -q pyproject.toml constraints/build.in --extra cloud --extra train --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade \
	  -o constraints/demo.txt
	$(UV) pip compile -q pyproject.toml constraints/build.in --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade -o constraints/dev.txt
	for peer in kserve mlserver; do $(UV) pip compile -q constraints/$$peer.in --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade -o constraints/$$peer.txt || exit; done

clean: ## remove the virtual environment, caches and the demo's data
	rm -rf $(VENV) demo-data .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; \
	  sys.exit(0 if v >= (3, 11) else f"Shoal needs Python 3.11 or newer, $(PYTHON) is {v[0]}.{v[1]}; try: make PYTHON=python3.12 ...")'
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
ifdef UV
	@$(UV) venv -q --allow-existing --python $(PYTHON) $(VENV)
else
	@$(PYTHON) -m venv $(VENV)
endif

$(VENV)/.installed-demo: $(BIN)/python constraints/demo.txt pyproject.toml
	@echo "Installing what the demo needs (once)"
	@$(call install,demo)
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python constraints/dev.txt pyproject.toml
	@echo "Installing what development needs (once)"
	@$(call install,dev)
	@touch $@ $(VENV)/.installed-demo
