#!/bin/sh
# A throw-away PostgreSQL cluster with TLS, and an authority of its own with certificates good and bad.
# It lives as long as standard input stays open. Run by tests/e2e/support/secure.rs and
# benches/postgres.rs with a port of 127.0.0.1; prints the directory of it all once it answers.
# There are `ca.pem`, and `good`, `name`, `expired` and `self` with `.pem` and `.key`.
set -eu

fail() { echo "tests/e2e: $*" >&2; exit 1; }

port=$1
# Debian keeps the server's programs out of PATH; the newest version wins.
bin=$(for found in /usr/lib/postgresql/*/bin; do echo "$found"; done | sort -V | tail -n 1)
if [ ! -x "$bin/initdb" ]; then
    bin=$(dirname "$(command -v initdb || fail 'PostgreSQL is missing: apt-get install postgresql')")
fi
command -v openssl >/dev/null || fail 'openssl is missing: apt-get install openssl'

# The server refuses to run as root.
as_owner() { "$@"; }
directory=$(mktemp -d /tmp/forebay-tls.XXXXXX)
chmod 755 "$directory"
cd "$directory"

key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>"$1.log" ||
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>"$1.log"; }
# A certificate of the authority: its name, the host, its life in days.
issue() {
    key "$1.key"
    printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\n' "$2" >"$1.ext"
    openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days "$3" \
        -extfile "$1.ext" -out "$1.pem" 2>"$1.log"
}
key ca.key
openssl req -new -x509 -key ca.key -subj '/CN=The Authority of the Tests' -days 30 -out ca.pem
issue good 'DNS:localhost,IP:127.0.0.1' 30
issue name 'DNS:db.example.com,DNS:*.example.net' 30
issue expired 'DNS:localhost' 30
# Only `openssl ca` can issue what has ended already.
mkdir issued
: >issued/index
openssl ca -batch -config - -in expired.csr -cert ca.pem -keyfile ca.key -extfile expired.ext \
    -startdate 20240101000000Z -enddate 20240201000000Z -out expired.pem 2>expired.log <<'CONFIGURATION'
[ca]
default_ca = authority
[authority]
new_certs_dir = issued
database = issued/index
rand_serial = yes
default_md = sha256
policy = anything
[anything]
commonName = supplied
CONFIGURATION
key self.key
openssl req -new -x509 -key self.key -subj '/CN=localhost' -addext 'subjectAltName=DNS:localhost' \
    -days 30 -out self.pem
chmod 600 ./*.key
if [ "$(id -u)" -eq 0 ]; then
    as_owner() { (cd / && exec runuser -u postgres -- "$@"); }
    chown -R postgres: "$directory"
fi

stop() {
    trap - EXIT
    as_owner "$bin/pg_ctl" -D "$directory/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$directory"
}
trap stop EXIT
# An interrupt from the terminal ends the tests, which closes standard input, which ends this.
trap '' INT TERM HUP

as_owner "$bin/initdb" -D "$directory/data" -U postgres -A trust -E UTF8 --no-locale --no-sync >/dev/null
# Nobody comes in over TCP without TLS.
printf 'local all all trust\nhostssl all all 127.0.0.1/32 trust\n' |
    as_owner tee "$directory/data/pg_hba.conf" >/dev/null
cat >"$directory/settings" <<SETTINGS
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$directory'
ssl = on
ssl_cert_file = '$directory/good.pem'
ssl_key_file = '$directory/good.key'
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 300
SETTINGS
echo "include '$directory/settings'" | as_owner tee -a "$directory/data/postgresql.conf" >/dev/null
as_owner "$bin/pg_ctl" -D "$directory/data" -l "$directory/log" -w start >/dev/null ||
    { cat "$directory/log" >&2; fail "PostgreSQL does not start"; }
echo "$directory"
# Each line is a command for pg_ctl, such as `reload` or `restart`.
while read -r line; do
    # shellcheck disable=SC2086  # a list of words
    as_owner "$bin/pg_ctl" -D "$directory/data" -l "$directory/log" -w $line >/dev/null
    echo obeyed
done
