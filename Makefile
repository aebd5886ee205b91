# make install | demo | test | test-all | lint | bench
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo
BENCH ?= runs/bench.json

.PHONY: install demo test test-all lint bench clean

install: $(VENV)/installed

$(VENV)/installed: setup.py
	$(PYTHON) -c 'import sys; sys.exit("scoresde needs Python 3.11 or newer: make PYTHON=python3.11") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

# The main job on the embedded digits: train, sample, exact likelihood, distance of the samples.
demo: install
	rm -rf $(DEMO)
	$(BIN)/scoresde train --config configs/vp/digits.py --workdir $(DEMO)
	$(BIN)/scoresde sample --workdir $(DEMO) --num 100 --batch_size 100 --animation --name demo
	$(BIN)/scoresde likelihood --workdir $(DEMO) --split test --num 150 --probes 1 --baseline --name test
	$(BIN)/scoresde evaluate --workdir $(DEMO) --num 297 --batch_size 100 --metrics fd --name test
	@echo
	@echo 'The demo is in $(DEMO):'
	@echo '  sample grid        $(DEMO)/samples/demo/grid.png'
	@echo '  noise to image     $(DEMO)/samples/demo/noise_to_image.gif'
	@echo '  loss curve         $(DEMO)/loss.png'
	@$(BIN)/python -c 'import json; r = json.load(open("$(DEMO)/likelihood/test/likelihood.json")); print("  test bits/dim      {bits_per_dim:.4f} +- {standard_error:.4f} over {images} images, NFE {nfe_mean:.0f}; a fitted Gaussian has {gaussian_bits_per_dim:.4f}".format(**r))'
	@echo '  and its details    $(DEMO)/likelihood/test/likelihood.json'
	@$(BIN)/python -c 'import json; r = json.load(open("$(DEMO)/evaluation/test/evaluation.json")); f, t = r["metrics"]["fd"], r["floor"]; print("  {} {:.3f} +- {:.3f} over {} samples; {} have {:.3f}".format(f["label"], f["value"], f["error"], r["num"], t["images"], t["metrics"]["fd"]["value"]))'
	@echo '  and its page       $(DEMO)/evaluation/test/report.html'

test: install
	$(BIN)/python -m pytest -n auto --dist loadscope

test-all: install
	$(BIN)/python -m pytest -n auto --dist loadscope -m ""

# In ten minutes; again for what was left out then, until all is there. PEER=CHECKOUT of
# score_sde_pytorch, with PyTorch installed beside us, for the ratios.
bench: install
	$(BIN)/python experiments/bench/run.py $(if $(PEER),--peer $(PEER)) --missing --seconds 540 --out $(BENCH)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .jax_cache
