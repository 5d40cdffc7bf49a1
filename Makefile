# One command each: demo, test, lint, web, bench, bench-choose, bench-observe, bench-connections, compat, chaos, docs, and those with -cluster. Every target makes what it
# needs, and nothing twice: what was made leaves a stamp in .build/, and a stamp is renewed only when something it was
# made from changed.

PYTHON  ?= python3
PYTHONS ?=
ARGS    ?=

FIND    := PYTHON='$(PYTHON)' PYTHONS='$(PYTHONS)' $(PYTHON) scripts/pythons.py
TOOLS   := .build/venv-tools
ROOT    := $(CURDIR)
# Python files are live (the install is editable); a change of one builds nothing.
SOURCES := Cargo.toml Cargo.lock pyproject.toml $(shell find crates -name tests -prune -o -name snapshots -prune -o -print)

# The Pythons are asked for only by the goals that need them.
GOALS   := $(or $(MAKECMDGOALS),help)
ifneq ($(filter-out help clean,$(GOALS)),)
TAG     := $(shell $(FIND) --default)
ifeq ($(TAG),)
$(error no Python to build for: see above)
endif
endif
ifneq ($(filter test test-python,$(GOALS)),)
TAGS    := $(shell $(FIND) | cut -d' ' -f1)
ifeq ($(TAGS),)
$(error no Python to test on: see above)
endif
endif
VENV    := .build/venv-$(TAG)

.NOTPARALLEL:
.DELETE_ON_ERROR:
.SECONDEXPANSION:
# Stamps of the pattern rules are results, not by-products to be removed.
.SECONDARY:
.PHONY: help demo test test-rust test-python loom lint house web check-web bench bench-choose bench-observe bench-page bench-connections test-cluster bench-cluster compat chaos docs clean force

help:
	@echo 'make demo     build plait, compare the backends on examples/primes.py'
	@echo 'make test     the Rust tests, then pytest on every supported Python found (PYTHONS=python3.12 narrows)'
	@echo 'make test-cluster  the tests on a real Dask cluster, in an environment that has Dask (ARGS="-k name")'
	@echo 'make loom     the protocols of shared memory, in every interleaving of small cases (make test has them too)'
	@echo 'make lint     rustfmt, clippy, ruff, and the check of rooms and arrows'
	@echo 'make web      the script of the pages, bundled of web/ into crates/plait-report (needed after a change of web/ only)'
	@echo 'make bench    plait against its peers, each ratio beside its goal (ARGS=--quick for four minutes)'
	@echo 'make bench-choose  what backend="auto" costs against knowing best (ARGS=--quick; ARGS="--only NAME"; ARGS=--list)'
	@echo 'make bench-observe what `plait record` finds and what it costs, beside py-spy (ARGS=--quick; ARGS="--only cost")'
	@echo 'make bench-connections 50,000 connections that worker processes hold at a time'
	@echo 'make bench-cluster one million small calls on a Dask cluster of this machine, beside Dask alone'
	@echo 'make bench-page how long pages of half a million spans take to draw, zoom and move in Chromium'
	@echo 'make compat   other people'"'"'s programs with and without `plait run`: the same output, and how long they take'
	@echo 'make chaos    real pools in a seeded storm of faults; fails if anything is lost (ARGS="--seconds 60 --seed 7")'
	@echo 'make docs     the site of docs/ in .build/site, links checked, with figures of this machine'
	@echo 'make clean    remove all that was built'
	@echo 'PYTHON=…      the interpreter to build for (default python3)'

demo: $(VENV)/built
	@mkdir -p build
	$(VENV)/bin/plait compare examples/primes.py --html build/primes.html

test: $(TOOLS)/made .build/nextest .build/web-ready $(foreach tag,$(TAGS),.build/venv-$(tag)/built .build/venv-$(tag)/test-ready)
	@$(TOOLS)/bin/python scripts/run_tests.py --rust $(foreach tag,$(TAGS),--python $(tag)) -- $(ARGS)

test-rust: $(TOOLS)/made .build/nextest
	@$(TOOLS)/bin/python scripts/run_tests.py --rust

test-python: $(TOOLS)/made .build/web-ready $(foreach tag,$(TAGS),.build/venv-$(tag)/built .build/venv-$(tag)/test-ready)
	@$(TOOLS)/bin/python scripts/run_tests.py $(foreach tag,$(TAGS),--python $(tag)) -- $(ARGS)

test-cluster: $(VENV)/built .build/cluster-$(TAG)/made
	PYTHONPATH=$(ROOT)/python .build/cluster-$(TAG)/bin/python -m pytest -p no:cacheprovider \
		tests/test_cluster_parts.py tests/test_cluster_crew.py tests/test_dask.py tests/test_dask_ends.py \
		'tests/test_snippets.py::test_script_runs' -k 'not .md or dask.md' $(ARGS)

loom: $(TOOLS)/made .build/nextest
	@$(TOOLS)/bin/python scripts/run_tests.py --loom

lint: $(TOOLS)/made house check-web
	cargo fmt --all --check
	PYO3_PYTHON=$(ROOT)/$(TOOLS)/bin/python cargo clippy --workspace --all-targets -- -D warnings
	$(TOOLS)/bin/ruff check .
	$(TOOLS)/bin/ruff format --check .

# Arrows between the rooms, homes of unsafe and of PyO3, sizes of files, paths of machines.
house:
	cargo test --quiet -p plait-trace --test house

# Node comes with the tools. The bundle is in the tree, so that building plait needs none.
WEB     := cd web && PATH='$(ROOT)/$(TOOLS)/bin':"$$PATH" npm run --silent

web: check-web
	$(WEB) build

check-web: .build/web-ready
	$(WEB) check
	$(WEB) test

bench: $(VENV)/built .build/bench-$(TAG)/made
	PYTHONPATH=$(ROOT)/python:$(ROOT)/bench .build/bench-$(TAG)/bin/python bench/run.py $(ARGS)

bench-choose: $(VENV)/built .build/bench-$(TAG)/made
	PYTHONPATH=$(ROOT)/python:$(ROOT)/bench .build/bench-$(TAG)/bin/python bench/choose.py $(ARGS)

bench-observe: $(VENV)/built .build/bench-$(TAG)/made
	PYTHONPATH=$(ROOT)/python:$(ROOT)/bench .build/bench-$(TAG)/bin/python bench/observe.py $(ARGS)

bench-connections: $(VENV)/built .build/bench-$(TAG)/made
	PYTHONPATH=$(ROOT)/python .build/bench-$(TAG)/bin/python bench/connections.py $(ARGS)

bench-cluster: $(VENV)/built .build/cluster-$(TAG)/made
	PYTHONPATH=$(ROOT)/python .build/cluster-$(TAG)/bin/python bench/cluster.py $(ARGS)

bench-page: $(VENV)/built $(VENV)/test-ready
	PYTHONPATH=$(ROOT)/python:$(ROOT)/tests $(VENV)/bin/python bench/page.py $(ARGS)

compat: $(VENV)/built .build/compat-$(TAG)/made
	@$(VENV)/bin/python -m compileall -q python/plait
	PYTHONPATH=$(ROOT)/python .build/compat-$(TAG)/bin/python scripts/compat.py $(ARGS)

chaos: $(VENV)/built
	$(VENV)/bin/python chaos/run.py $(ARGS)

# The figures on the page "Sharing data" are those of the machine that builds it.
docs: $(TOOLS)/made $(VENV)/built $(VENV)/test-ready
	$(VENV)/bin/python scripts/sharing_figures.py .build/sharing-figures.md
	$(VENV)/bin/python scripts/screenshots.py docs/images
	NO_MKDOCS_2_WARNING=1 $(TOOLS)/bin/mkdocs build --strict --quiet --site-dir $(ROOT)/.build/site
	@echo 'built .build/site/index.html; the snippets of the docs run in make test (tests/test_snippets.py)'

clean:
	rm -rf .build build python/plait/_core*.so
	cargo clean

# --- what the targets are made from

$(TOOLS)/made: requirements/tools.txt
	$(call new_venv,$(TOOLS),$(TAG))
	$(TOOLS)/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

.build/web-ready: web/package.json web/package-lock.json $(TOOLS)/made
	cd web && PATH='$(ROOT)/$(TOOLS)/bin':"$$PATH" npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

.build/bench-3.%/made: requirements/bench.txt
	$(call new_venv,.build/bench-3.$*,3.$*)
	.build/bench-3.$*/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

.build/cluster-3.%/made: requirements/cluster.txt
	$(call new_venv,.build/cluster-3.$*,3.$*)
	.build/cluster-3.$*/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

.build/compat-3.%/made: requirements/compat.txt
	$(call new_venv,.build/compat-3.$*,3.$*)
	.build/compat-3.$*/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

.build/venv-3.%/made:
	$(call new_venv,.build/venv-3.$*,3.$*)
	@touch $@

.build/venv-3.%/test-ready: requirements/test.txt .build/venv-3.%/made
	.build/venv-3.$*/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

# The extension lies in python/plait beside its sources; where it was removed it is built again, whatever the stamp says.
.build/venv-3.%/built: $(SOURCES) .build/venv-3.%/made $(TOOLS)/made \
		$$(if $$(wildcard python/plait/_core.cpython-3$$(subst .,,$$*)-*.so),,force)
	VIRTUAL_ENV=$(ROOT)/.build/venv-3.$* $(TOOLS)/bin/maturin develop --release --quiet
	@# As an installer does; where the environment keeps Python from it, each start would compile anew.
	.build/venv-3.$*/bin/python -m compileall -q python/plait
	@touch $@

.build/nextest:
	@mkdir -p .build
	cargo nextest --version || cargo install cargo-nextest --locked
	@touch $@

# new_venv FOLDER, TAG. An environment whose interpreter has gone is made anew.
define new_venv
@$(1)/bin/python -c '' 2>/dev/null || { \
	interpreter=$$($(FIND) --path $(2)) && echo "making $(1) from $$interpreter" && \
	rm -rf $(1) && "$$interpreter" -m venv $(1); }
endef
