# Everything below runs in a virtual environment of its own; nothing is installed elsewhere.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   ?= demo
# Test processes side by side; the tests of one file stay together.
JOBS   ?= 2

.DEFAULT_GOAL := help
.PHONY: help env demo paper test test-long quality clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# torch first and by itself: with it in place no other package asks for another build of it.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test,quality]'
	@touch $@

env: $(VENV)/.ready  ## make the virtual environment

demo: env  ## build real fine-tunes, scan, show sharing, plan, draw the figure
	$(BIN)/python examples/demo.py -o $(DEMO)

paper: demo  ## run the paper's evaluation again and draw docs/paper (half an hour or more)
	$(BIN)/python examples/reproduce_paper.py --finetunes $(DEMO)/finetunes

# Tests marked browser are skipped, with a line that says so, where there is no chromium; TRIMCACHE_REQUIRE_BROWSER=1 forbids that.
test: env  ## run every test but the long campaigns
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not long" --durations=25

test-long: env  ## run the campaigns of minutes too
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --durations=25

quality: env  ## lint and type-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## remove the environment and what the demo wrote
	rm -rf $(VENV) $(DEMO)
