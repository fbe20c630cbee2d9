# Everything happens in .venv; nothing else is touched, except that missing libraries of the system are installed
# through apt where that is allowed (packaging/install-system-libraries.sh).
#
#   make run PYTHON=python3.12       another interpreter
#   make run PIP_INDEX_URL=...       another package index, for example PyTorch's CPU index as PIP_EXTRA_INDEX_URL
#                                    (a smaller download than the default build of torch)

# The first of these that is there, works (a pyenv shim may not) and is a version torch and PySide6 support.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null && { echo "$$p"; break; }; done)
endif

# Processes among which `make test` shares the files of tests; each takes up to 4 GB.
JOBS := 2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test lint pictures references translations bundle clean system

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/installed ## Open the window; without a display, do a whole job offscreen and write pictures to runs/tour
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then \
		$(BIN)/python -m qgui; \
	else \
		echo "No display: running the example in an offscreen window"; \
		QT_QPA_PLATFORM=offscreen $(BIN)/python -m qgui.ui.tour --out runs/tour; \
	fi

test: lint ## Run the linters, the type checker, the import law and the tests
	OMP_NUM_THREADS=1 QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: $(VENV)/installed-test ## Run the linters, the type checker and the import law
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

pictures: $(VENV)/installed ## Take pictures of every panel and dialog, light and dark, in each language, into runs/pictures
	$(BIN)/python -m qgui.ui.tour --every-panel --out runs/pictures

references: $(VENV)/installed-test ## Renew the pictures that the tests compare the window with
	for language in en zh_CN; do \
		QT_QPA_PLATFORM=offscreen QGUI_RENEW_PICTURES=1 QGUI_TEST_LANGUAGE=$$language \
			$(BIN)/python -m pytest -q tests/ui/test_pictures.py -k test_that_everything_looks_as_it_did || exit 1; \
	done

translations: $(VENV)/installed-test ## Gather the sentences of the program for translators, and compile what is translated
	$(BIN)/python packaging/translations.py

bundle: $(VENV)/installed-bundle ## Build dist/qgui, a folder with a program that needs no Python, and try it offscreen
	$(BIN)/python packaging/icons.py build/icons
	$(BIN)/python -m PyInstaller --noconfirm --log-level WARN packaging/qgui.spec
	$(BIN)/python packaging/smoke.py

clean: ## Remove the environment, caches and builds (results in runs/ stay)
	rm -rf $(VENV) build dist .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

system:
	@if [ -z "$(PYTHON)" ]; then echo "No CPython 3.11 to 3.14 found. Install one, or name it: make PYTHON=..." >&2; exit 1; fi
	@PYTHON="$(PYTHON)" sh packaging/install-system-libraries.sh

$(BIN)/python: | system
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/installed: pyproject.toml | system $(BIN)/python
	$(PIP) install -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) install -e '.[test]'
	@touch $@

$(VENV)/installed-bundle: $(VENV)/installed
	$(PIP) install -e '.[bundle]'
	@touch $@
