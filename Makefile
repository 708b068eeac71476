# From a bare clone with Python 3.11 or newer: `make demo` runs the main job, `make test` the tests,
# `make docs` makes the documentation site in build/site.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
REPORT ?= report
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint docs install clean

demo: $(VENV)/.installed
	$(BIN)/sciml compare burgers:raissi2019 --out $(REPORT)/

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/mypy sciml problems

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict -f docs/site/mkdocs.yml
	@echo 'Read it: $(BIN)/python -m http.server -d build/site'

install: $(VENV)/.installed

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	touch $@

# PyTorch goes first: from an index that offers it, its CPU build is what the constraint names.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=/path/to/python")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
