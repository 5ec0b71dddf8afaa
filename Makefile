# Deep Atoms. `make help` lists what there is; every target does its own set-up.
TORCH ?= torch==2.13.0
LOWEST_TORCH ?= $(shell $(PYTHON) tests/package/lowest.py torch)
SEED ?= 1
PROFILE ?= laptop
DEVICE ?= auto
CHAPTER ?=
SETTING ?=
PORT ?= 8000
MODULES ?= 2000
UPGRADE ?=
MODULE ?= theory
COUNT ?= 60
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

BIN := .venv/bin
PRESS = $(BIN)/python -m deepatoms.press
# One thread each: on one machine results repeat to the last digit, and two processes use two cores better than two threads.
export OMP_NUM_THREADS = 1
export PYTHONHASHSEED = 0
# A kernel's own way to show figures of pyplot; one set outside would hide them.
undefine MPLBACKEND
unexport MPLBACKEND
# Explorers as plain HTML, except where a person moves them.
export DEEPATOMS_STATIC = 1
lab: export DEEPATOMS_STATIC = 0
export JUPYTER_PLATFORM_DIRS = 1

.PHONY: help book serve pdf lab store test quick regress full wheelhouse bench portable faults conformance chapter lock clean
.PHONY: audit manifest mutants lint wheel-test theory-test lowest-test

help:                ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 16

.venv/torch:
	@test -n "$(PYTHON)" || { echo "Deep Atoms needs Python 3.11 or newer; found $$(python3 --version 2>&1)." \
	  "Install one, or name it: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet $(TORCH)
	@touch $@

.venv/installed: .venv/torch requirements.lock pyproject.toml
	$(BIN)/pip install --disable-pip-version-check --quiet --require-hashes --no-deps -r requirements.lock
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --editable .
	@touch $@

book: .venv/installed ## build the site and print where it is
	$(PRESS) build

serve: book          ## build the site and serve it on PORT
	$(PRESS) serve $(PORT)

pdf: book            ## build the site and print all of it into one PDF, _build/deep-atoms.pdf
	$(PRESS) pdf

lab: .venv/installed ## open your copies of the chapters (work/) in JupyterLab
	$(PRESS) lab

store: .venv/installed ## run CHAPTER (default: all) and write its outputs in normal form
	$(PRESS) store $(CHAPTER)

lint: .venv/installed ## ruff and mypy; a part of test and quick
	$(BIN)/ruff check -q lib tests benchmarks setup.py
	$(BIN)/mypy

test: lint           ## everything that must hold before a change lands
	$(BIN)/python -m pytest -q -n 2 --dist loadfile tests lib --ignore=tests/site
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --nbval-lax --nbval-current-env \
	  -p deepatoms.press.repeat notebooks
	$(PRESS) regress --seed 1 --profile laptop --device cpu
	$(PRESS) build
	$(BIN)/python -m pytest -q -n 2 --durations=12 tests/site

quick: lint          ## unit tests, changed chapters, build: while working
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow" tests lib --ignore=tests/site
	$(PRESS) check-changed
	$(PRESS) build

regress: .venv/installed ## every check again: SEED=1 PROFILE=laptop|full DEVICE=auto|cpu|cuda RESULTS=folder
	$(PRESS) regress --seed $(SEED) --profile $(PROFILE) --device $(DEVICE) $(if $(CHAPTER),--chapter $(CHAPTER)) \
	  $(if $(RESULTS),--results $(RESULTS))

full: .venv/installed ## list recorded experiments, or run one: EXPERIMENT=name MINUTES=10 SHARD=1/2 JOBS=2
	$(PRESS) full $(if $(EXPERIMENT),$(EXPERIMENT) --device $(DEVICE)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SHARD),--shard $(SHARD)) $(if $(JOBS),--jobs $(JOBS))

manifest: .venv/installed ## list new records, by their sha256, in book/results/SHA256SUMS
	$(PRESS) manifest

wheelhouse: .venv/installed ## wheels for a machine without a network: FOR=3.12 (its Python) WITHOUT="torch numpy" (what it has)
	$(PRESS) wheelhouse $(if $(FOR),--python $(FOR)) $(if $(WITHOUT),--without $(WITHOUT))

bench: .venv/installed ## list the benchmarks, or run one beside its peers: SUBJECT=pursuit
	$(BIN)/python -m benchmarks $(SUBJECT)

portable: .venv/installed ## tests, and every check that needs no record, under other arithmetics: SETTING=aten-avx2 (default: all)
	$(PRESS) portable $(if $(SETTING),--setting $(SETTING)) $(if $(CHAPTER),--chapter $(CHAPTER))

faults: .venv/installed ## the long version of the tests that kill sweeps, trainings, downloads, make store and make book, and fill disks
	DEEPATOMS_KILLS=50 $(BIN)/python -m pytest -q tests/runs tests/learning/test_resume.py \
	  tests/data/test_download.py tests/press/test_faults.py -k "kill or full"

mutants: .venv/installed ## do the tests bite? single faults, each against its module's own tests: MODULE=theory COUNT=60 SEED=1
	$(BIN)/python -m tests.mutants --module $(MODULE) --count $(COUNT) --seed $(SEED)

conformance: .venv/installed ## random networks and their near misses, the long version: MODULES=2000, others by SEED=1
	DEEPATOMS_CONFORMANCE=$(MODULES) DEEPATOMS_CONFORMANCE_SEED=$(SEED) $(BIN)/python -m pytest -q -n 2 tests/conformance

chapter: .venv/installed ## a new chapter from the template: NAME=my-chapter
	$(PRESS) chapter $(NAME)

wheel-test: .venv/installed ## the built package: it imports, reads its records and catalogue, and names a missing extra
	$(BIN)/python -m pytest -q tests/package

# Unit tests alone, in an environment without the book: what CI runs on every Python and system.
UNITS = tests/theory tests/runs tests/claims/test_verdicts.py tests/test_floors.py lib/deepatoms/theory lib/deepatoms/runs
theory-test:         ## the theory with the package, its data and faiss alone; no Jupyter, no matplotlib
	$(PYTHON) -m venv _build/theory
	_build/theory/bin/pip install --quiet $(TORCH)
	_build/theory/bin/pip install --quiet ".[data,faiss]" "pytest>=8" "hypothesis>=6.100"
	_build/theory/bin/python -m pytest -q $(UNITS)

lowest-test:         ## the same with the lowest version of everything that pyproject.toml admits
	$(PYTHON) -m venv _build/lowest
	$(PYTHON) tests/package/lowest.py > _build/lowest/constraints.txt
	_build/lowest/bin/pip install --quiet $(LOWEST_TORCH)
	_build/lowest/bin/pip install --quiet -c _build/lowest/constraints.txt ".[data,faiss]" pytest hypothesis
	_build/lowest/bin/python -m pytest -q $(UNITS)

lock:                ## write requirements.lock, with hashes, and requirements.txt; UPGRADE=--upgrade: the newest
	$(PYTHON) -m venv _build/lock
	_build/lock/bin/pip install --quiet uv
	_build/lock/bin/uv pip compile --quiet pyproject.toml --extra book --extra lab --extra pdf --extra test $(UPGRADE) \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock" --output-file requirements.lock
	sed -e '/--hash=/d' -e 's/ *\\$$//' requirements.lock > requirements.txt

audit:               ## known weaknesses of the locked versions; needs pip-audit and a network
	$(PYTHON) -m pip_audit --requirement requirements.lock --no-deps --disable-pip

clean:               ## remove the built site and the environment
	rm -rf _build .venv
