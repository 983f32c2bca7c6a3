#!/bin/sh
# Builds what is deployed: the static binary for containers, and the wheel for a site's environment.
# Run by whoever releases forebay, and by the tests with the profile `quick`.
#
#   deploy/build.sh static [DIR]    DIR/forebay, which needs nothing of the system it runs on
#   deploy/build.sh wheel [DIR]     DIR/forebay-*.whl, for every Linux with glibc 2.17 (2014) or later
#   deploy/build.sh profiled static|wheel [DIR]
#                                   the same, laid out by what forebay does under load
#
# DIR is target/deploy without a word. PROFILE=quick builds in a quarter of the time and runs slower.
# TARGET=aarch64-unknown-linux-gnu (wheel) or …-musl (static) builds for another processor, where
# `rustup target list --installed` has it. The wheel wants maturin and ziglang:
# pip install maturin ziglang. A profiled build wants wrk and nghttp2-client (for the load) and
# llvm-profdata (Debian's llvm-19, or rustup's llvm-tools), and takes three times as long.
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."

fail() { printf 'error: %s\nmend:  %s\n' "$1" "$2" >&2; exit 1; }
verbs='deploy/build.sh [profiled] static|wheel [DIR]'
how=''
if [ "${1:-}" = profiled ]; then how=profiled-; shift; fi
case $# in 1 | 2) ;; *) fail 'say what to build' "$verbs" ;; esac
profile=${PROFILE:-release}
machine=$(uname -m)
mkdir -p "${2:-target/deploy}"
out=$(CDPATH='' cd -- "${2:-target/deploy}" && pwd)

# The Rust target NAME is installed.
has() { [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ]; }

# Builds what counts, lets it work, and builds what is laid out by the counts.
profiled() { # static|wheel
    case ${TARGET:-$machine} in
    "$machine"*) ;;
    *) fail "what is built for $TARGET does not run here" 'leave TARGET out, or build on such a machine' ;;
    esac
    for need in wrk:wrk h2load:nghttp2-client; do
        command -v "${need%:*}" >/dev/null || fail "${need%:*} is missing" "apt-get install ${need#*:}"
    done
    merge=''
    for program in "$(rustc --print sysroot)"/lib/rustlib/*/bin/llvm-profdata \
        llvm-profdata-23 llvm-profdata-22 llvm-profdata-21 llvm-profdata-20 llvm-profdata-19; do
        merge=$(command -v "$program") && break
    done
    [ -n "$merge" ] ||
        fail 'llvm-profdata is missing' 'apt-get install llvm-19, or rustup component add llvm-tools'

    # cargo would not see that the counts are others than last time.
    work=$PWD/target/profiled
    rm -rf "$work/counts" "$work/final"
    mkdir -p "$work/counts"
    # By RUSTFLAGS each build would have symbols of its own, and the second find no counts for them.
    export RUSTC_WRAPPER="$PWD/deploy/profiled.sh"
    COUNTS=$work/counts CARGO_TARGET_DIR=$work/counting \
        deploy/build.sh "$1" "$work/counting"
    RUSTC_WRAPPER='' cargo bench --quiet --locked --profile quick --bench training -- \
        --forebay "$(echo "$work/counting"/*/"$profile"/forebay)" >&2
    [ -n "$(ls "$work/counts")" ] || fail "forebay left no counts in $work/counts" 'see how it ended, above'
    "$merge" merge --output "$work/counts.profdata" "$work/counts"
    COUNTED=$work/counts.profdata CARGO_TARGET_DIR=$work/final \
        deploy/build.sh "$1" "$out"
}

case $how$1 in
profiled-static | profiled-wheel) profiled "$1" ;;
static)
    target=${TARGET:-$machine-unknown-linux-musl}
    [ -n "${TARGET:-}" ] || has "$target" || target=$machine-unknown-linux-gnu
    has "$target" || fail "Rust cannot build for $target here" "rustup target add $target"
    # musl is static by itself; glibc is where it is told to be.
    RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
        cargo build --quiet --locked --profile "$profile" --bin forebay --target "$target"
    built=${CARGO_TARGET_DIR:-target}/$target/$profile/forebay
    cp "$built" "$out/forebay"
    ;;
wheel)
    target=${TARGET:-$machine-unknown-linux-gnu}
    has "$target" || fail "Rust cannot build for $target here" "rustup target add $target"
    command -v maturin >/dev/null || fail 'maturin is missing' 'pip install maturin ziglang'
    # zig links against the glibc of 2014, whatever this machine has. What counts only runs here.
    glibc=manylinux2014
    [ -z "${COUNTS:-}" ] || glibc=linux
    cd deploy/wheel
    maturin build --quiet --locked \
        --profile "$profile" --target "$target" --zig --compatibility "$glibc" --out "$out"
    ;;
*) fail "\`$1\` cannot be built" "$verbs" ;;
esac
