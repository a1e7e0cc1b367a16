# Everything starts from `make toy` or `make test`; both make .venv when it is not there and use it when it is.
PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: toy test test-slow lint fuzz fuzz-files mutants recipes docs clean

toy: .venv/installed
	mpirun -n 4 scratchgrad-train toy.yaml
	@run=$$(ls -d runs/toy-[0-9]* | sort -V | tail -n 1); \
	scratchgrad-sample --temperature 1.2 | tee "$$run/samples.txt"; \
	printf '\nrun        %s\nloss plot  %s\nsamples    %s\n' "$$run" "$$run/loss.png" "$$run/samples.txt"; \
	printf '\nscratchgrad-sample and the other commands:  source .venv/bin/activate\n'

# A process for each core, up to four: tests/sharing.py says which runs what.
test: .venv/installed
	pytest -q -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder -m "not slow"

# Repeated kills, every recipe, further ways and rank counts, the wheel in an empty environment: what takes long.
test-slow: .venv/installed
	pytest -q -m slow

lint: .venv/installed
	ruff check .
	ruff format --check .
	mypy scratchgrad

# The table of ops with new examples each time, for as long as it is let: make fuzz SECONDS=3600
SECONDS ?= 600
fuzz: .venv/installed
	@end=$$(( $$(date +%s) + $(SECONDS) )); \
	while [ $$(date +%s) -lt $$end ]; do \
		SCRATCHGRAD_HYPOTHESIS_PROFILE=fuzz pytest -q tests/engine/test_ops.py tests/engine/test_drawing.py; \
	done

# Faults planted into every backward pass, one at a time: the tests must see each.
mutants: .venv/installed
	python -m tests.mutants

# Files of every kind, damaged: a sentence or a success, soon and in little memory.
fuzz-files: .venv/installed
	python -m tests.fuzz_files

# Every packaged recipe, trained on two ranks: each must reach what it promises.
recipes: .venv/installed
	python -m tests.recipes

# The course as a site, in build/site.
docs: .venv/installed
	python -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	@echo "open build/site/index.html"

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check --editable ".[mpi,dev]"
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info
