#!/bin/sh
# Makes a cluster of support/postgres.sh like Azure's: by TCP only encrypted and with a password.
# Run by tests/e2e/heroku.rs with the cluster's directory; its authority is in DIRECTORY/authority.pem.
set -eu
cd "$1"

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=authority of a test' \
    -keyout authority.key -out authority.pem 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj '/CN=localhost' -keyout server.key -out server.csr 2>/dev/null
printf 'subjectAltName=DNS:localhost\n' >names
openssl x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 \
    -extfile names -out server.pem 2>/dev/null
chmod 600 server.key
[ "$(id -u)" -ne 0 ] || chown postgres: server.key server.pem

printf 'local all all trust\nhostssl all all all scram-sha-256\n' >data/pg_hba.conf
psql -XAtq -h "$1" -p "$2" -U postgres -d postgres <<END
ALTER SYSTEM SET ssl_cert_file = '$1/server.pem';
ALTER SYSTEM SET ssl_key_file = '$1/server.key';
ALTER SYSTEM SET ssl = on;
SELECT pg_reload_conf();
END
