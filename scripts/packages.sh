#!/bin/sh
# Runs the tests of the packages for other languages, in clients/, and that of all of them mixed with the Rust client and the
# tool; with --setup it only fetches what they need. Says what it can't run here, and how to get it.
set -eu
cd "$(dirname "$0")/.."

# What is left out must not be in .ci/run.
skip() {
    printf 'Skipped: the tests of %s: %s\n' "$1" "$2" >&2
    [ -z "${REDIS_LOCK_SKIP_NOTHING:-}" ] || exit 1
}

has_node() {
    command -v npm >/dev/null && [ "$(node --version | sed 's/^v\([0-9]*\).*/\1/')" -ge 20 ]
}

has_python() {
    python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

fetch_node() {
    installed=node_modules/.package-lock.json
    [ -e $installed ] && [ ! package-lock.json -nt $installed ] && return 0
    npm ci --silent --no-audit --no-fund && touch $installed
}

test_node() {
    if has_node; then
        (cd clients/node && fetch_node) || { skip clients/node "its packages could not be had (npm ci)"; return 0; }
        [ -n "$only_setup" ] || (cd clients/node && npm test --silent)
        node=ready
    else
        skip clients/node "Node.js 20 or newer with npm is needed: https://nodejs.org"
    fi
}

test_python() {
    if has_python; then
        clients/python/run-tests --setup >/dev/null ||
            { skip clients/python "its packages could not be had (clients/python/run-tests --setup)"; return 0; }
        [ -n "$only_setup" ] || clients/python/run-tests
        python=ready
    else
        skip clients/python "Python 3.10 or newer with venv is needed (python3-venv in Debian)"
    fi
}

# After the other two, which build the packages.
test_mixed() {
    if [ -n "$node" ] && [ -n "$python" ]; then
        cargo test --release --quiet --package redis-lock-cli --test cli mixed:: -- --ignored --nocapture
    else
        skip "all clients mixed on one lock" "it needs both packages"
    fi
}

only_setup= node= python=
[ "${1:-}" != --setup ] || only_setup=yes
test_node
test_python
[ -n "$only_setup" ] || test_mixed
