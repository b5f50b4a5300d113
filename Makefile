# Two commands are enough: `make run` starts the product, `make test` runs its tests.
# The first use makes .venv and installs the pinned packages; later ones install nothing.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
PYTHON := $(VENV)/bin/python
# What is installed is known by the hash of its list: a changed list is installed anew, and `run`
# and `test` do not undo each other's work.
hash = $(firstword $(shell sha256sum $(1)))
RUN_STAMP := $(VENV)/.run-$(call hash,requirements.txt)
DEV_STAMP := $(VENV)/.dev-$(call hash,requirements-dev.txt)
# --no-deps: the lists are complete. --no-compile: what is used compiles itself, most is not.
INSTALL := $(PYTHON) -m pip install -qq --disable-pip-version-check --no-input \
	--require-hashes --no-deps --no-compile --only-binary :all:

.PHONY: help
help: ## Say what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15

.PHONY: run
run: $(RUN_STAMP) ## Start everything: database, web and workers; Ctrl-C stops it
	@exec $(PYTHON) manage.py up

.PHONY: test
test: $(DEV_STAMP) ## Run all tests
	@exec $(PYTHON) -m pytest -n 3 --dist loadgroup

.PHONY: screenshots
screenshots: $(DEV_STAMP) ## Write a picture of every page to screenshots/
	@exec $(PYTHON) -m tests.browser.screenshots screenshots

.PHONY: lint
lint: $(DEV_STAMP) ## Check style and formatting
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

.PHONY: types
types: $(DEV_STAMP) ## Check the types
	$(VENV)/bin/mypy .

.PHONY: checks
checks: $(DEV_STAMP) ## Check that migrations are complete and production settings are safe
	UPTIME_SECRET_KEY=$$($(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(48))') \
	UPTIME_BASE_URL=https://uptime.example.com UPTIME_ALLOWED_HOSTS=uptime.example.com \
	DATABASE_URL=postgres://uptime@localhost/uptime; \
	export UPTIME_SECRET_KEY UPTIME_BASE_URL UPTIME_ALLOWED_HOSTS DATABASE_URL; \
	$(PYTHON) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run && \
	$(PYTHON) manage.py check --deploy --fail-level WARNING

.PHONY: requirements
requirements: ## Compile the pinned lists anew from pyproject.toml (needs uv)
	uv pip compile -q --generate-hashes --universal --python-version 3.11 --no-emit-index-url \
		--custom-compile-command "make requirements" pyproject.toml -o requirements.txt
	uv pip compile -q --generate-hashes --universal --python-version 3.11 --no-emit-index-url \
		--custom-compile-command "make requirements" --extra dev pyproject.toml \
		-c requirements.txt -o requirements-dev.txt

.PHONY: clean
clean: ## Remove the environment and all caches; the data in var/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/browser/axe/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@found=; for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
		if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
		then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv" >&2; exit 1; \
	elif ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "Python's venv module is missing: apt-get install python3-venv" >&2; exit 1; \
	fi; \
	echo "Making the environment in $(VENV)"; \
	$$found -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

$(RUN_STAMP): | $(VENV)/bin/python
	@echo "Installing the packages of requirements.txt (once, about 15 s)"
	@$(INSTALL) -r requirements.txt
	@touch $@

$(DEV_STAMP): | $(VENV)/bin/python
	@echo "Installing the packages of requirements-dev.txt (once, about 25 s)"
	@$(INSTALL) -r requirements-dev.txt
	@touch $@
