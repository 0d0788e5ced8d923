PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# where the benchmark looks for what cannot be in the system
PEERS_HOME := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/declick/peers
PEERS_DEBIAN := ffmpeg audacity gwc xvfb openbox xdotool
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: demo test train-test lint peers clean

demo: $(VENV)/demo-ready  ## a worn record restored before your eyes
	$(BIN)/declick demo --overwrite -o demo

test: $(VENV)/test-ready  ## the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

train-test: $(VENV)/test-ready  ## what needs torch: tiny networks are trained, tuned, taught and exported
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet -e '.[train]'
	$(BIN)/python -m pytest -m "slow or not slow" tests/test_train_network.py tests/test_train_taught.py tests/test_pairs_learn.py tests/test_screen.py

lint: $(VENV)/test-ready  ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

peers: $(PEERS_HOME)/grooveclean/ready  ## the other programs that the benchmark compares with
	@if command -v apt-get >/dev/null; then \
	  $(SUDO) apt-get update && $(SUDO) apt-get install --yes --no-install-recommends $(PEERS_DEBIAN); \
	else echo "no apt-get here; install by hand: $(PEERS_DEBIAN)"; fi

$(PEERS_HOME)/grooveclean/ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet torch==2.13.0
	$(@D)/bin/python -m pip install --quiet grooveclean==1.2.1
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo-ready: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[plot]'
	touch $@

$(VENV)/test-ready: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[test]'
	touch $@ $(VENV)/demo-ready

clean:
	rm -rf $(VENV) demo build dist
