#!/bin/sh
# Sees to it that all is there to build and test: cargo, a C compiler, libclang and a server.
# Installs what is a Debian package; for the rest it says exactly what is missing and what to do.
set -eu
cd "$(dirname "$0")/.."

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

check_cargo() {
    wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
    command -v cargo >/dev/null || fail \
        "cargo is missing: Rust $wanted or newer is needed. Install it with" \
        "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" \
        "(see https://rustup.rs), then run make again."
    found=$(cargo --version | sed 's/^cargo \([0-9.]*\).*/\1/')
    lowest=$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)
    [ "$lowest" = "$wanted" ] || fail \
        "cargo $found is too old: Rust $wanted or newer is needed." \
        "Update it with 'rustup update', or install a newer one: https://rustup.rs"
}

# Rust links with it, and the tests compile a small C library: so it must also find libc.
has_compiler() {
    echo 'int main(void) { return 0; }' | cc -x c - -o /dev/null 2>/dev/null
}

# bindgen loads it to read the server's header. These are the names that development packages install.
has_libclang() {
    [ -z "${LIBCLANG_PATH:-}" ] || return 0
    for file in /usr/lib/llvm-*/lib/libclang*.so /usr/lib/*-linux-gnu/libclang*.so \
        /usr/lib64/libclang*.so /usr/lib/libclang*.so /usr/local/lib/libclang*.so; do
        case ${file##*/} in
            libclang.so | libclang-[0-9]*.so) [ ! -e "$file" ] || return 0 ;;
        esac
    done
    return 1
}

has_server() {
    scripts/server.sh >/dev/null
}

check_server() {
    server=$(scripts/server.sh) || fail \
        "REDIS_SERVER='${REDIS_SERVER:-}' is no program. Give a path, or leave it out for redis-server."
    version=$("$server" --version | sed -n 's/.* v=\([0-9.]*\).*/\1/p')
    [ "${version%%.*}" -ge 7 ] 2>/dev/null || fail \
        "$server is version ${version:-unknown}: Redis 7.0 or newer, or Valkey, is needed." \
        "Choose another one: make REDIS_SERVER=/path/to/redis-server ..."
}

# Prints the Debian packages of what is missing.
missing() {
    has_compiler || echo gcc libc6-dev
    has_libclang || echo libclang-dev
    [ -n "${REDIS_SERVER:-}" ] || has_server || echo redis-server
    # One recipe writes to it. Where nothing may be left out, it is needed.
    [ -z "${REDIS_LOCK_SKIP_NOTHING:-}" ] || [ -d /usr/lib/postgresql ] || echo postgresql
}

say_what_to_install() {
    fail "$1 Please install these, then run make again (names as in Debian):" \
        "$(missing | sed 's/^/    /')" \
        "A C compiler with libc's headers, libclang (or set LIBCLANG_PATH to its folder), and Redis 7.0 or" \
        "newer or Valkey (or set REDIS_SERVER to its path) under any other name will do as well."
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian starts a packaged server right after its installation, and it would sit on port 6379. systemd
# passes over a masked unit (a runtime mask: a restart of the machine would lift it too); older init
# scripts have no such door, so the service is stopped at once. In the end it is there, but off: who
# wants it as a service enables it.
hold_service() {
    [ ! -d /run/systemd/system ] || as_root systemctl --quiet mask --runtime redis-server.service
}

leave_service_off() {
    if [ -d /run/systemd/system ]; then
        as_root systemctl --quiet disable redis-server.service
        as_root systemctl --quiet unmask --runtime redis-server.service
    elif [ -x /etc/init.d/redis-server ]; then
        as_root /etc/init.d/redis-server stop
        as_root update-rc.d redis-server disable
    fi
}

install_packages() {
    case " $* " in *" redis-server "*) service=yes ;; *) service=no ;; esac
    [ $service = no ] || hold_service
    # A source that does not answer is no reason to stop: the packages may come from another one.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q || true
    installed=yes
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "$@" || installed=no
    [ $service = no ] || leave_service_off || true
    [ $installed = yes ] || fail "apt-get could not install: $* (see above)."
}

check_cargo
packages=$(missing | tr '\n' ' ')
if [ -n "$packages" ]; then
    command -v apt-get >/dev/null || say_what_to_install "There is no apt-get here."
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
        say_what_to_install "Installing needs root, and there is no sudo."
    echo "Installing: $packages"
    # shellcheck disable=SC2086 # a list of names, meant to be split
    install_packages $packages
fi
check_server
