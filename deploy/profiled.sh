#!/bin/sh
# Adds to rustc's flags, in what is built for the target and not in what runs during the build:
# counting into the folder COUNTS, or using the file COUNTED. deploy/build.sh has cargo call it.
case " $* " in
*' --target '*)
    if [ -n "${COUNTS:-}" ]; then
        # zig, which links wheels, cannot link what counts.
        set -- "$@" "-Cprofile-generate=$COUNTS" -Clinker=cc
    else
        set -- "$@" "-Cprofile-use=$COUNTED" -Cllvm-args=-pgo-warn-missing-function
    fi ;;
esac
exec "$@"
