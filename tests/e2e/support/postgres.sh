#!/bin/sh
# A throw-away PostgreSQL cluster that lives as long as standard input stays open.
# Run by tests/e2e/support/database.rs, with `tls PORT` for one with TLS; prints the directory of the
# cluster's socket once it answers.
# The directory is below /tmp, because user postgres may not look into a checkout below /root, and
# because the path of a unix socket has little room. POSTGRES_FLAGS are more flags for the server.
set -eu

fail() { echo "tests/e2e: $*" >&2; exit 1; }

# Debian keeps the server's programs out of PATH; the newest version wins.
bin=$(for found in /usr/lib/postgresql/*/bin; do echo "$found"; done | sort -V | tail -n 1)
if [ ! -x "$bin/initdb" ]; then
    bin=$(dirname "$(command -v initdb || fail 'PostgreSQL is missing: apt-get install postgresql')")
fi

# The server refuses to run as root.
as_owner() { "$@"; }
directory=$(mktemp -d /tmp/forebay-e2e.XXXXXX)
if [ "$(id -u)" -eq 0 ]; then
    as_owner() { (cd / && exec runuser -u postgres -- "$@"); }
    chown postgres: "$directory"
fi
chmod 755 "$directory"

stop() {
    trap - EXIT
    as_owner "$bin/pg_ctl" -D "$directory/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$directory"
}
trap stop EXIT
# An interrupt from the terminal ends the tests, which closes standard input, which ends this.
trap '' INT TERM HUP

as_owner "$bin/initdb" -D "$directory/data" -U postgres -A trust --auth-host=scram-sha-256 -E UTF8 \
    --no-locale --no-sync >/dev/null
more="-c listen_addresses=''"
if [ "${1-}" = tls ]; then
    # At 127.0.0.1 and the port that is given, for the name `localhost`, by a root in ca.pem.
    (
        cd "$directory"
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=Root of a test' -keyout ca.key -out ca.pem
        openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
        echo 'subjectAltName=DNS:localhost' >names
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names \
            -out server.pem
        chmod 644 ca.pem server.pem
        chmod 600 server.key
        if [ "$(id -u)" -eq 0 ]; then chown postgres: server.key; fi
    ) >/dev/null 2>&1 || fail 'openssl makes no certificates'
    more="-c listen_addresses=127.0.0.1 -c port=$2 -c ssl=on -c log_connections=on \
        -c ssl_cert_file=$directory/server.pem -c ssl_key_file=$directory/server.key"
fi
as_owner "$bin/pg_ctl" -D "$directory/data" -l "$directory/log" -w -o "-k $directory $more \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
    -c max_connections=200 ${POSTGRES_FLAGS:-}" start >/dev/null || { cat "$directory/log" >&2; fail "PostgreSQL does not start"; }
echo "$directory"
cat >/dev/null
