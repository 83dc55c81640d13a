# `make demo` and `make test` each work alone on a fresh clone; they need python3 (3.11 or later), pip and make.
#
# Where a version in constraints.txt does not exist for your Python, leave the file out:  make test CONSTRAINTS=

PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
MODEL ?= inception_v2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# $(1): what to install. A failure says how to go without the tested versions.
install = $(PIP) install $(if $(CONSTRAINTS),-c $(CONSTRAINTS)) -e "$(1)" || { \
	echo 'make: installing failed; if a pinned version does not exist for this Python, retry with: make $(MAKECMDGOALS) CONSTRAINTS=' >&2; \
	exit 1; }

# Compiles what numba compiles, once, so that no plan and no test waits for it.
precompile = echo 'Compiling the simulator and the searches ...' && \
	find hetsim scheduler experiments -name "*.nb[ic]" -delete && $(BIN)/python -m hetsim.scheduler.precompile

.PHONY: demo test test-quick check format docs conformance fuzz clean
.DEFAULT_GOAL := test

demo: $(VENV)/installed
	$(BIN)/hetsim tune $(MODEL) --out out/demo

# Most tests run on two cores at once; what measures or pins worker processes has both cores to itself.
test: check
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not processes"
	$(BIN)/python -m pytest -m processes

# For the inner loop: pure tests that take less than two seconds each.
test-quick: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not processes and not slow"

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The pages and an API reference as a site in out/site; a warning is an error. The variable silences an advertisement.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# ONNX's own suite for backends, all of it; writes docs/conformance.md.
conformance: $(VENV)/installed-dev
	$(BIN)/python -m tests.conformance

# Hostile files for every reader; the seed and the number are in the command.
fuzz: $(VENV)/installed-dev
	$(BIN)/python -m tests.fuzz --inputs 100000 --seed 1

clean:
	rm -rf $(VENV) out build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'make: hetsim needs Python 3.11 or later, but $(PYTHON) is' \
			"$$($(PYTHON) -V 2>&1); name another with: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
		exit 1; }
	@# Debian splits ensurepip off; pip can then fill the environment from outside.
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
		$(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; } || { \
		rm -rf $(VENV); echo 'make: cannot make $(VENV); install the venv module of $(PYTHON), or pip, first' >&2; exit 1; }

# The stamps hold what pyproject.toml asks for; the second adds the tools that tests and checks need, the third those of
# the site.
$(VENV)/installed: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo 'Installing hetsim into $(VENV) ...'
	@$(call install,.)
	@$(precompile)
	@touch $@

$(VENV)/installed-dev: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo 'Installing hetsim and its development tools into $(VENV) ...'
	@$(call install,.[dev])
	@$(precompile)
	@touch $(VENV)/installed $@

$(VENV)/installed-docs: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo 'Installing what builds the site into $(VENV) ...'
	@$(call install,.[docs])
	@touch $@
