# The two commands of the README and what belongs to them. Everything runs in .venv, made from requirements.lock.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed
CORES ?= all
SCALE ?= $(shell sed -n "s/^scale: *\([a-z]*\).*/\1/p" params.yaml)
ACTIVATE := source $(VENV)/bin/activate
# One `dvc repro` serves all of these, and takes all cores.
# The documented commands come last: they add jobs of their own to what was reproduced.
REPRODUCED := tests/workflow/test_dvc.py tests/workflow/test_smoke.py tests/workflow/test_documented_commands.py

.PHONY: table1 test check verify pull storage install lock clean benchmarks

table1: $(INSTALLED)  ## Table 1 from nothing to results/table1.csv
	$(ACTIVATE) && snakemake --cores $(CORES) --config scale=$(SCALE) -- results/table1.csv results/tokenizers.csv
	@cat results/table1.md

# Files in the order in which they are named: the longest, of dry runs, starts first.
test: check  ## the gate, every test, the coverage bar of what they run themselves, the whole DAG at scale=smoke
	$(ACTIVATE) && coverage erase && pytest -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report= \
		$(REPRODUCED:%=--ignore=%) tests/workflow tests/unit tests/architecture
	$(ACTIVATE) && coverage report --fail-under 90
	$(ACTIVATE) && pytest -n 2 --dist loadgroup $(REPRODUCED)

check: $(INSTALLED)  ## style, types, imports, workflow lint
	$(ACTIVATE) && ruff check . && ruff format --check . && mypy && lint-imports
	$(ACTIVATE) && snakefmt --check Snakefile workflow && snakemake --lint

verify: $(INSTALLED)  ## do the committed tables and figures follow from the stored metrics, and does a fresh run agree?
	$(ACTIVATE) && python -m twostage.verify

benchmarks: $(INSTALLED)  ## against the plain formulations; writes benchmarks/*.json
	$(ACTIVATE) && snakemake --cores $(CORES) --config scale=laptop -- \
		artifacts/laptop/weights/vgg16/model.safetensors artifacts/laptop/weights/inception/model.safetensors
	$(ACTIVATE) && for script in gpt_sampling vqgan_step uncached_sampling sliding_window inception \
		hourglass_forward sundae_sampling; do \
		python benchmarks/$$script.py || exit 1; done

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "twostage needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

lock: $(INSTALLED)  ## newest versions that pyproject.toml allows
	$(VENV)/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--generate-hashes --no-annotate --no-header --upgrade --output-file requirements.lock

pull: $(INSTALLED)  ## what others have stored by DVC, into artifacts/
	@test -f dvc.lock || { echo "error: no dvc.lock is committed here, so nobody has stored this commit's artifacts; make them (snakemake --cores all figures), or check out a commit that has one" >&2; exit 1; }
	@$(ACTIVATE) && dvc pull || { echo "error: dvc pull found not all of it; name the remote that has it: dvc remote add --local -d NAME URL (known: $$(dvc remote list --show-origin 2>/dev/null | xargs))" >&2; exit 1; }

storage:  ## how many bytes each stage keeps, here and in DVC's cache
	@for kept in artifacts/*/* .snakemake/metadata build/scratch .dvc/cache; do \
		if [ -e $$kept ]; then du -sh $$kept; fi; done

clean-%:  ## one stage's artifacts at SCALE: make clean-priors SCALE=smoke
	@test -d artifacts/$(SCALE)/$* || { echo "error: no artifacts/$(SCALE)/$*; stages: $$(ls artifacts/$(SCALE) 2>/dev/null | xargs)" >&2; exit 1; }
	rm -rf artifacts/$(SCALE)/$*

clean:  ## everything that can be made again, except the environment and the user's cache
	rm -rf artifacts build .snakemake
