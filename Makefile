# make test: set up from nothing, check and test.   make demo: the whole product on made-up eyes, see README.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= python3
# So many files of tests run side by side, each on a core of its own; a Ray cluster or two for each take about 4 GB.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -q -rsfE
BESIDE := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

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
	$(PYTEST) $(BESIDE) -m 'not pipeline' tests/unit tests/test_architecture.py

distributed: $(STAMP)
	$(PYTEST) tests/distributed

ray: $(STAMP)
	$(PYTEST) $(BESIDE) -m 'not survival' tests/ray

survival: $(STAMP)
	$(PYTEST) -m survival tests/ray

pipeline: $(STAMP)
	$(PYTEST) $(BESIDE) -m pipeline tests/unit tests/pipeline

real: $(STAMP)
	$(PYTEST) tests/real

# The longest files begin first once the quick ones are done, so that both workers end at about the same time.
test: lint
	$(PYTEST) $(BESIDE) -m 'not survival' --durations=10 tests/unit tests/test_architecture.py tests/real tests/pipeline tests/ray tests/distributed

demo: $(STAMP)
	@$(BIN)/python -m raydr.images.phantom runs/phantoms --patients 300 --seed 0
	@$(BIN)/python -m raydr.images.phantom runs/phantoms_b --patients 80 --seed 1 --camera b --prefix b
	@$(BIN)/raydr run --config jobs/demo.toml

clean:
	rm -rf $(VENV)
