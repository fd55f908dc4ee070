# `make help` says what there is. Paths are relative: the folder's name may have spaces in it.

# The first Python on the path that is new enough; `make PYTHON=/path/to/python3` takes another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$python" && exit; done; echo python3)

# For `make train`: options of `steepest train digits`; for `make test`: arguments of pytest.
ARGUMENTS ?=

# Which tests need PyTorch or JAX.
FRAMEWORK_TESTS := tests/check/test_torch_face.py tests/check/test_jax_face.py \
	tests/check/test_products.py tests/cli/test_check_output.py tests/test_pytest_plugin.py

# Which tests run with the oldest versions: others hold details of later ones of NumPy and SciPy.
OLDEST_TESTS := tests/descend tests/nn tests/test_examples.py \
	tests/engines/native/test_products.py tests/engines/native/test_random_graphs.py

IN_PARALLEL := --numprocesses=auto --maxprocesses=8

BIN := .venv/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check

# An environment names its own folder and its Python in its files. One that was moved or copied
# with its folder, or has lost its Python, is made anew.
ifneq ($(shell $(BIN)/python -c '' 2>/dev/null \
	&& [ "$$(cat .venv/.created 2>/dev/null)" = "$$(pwd -P)" ] && echo usable),usable)
.PHONY: .venv/.created
endif

.DEFAULT_GOAL := help
.PHONY: help train test test-frameworks test-oldest check bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

train: .venv/.installed ## Install, then train an image classifier on hand-written digits
	$(BIN)/steepest train digits --out runs/digits $(ARGUMENTS)

# One thread for linear algebra: pytest runs one process for each core. Benchmarks compare on one
# core, and say themselves where they take more.
test test-frameworks test-oldest bench: export OMP_NUM_THREADS = 1
test test-frameworks test-oldest bench: export OPENBLAS_NUM_THREADS = 1
test: .venv/.installed-test ## Install, then run the whole test suite
	$(BIN)/python -m pytest $(IN_PARALLEL) $(ARGUMENTS)

test-frameworks: .venv/.installed-frameworks .venv/.installed-test ## Install PyTorch and JAX, then run the tests that need them
	$(BIN)/python -c 'import jax, torch'
	$(BIN)/python -m pytest $(FRAMEWORK_TESTS) $(ARGUMENTS)

test-oldest: .venv-oldest/.installed ## Install the oldest versions that are allowed, then run a part of the tests with them
	.venv-oldest/bin/python -m pytest $(IN_PARALLEL) $(OLDEST_TESTS) $(ARGUMENTS)

check: .venv/.installed-development ## Install, then run the formatter, the linters and the type checker
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.installed-benchmark ## Install the peers, then measure side by side with them
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.descent $(ARGUMENTS)
	$(BIN)/python -m benchmarks.descent --threads all --no-startup $(ARGUMENTS)
	$(BIN)/python -m benchmarks.threads

clean: ## Remove the virtual environment and the caches
	rm -rf .venv .venv-oldest .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# The package is installed in editable mode: a change of its sources needs no installation.
.venv/.installed: .venv/.created pyproject.toml
	@echo 'Installing steepest and what it needs into .venv ...'
	@$(INSTALL) --editable .
	@touch $@

# Compiling the sources of PyTorch and JAX takes longer than to install them.
.venv/.installed-frameworks: INSTALL += --no-compile

.venv/.installed-%: .venv/.created pyproject.toml
	@echo 'Installing steepest[$*] and what it needs into .venv ...'
	@$(INSTALL) --editable '.[$*]'
	@touch $@

# Of what steepest itself needs. Old versions of Matplotlib call what later pyparsings warn of.
.venv-oldest/.installed: .venv/.created pyproject.toml
	@echo 'Installing steepest and the oldest versions of what it needs into .venv-oldest ...'
	@$(BIN)/python -m venv --clear .venv-oldest
	@$(BIN)/python -c 'import tomllib; \
		needed = tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]; \
		print(*(each.replace(">=", "==") for each in needed), "pyparsing<3.3", sep="\n")' \
		> .venv-oldest/versions.txt
	@.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[test]' --constraint .venv-oldest/versions.txt
	@touch $@

.venv/.created:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'steepest needs Python 3.11 or later, and $(PYTHON) is not. Install one, or say' >&2; \
		echo 'where it is: make PYTHON=/path/to/python3' >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo 'This Python cannot make virtual environments. On Debian and Ubuntu:' >&2; \
		echo '    sudo apt install python3-venv' >&2; exit 1; }
	@"$(PYTHON)" -m venv $$([ ! -e $@ ] || echo --clear) .venv
	@pwd -P > $@
