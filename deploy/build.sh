#!/bin/sh
# Builds what is deployed: the static binary for containers, and the wheel for a site's environment.
# Run by whoever releases forebay, and by the tests with the profile `quick`.
#
#   deploy/build.sh static [DIR]    DIR/forebay, which needs nothing of the system it runs on
#   deploy/build.sh wheel [DIR]     DIR/forebay-*.whl, for every Linux with glibc 2.17 (2014) or later
#   deploy/build.sh profile [DIR]   DIR/forebay.profdata: what forebay does under the benchmarks' load
#
# DIR is target/deploy without a word. PROFILE=quick builds in a quarter of the time and runs slower.
# TARGET=aarch64-unknown-linux-gnu (wheel) or …-musl (static) builds for another processor, where
# `rustup target list --installed` has it. The wheel wants maturin and ziglang:
# pip install maturin ziglang. GUIDE=FILE has the compiler look at a profile that the same compiler made,
# which saves a sixth of the instructions of a request; `profile` wants wrk and llvm-profdata 19 or later
# (Debian's llvm-19, or rustup's llvm-tools).
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."

fail() { printf 'error: %s\nmend:  %s\n' "$1" "$2" >&2; exit 1; }
case $# in 1 | 2) ;; *) fail 'say what to build' 'deploy/build.sh static|wheel|profile [DIR]' ;; esac
profile=${PROFILE:-release}
machine=$(uname -m)
mkdir -p "${2:-target/deploy}"
out=$(CDPATH='' cd -- "${2:-target/deploy}" && pwd)

if [ -n "${GUIDE:-}" ]; then
    [ -r "$GUIDE" ] || fail "GUIDE: cannot read $GUIDE" 'deploy/build.sh profile'
    guide=$(CDPATH='' cd -- "$(dirname -- "$GUIDE")" && pwd)/$(basename -- "$GUIDE")
    RUSTFLAGS="${RUSTFLAGS:-} -C profile-use=$guide"
    export RUSTFLAGS
fi

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
profile)
    target=$(rustc -vV | sed -n 's/^host: //p')
    merge=$(rustc --print sysroot)/lib/rustlib/$target/bin/llvm-profdata
    for program in "$merge" llvm-profdata-22 llvm-profdata-21 llvm-profdata-20 llvm-profdata-19; do
        merge=$(command -v "$program") && break
    done
    [ -n "$merge" ] || fail 'llvm-profdata is missing' 'apt-get install llvm-19, or rustup component add llvm-tools'
    command -v wrk >/dev/null || fail 'wrk is missing' 'apt-get install wrk'
    gathered=$(pwd)/target/profile
    rm -rf "$gathered/raw"
    RUSTFLAGS="${RUSTFLAGS:-} -C profile-generate=$gathered/raw" CARGO_TARGET_DIR=$gathered \
        cargo build --quiet --locked --release --bin forebay --target "$target"
    # A tenth of the rounds is enough to see which way requests go.
    cargo bench --quiet --bench load -- --quick --only proxy,unix,static \
        --forebay "$gathered/$target/release/forebay" >&2
    "$merge" merge -o "$out/forebay.profdata" "$gathered/raw"
    ;;
*) fail "\`$1\` cannot be built" 'deploy/build.sh static|wheel|profile [DIR]' ;;
esac
