# make demo and make test do all the set-up on a bare Debian or Ubuntu machine; see scripts/setup.sh for its settings.

.PHONY: help setup demo test test-long test-machines lint format docs-images docs-tables demo-models clean
.DEFAULT_GOAL := help

SHELL := /bin/bash
PY := .venv/bin/python
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
# Test processes for what needs no window, and threads for each.
WORKERS ?= $(shell n=$(CORES); echo $$((n > 4 ? 4 : n)))
THREADS ?= $(shell echo $$(($(CORES) / $(WORKERS) > 0 ? $(CORES) / $(WORKERS) : 1)))
# A window of a known size that draws the same everywhere; without Xvfb, the tests that need a window are left out.
WINDOW = $(shell command -v xvfb-run >/dev/null && echo 'xvfb-run -a -s "-screen 0 1600x1000x24"')
ARGS ?=

help:
	@echo "make demo         predict on a synthetic slide and show it in napari (files in demo-out/ without a display)"
	@echo "make test         the tests, in a real window under Xvfb"
	@echo "make test-long    the slower tests"
	@echo "make test-machines  the tests that compute, as other processors would run them"
	@echo "make lint         ruff and mypy"
	@echo "make docs-images  the pictures of the documentation"
	@echo "make docs-tables  the tables of docs/results.md and performance.md, from docs/reports (ARGS=--check only looks)"
	@echo "make demo-models  train the bundled demo models again"
	@echo "make her2st-model SHEET=samples.csv  train the bundled model of real tissue again"

setup:
	@scripts/setup.sh

demo: setup
	@if [ "$$(uname -s)" != Linux ] || [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then \
		.venv/bin/nh2st demo --out demo-out $(ARGS); \
	else \
		.venv/bin/nh2st demo --headless --out demo-out $(ARGS); \
	fi

# Both parts to the end: what needs no window, then the windows.
test: setup
	.venv/bin/ruff check --quiet
	@WORKERS=$(WORKERS) THREADS=$(THREADS) scripts/test.sh $(ARGS)

test-long: setup
	env -u QT_QPA_PLATFORM $(WINDOW) $(PY) -m pytest -q -m long $(ARGS)

# As other processors would run them: fewer instructions, other threads, bfloat16 forced. RUNS=name,... runs some.
test-machines: setup
	scripts/test_machines.sh $(ARGS)

lint: setup
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

format: setup
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

docs-images: setup
	$(PY) docs/scripts/house_picture.py
	env -u QT_QPA_PLATFORM $(WINDOW) $(PY) docs/scripts/screenshots.py $(ARGS)
	env -u QT_QPA_PLATFORM $(WINDOW) $(PY) docs/scripts/exploring_pictures.py
	env -u QT_QPA_PLATFORM $(WINDOW) $(PY) docs/scripts/predictors_picture.py
	env -u QT_QPA_PLATFORM $(WINDOW) $(PY) docs/scripts/finetuning_pictures.py

docs-tables: setup
	$(PY) docs/scripts/results_tables.py $(ARGS)
	$(PY) docs/scripts/performance_table.py $(ARGS)

demo-models: setup
	$(PY) -m napari_nh2st.demo.recipe --out demo-models $(ARGS)

her2st-model: setup
	$(PY) -m napari_nh2st.demo.her2st $(SHEET) --reports docs/reports --out her2st-run $(ARGS)

clean:
	rm -rf build dist demo-out .pytest_cache .mypy_cache .ruff_cache
