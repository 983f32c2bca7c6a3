#!/bin/sh
# Builds what is deployed: the static binary for containers, and the wheel for a site's environment.
# Run by whoever releases forebay, and by the tests with the profile `quick`.
#
#   deploy/build.sh static [DIR]    DIR/forebay, which needs nothing of the system it runs on
#   deploy/build.sh wheel [DIR]     DIR/forebay-*.whl, for every Linux with glibc 2.17 (2014) or later
#
# DIR is target/deploy without a word. PROFILE=quick builds in a quarter of the time and runs slower.
# TARGET=aarch64-unknown-linux-gnu (wheel) or …-musl (static) builds for another processor, where
# `rustup target list --installed` has it. The wheel wants maturin and ziglang:
# pip install maturin ziglang
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."

fail() { printf 'error: %s\nmend:  %s\n' "$1" "$2" >&2; exit 1; }
case $# in 1 | 2) ;; *) fail 'say what to build' 'deploy/build.sh static|wheel [DIR]' ;; esac
profile=${PROFILE:-release}
machine=$(uname -m)
mkdir -p "${2:-target/deploy}"
out=$(CDPATH='' cd -- "${2:-target/deploy}" && pwd)

# The Rust target NAME is installed.
has() { [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ]; }

case $1 in
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
    # zig links against the glibc of 2014, whatever this machine has.
    cd deploy/wheel
    maturin build --quiet --locked \
        --profile "$profile" --target "$target" --zig --compatibility manylinux2014 --out "$out"
    ;;
*) fail "\`$1\` cannot be built" 'deploy/build.sh static|wheel [DIR]' ;;
esac
