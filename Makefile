.DEFAULT_GOAL := help
.PHONY: help setup up test check fmt fuzz lock bench simulate mutations

bin := .venv/bin
pin := uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 pyproject.toml

help:  ## Print this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 8

setup:  ## Make .venv, or bring it up to the lock
	@./aurea --version

up:  ## Start everything on this machine
	@./aurea up

test:  ## Run all tests
	@./aurea test

check: setup  ## Format, lint, types, import layers, house tests
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy
	$(bin)/lint-imports
	$(bin)/python -m pytest tests/house

fmt: setup  ## Format the code and mend what can be mended
	$(bin)/ruff check --fix --quiet .
	$(bin)/ruff format .

simulate: setup  ## Simulate the system under faults: make simulate STEPS=1000000 SEED=7
	@$(bin)/python -m tests.simulation --steps $(or $(STEPS),200000) --seed $(or $(SEED),1)

mutations: setup  ## Take one safeguard at a time out of a copy, and see a campaign on real processes miss it
	@$(bin)/python -m tests.faults.mutations

fuzz: setup  ## Fuzz the API by its OpenAPI document, then flood it: make fuzz EXAMPLES=250 SEED=7 GIGABYTES=10
	@$(bin)/python -m tests.fuzz --examples $(or $(EXAMPLES),250) --seed $(or $(SEED),1)
	@$(bin)/python -m tests.fuzz.flood --gigabytes $(or $(GIGABYTES),10)

lock:  ## Compile both locks anew (needs uv)
	$(pin) --extra embedded --extra supabase --extra ts --group test --group lint --output-file requirements.lock
	$(pin) --extra supabase --extra ts --output-file requirements.prod.lock

bench: setup  ## Measure this system beside others
	$(bin)/aurea bench
