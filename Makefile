# `make demo` and `make test` do all the set-up on a machine with Rust and Python >= 3.11.

VENV := .venv
PYTHON := $(VENV)/bin/python
WHEELS := target/wheels
SOURCES := $(shell find src python -type f -not -name '*.so' -not -path '*/__pycache__/*') Cargo.toml pyproject.toml README.md
export PYO3_PYTHON := $(abspath $(PYTHON))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-uart lint format generate bench fuzz clean

demo: $(VENV)/release
	$(VENV)/bin/ferrule demo

test: $(VENV)/installed $(VENV)/tools $(VENV)/pyserial
	.ci/packages
	cargo test
	$(PYTHON) -m pytest

# Serial lines with modem lines, breaks and plugs, in a virtual machine. The first run needs root, for apt.
test-uart: $(VENV)/installed $(VENV)/tools
	$(PYTHON) tests/uart/run.py

# Before tests, since it is quicker to fail.
lint: $(VENV)/installed $(VENV)/tools
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --all-targets --features python -- -D warnings
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/pyright --pythonpath $(PYTHON)
	$(PYTHON) -m mypy.stubtest ferrule._core
	$(PYTHON) docs/generate.py --check

format: $(VENV)/tools
	cargo fmt
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

generate: $(VENV)/installed
	$(PYTHON) docs/generate.py

bench: $(VENV)/release
	.ci/packages
	$(PYTHON) benches/peers.py

fuzz:
	cargo install --locked cargo-fuzz
	for target in $$(cargo fuzz list --fuzz-dir tests/fuzz); do \
	    RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz $$target -- -max_total_time=60 || exit 1; done

clean:
	rm -rf $(VENV) target

$(PYTHON):
	python3 -m venv $(VENV)

# What tests and linters need, from the extras of pyproject.toml.
$(VENV)/tools: pyproject.toml | $(VENV)/installed
	$(PYTHON) -m pip install -q "$$(ls -t $(WHEELS)/*.whl | head -1)[test,lint]"
	@touch $@

# pyserial's own tests, which only its source distribution has.
$(VENV)/pyserial: | $(VENV)/tools
	rm -rf $@ $(VENV)/pyserial-*
	$(PYTHON) -m pip download -q --no-deps --no-binary :all: --dest $(VENV) pyserial==3.5
	tar -xzf $(VENV)/pyserial-3.5.tar.gz -C $(VENV)
	mv $(VENV)/pyserial-3.5 $@
	@touch $@

$(VENV)/maturin: | $(PYTHON)
	$(PYTHON) -m pip install -q 'maturin>=1.16,<2'
	@touch $@

# Two builds of the wheel: quickly made for the tests, quickly running for the rest. The one installed last
# is in use, so each undoes the mark of the other.
$(VENV)/installed: $(SOURCES) | $(VENV)/maturin
	rm -rf $(WHEELS)
	$(VENV)/bin/maturin build --quiet --out $(WHEELS)
	$(PYTHON) -m pip install -q --force-reinstall --no-deps $(WHEELS)/*.whl
	@rm -f $(VENV)/release
	@touch $@

$(VENV)/release: $(SOURCES) | $(VENV)/maturin
	rm -rf $(WHEELS)
	$(VENV)/bin/maturin build --quiet --release --out $(WHEELS)
	$(PYTHON) -m pip install -q --force-reinstall --no-deps $(WHEELS)/*.whl
	@rm -f $(VENV)/installed
	@touch $@
