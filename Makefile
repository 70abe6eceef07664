# The two commands of the README and what belongs to them. Everything runs in .venv, made from requirements.lock.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# python3 where its version is tested, otherwise another on PATH that is.
TESTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c '$(TESTED)' 2>/dev/null && echo $$name && exit; done; echo python3)
VENV := .venv
LOCKED := $(VENV)/.locked
INSTALLED := $(VENV)/.installed
# An index that has torch and torchvision built for the CPU; they then come from there, without the CUDA libraries.
TORCH_INDEX ?=
OTHER_TORCH := (torch of TORCH_INDEX)
# -I: packages of PYTHONPATH or of the user's own site would count as installed.
PIP := $(VENV)/bin/python -I -m pip --disable-pip-version-check
# --no-deps: the lock is complete. Asked to resolve it, pip looks at what is newest for every requirement with an extra.
# --no-build-isolation: what has no wheel is built with the lock's setuptools, not with the newest.
INSTALL := $(PIP) install --quiet --no-deps --no-build-isolation
CORES ?= all
SCALE ?= $(shell sed -n "s/^scale: *\([a-z]*\).*/\1/p" params.yaml)
ACTIVATE := source $(VENV)/bin/activate
# One `dvc repro` serves all of these, and takes all cores. The documented commands run beside the others, on a copy.
REPRODUCED := tests/workflow/test_dvc.py tests/workflow/test_smoke.py \
	tests/workflow/test_foreign_models.py tests/workflow/test_documented_commands.py

# What counts the lines that tests run, where there is a wheel of it; at least 90 % of them.
COUNTED := python -c 'import slipcover' 2>/dev/null && echo -m slipcover --source src/twostage --skip-covered --fail-under 90 \
	|| echo 'warning: lines are not counted: slipcover is not installed' >&2

.PHONY: help table1 test docs chaos slurm s3 check verify pull storage install lock clean benchmarks

help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9%-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

table1: $(INSTALLED)  ## Table 1 from nothing to results/table1.csv
	$(ACTIVATE) && snakemake --cores $(CORES) --config scale=$(SCALE) -- results/table1.csv results/tokenizers.csv
	@cat results/table1.md

# Files in the order in which they are named: the longest, of dry runs, starts first.
test: check  ## the gate, every test, the coverage bar of what they run themselves, the DAG at scale=smoke (WHOLE=1: all studies of it)
	$(ACTIVATE) && python $$($(COUNTED)) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=40 \
		$(REPRODUCED:%=--ignore=%) tests/workflow tests/chaos tests/unit tests/architecture tests/install
	$(ACTIVATE) && pytest -n 2 --dist loadgroup --durations=20 $(REPRODUCED)

docs: $(INSTALLED)  ## the site of the documentation, in build/docs/; the tutorial runs, about two minutes
	$(ACTIVATE) && sphinx-build --fail-on-warning --keep-going --jobs auto docs build/docs

chaos: $(INSTALLED)  ## kills smoke runs 200 times, about an hour, fills disks under every verb; writes results/chaos/ (KILLS=40 SEED=1)
	$(ACTIVATE) && KILLS=$(or $(KILLS),200) SEED=$(or $(SEED),0) pytest -m chaos tests/chaos tests/workflow/test_full_disk.py

slurm: $(INSTALLED)  ## jobs, faults and cancelling on a Slurm that it starts itself; as root, after apt-get install slurm-wlm munge
	$(PIP) install --quiet --no-build-isolation --editable '.[slurm]'
	$(ACTIVATE) && pytest -m slurm tests/slurm

s3: $(INSTALLED)  ## artifacts in the bucket of a local S3 server, ten minutes
	$(PIP) install --quiet --no-build-isolation --editable '.[s3]' 'moto[server]>=5.2'
	$(ACTIVATE) && pytest -m s3 tests/storage

check: $(INSTALLED)  ## style, types, imports, workflow lint
	$(ACTIVATE) && ruff check . && ruff format --check . && mypy && lint-imports
	$(ACTIVATE) && snakefmt --check Snakefile workflow && snakemake --lint

verify: $(INSTALLED)  ## do the committed tables and figures follow from the stored metrics, and does a fresh run agree?
	$(ACTIVATE) && python -m twostage verify

benchmarks: $(INSTALLED)  ## against the plain formulations; writes benchmarks/*.json
	$(ACTIVATE) && snakemake --cores $(CORES) --config scale=laptop -- \
		artifacts/laptop/weights/vgg16/model.safetensors artifacts/laptop/weights/inception/model.safetensors
	$(ACTIVATE) && for script in gpt_sampling vqgan_step uncached_sampling sliding_window inception \
		hourglass_forward sundae_sampling; do \
		python benchmarks/$$script.py || exit 1; done

install: $(INSTALLED)  ## the environment .venv; for one without CUDA: make install TORCH_INDEX=<an index of CPU builds>

# The paths in an environment are absolute: one that was moved is made again. So is one whose torch is not of TORCH_INDEX.
MADE := $(shell cat $(LOCKED) 2>/dev/null)
ifneq ($(realpath $(VENV))$(if $(TORCH_INDEX),$(OTHER_TORCH)),$(if $(TORCH_INDEX),$(MADE),$(subst $(OTHER_TORCH),,$(MADE))))
.PHONY: $(LOCKED)
endif

# Always from nothing: what an interrupted install or an older lock left is never built upon.
$(LOCKED): requirements.lock
	@command -v "$(PYTHON)" > /dev/null || { echo "error: no $(PYTHON) on PATH; install Python 3.11, 3.12 or 3.13 or set PYTHON=<path of one>" >&2; exit 1; }
	@"$(PYTHON)" -c '$(TESTED)' || { echo "error: twostage is tested with Python 3.11, 3.12 and 3.13, and $(PYTHON) is $$("$(PYTHON)" --version 2>&1); set PYTHON=python3.13, say" >&2; exit 1; }
	@echo "Installing the packages of requirements.lock into $(VENV): minutes, and some GB."
	@rm -f $(LOCKED) $(INSTALLED)
	"$(PYTHON)" -m venv --clear $(VENV)
	$(call locked,keep = /^setuptools==/) > $(VENV)/setuptools.lock
	$(INSTALL) --require-hashes --requirement $(VENV)/setuptools.lock
ifeq ($(TORCH_INDEX),)
	$(INSTALL) --require-hashes --requirement requirements.lock
else
	grep -oE '^(torch|torchvision)==[^ ;]+' requirements.lock > $(VENV)/torch.txt
	$(INSTALL) --only-binary :all: --index-url '$(TORCH_INDEX)' --requirement $(VENV)/torch.txt
	$(call locked,keep = !/^(torch|torchvision|triton)[=[]|^(nvidia|cuda)-/) > $(VENV)/rest.lock
	$(INSTALL) --require-hashes --requirement $(VENV)/rest.lock
endif
	@echo "$$(cd $(VENV) && pwd -P)$(if $(TORCH_INDEX),$(OTHER_TORCH))" > $@

# Entries of the lock, each a line with its version and the lines of its hashes.
locked = awk '/^[^ ]/ {$(1)} keep' requirements.lock

$(INSTALLED): $(LOCKED) pyproject.toml
	$(INSTALL) --editable .
	@broken=$$($(PIP) check) || { echo "error: $(VENV) is not whole: $$(head -3 <<< "$$broken" | paste -sd ' ')" >&2; exit 1; }
	@touch $@

lock: $(INSTALLED)  ## newest versions that pyproject.toml allows, installed and checked
	$(VENV)/bin/python -m uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--generate-hashes --no-annotate --no-header --no-strip-extras --upgrade --output-file requirements.lock
	$(MAKE) install
	$(ACTIVATE) && pytest tests/install/test_lock.py

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
