#!/usr/bin/env bash
# Runs what scripts/packages.sh runs on Debian's server on newer ones too, as far as it depends on the server: with the newest
# Valkey and the newest Redis of scripts/servers.sh, after scripts/packages.sh has built the packages. Node.js and Python go at
# the same time, for both wait more than they work. What failed is shown.
#
#   scripts/packages-matrix.sh [NAME ...]      both, or those servers that are named
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- valkey-9.1 redis-8.6
servers=$(scripts/servers.sh "$@")
mkdir -p "${CARGO_TARGET_DIR:-target}/matrix"
logs=$(cd "${CARGO_TARGET_DIR:-target}/matrix" && pwd)

# tell NAME WHAT PROCESS: how a part that runs in the background ended.
tell() {
    local log=$logs/$1-$2.log
    if wait "$3"; then
        echo "$1, $2: passed"
    else
        echo "$1, $2: FAILED"
        grep -n '✖' "$log" || tail -n 80 "$log"
        echo "(all of it: $log)"
        return 1
    fi
}

failed=0
while read -r name server; do
    export REDIS_SERVER=$server
    (cd clients/node && npm run --silent test:server) >"$logs/$name-node.log" 2>&1 </dev/null &
    node=$!
    clients/python/run-tests redis-8.1 >"$logs/$name-python.log" 2>&1 </dev/null &
    python=$!
    tell "$name" node "$node" || failed=1
    tell "$name" python "$python" || failed=1
done <<<"$servers"
exit "$failed"
