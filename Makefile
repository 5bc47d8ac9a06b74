# Names for people; anything with logic is in scripts/, xtask/ or the tools themselves.

.DEFAULT_GOAL := help
.PHONY: help run test bench fuzz fmt lint docs

target := $(or $(CARGO_TARGET_DIR),target)

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run: ## build weir and start it with demo events, data in ./weir-data
	@scripts/setup build
	cargo build --release --locked --package weir
	@exec $(target)/release/weir up --demo

test: ## everything that CI checks
	@scripts/setup test
	cargo fmt --all --check
	cargo build --locked --workspace --all-targets
	@# Building Consul takes minutes, beside what follows; a test that finds it missing says why.
	@$(target)/debug/xtask services fetch >/dev/null 2>&1 &
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	$(target)/debug/xtask tidy
	scripts/check-deploy $(target)/debug/weir
	scripts/with-mounts cargo test --locked --workspace
	@echo "make test: all checks passed"

bench: ## measure, with the lines of LOGS="FILE ..."; writes bench/results.md
	@scripts/setup build
	@scripts/bench $(LOGS)

fuzz: ## run every fuzz target for a minute
	@scripts/setup build
	@scripts/fuzz

fmt: ## format all code
	cargo fmt --all

lint: ## clippy and tidy, without building
	cargo clippy --workspace --all-targets -- --deny warnings
	cargo xtask tidy

docs: ## API documentation of the workspace, links checked
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items
