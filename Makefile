# run · test · lint · bench · lock, each sets up what it needs. A new machine needs Python 3.11, git and make.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
PYTHON ?= python3.11
# the GPU lock where an NVIDIA GPU answers
KIND := $(shell nvidia-smi -L 2>/dev/null | grep -q GPU && echo gpu || echo cpu)
LOCK := requirements/$(KIND).lock
READY := .venv/.installed-$(KIND)
# Spark (make spark) goes on top; once asked for it stays
SPARK_READY := .venv/.installed-spark
WITH_SPARK := $(if $(wildcard $(SPARK_READY)),requirements/spark.lock)
# torch for CPUs is no package of the ordinary index: from a folder of wheels, or PyTorch's own index
TORCH := $(if $(filter gpu,$(KIND)),,$(if $(PIP_FIND_LINKS),--find-links "$(PIP_FIND_LINKS)",--torch-backend cpu))

# for servers started here: local state where the runs keep theirs, and nothing is sent home
STATE := $(or $(SENTINEL_HOME),$(CURDIR)/.sentinel)
AT_HOME := DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false MLFLOW_DISABLE_TELEMETRY=true PREFECT_HOME=$(STATE)/prefect

.PHONY: help setup run test lint bench lock lock-check debian-packages spark mlflow-ui prefect-ui worker

help:
	@echo "make run         set everything up, run the main job on the embedded data, show the result"
	@echo "make test        set everything up, check style, types, import rules and locks, run every test"
	@echo "make lint        style, types and import rules alone"
	@echo "make mlflow-ui   MLflow's pages of the embedded registry, on http://127.0.0.1:5000"
	@echo "make prefect-ui  Prefect's server and pages, on http://127.0.0.1:4200"
	@echo "make worker      a worker for deployed runs, at PREFECT_API_URL or http://127.0.0.1:4200/api"
	@echo "make spark       add Spark, the other engine of the features; it needs Java 17 or newer"
	@echo "make bench       every benchmark, a result file each in .sentinel/benchmarks"
	@echo "make lock        compile requirements/*.lock from pyproject.toml"
	@echo "make lock-check  check that the locks pin and hash everything"

setup: $(READY)

$(READY): $(LOCK) $(WITH_SPARK) requirements/bootstrap.lock pyproject.toml
	@echo "Setting up .venv from $(LOCK), every file checked by its hash ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install -qqq --no-input --require-hashes -r requirements/bootstrap.lock 2>&1
	@# compiled once here: where Python may write no bytecode, each command would compile thousands of files anew
	@$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes $(TORCH) --python $(BIN)/python $(LOCK)
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --offline --python $(BIN)/python --editable .
	@rm -f .venv/.installed-cpu .venv/.installed-gpu && touch $@
	@$(if $(WITH_SPARK),$(MAKE) --no-print-directory spark)

spark: $(SPARK_READY)

$(SPARK_READY): $(READY) requirements/spark.lock
	@echo "Adding Spark to .venv from requirements/spark.lock ..."
	@# pyspark is published as source alone: built with the locked setuptools, not with one that no hash was checked of
	@$(BIN)/uv pip install --quiet --require-hashes --no-deps --no-build-isolation --python $(BIN)/python --requirements requirements/spark.lock
	@touch $@

run: setup
	@$(BIN)/sentinel run

debian-packages:
	@tests/install_debian_packages.sh

test:
	@# side by side: half of it waits for the network
	@$(MAKE) --no-print-directory --jobs 3 spark debian-packages lint lock-check
	@# a worker more than cores: some tests wait for a server
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports

mlflow-ui: setup
	@$(AT_HOME) $(BIN)/mlflow server --host 127.0.0.1 --port 5000 --backend-store-uri sqlite:///$(STATE)/mlflow/mlflow.db

prefect-ui: setup
	@mkdir -p $(STATE)/prefect
	@$(AT_HOME) $(BIN)/prefect server start --host 127.0.0.1 --port 4200

worker: setup
	@mkdir -p $(STATE)/prefect
	@$(AT_HOME) PREFECT_API_URL=$(or $(PREFECT_API_URL),http://127.0.0.1:4200/api) $(BIN)/prefect worker start --pool sentinel

bench: setup
	@mkdir -p .sentinel/benchmarks
	@for file in benchmarks/[a-z]*.py; do \
	  name=$$(basename $$file .py); \
	  if grep -q __main__ $$file; then $(BIN)/python -m benchmarks.$$name --json .sentinel/benchmarks/$$name.json; fi; \
	done

lock: setup
	@UV=$(BIN)/uv requirements/compile.sh

lock-check: setup
	@$(BIN)/python requirements/check.py
