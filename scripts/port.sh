#!/bin/sh
# Fails, with what to do, where $PORT is no port or another program listens on it.
set -eu

port=${PORT:-6379}

no_port() {
    echo "PORT must be a number from 1 to 65535, not '$port'. Try: make run PORT=6380" >&2
    exit 1
}

# A leading 0 is refused too: it would be octal to some, and 0 alone means "no port" to the server.
case $port in
    '' | 0* | *[!0-9]* | ??????*) no_port ;;
esac
[ "$port" -le 65535 ] || no_port

# The kernel's table of TCP sockets: column 2 is address:port in hex, column 4 the state (0A: listening).
# What collides with 127.0.0.1 is 127.0.0.1 itself or any-address, in IPv4 or mapped into IPv6.
# Where there is no such table, the server itself says that the port is taken.
listens() {
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port="$(printf '%04X' "$port")" '
            $4 == "0A" && $2 ~ /^(0100007F|0+|0+FFFF00000100007F):/ && $2 ~ (":" port "$") { found = 1 }
            END { exit !found }'
}

if listens; then
    echo "Port $port is in use on this machine." >&2
    echo "Stop what listens there, or choose another port: make run PORT=$((port < 65535 ? port + 1 : 6380))" >&2
    exit 1
fi
