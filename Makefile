# Everything here works on a machine that has Python 3.11 to 3.13, make and a package index.
# `make html` first: the book from its stored outputs, in about a minute once the environment stands.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
JOBS ?= 2
FUZZ_SECONDS ?= 300
CHAPTERS ?= chapters
NBVAL := $(BIN)/python -m pytest -q -p tests.notebooks.claims_plugin --nbval \
	--nbval-sanitize-with tests/notebooks/nbval_sanitize.cfg -n $(JOBS) --dist loadfile
# Tests run JOBS at a time, so each gets one thread for products of matrices: see _environment in nnzen/execution.py.
test-%: export OPENBLAS_NUM_THREADS ?= 1
HTML := book/_build/html/index.html

.DEFAULT_GOAL := help
.PHONY: help html book test check verify lab serve claims clean lock release-check \
	test-lint test-unit test-notebooks test-stored test-other-seed test-book test-package benchmark fuzz

help:  ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

html: $(READY)  ## render the book from stored outputs
	$(BIN)/python book/stage.py --stored
	@echo "Open $(HTML)"

book: $(READY)  ## run every chapter, then render the book (resumes, skips what did not change)
	$(BIN)/nnzen run
	$(BIN)/python book/stage.py
	@echo "Open $(HTML)"

test: $(READY)  ## everything that CI runs
	@$(MAKE) --keep-going --no-print-directory \
		test-lint test-unit test-notebooks test-stored test-other-seed test-book test-package

check: $(READY) test-lint test-unit  ## the short loop: lint, unit tests, both passes over changed chapters
	@changed="$$(git status --porcelain -- chapters | sed -n 's|^...\(chapters/.*\.ipynb\)$$|\1|p')"; \
	if [ -z "$$changed" ]; then echo "No chapter changed."; exit 0; fi; \
	$(NBVAL) $$changed && \
	$(BIN)/python -m pytest -q tests/notebooks/test_lint.py && \
	for chapter in $$changed; do \
		$(BIN)/python -m pytest -q tests/notebooks/test_other_seed.py -k "$$(basename $$chapter .ipynb)" || exit 1; \
	done

verify: test  ## CI, then every full-size cell of every study
	$(BIN)/nnzen study --all --check

test-lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-unit: $(READY)
	$(BIN)/python -m pytest -q -n $(JOBS) tests/unit --doctest-modules nnzen

test-notebooks: $(READY)
	$(BIN)/python -m pytest -q -n $(JOBS) tests/notebooks --ignore tests/notebooks/test_other_seed.py

test-stored: $(READY)
	$(NBVAL) $(CHAPTERS)

test-other-seed: $(READY)
	$(BIN)/python -m pytest -q -n $(JOBS) tests/notebooks/test_other_seed.py

test-book: $(READY)
	$(BIN)/python book/stage.py --stored
	$(BIN)/python -m pytest -q -n $(JOBS) tests/book

test-package: $(READY)
	$(BIN)/python -m pytest -q tests/package

lab: $(READY)  ## open JupyterLab on the chapters
	$(BIN)/jupyter lab chapters

benchmark: $(READY)  ## print how fast the library's convolution is beside Keras', and how fast training is
	$(BIN)/python benchmarks/convolution.py
	$(BIN)/python benchmarks/training.py

fuzz: $(READY)  ## look for bytes that the reader of .nnz files trips over, for FUZZ_SECONDS (installs atheris)
	$(BIN)/uv pip install --quiet --python $(BIN)/python atheris==3.0.0
	$(BIN)/python tests/fuzz/fuzz_coding.py build/fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=400 -timeout=10

serve: $(READY)  ## serve the rendered book on this machine
	@test -f $(HTML) || { echo "There is no rendered book yet; run 'make html' or 'make book' first."; exit 1; }
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory book/_build/html 8000

claims: $(READY)  ## print the ledger of all claims
	$(BIN)/nnzen evidence

COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --upgrade --quiet

release-check: $(READY)  ## refuse to publish while something is a placeholder
	$(BIN)/python book/release_check.py

lock: $(READY)  ## resolve the lock anew (universal: Linux and macOS, Python 3.11 to 3.13), and the lowest versions
	$(COMPILE) --all-extras -o requirements.lock
	$(COMPILE) --resolution lowest-direct -o tests/package/lowest.txt

clean:  ## delete what was built (the environment stays; delete .venv to make it anew)
	rm -rf build dist book/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
		"Python %d.%d found as $(PYTHON); this book needs 3.11 to 3.13: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv .venv
	@# uv installs in a third of pip's time; it is in the lock, too. Where it cannot reach the index, pip does it.
	@mkdir -p build && awk '/^[^ ]/ {on = /^uv==/} on' requirements.lock > build/uv.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r build/uv.txt
	@# Byte code is compiled once, here: without it TensorFlow's import takes more than twice as long wherever Python may
	@# not write it (containers set PYTHONDONTWRITEBYTECODE), and every chapter and every test worker imports it.
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock || \
		$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@
