#!/bin/sh
# Starts a server in the foreground with the built module and redis.conf.example; Ctrl-C ends it.
set -eu
cd "$(dirname "$0")/.."

port=${PORT:-6379}
module=${REDIS_LOCK_MODULE:-$PWD/target/release/libredis_lock.so}
scripts/port.sh
server=$(scripts/server.sh)
cli=redis-cli
command -v redis-cli >/dev/null || cli=valkey-cli

# Each port has its own folder: two servers must not write into one append-only file.
data=$PWD/data/$port
mkdir -p "$data"

cat <<END

Locks are served on 127.0.0.1:$port (data in ${data#"$PWD"/}, Ctrl-C ends). Try in another terminal:

  $cli -p $port LOCK.ACQUIRE report alice 60000
  $cli -p $port LOCK.INFO report
  $cli -p $port LOCK.RELEASE report alice

END

# The file comes by standard input: so CONFIG REWRITE is refused instead of changing the example.
# exec: Ctrl-C and signals reach the server itself, and its exit status is ours.
exec "$server" - --port "$port" --dir "$data" --loadmodule "$module" <redis.conf.example
