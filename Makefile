# Every target sets up what it needs: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= out/demo

.PHONY: setup demo test test-all coverage lint docs notebooks bench lock clean

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is too old; accepted: Python 3.11 or later, as in make PYTHON=python3.12" >&2; exit 2; }
	@echo "installing the pinned environment into $(VENV) (torch is large: minutes)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: setup
	$(BIN)/mtneuro-ray sweep --space smoke --out $(OUT)
	$(BIN)/mtneuro-ray train --task task1_demo --network SUP_ResNet-18_2D --volume phantom \
	    --set optimizer=Adam --set learning_rate=0.0003 --set lr_schedule=cosine --set batch_size=4 --set epochs=16 --out $(OUT)
	@echo; echo "== Everything so far: mtneuro-ray results table --out $(OUT)"; echo
	$(BIN)/mtneuro-ray results table --out $(OUT)
	@echo; echo "== Best hyperparameters: mtneuro-ray results best --out $(OUT)"; echo
	$(BIN)/mtneuro-ray results best --out $(OUT)
	@echo; echo "== Pictures and one page of all: mtneuro-ray figures, mtneuro-ray report"; echo
	$(BIN)/mtneuro-ray figures --out $(OUT)
	$(BIN)/mtneuro-ray report --out $(OUT)
	@echo; echo "run files: $(OUT)/runs    weights: $(OUT)/checkpoints    cutouts: $(OUT)/store"
	@echo "picture: $(OUT)/figures/slices_UNet_2D.png    report: $(OUT)/report.html"

FAST := -n 2 --dist loadgroup -m "not slow and not gpu and not network"

test: setup
	$(BIN)/python -m pytest $(FAST)

coverage: setup
	$(BIN)/python -m pytest $(FAST) --cov=mtneuro_ray --cov-report=term-missing:skip-covered

# The slow ones one by one: many start a cluster that takes all processors.
test-all: setup
	$(BIN)/python -m pytest $(FAST)
	$(BIN)/python -m pytest -m "slow or gpu or network"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict -f deploy/site/mkdocs.yml

notebooks: setup
	$(BIN)/python -m pytest tests/test_notebooks.py

bench: setup
	for benchmark in benchmarks/*_rate.py benchmarks/sweep_engine.py; do $(BIN)/python -m benchmarks.$$(basename $$benchmark .py) || exit 1; done

# Pins that still lie within pyproject.toml's bounds stay; delete requirements.lock first to choose all anew. Needs uv.
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	    --no-emit-index-url --no-annotate --no-header --generate-hashes -o requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
