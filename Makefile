# make test: set up from nothing, check and test.   make demo: the whole product on made-up eyes, see README.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= python3

.PHONY: install lint test unit distributed ray survival pipeline real demo clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
	  { echo "raydr needs Python 3.11 or 3.12, and $(PYTHON) is another; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes, about 6.5 GB the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

lint: $(STAMP)
	$(BIN)/ruff format --check raydr tests jobs
	$(BIN)/ruff check raydr tests jobs
	$(BIN)/mypy raydr
	$(BIN)/lint-imports

unit: $(STAMP)
	$(BIN)/pytest -q -m 'not pipeline' tests/unit tests/test_architecture.py

distributed: $(STAMP)
	$(BIN)/pytest -q tests/distributed

ray: $(STAMP)
	$(BIN)/pytest -q -m 'not survival' tests/ray

survival: $(STAMP)
	$(BIN)/pytest -q -m survival tests/ray

pipeline: $(STAMP)
	$(BIN)/pytest -q -m pipeline tests/unit tests/pipeline

real: $(STAMP)
	$(BIN)/pytest -q -rs tests/real

test: lint
	$(BIN)/pytest -q -rs -m 'not survival' --durations=10 tests/unit tests/test_architecture.py tests/distributed tests/ray tests/pipeline tests/real

demo: $(STAMP)
	@$(BIN)/python -m raydr.images.phantom runs/phantoms --patients 300 --seed 0
	@$(BIN)/python -m raydr.images.phantom runs/phantoms_b --patients 80 --seed 1 --camera b --prefix b
	@$(BIN)/raydr run --config jobs/demo.toml

clean:
	rm -rf $(VENV) runs
