#!/bin/sh
# Prints the path of the server to use: $REDIS_SERVER, else redis-server, else valkey-server.
# Prints nothing and fails where there is none.
set -eu

if [ -n "${REDIS_SERVER:-}" ]; then
    command -v "$REDIS_SERVER"
else
    command -v redis-server || command -v valkey-server
fi
