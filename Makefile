# `make run` opens the window, `make test` runs every test. Both install what is
# missing; see tools/install-dependencies.sh.

.DEFAULT_GOAL := help
.PHONY: help run test cuda test-gpu prove-gpu-kit prove-gpu package try-package bindings icons

NPM := npm --prefix ui
UI_SOURCES := $(shell find ui/src ui/public -type f 2>/dev/null) \
	$(wildcard ui/*.html ui/*.json ui/*.ts ui/*.js)

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 24

run: ## Build the app and open its window
	tools/install-dependencies.sh run
	$(MAKE) cuda ui/dist/assets
	cargo run --release --locked --features cuda --bin moestro-desktop

test: ## Check the style and run all tests, the real window included
	tools/install-dependencies.sh test
	$(MAKE) cuda ui/dist/assets
	$(NPM) run check
	$(NPM) run lint
	$(NPM) run test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --features cuda -- -D warnings
	cargo test --workspace --locked --features cuda

GPU ?= 0
test-gpu: ## Run the tests of the GPU code on the NVIDIA GPU of this machine
	$(MAKE) cuda
	CUDA_VISIBLE_DEVICES=$(GPU) MOESTRO_TEST_GPU=0 \
		cargo test --locked --workspace --features cuda --test gpu -- --test-threads=1

prove-gpu-kit: ## Pack what proves and measures the GPU code on a machine without a compiler
	$(MAKE) cuda
	python3 tools/gpu/pack.py

prove-gpu: ## Prove and measure the GPU code on this machine; needs 49 GB of disk
	$(MAKE) prove-gpu-kit
	tools/gpu/prove.sh target/gpu-kit target/gpu-report

cuda: ## Compile the GPU kernels; needs no GPU
	@python3 tools/cuda/build.py

PACKAGE := target/package
CLI := target/release/moestro

package: ## Make the .deb and the .rpm, in target/release/bundle
	tools/install-dependencies.sh run
	$(MAKE) cuda ui/dist/assets
	cargo build --release --locked --workspace --features cuda --bins
	rm -rf $(PACKAGE)
	mkdir -p $(PACKAGE)/man
	$(CLI) manual $(PACKAGE)/man
	gzip -9n $(PACKAGE)/man/*
	for shell in bash zsh fish; do $(CLI) completions $$shell >$(PACKAGE)/moestro.$$shell || exit 1; done
	ui/node_modules/.bin/tauri bundle --config tools/package/bundle.json
	@ls -l target/release/bundle/*/*.deb target/release/bundle/*/*.rpm

try-package: ## Install, start and remove both packages in a fresh Debian (as root)
	tools/package/try.sh target/release/bundle/deb/*.deb target/release/bundle/rpm/*.rpm

bindings: ## Write the TypeScript declarations of the Rust types to ui/src/bindings
	MOESTRO_WRITE_BINDINGS=1 cargo test --test bindings

icons: ## Render the PNG icons (needs the package librsvg2-bin)
	rsvg-convert -w 32 -h 32 icons/moestro.svg -o icons/32x32.png
	rsvg-convert -w 128 -h 128 icons/moestro.svg -o icons/128x128.png
	rsvg-convert -w 256 -h 256 icons/moestro.svg -o icons/128x128@2x.png
	rsvg-convert -w 512 -h 512 icons/moestro.svg -o icons/icon.png

# npm writes this file last.
ui/node_modules/.package-lock.json: ui/package-lock.json
	$(NPM) ci --no-audit --no-fund
	touch $@

# Not index.html: a Rust build without the front end writes a placeholder there.
ui/dist/assets: ui/node_modules/.package-lock.json $(UI_SOURCES)
	$(NPM) run build
