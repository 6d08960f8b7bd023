# make demo: set up, explain a phantom, show it (or write demo/demo.png where there is no display)
# make screenshots: make the pictures of docs/images
# make reliability: kill, damage and vary what docs/reliability.md lists, and print its tables (half an hour)
# make test: set up, lint, check the manifest, run the tests except the slow ones
# make test-all: the same with all tests
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
QT_PACKAGES := xvfb xauth libgl1 libegl1 libgl1-mesa-dri libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 \
	libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xfixes0 libdbus-1-3 libglib2.0-0
XVFB := xvfb-run -a -s "-screen 0 1600x1000x24"

.PHONY: demo test test-all lint setup system screenshots reliability clean
setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt | system
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed: on Debian, apt-get install python3-venv." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test]"
	touch $@

# Libraries Qt needs, installed where this may, else named.
system:
	@missing=""; if command -v dpkg-query >/dev/null 2>&1; then for p in $(QT_PACKAGES); do \
	dpkg-query -W -f='$${Status}\n' $$p $${p}t64 2>/dev/null | grep -q "ok installed" || missing="$$missing $$p"; done; fi; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then as=""; elif sudo -n true 2>/dev/null; then as="sudo"; else as="no"; fi; \
	  if [ "$$as" = no ]; then echo "Qt needs system libraries; run: sudo apt-get install$$missing" >&2; exit 1; fi; \
	  $$as apt-get update -qq && $$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null \
	    || { echo "Qt's system libraries could not be installed; install by hand:$$missing" >&2; exit 1; }; fi

demo: setup
	@mkdir -p demo
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then $(BIN)/python -m napari_expert.demo --out demo --show; \
	else $(XVFB) $(BIN)/python -m napari_expert.demo --out demo; fi

reliability: setup
	$(BIN)/python tools/measure_reliability.py

screenshots: setup
	$(XVFB) $(BIN)/python tools/screenshots.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Two processes; each gets its own virtual display from pytest-xvfb, so that no window is in another's way.
PYTEST := env -u DISPLAY -u WAYLAND_DISPLAY NAPARI_STRICT_QT=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test: lint
	$(BIN)/npe2 validate napari_expert/napari.yaml
	$(PYTEST) -m "not slow"

test-all: lint
	$(BIN)/npe2 validate napari_expert/napari.yaml
	$(PYTEST)

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache
