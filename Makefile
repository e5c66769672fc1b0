# Every target sets up what it needs; Python 3.11 or newer and make are enough to begin.

PYTHON ?= python3
WORKERS ?= auto
ARGS ?=
BASE ?= HEAD~1

# written last, so an installation that was interrupted is done again; it holds the folder it
# was made in, because an environment that was copied or moved runs the code of its old place
INSTALLED := .venv/installed
ifneq ($(shell cat $(INSTALLED) 2>/dev/null),$(CURDIR))
.PHONY: $(INSTALLED)
endif

PIP := .venv/bin/python -m pip --disable-pip-version-check

.PHONY: help verify test learn check format bench races gate constraints clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "PYTHON=python3.12   the Python that .venv is made with"
	@echo "ARGS='-k gae'       passed on to the command that the target runs"
	@echo "BASE=main           the commit that 'make gate' compares with, unless told otherwise HEAD~1"
	@echo "WORKERS=0           test processes; unless told otherwise one per core, at most 8"

verify: $(INSTALLED) ## judge every estimator: reference against fast, drawn inputs and rollouts
	@.venv/bin/rlverify verify $(ARGS)

test: $(INSTALLED) ## run the tests
	@.venv/bin/pytest -n $(WORKERS) --maxprocesses 8 --dist loadgroup $(ARGS)

learn: $(INSTALLED) ## see every training loop learn within its budget: some minutes
	@.venv/bin/pytest -n $(WORKERS) --maxprocesses 8 -m slow $(ARGS)

check: $(INSTALLED) ## format and lint; types, import rules and docstring examples of the built wheel
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	@echo "Building the wheel and installing it into .venv-check ..."
	@rm -rf build .venv-check
	@.venv/bin/python -m venv --without-pip .venv-check
	@$(PIP) wheel --quiet --no-deps --wheel-dir .venv-check .
	@$(PIP) --python .venv-check/bin/python install --quiet --no-deps .venv-check/*.whl
	@rm -rf build
	@# the dependencies are those of .venv; its editable install of rlverify stays invisible
	@cd .venv-check/lib/python*/site-packages && \
		ls -d '$(CURDIR)'/.venv/lib/python*/site-packages > dependencies.pth
	cd .venv-check && bin/python -c 'import rlverify; assert "/.venv-check/" in rlverify.__file__'
	cd .venv-check && bin/python -m mypy --config-file ../pyproject.toml --cache-dir ../.mypy_cache -p rlverify
	cd .venv-check && bin/python -c 'from importlinter.cli import lint_imports_command as main; main()' \
		--no-logo --config ../pyproject.toml --cache-dir ../.import_linter_cache
	cd .venv-check && bin/python -m pytest --doctest-modules --pyargs rlverify

format: $(INSTALLED) ## format the sources and repair what the linter can
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

bench: $(INSTALLED) ## time every estimator beside the machine's limit; some minutes
	@.venv/bin/rlverify bench $(ARGS)

races: $(INSTALLED) ## time every estimator beside the usual ways to write it
	@.venv/bin/pytest benchmarks $(ARGS)

gate: $(INSTALLED) ## fail if a fast version is clearly slower than at the commit BASE
	@.venv/bin/python benchmarks/gate.py $(BASE)

constraints: $(INSTALLED) ## write the versions installed in .venv to constraints.txt
	@{ \
		echo "# The versions that the tests ran with, for: pip install -c constraints.txt -e '.[dev,bench,plots]'"; \
		echo "# To move on: .venv/bin/pip install --upgrade PACKAGE, make test check, make constraints"; \
		$(PIP) freeze --exclude-editable | sed 's/+.*//'; \
	} > .venv/constraints.txt
	@mv .venv/constraints.txt constraints.txt
	@touch $(INSTALLED)

clean: ## remove the environments, caches and build outputs
	rm -rf .venv .venv-check .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf .benchmarks build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "rlverify needs Python 3.11 or newer, and '$(PYTHON)' is not;" \
			"name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || { \
		echo "'$(PYTHON)' came without its modules venv and ensurepip;" \
			"on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@rm -f $@
	@{ $(PIP) --version && grep -F '$(CURDIR)/.venv' .venv/bin/activate; } >/dev/null 2>&1 || { \
		echo "Creating .venv ..."; rm -rf .venv; $(PYTHON) -m venv .venv; }
	@echo "Installing rlverify and what it needs into .venv; PyTorch is large, so the first time takes minutes ..."
	@$(PIP) install --quiet -c constraints.txt -e '.[dev,bench,plots]'
	@echo '$(CURDIR)' > $@
