# One command each: demo, test, test-newer, examples, mutants, fuzz, miri, sanitize, torture, coverage, lint, web, bench, bench-choose, bench-observe, bench-connections, scale, compat, chaos, soak, docs, dist, audit, and those with -cluster. Every target makes what it
# needs, and nothing twice: what was made leaves a stamp in .build/, and a stamp is renewed only when something it was
# made from changed.

PYTHON  ?= python3
PYTHONS ?=
ARGS    ?=

FIND    := PYTHON='$(PYTHON)' PYTHONS='$(PYTHONS)' $(PYTHON) scripts/pythons.py
TOOLS   := .build/venv-tools
RELEASE := .build/venv-release
ROOT    := $(CURDIR)
# Python files are live (the install is editable); a change of one builds nothing.
SOURCES := Cargo.toml Cargo.lock pyproject.toml $(shell find crates -name tests -prune -o -name snapshots -prune -o -print)

# The layer of the operating system that plait is built on (docs/pythons.md): a build of the other one begins anew.
PLAIT_PLATFORM ?= linux
ifeq ($(PLAIT_PLATFORM),portable)
export RUSTFLAGS := $(RUSTFLAGS) --cfg portable
export CARGO_TARGET_DIR := $(ROOT)/target/portable
else ifneq ($(PLAIT_PLATFORM),linux)
$(error PLAIT_PLATFORM is linux or portable, not $(PLAIT_PLATFORM))
endif
# Nor does one that counts what runs (scripts/covered.py) serve for anything else.
BUILT_FOR := $(PLAIT_PLATFORM)$(if $(PLAIT_COVERAGE), counting)
$(shell mkdir -p .build && { [ "$$(cat .build/platform 2>/dev/null)" = "$(BUILT_FOR)" ] || echo "$(BUILT_FOR)" > .build/platform; })

# The Pythons are asked for only by the goals that need them.
GOALS   := $(or $(MAKECMDGOALS),help)
ifneq ($(filter-out help clean,$(GOALS)),)
TAG     := $(shell $(FIND) --default)
ifeq ($(TAG),)
$(error no Python to build for: see above)
endif
endif
ifneq ($(filter test test-python environments,$(GOALS)),)
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
.PHONY: help demo examples test environments test-rust test-python test-newer loom mutants fuzz miri sanitize torture coverage lint house web check-web bench bench-choose bench-observe bench-page bench-connections scale test-cluster bench-cluster compat chaos soak docs dist audit clean force

help:
	@echo 'make demo     build plait, compare the backends on examples/primes.py'
	@echo 'make examples each of examples/, and whether its figures look as they should (browsers need Chromium and its driver)'
	@echo 'make test     the Rust tests, then pytest on every supported Python found (PYTHONS=python3.12 narrows), and on a cluster of Dask'
	@echo 'make test-newer  the Python tests on a Python unpacked from Debian unstable (NEWER=3.14), with the tests of its own stdlib'
	@echo 'make test-cluster  the tests on real clusters of Dask and of Ray, in an environment that has them (ARGS="-k name")'
	@echo 'make loom     the protocols of shared memory, in every interleaving of small cases (make test has them too)'
	@echo 'make mutants  breaks these protocols one by one; fails if a model does not notice (ARGS=queue for some; ARGS=--list)'
	@echo 'make fuzz     every reader of foreign bytes with mutations of valid ones (ARGS="--seconds 60 --target wire"; ARGS=--list)'
	@echo 'make miri     the Rust tests as Miri runs them: it checks each access to memory (nightly Rust; ARGS="--only TEXT")'
	@echo 'make sanitize the Rust tests under ThreadSanitizer and AddressSanitizer (nightly Rust; ARGS="--only TEXT")'
	@echo 'make torture  10,000 writers and readers of shared memory killed at random instants (ARGS="--kills 200 --seed 7")'
	@echo 'make coverage which lines the Rust and the Python tests run (cargo-llvm-cov; ARGS=--report: of the last run)'
	@echo 'make lint     rustfmt, clippy, ruff, and the check of rooms and arrows'
	@echo 'make web      the script of the pages, bundled of web/ into crates/plait-report (needed after a change of web/ only)'
	@echo 'make bench    plait against its peers, each ratio beside its goal (ARGS=--quick for four minutes)'
	@echo 'make bench-choose  what backend="auto" costs against knowing best (ARGS=--quick; ARGS="--only NAME"; ARGS=--list)'
	@echo 'make bench-observe what `plait record` finds and what it costs, beside py-spy (ARGS=--quick; ARGS="--only cost")'
	@echo 'make bench-connections 50,000 connections that worker processes hold at a time'
	@echo 'make scale    the parent of a pool with 10,000 simulated workers and 10^8 tasks, and of a real one; 4 GiB, some minutes (ARGS=--quick)'
	@echo 'make bench-cluster one million small calls on clusters of this machine, beside Dask and Ray alone'
	@echo 'make bench-page how long pages of half a million spans take to draw, zoom and move in Chromium'
	@echo 'make compat   other people'"'"'s programs with and without `plait run`: the same output, and how long they take'
	@echo 'make chaos    real pools in a seeded storm of faults; fails if anything is lost (ARGS="--seconds 60 --seed 7")'
	@echo 'make soak     an hour of all features at once, amid faults; fails if anything is lost, hangs or grows (ARGS="--seconds 60 --seed 7")'
	@echo 'make docs     the site of docs/ in .build/site, links checked, with figures of this machine (QUICK=1: without)'
	@echo 'make dist     wheels and an sdist in dist/, with bills of materials, each tried where only it is (PYTHONS=…; ARGS=--built)'
	@echo 'make audit    known holes, licences and sources of all that plait is made of (ARGS=--strict)'
	@echo 'make clean    remove all that was built'
	@echo 'PYTHON=…      the interpreter to build for (default python3)'
	@echo 'PLAIT_PLATFORM=portable  build and test on POSIX alone, without what is only Linux'"'"'s (default linux)'

demo: $(VENV)/built
	@mkdir -p build
	$(VENV)/bin/plait compare examples/primes.py --html build/primes.html

examples: $(VENV)/built $(VENV)/test-ready
	$(VENV)/bin/python -m pytest -q -p no:cacheprovider tests/test_examples.py tests/test_service.py tests/test_window.py
	$(VENV)/bin/python scripts/examples.py $(ARGS)

test: $(TOOLS)/made .build/nextest .build/web-ready $(foreach tag,$(TAGS),.build/venv-$(tag)/built .build/venv-$(tag)/test-ready) .build/cluster-$(TAG)/made
	@$(TOOLS)/bin/python scripts/run_tests.py --rust --dask $(TAG) $(foreach tag,$(TAGS),--python $(tag)) -- $(ARGS)

# What `make test` needs of other people, without building anything.
environments: $(foreach tag,$(TAGS),.build/venv-$(tag)/test-ready) .build/cluster-$(TAG)/made

test-rust: $(TOOLS)/made .build/nextest
	@$(TOOLS)/bin/python scripts/run_tests.py --rust

test-python: $(TOOLS)/made .build/web-ready $(foreach tag,$(TAGS),.build/venv-$(tag)/built .build/venv-$(tag)/test-ready)
	@$(TOOLS)/bin/python scripts/run_tests.py $(foreach tag,$(TAGS),--python $(tag)) -- $(ARGS)

# A Python that this system lacks, unpacked from Debian's unstable suite: NEWER=3.15 for another.
NEWER ?= 3.14

test-newer: $(TOOLS)/made
	@mkdir -p .build
	@python=$$($(TOOLS)/bin/python scripts/newer_python.py $(NEWER)) && \
		$(MAKE) --no-print-directory test-python PYTHONS="$$python" ARGS='$(ARGS)'

test-cluster: $(VENV)/built .build/cluster-$(TAG)/ray
	PYTHONPATH=$(ROOT)/python .build/cluster-$(TAG)/bin/python -m pytest -p no:cacheprovider \
		tests/test_cluster_*.py tests/test_dask*.py tests/test_ray*.py tests/test_compare_clusters.py \
		'tests/test_snippets.py::test_script_runs' -k 'not .md or dask.md or ray.md' $(ARGS)

loom: $(TOOLS)/made .build/nextest
	@$(TOOLS)/bin/python scripts/run_tests.py --loom

mutants: $(TOOLS)/made
	$(TOOLS)/bin/python scripts/mutants.py $(ARGS)

fuzz: $(VENV)/built $(VENV)/test-ready
	PYTHONPATH=$(ROOT)/python PYO3_PYTHON=$(ROOT)/$(TOOLS)/bin/python $(VENV)/bin/python scripts/fuzz.py $(ARGS)

miri sanitize:
	@$(PYTHON) scripts/proof.py $@ $(ARGS)

torture:
	@$(PYTHON) scripts/torture.py $(ARGS)

coverage: $(TOOLS)/made
	@PYTHON='$(PYTHON)' $(TOOLS)/bin/python scripts/covered.py $(ARGS)

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

bench-cluster: $(VENV)/built .build/cluster-$(TAG)/ray
	PYTHONPATH=$(ROOT)/python .build/cluster-$(TAG)/bin/python bench/cluster.py $(ARGS)

bench-page: $(VENV)/built $(VENV)/test-ready
	PYTHONPATH=$(ROOT)/python:$(ROOT)/tests $(VENV)/bin/python bench/page.py $(ARGS)

scale: $(VENV)/built
	cargo run --release --quiet -p plait-engine --example scale -- $(ARGS)
	PYTHONPATH=$(ROOT)/python $(VENV)/bin/python bench/parent.py $(ARGS)

compat: $(VENV)/built .build/compat-$(TAG)/made
	@$(VENV)/bin/python -m compileall -q python/plait
	PYTHONPATH=$(ROOT)/python .build/compat-$(TAG)/bin/python scripts/compat.py $(ARGS)

chaos: $(VENV)/built
	$(VENV)/bin/python chaos/run.py $(ARGS)

soak: $(VENV)/built
	$(VENV)/bin/python soak/run.py $(ARGS)

# Figures and pictures are those of the machine that builds the pages; scripts/site_pages.py puts the figures in.
# With QUICK=1 nothing is measured: the figures, outputs and pictures that stand on the pages stay.
docs: $(TOOLS)/made $(VENV)/built $(VENV)/test-ready
ifndef QUICK
	$(VENV)/bin/python scripts/sharing_figures.py .build/sharing-figures.md
	$(VENV)/bin/python scripts/backend_figures.py .build/backend-figures.md
	$(VENV)/bin/python scripts/example_outputs.py .build/example-outputs.json
	$(VENV)/bin/python scripts/screenshots.py docs/images
	$(VENV)/bin/python scripts/diagrams.py docs/images
endif
	NO_MKDOCS_2_WARNING=1 PLAIT_PYTHON=$(ROOT)/$(VENV)/bin/python $(TOOLS)/bin/mkdocs build --strict --site-dir $(ROOT)/.build/site
	@echo 'built .build/site/index.html; the snippets of the docs run in make test (tests/test_snippets.py)'

# How a release is made: CONTRIBUTING.md.
dist: $(RELEASE)/made
	PYTHON='$(PYTHON)' PYTHONS='$(PYTHONS)' $(RELEASE)/bin/python scripts/dist.py $(ARGS)

audit: $(RELEASE)/made
	@$(RELEASE)/bin/python scripts/audit.py $(ARGS)

clean:
	rm -rf .build build dist python/plait/_core*.so
	cargo clean

# --- what the targets are made from

$(TOOLS)/made: requirements/tools.txt
	$(call new_venv,$(TOOLS),$(TAG))
	$(TOOLS)/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

$(RELEASE)/made: requirements/release.txt
	$(call new_venv,$(RELEASE),$(TAG))
	$(RELEASE)/bin/python -m pip install -q --disable-pip-version-check -r $<
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

.build/cluster-3.%/ray: requirements/ray.txt .build/cluster-3.%/made
	@.build/cluster-3.$*/bin/python -m pip install -q --disable-pip-version-check --only-binary ray \
		-r $< || echo 'no Ray for Python 3.$* here: what needs it is skipped'
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
.build/venv-3.%/built: $(SOURCES) .build/platform .build/venv-3.%/made $(TOOLS)/made \
		$$(if $$(wildcard python/plait/_core.cpython-3$$(subst .,,$$*)-*.so),,force)
	VIRTUAL_ENV=$(ROOT)/.build/venv-3.$* $(TOOLS)/bin/maturin develop $(if $(PLAIT_COVERAGE),--profile dev,--release) --quiet
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
