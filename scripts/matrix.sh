#!/usr/bin/env bash
# Runs all tests that use a server on every server of scripts/servers.sh, one after the other, and says in the
# end how each of them did. The tests are built once. What failed is shown whole, in the log that is named. It is
# tried once more by itself: what passes then is told as unsteady, since a busy machine can break a bound of time.
#
#   scripts/matrix.sh [NAME ...]       all of them, or those that are named
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p "${CARGO_TARGET_DIR:-target}/matrix"
logs=$(cd "${CARGO_TARGET_DIR:-target}/matrix" && pwd)

missing=
servers=$(scripts/servers.sh "$@") || missing=yes

# The paths of the test programs, as cargo tells them.
programs=$(cargo test --release --no-run --message-format=json --quiet \
    --package redis-lock --package redis-lock-quorum --package redis-lock-cli --package redis-lock-harness |
    python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("profile", {}).get("test") and message.get("executable"):
        print(message["executable"], message["manifest_path"].rsplit("/", 1)[0])
')

# sum WORD LOG: how many tests ended so.
sum() {
    grep -o "[0-9]* $1;" "$2" | awk '{ total += $1 } END { print total + 0 }'
}

# again PROGRAM LOG: runs what failed in the log once more; says how many tests passed this time.
again() {
    local names
    mapfile -t names < <(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$2")
    # Where it ended before its result, nobody knows what else would have failed.
    [ "${#names[@]}" -gt 0 ] && grep -q "^test result" "$2" || return 1
    "$1" --exact "${names[@]}" >"$2.again" 2>&1 </dev/null || return 1
    sum passed "$2.again"
}

failed=0
report=$(printf '%-12s %-10s %7s %7s %9s' server version passed failed unsteady)
while read -r name server; do
    [ -n "$name" ] || continue
    log=$logs/$name.log
    : >"$log"
    version=$("$server" --version | sed -n 's/.* v=\([0-9.]*\).*/\1/p')
    count=0
    unsteady=0
    while read -r program folder; do
        one=$log.one
        if ! (cd "$folder" && REDIS_SERVER=$server "$program" >"$one" 2>&1 </dev/null); then
            if passed=$(cd "$folder" && REDIS_SERVER=$server again "$program" "$one"); then
                unsteady=$((unsteady + passed))
            else
                # A program that ended without a result counts as a failed test.
                broken=$(sum failed "$one")
                count=$((count + (broken > 0 ? broken : 1)))
            fi
        fi
        cat "$one" >>"$log"
    done <<<"$programs"
    failed=$((failed + count))
    report+=$(printf '\n%-12s %-10s %7s %7s %9s' "$name" "$version" "$(sum passed "$log")" "$count" "$unsteady")
    [ "$((count + unsteady))" -eq 0 ] || { grep -E ' \.\.\. FAILED$|panicked at' -A 3 "$log" || tail -n 20 "$log"; echo "(all of it: $log)"; }
done <<<"$servers"

printf '%s\n' "$report"
[ -z "$missing" ] && [ "$failed" -eq 0 ]
