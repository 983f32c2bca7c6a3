#!/bin/sh
# Moves a PostgreSQL database from Heroku (or anywhere) to Azure Database for PostgreSQL.
# Run by whoever moves the site, while it is in maintenance mode; it can be run again and again.
# See `deploy/heroku-to-azure.sh --help`.
# shellcheck disable=SC2154,SC2016  # split_url sets source_* and target_*; backquotes are for people
set -eu
export LC_ALL=C
code=1

usage() {
    cat <<'END'
usage: deploy/heroku-to-azure.sh SOURCE [--to URL] [OPTIONS]

SOURCE, one of:
  --app NAME        a Heroku application: captures a backup and downloads it (needs the heroku program)
  --dump FILE       a dump in the custom format, from `heroku pg:backups:download` or `pg_dump -Fc`
  --from URL        a database: postgres://user:password@host:port/name; also as SOURCE_DATABASE_URL

Target:
  --to URL          postgres://user:password@server.postgres.database.azure.com:5432/name
                    better in TARGET_DATABASE_URL, since others can see a command line; the connection
                    is always TLS with sslmode=verify-full, whatever the URL says

Options:
  --yes                   destroys what is in the way without asking
  --keep FILE             keeps the dump there
  --ca FILE               certificate authorities to believe, in place of the system's
  --skip-extension NAME   goes without an extension that the target does not have; repeatable
  --help

What is checked before anything is touched: programs, versions, extensions, space, TLS, that source and
target differ. All is restored in one transaction: when it fails, the target is as it was. Afterwards
every table's rows are counted and every sequence is compared with the dump.
Ends with 0 when all is the same, 1 when something failed, 2 for a bad command line.
END
}

fail() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${3:-}" ] || printf '%s\n' "$3" | sed 's/^/cause: /' >&2
    printf 'mend:  %s\n' "$2" >&2
    exit "$code"
}
misused() { code=2 && fail "$1" "$2"; }
say() { printf '%s\n' "$*"; }

# --- The command line -------------------------------------------------------------------------------

app='' dump='' keep='' ca='' sure='' skipped=' '
from=${SOURCE_DATABASE_URL:-} to=${TARGET_DATABASE_URL:-}
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage && exit 0 ;;
    --yes) sure=yes && shift && continue ;;
    --app | --dump | --from | --to | --keep | --ca | --skip-extension) ;;
    *) misused "\`$1\` is no option" 'see --help' ;;
    esac
    [ $# -ge 2 ] || misused "$1 wants a value" 'see --help'
    case $1 in
    --app) app=$2 ;;
    --dump) dump=$2 ;;
    --from) from=$2 ;;
    --to) to=$2 ;;
    --keep) keep=$2 ;;
    --ca) ca=$2 ;;
    --skip-extension) skipped="$skipped$2 " ;;
    esac
    shift 2
done
# A source that is named beats one in a variable.
case $from in "${SOURCE_DATABASE_URL:-}") [ -z "$app$dump" ] || from='' ;; esac
case "${app:+a}${dump:+d}${from:+f}" in
a | d | f) ;;
'') misused 'no source is given' 'say --app NAME, --dump FILE or --from URL' ;;
*) misused 'more than one source is given' 'say one of --app, --dump and --from' ;;
esac
[ -n "$to" ] || misused 'no target is given' \
    'set TARGET_DATABASE_URL=postgres://user:password@server.postgres.database.azure.com:5432/name'

# --- Connections: passwords travel in the environment of the programs, never in a command line ---------

# Splits a URL into PREFIX_user, _password, _host, _port, _name and _query.
split_url() { # PREFIX URL OPTION
    case $2 in
    postgres://*@*/?* | postgresql://*@*/?*) ;;
    *) misused "$3 is no URL of a database" 'write postgres://user:password@host:5432/name' ;;
    esac
    parts=$(printf '%s\n' "$2" | awk '
        function decoded(text,   out, hex) {
            while (match(text, /%[0-9A-Fa-f][0-9A-Fa-f]/)) {
                hex = toupper(substr(text, RSTART + 1, 2))
                out = out substr(text, 1, RSTART - 1) sprintf("%c", \
                    (index("0123456789ABCDEF", substr(hex, 1, 1)) - 1) * 16 + \
                    index("0123456789ABCDEF", substr(hex, 2, 1)) - 1)
                text = substr(text, RSTART + 3)
            }
            return out text
        }
        function quoted(text) { gsub(/\047/, "\047\\\047\047", text); return "\047" text "\047" }
        function is(name, text) { print prefix "_" name "=" quoted(decoded(text)) }
        {
            sub(/^[a-z]*:\/\//, "")
            query = ""; if ((at = index($0, "?"))) { query = substr($0, at + 1); $0 = substr($0, 1, at - 1) }
            # The name has no slash; a password may have anything, so the last @ before it counts.
            match($0, /\/[^\/]*$/); name = substr($0, RSTART + 1); $0 = substr($0, 1, RSTART - 1)
            match($0, /@[^@]*$/); place = substr($0, RSTART + 1); who = substr($0, 1, RSTART - 1)
            port = "5432"; host = place
            if (match(place, /:[0-9]*$/)) { port = substr(place, RSTART + 1); host = substr(place, 1, RSTART - 1) }
            gsub(/^\[|\]$/, "", host)
            at = index(who, ":"); user = at ? substr(who, 1, at - 1) : who
            is("user", user); is("password", at ? substr(who, at + 1) : "")
            is("host", host); is("port", port == "" ? "5432" : port); is("name", name)
            print prefix "_query=" quoted(query)
        }' prefix="$1")
    eval "$parts"
}

# The value of one parameter of a URL's query, or nothing.
parameter() { printf '%s\n' "$1" | tr '&' '\n' | sed -n "s/^$2=//p" | head -n 1; }

on_target() {
    PGHOST=$target_host PGPORT=$target_port PGUSER=$target_user PGPASSWORD=$target_password \
        PGDATABASE=$target_name PGSSLMODE=verify-full PGSSLROOTCERT=$ca PGCONNECT_TIMEOUT=15 \
        PGAPPNAME=heroku-to-azure PGOPTIONS='-c statement_timeout=0' "$@"
}
on_source() {
    PGHOST=$source_host PGPORT=$source_port PGUSER=$source_user PGPASSWORD=$source_password \
        PGDATABASE=$source_name PGSSLMODE=$source_sslmode PGCONNECT_TIMEOUT=15 \
        PGAPPNAME=heroku-to-azure "$@"
}
ask_target() { on_target psql -XAtq -F "$tab" -v ON_ERROR_STOP=1 "$@"; }
ask_source() { on_source psql -XAtq -v ON_ERROR_STOP=1 "$@"; }
tab=$(printf '\t')

# Ends with what can be done about a connection that failed.
unreachable() { # WHICH HOST MESSAGE
    case $3 in
    *'password authentication failed'*)
        mend="check user and password; special characters of a password are written %40 for @, %2F for /" ;;
    *'no pg_hba.conf entry'* | *'timeout expired'* | *'Connection timed out'*)
        mend="let this machine's address in: az postgres flexible-server firewall-rule create" ;;
    *'certificate verify failed'* | *'does not match host name'* | *'does not support SSL'*)
        mend='use the full name, SERVER.postgres.database.azure.com; name other authorities with --ca' ;;
    *'could not translate host name'*) mend='check the name of the server; a private one resolves inside its network only' ;;
    *'does not exist'*) mend='make the database first: az postgres flexible-server db create' ;;
    *) mend='check host, port, and that the server runs' ;;
    esac
    fail "cannot connect to the $1 $2" "$mend" "$3"
}

# --- Programs ---------------------------------------------------------------------------------------

for program in psql pg_restore pg_dump awk; do
    command -v "$program" >/dev/null ||
        fail "$program is missing" 'install the PostgreSQL client, on Debian: apt-get install postgresql-client'
done
major() { "$1" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/'; }
if [ -z "$ca" ]; then
    if [ "$(major psql)" -ge 16 ]; then
        ca=system
    else
        for ca in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem ''; do
            [ ! -r "$ca" ] || break
        done
        [ -n "$ca" ] || fail 'no list of certificate authorities was found' \
            'install ca-certificates, or name a file with --ca'
    fi
elif [ ! -r "$ca" ]; then
    misused "cannot read $ca, set by --ca" 'name a file of PEM certificates'
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/heroku-to-azure.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
chmod 700 "$work"

# --- The target -------------------------------------------------------------------------------------

split_url target "$to" '--to (or TARGET_DATABASE_URL)'
case $target_user in
*@*) misused "the user \`$target_user\` of the target has a server in it" \
    "Flexible Server wants \`${target_user%%@*}\` alone; user@server belonged to Single Server" ;;
esac
case $target_port in
6432) misused 'port 6432 is PgBouncer, which a restore cannot go through' 'use port 5432' ;;
esac
where="$target_name on $target_host"
said=$(ask_target -c "SELECT current_setting('server_version_num')::int / 10000,
    (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()),
    pg_postmaster_start_time() || '/' || (SELECT oid FROM pg_database WHERE datname = current_database()),
    pg_size_pretty(pg_database_size(current_database())),
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND pid <> pg_backend_pid() AND backend_type = 'client backend'),
    coalesce(current_setting('azure.extensions', true), '(any)')" 2>&1) ||
    unreachable target "$target_host:$target_port" "$said"
field() { printf '%s\n' "$said" | cut -f "$1"; }
target_version=$(field 1) target_identity=$(field 3) target_size=$(field 4) sessions=$(field 5)
allowed=$(field 6)
[ "$(field 2)" = t ] || fail "the connection to $target_host is not encrypted" \
    'reach the server by TCP under its own name, not through a local proxy or socket'
say "target: $where, PostgreSQL $target_version, TLS verified, $target_size"

# --- The source, and the dump -------------------------------------------------------------------------

# Bytes free where FILE will be.
free_bytes() { df -Pk "$(dirname "$1")" | awk 'NR == 2 { printf "%.0f", $4 * 1024 }'; }

refuse_same() {
    fail "source and target are the same database, $where" \
        'name another target: a restore would destroy what it reads'
}

dump_from_url() {
    split_url source "$from" '--from'
    source_sslmode=$(parameter "$source_query" sslmode)
    # Heroku's certificates are signed by nobody: encrypted is what can be had.
    source_sslmode=${source_sslmode:-prefer}
    source="$source_host:$source_port"
    found=$(ask_source -c "SELECT current_setting('server_version_num')::int / 10000 || ' ' ||
        pg_database_size(current_database()) || ' ' || pg_postmaster_start_time() || '/' ||
        (SELECT oid FROM pg_database WHERE datname = current_database())" 2>&1) ||
        unreachable source "$source" "$found"
    version=${found%% *} rest=${found#* }
    size=${rest%% *}
    [ "${rest#* }" != "$target_identity" ] || refuse_same
    [ "$(major pg_dump)" -ge "$version" ] ||
        fail "pg_dump $(major pg_dump) cannot read PostgreSQL $version" \
            "install postgresql-client-$version or later and put it first in PATH"
    [ "$version" -le "$target_version" ] || older_target "$version"
    dump=${keep:-$work/dump}
    [ "$(free_bytes "$dump")" -ge "$size" ] ||
        fail "the source has $size bytes, $(dirname "$dump") has $(free_bytes "$dump") free" \
            'name a place with more room: --keep FILE, or TMPDIR'
    say "source: $source_name on $source_host, PostgreSQL $version, $size bytes"
    (umask 077 && on_source pg_dump --format=custom --no-acl --no-owner --file="$dump") ||
        fail 'pg_dump failed' 'see its words above'
}

dump_from_heroku() {
    command -v heroku >/dev/null ||
        fail 'the heroku program is missing' \
            'install the Heroku CLI, or download a dump elsewhere and say --dump FILE'
    dump=${keep:-$work/dump}
    say "source: the Heroku application $app"
    heroku pg:backups:capture --app "$app" ||
        fail "no backup of $app could be captured" 'see above; `heroku login` comes first'
    (umask 077 && heroku pg:backups:download --app "$app" --output "$dump") ||
        fail "the backup of $app could not be downloaded" \
            "see above; $(dirname "$dump") has $(free_bytes "$dump") bytes free"
}

older_target() {
    fail "the source is PostgreSQL $1, the target only $target_version" \
        "make the target with --version $1 or later"
}

if [ -n "$from" ]; then
    dump_from_url
elif [ -n "$app" ]; then
    dump_from_heroku
else
    [ -r "$dump" ] || misused "cannot read $dump, set by --dump" 'name a file'
    say "source: the dump $dump"
fi

# --- What is in the dump ------------------------------------------------------------------------------

pg_restore --list "$dump" >"$work/list" 2>"$work/complaint" ||
    case $(cat "$work/complaint") in
    *'text format'*) fail "$dump is plain SQL" 'take it with `pg_dump --format=custom`' "$(cat "$work/complaint")" ;;
    *) fail "pg_restore $(major pg_restore) cannot read $dump" \
        'download it again, or install a newer PostgreSQL client' "$(cat "$work/complaint")" ;;
    esac
version=$(sed -n 's/^;.*Dumped from database version: \([0-9]*\).*/\1/p' "$work/list")
[ "${version:-0}" -le "$target_version" ] || older_target "$version"
if [ "$(major pg_restore)" -ge 17 ] && [ "$target_version" -lt 17 ]; then
    fail "pg_restore $(major pg_restore) says things that PostgreSQL $target_version does not know" \
        "put the client of the target's version first in PATH, such as /usr/lib/postgresql/$target_version/bin"
fi

# Left out: extensions, which are made below, and what only Heroku's own superuser may have.
grep -vE '^[0-9]+; [0-9]+ [0-9]+ (EXTENSION|COMMENT - EXTENSION|EVENT TRIGGER|COMMENT - EVENT TRIGGER|PUBLICATION|SUBSCRIPTION|SCHEMA - (public|heroku_ext|_heroku)|COMMENT - SCHEMA (public|heroku_ext|_heroku)|[A-Z ]+ _heroku) ?' \
    "$work/list" >"$work/wanted" || true
grep -E '^[0-9]+; [0-9]+ [0-9]+ EXTENSION ' "$work/list" >"$work/extension-list" || true
script() { pg_restore --no-acl --no-owner --file=- "$@" "$dump"; }

# Every extension with its schema.
: >"$work/extensions"
if [ -s "$work/extension-list" ]; then
    script --use-list="$work/extension-list" |
        sed -n 's/^CREATE EXTENSION IF NOT EXISTS \(.*\) WITH SCHEMA \(.*\);$/\1 \2/p' | tr -d '"' |
        while read -r name schema; do
            case "$skipped" in *" $name "*) continue ;; esac
            [ "$name" = plpgsql ] || echo "$name $schema"
        done >"$work/extensions"
fi

check_extension() { # NAME SCHEMA
    state=$(printf '%s\n' "SELECT coalesce((SELECT nspname FROM pg_extension JOIN pg_namespace n
        ON n.oid = extnamespace WHERE extname = :'name'), '-'), (SELECT count(*)
        FROM pg_available_extensions WHERE name = :'name')" | ask_target -v name="$1")
    case $state in
    "$2$tab"*) return 0 ;;
    "-${tab}0") fail "the target has no extension $1" \
        "go without it, where nothing uses it: --skip-extension $1" ;;
    "-$tab"*) ;;
    *) fail "the extension $1 is in schema ${state%%"$tab"*} of the target, but in $2 of the source" \
        "on the target: ALTER EXTENSION \"$1\" SET SCHEMA \"$2\"" ;;
    esac
    [ "$allowed" != '(any)' ] || return 0
    case ",$(printf '%s' "$allowed" | tr -d ' ' | tr '[:lower:]' '[:upper:]')," in
    *",$(printf '%s' "$1" | tr '[:lower:]' '[:upper:]'),"*) ;;
    *) fail "the server parameter azure.extensions does not allow $1" \
        "az postgres flexible-server parameter set --name azure.extensions --value '${allowed:+$allowed,}$1', with --server-name and --resource-group; or --skip-extension $1" ;;
    esac
}
while read -r name schema; do check_extension "$name" "$schema"; done <"$work/extensions"

# Their schemas are not dropped either, because the extensions would have to go first.
while read -r _ schema; do
    grep -vE "^[0-9]+; [0-9]+ [0-9]+ (SCHEMA -|COMMENT - SCHEMA) $schema( |$)" "$work/wanted" >"$work/fewer" || true
    mv "$work/fewer" "$work/wanted"
done <"$work/extensions"
[ -s "$work/wanted" ] || fail "there is nothing in $dump" 'check which database was dumped'

# The rows of every table and the state of every sequence, counted in the dump itself, because the
# source may have gone on: in COPY's text format a row is a line. Output: kind, name, value.
say 'counting what is in the dump'
{ script --data-only --use-list="$work/wanted" || echo failed >"$work/failed"; } | awk '
    copying && $0 == "\\." { print "table\t" name "\t" rows; copying = 0; next }
    copying { rows++; next }
    match($0, /^COPY ("([^"]|"")*"|[^ ."]+)(\.("([^"]|"")*"|[^ ."]+))? /) {
        name = substr($0, 6, RLENGTH - 6); rows = 0; copying = 1; next
    }
    /^SELECT pg_catalog\.setval\(\047/ {
        match($0, /\047, [0-9-]+, (true|false)\);$/)
        name = substr($0, 27, RSTART - 27); gsub(/\047\047/, "\047", name)
        state = substr($0, RSTART + 3); gsub(/,|\);/, "", state)
        print "sequence\t" name "\t" state
    }' | sort >"$work/expected"
[ ! -e "$work/failed" ] || fail "the data of $dump cannot be read" 'take the dump again'
tables=$(grep -c '^table' "$work/expected" || true)
promised=$(grep -cE '^[0-9]+; [0-9]+ [0-9]+ TABLE DATA ' "$work/wanted" || true)
[ "$tables" = "$promised" ] || fail "$promised tables have data in the dump, but only $tables can be counted" \
    'take the dump without --inserts'
rows=$(awk -F '\t' '$1 == "table" { rows += $3 } END { printf "%.0f", rows }' "$work/expected")
sequences=$(grep -c '^sequence' "$work/expected" || true)
say "dump:   $tables tables, $rows rows, $sequences sequences, from PostgreSQL ${version:-of unknown version}"

# --- The last question --------------------------------------------------------------------------------

# Turns lines of kind and name into queries: "SELECT kind, name, value FROM name".
queries() {
    awk -F '\t' '{
        name = $2; gsub(/\047/, "\047\047", name)
        value = $1 == "table" ? "count(*)" : "last_value || \047 \047 || is_called"
        printf "SELECT \047%s\047, \047%s\047, %s FROM %s%s;\n", $1, name, value, \
            ($1 == "table" ? "ONLY " : ""), $2
    }'
}
uncounted() { fail 'what the target has could not be counted' 'connect as the owner of its tables'; }
script --schema-only --clean --if-exists --use-list="$work/wanted" |
    sed -n "s/^DROP TABLE IF EXISTS \(.*\);\$/table$tab\1/p" >"$work/in-dump"
awk -F '\t' '{ name = $2; gsub(/\047/, "\047\047", name)
    printf "SELECT \047table\047, \047%s\047 WHERE to_regclass(\047%s\047) IS NOT NULL;\n", name, name }' \
    "$work/in-dump" | ask_target >"$work/in-the-way" || uncounted
queries <"$work/in-the-way" | ask_target >"$work/doomed" || uncounted
doomed_tables=$(awk 'END { print NR }' "$work/doomed")
doomed_rows=$(awk -F '\t' '{ rows += $3 } END { printf "%.0f", rows }' "$work/doomed")
others=$(ask_target -c "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p')
    AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'") || uncounted
[ "$sessions" = 0 ] ||
    say "note:   $sessions other sessions use the target; the restore waits for what they hold: stop the site"

say ''
if [ "$doomed_tables" = 0 ]; then
    say "NOTHING WILL BE DESTROYED: $where HAS NONE OF THESE TABLES."
else
    say "THIS WILL DESTROY $doomed_tables TABLES WITH $doomed_rows ROWS IN THE DATABASE $where:"
    awk -F '\t' '$3 > 0 { printf "  %s (%s rows)\n", $2, $3 }' "$work/doomed" | head -n 20
fi
[ "$others" -le "$doomed_tables" ] || say "$((others - doomed_tables)) other tables in it are left alone."
if [ -z "$sure" ]; then
    printf 'Type the name of the database, %s, to go on: ' "$target_name"
    read -r answer || misused 'nobody answered' 'say --yes where nobody can be asked'
    [ "$answer" = "$target_name" ] || fail 'that is not its name; nothing was touched' 'run it again'
fi

# --- The restore --------------------------------------------------------------------------------------

while read -r name schema; do
    printf '%s\n' 'CREATE SCHEMA IF NOT EXISTS :"schema"; CREATE EXTENSION IF NOT EXISTS :"name" WITH SCHEMA :"schema";' |
        PGOPTIONS='-c client_min_messages=warning' ask_target -v name="$name" -v schema="$schema" 2>"$work/complaint" ||
        fail "the extension $name cannot be made" \
            'connect as the administrator of the server, or say --skip-extension' "$(cat "$work/complaint")"
done <"$work/extensions"
say 'restoring, in one transaction'
on_target pg_restore --clean --if-exists --no-acl --no-owner --single-transaction \
    --use-list="$work/wanted" --dbname="$target_name" "$dump" 2>"$work/complaint" || {
    cause=$(cat "$work/complaint")
    case $cause in
    *'must be owner'* | *'permission denied'*) mend='connect as the owner of the database, with GRANT ALL ON SCHEMA public' ;;
    *'depend'*) mend='drop, on the target, what is named above and is not in the dump' ;;
    *'No space left'* | *'disk full'* | *'read-only'*) mend="give the server more storage: az postgres flexible-server update --storage-size" ;;
    *) mend='see the cause; the target is as it was' ;;
    esac
    fail 'the restore failed, and the target is as it was' "$mend" "$cause"
}

# --- The comparison -----------------------------------------------------------------------------------

say 'comparing'
queries <"$work/expected" | ask_target | sort >"$work/found" ||
    fail 'the target could not be counted' 'run it again'
if ! diff "$work/expected" "$work/found" >"$work/difference"; then
    fail "the target differs from the dump (< dump, > target)" \
        'is the site running on the target already? Stop it and run this again' \
        "$(grep '^[<>]' "$work/difference" | head -n 20)"
fi
on_target vacuumdb --analyze-only --quiet --dbname="$target_name" 2>/dev/null ||
    say 'note:   statistics could not be collected; say ANALYZE; on the target'
say ''
say "DONE: $tables tables, $rows rows and $sequences sequences are in $where, all the same as in the dump."
[ -z "$keep" ] || say "The dump is kept in $keep."
say "Next: set DATABASE_URL or PGHOST and its kin of the web app, and start it."
