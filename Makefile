# `make demo` and `make test` need only Python 3.11+, make, git and the package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DAGSTER_PORT ?= 3000
MLFLOW_PORT ?= 5000
UV := uv==0.13.9
export DAGSTER_HOME := $(CURDIR)/.dagster
export MLFLOW_DISABLE_TELEMETRY := true
export OMP_WAIT_POLICY ?= passive
ifneq ($(OMP_WAIT_POLICY),active)
export GOMP_SPINCOUNT ?= 30000
endif
export DO_NOT_TRACK := 1

.PHONY: help env demo test lint ui bench audit lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

env: $(STAMP) ## create the virtual environment in .venv from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@$(BIN)/python -m fashion_ops.ledger.site_cache
	@touch $@

demo: $(STAMP) ## run the whole pipeline on the synthetic wardrobe, with Dagster
	$(BIN)/python -m pipelines.run --summary

test: $(STAMP) ## run all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

lint: $(STAMP) ## check format, style, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

ui: $(STAMP) ## start Dagster (DAGSTER_PORT=3000) and MLflow (MLFLOW_PORT=5000), with the history of all runs
	@exec $(BIN)/python -m pipelines.ui --dagster-port $(DAGSTER_PORT) --mlflow-port $(MLFLOW_PORT)

bench: $(STAMP) ## measure speed against other implementations
	$(BIN)/python -m bench.ingest
	$(BIN)/python -m bench.scoring
	$(BIN)/python -m bench.score_files
	$(BIN)/python -m bench.contextual_kmeans
	$(BIN)/python -m bench.decode
	$(BIN)/python -m bench.decode_jpeg
	$(BIN)/python -m bench.edge
	$(BIN)/python -m bench.detector_input
	$(BIN)/python -m bench.landmarker_training

audit: $(STAMP) ## look up known vulnerabilities of all locked packages
	$(BIN)/python infra/audit.py

lock: $(STAMP) ## resolve requirements.lock again
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --generate-hashes \
	  --extra dev --extra services pyproject.toml -o requirements.lock

clean: ## delete everything that steps and services made; the environment stays
	rm -rf data/catalog data/grouped data/pseudo_labels data/alignment/catalog
	if test -f data/raw/wardrobe.json; then rm -rf data/raw; fi # and not a data set of yours
	if head -c 116 data/alignment/raw/lsp/joints.mat 2>/dev/null | grep -q '^MATLAB 5.0 MAT-file *$$'; then \
	  rm -rf data/alignment/raw; fi
	cd models 2>/dev/null && rm -rf detector postprocess box_detector landmarker finetuned refined dfa gle || true
	rm -rf reports/drift reports/evaluation reports/promotion reports/promotion_alignment
	rm -rf .checkpoints .logs .alarms .dagster .mlflow .dvc/tmp .dvc/cache
	if [ -d .dvc/site_cache ]; then find .dvc/site_cache -mindepth 1 ! -name .gitignore -delete; fi
	rm -f dvc.lock
