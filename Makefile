# The commands of this repository; what they do is in scripts/. ARGS are passed on.

ARGS ?=

# Several programs import the same libraries at once: let the first compile them for all.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help env demo test test-fast torture bench check lock clean venv

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

demo: venv ## Simulated facilities on this machine, live at the printed address
	@exec .venv/bin/fleetgauge demo $(ARGS)

test: venv ## All tests, on embedded services
	@scripts/test $(ARGS)

test-fast: venv ## Tests that take no time: no slow ones, no browser, no killing
	@scripts/test -m "not slow and not browser and not torture" $(ARGS)

torture: venv ## Kill, freeze, cut and rewind by seed: SEED=7 SECONDS=60 RUNS=20 PARALLEL=2
	@.venv/bin/python -m tests.torture $(if $(SEED),--seed $(SEED)) \
	    $(if $(SECONDS),--seconds $(SECONDS)) $(if $(RUNS),--runs $(RUNS)) \
	    $(if $(PARALLEL),--parallel $(PARALLEL)) $(ARGS)

bench: venv ## Measure this machine
	@.venv/bin/fleetgauge bench $(ARGS)

check: venv ## Lint, format, types, import table, generated docs
	@scripts/check

lock: venv ## Renew requirements.lock from pyproject.toml
	.venv/bin/uv pip compile pyproject.toml --all-extras --generate-hashes --universal \
	    --no-emit-index-url --no-header --quiet -o requirements.lock $(ARGS)

env: ## Make .env, with the passwords that compose.yaml asks for
	@deploy/make-env

clean: ## Remove all that was built or cached here, the demo's data too
	rm -rf .venv .demo .services dist build .mypy_cache .ruff_cache .pytest_cache \
	    .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

venv:
	@scripts/bootstrap
