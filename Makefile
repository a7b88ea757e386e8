# What a developer can do here. CI runs these targets and nothing else; "make" lists them.

VENV     := .venv
BIN      := $(VENV)/bin
NATIVE   := $(wildcard native/*.c native/*.h)
JOBS     ?= auto
# Chosen tests, or more of pytest's options: make test TESTS=tests/unit PYTEST_ARGS=-x
TESTS    ?= tests
PYTEST   := $(BIN)/pytest -n $(JOBS) $(PYTEST_ARGS)
C_FLAGS  := -std=c11 -D_GNU_SOURCE -DPy_LIMITED_API=0x030b0000 -Wall -Wextra -Werror -fsyntax-only
ASAN     := build/asan
# What talks to servers is Python's; the C code below it is that of every build, which the other tests drive.
SERVERS  := base_images bundles formats hostile_bundles lock offline registry_documents registry_push remote routes
# These count or inject system calls, emulate processors or drive other programs, which the sanitizers only slow down.
COUNTED  := cpus faults foreign_layers large_contexts layers
ASAN_TESTS := $(filter-out $(foreach name,$(SERVERS) $(COUNTED),tests/%/test_$(name).py), \
    $(wildcard tests/native/test_*.py tests/hostile/test_*.py tests/system/test_*.py))
ASAN_FLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all

.DEFAULT_GOAL := help
.PHONY: help demo test lint typecheck check-c test-asan bench torture fuzz wheel clean tools
.DELETE_ON_ERROR:

help: ## this list
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' Makefile | expand -t 14

demo: $(VENV)/.built ## build examples/multistage in the four shapes of Docker's guide, and run what was built
	@$(BIN)/python examples/demo.py

test: $(VENV)/.built tools ## run the tests; those whose tools are missing are skipped by name
	$(PYTEST) $(TESTS)

lint: $(VENV)/.linted check-c ## ruff, import-linter, shellcheck, and the C compilers with -Werror
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@if command -v shellcheck >/dev/null; then shellcheck tools/setup tools/deb tools/fuzz .ci/run; \
	 else echo "shellcheck is missing; to install it: sudo apt-get install shellcheck"; fi

typecheck: $(VENV)/.linted ## mypy --strict
	$(BIN)/mypy

check-c: $(VENV)/.installed
	@for cc in gcc clang; do \
	    if command -v $$cc >/dev/null; then \
	        echo "$$cc -Werror native/*.c"; \
	        $$cc $(C_FLAGS) -I"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')" \
	            $(filter %.c,$(NATIVE)) || exit; \
	    else echo "$$cc is missing; not checked with it"; fi; done

# The sanitizers get a copy of the tree: their extension must never be picked up by a plain run.
test-asan: $(VENV)/.built tools ## run the tests of the C code under AddressSanitizer and UBSan
	@mkdir -p $(ASAN) && rm -rf $(ASAN)/builder $(ASAN)/tests $(ASAN)/native $(ASAN)/tools
	@cp -Rp builder native tests tools examples pyproject.toml README.md LICENSE $(ASAN)/ && rm -f $(ASAN)/builder/*.so
	cd $(ASAN) && CC=gcc CFLAGS="$(ASAN_FLAGS)" $(CURDIR)/$(BIN)/python -W ignore -c 'from setuptools import setup; setup()' \
	    -q build_ext --inplace
	cd $(ASAN) && PYTHONPATH=. CASES=40 PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	    LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	    $(CURDIR)/$(PYTEST) $(ASAN_TESTS)

bench: $(VENV)/.built ## compare with a bare interpreter, a bare fork, Debian's buildah and skopeo where installed
	$(BIN)/python benchmarks/run.py

torture: $(VENV)/.built ## kill builds at random moments; apply ten thousand random layers by other programs
	$(BIN)/pytest -m torture $(PYTEST_ARGS) tests

fuzz: $(VENV)/.built ## fuzz the C code of layers for FUZZ_SECONDS (1800), then run the property tests for long
	tools/fuzz $(VENV)
	HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest -n $(JOBS) -m hypothesis $(PYTEST_ARGS) tests

wheel: $(VENV)/.built ## build dist/rbuild-*.whl
	$(BIN)/python -m pip wheel -qq --no-deps -w dist .
	@ls -l dist

clean: ## remove everything that make made, the demo's store included
	@rm -rf .cache 2>/dev/null || $(BIN)/python tools/remove .cache
	rm -rf $(VENV) build dist *.egg-info builder/*.so
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

tools:
	@tools/setup tools

$(VENV)/.installed: pyproject.toml tools/setup
	@tools/setup venv $(VENV)
	@touch $@

$(VENV)/.built: $(VENV)/.installed $(NATIVE)
	@tools/setup extension $(VENV)
	@touch $@

$(VENV)/.linted: $(VENV)/.built
	@tools/setup lint $(VENV)
	@touch $@
