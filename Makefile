# minibag: `make lab` opens the course, `make test` proves that it works. `make help` lists all.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)  # JupyterLab refuses root, containers have no other
# All that the stage needs of JupyterLab; other extensions (nbgrader's) break Voilà's page.
WIDGETS := @jupyter-widgets/jupyterlab-manager @voila-dashboards/widgets-manager8
# Seconds after which the stage ends a kernel (0.9 GB) whose page went away without a word.
IDLE := 300
LESSONS := $(wildcard notebooks/[0-9]*.ipynb)

.PHONY: help lab stage test lint notebooks lock bench clean
.DEFAULT_GOAL := help

help:  ## list what can be made
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

lab: $(READY)  ## set everything up and open your copies of the lessons (ARGS=--no-browser on a server)
	$(BIN)/python -m minibag.lessons notebooks my
	$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" \
		--LabApp.default_url=/lab/tree/my/00_start_here.ipynb $(ROOT) $(ARGS)

# A page that is closed asks for the end of its kernel, and Voilà refuses it for want of a cookie that
# it never set (voila#1458). Kernels have names that nobody guesses, and the stage has no log-in.
stage: $(READY)  ## open the scrambling widget alone, for a lecture (ARGS=--no-browser on a server)
	JUPYTER_PATH="$(CURDIR)/share/jupyter" $(BIN)/voila notebooks/stage.ipynb --template=stage \
		$(foreach e,$(WIDGETS),--VoilaConfiguration.extension_allowlist=$(e)) \
		--MappingKernelManager.cull_idle_timeout=$(IDLE) --MappingKernelManager.cull_interval=10 \
		--KernelRestarter.restart_limit=0 --Voila.tornado_settings=disable_check_xsrf=True $(ARGS)

test: $(READY)  ## set everything up and run every test: unit, notebooks, browser
	$(BIN)/python -m tests.browser.find
	$(BIN)/python -m pytest tests notebooks --nbval-lax --nbval-current-env --nbval-cell-timeout=480 $(ARGS)

lint: $(READY)  ## format, lint and type-check (notebooks included)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy

notebooks: $(READY)  ## run every lesson from top to bottom and store it with its outputs
	$(BIN)/python -m tests.notebooks.store $(LESSONS)

lock: $(READY)  ## choose the newest versions inside pyproject's ranges (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --upgrade \
		--extra lab --extra dev --extra teach --extra cluster --extra attribution --no-header --no-annotate \
		--no-emit-index-url --quiet --output-file requirements.lock
	$(BIN)/python -m tests.house.environment > environment.yml.tmp
	mv environment.yml.tmp environment.yml

bench: $(READY)  ## install what only the benchmarks compare with (OpenCV, kornia)
	$(BIN)/pip install --quiet -e '.[bench]'

clean:  ## forget the environment and every cache
	rm -rf .venv artifacts .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The lock decides every version and hash; minibag itself is installed in place.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
		f"minibag needs Python 3.11 or newer, {sys.executable} is {v.major}.{v.minor}. " \
		"Try: make lab PYTHON=python3.12")'
	@echo "Setting up .venv: about 3 GB to fetch (PyTorch, JupyterLab), 3 to 10 minutes, once."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
