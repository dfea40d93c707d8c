# CascadeCNN: every daily task. `make` alone lists them.
#
# Each target sets up what it needs by itself, in .venv, and does nothing about it the second time.
# Recipes call tools by their path in .venv: there is nothing to activate.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help plan sim sim-full sim-large test lint bench figures setup clean distclean setup-run setup-dev

SHELL := /bin/sh
VENV_PYTHON := .venv/bin/python

MODEL ?= examples/lenet_digits.onnx
DATA ?= digits:calib
DEVICE ?= zc706
TOLERANCE ?= 0.01
NETWORKS ?=
CASCADE_DATA ?= ../shared/data
LARGE = $(VENV_PYTHON) -m verif.large.simulate_network
IMAGENET = --data $(CASCADE_DATA)/imagenet/tune.csv
OUT ?= build/plan/$(basename $(notdir $(MODEL)))
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
PYTHON ?=
export PYTHON
# The set-up compiles no packages: without this, each start of a program would, where it is set.
unexport PYTHONDONTWRITEBYTECODE

# Steps and suites record their results and go on; the total judges them all.
RESULTS = build/results/$@
TALLY = $(VENV_PYTHON) scripts/tally.py

define lint_steps
	@$(TALLY) step $(RESULTS) ruff-check -- .venv/bin/ruff check .
	@$(TALLY) step $(RESULTS) ruff-format -- .venv/bin/ruff format --check .
	@$(TALLY) step $(RESULTS) mypy -- .venv/bin/mypy
	@$(TALLY) step $(RESULTS) rtl-lint -- $(VENV_PYTHON) scripts/lint.py
endef

define sim_suite
	@$(TALLY) suite $(RESULTS) sim -- $(VENV_PYTHON) -m pytest verif -n $(JOBS)
endef

help: ## this list
	@echo "CascadeCNN: from a trained network to a two-stage accelerator. Targets:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo "Variables of plan (with their values now):"
	@echo "  MODEL=$(MODEL) DATA=$(DATA) DEVICE=$(DEVICE) TOLERANCE=$(TOLERANCE)"
	@echo "  OUT=$(OUT)"
	@echo "Variables of figures: NETWORKS=... names of scripts/figures.toml (none: all),"
	@echo "  CASCADE_DATA=... the folder of images and models"
	@echo "Everywhere: PYTHON=... the interpreter to set up with, JOBS=$(JOBS) simulations at a time,"
	@echo "  CASCADE_CACHE=... the folder of cached wheels"

plan: setup-run ## plan an accelerator for MODEL on DEVICE within TOLERANCE, into OUT
	$(VENV_PYTHON) -m toolflow plan $(MODEL) --eval $(DATA) --device $(DEVICE) \
		--tolerance $(TOLERANCE) -o $(OUT)

sim: setup-dev ## simulate the RTL against the emulator, bit for bit
	@rm -rf $(RESULTS)
	$(sim_suite)
	@$(TALLY) total $(RESULTS)

sim-full: setup-dev ## vgg_cifar10 whole through LPU and HPU in Verilator, minutes
	$(LARGE) examples/vgg_cifar10.onnx --images 24 --forward 6 --batch 8 --lpu 3/3 \
		--lpu-tiles 128,64,32 --hpu-tiles 64,32,16

sim-large: setup-dev ## SqueezeNet, Tiny Darknet and VGG-16 whole, an hour (CASCADE_DATA)
	$(LARGE) $(CASCADE_DATA)/models/squeezenet_v1.0_dc.onnx $(IMAGENET) --lpu 6/6 \
		--lpu-tiles 64,32,64 --hpu-tiles 64,32,32
	$(LARGE) $(CASCADE_DATA)/models/tiny_darknet.onnx $(IMAGENET) --lpu 6/6 \
		--lpu-tiles 64,32,64 --hpu-tiles 64,32,32
	$(LARGE) $(CASCADE_DATA)/structure/light_vgg16.onnx --draw-weights --forward 0 --lpu 4/4 \
		--lpu-tiles 196,64,64 --hpu-tiles 16,8,8 --weight-words 17 --act-words 18 --no-assertions

test: setup-dev ## everything: lint, Python tests, simulation
	@rm -rf $(RESULTS)
	$(lint_steps)
	@$(TALLY) suite $(RESULTS) python -- $(VENV_PYTHON) -m pytest tests -n $(JOBS)
	$(sim_suite)
	@$(TALLY) total $(RESULTS)

lint: setup-dev ## ruff, mypy, and the RTL in Verilator, slang and Yosys
	@rm -rf $(RESULTS)
	$(lint_steps)
	@$(TALLY) total $(RESULTS)

bench: setup-dev ## measure, into build/bench.json
	@mkdir -p build
	$(VENV_PYTHON) scripts/bench.py

figures: setup-dev ## the figures and tables of accuracy and speed, into build/figures/
	@mkdir -p build
	$(VENV_PYTHON) scripts/figures.py $(foreach name,$(NETWORKS),--network $(name))
	$(VENV_PYTHON) scripts/speed_figures.py

setup: setup-dev ## only set up .venv, with everything

setup-run:
	@scripts/setup.sh run

setup-dev:
	@scripts/setup.sh dev

clean: ## remove what was built, keep .venv
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -path ./.git -prune -o \
		-type d \( -name __pycache__ -o -name sim_build \) -exec rm -rf {} +

distclean: clean ## remove .venv too (the wheel cache outside the repository stays)
	rm -rf .venv
