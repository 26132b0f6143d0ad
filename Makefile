# make test: set up from nothing, check and test.   make demo: see README.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install lint test clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || python3 -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes, about 6.5 GB the first time)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

lint: $(STAMP)
	$(BIN)/ruff format --check raydr tests
	$(BIN)/ruff check raydr tests
	$(BIN)/mypy raydr
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -q tests/unit

clean:
	rm -rf $(VENV) runs
