//! `deploy/heroku-to-azure.sh` between two real servers, with a Django and dj-stripe database.
//!
//! The source is the cluster of the other tests; the target wants TLS and a password, as Azure does.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use crate::support::database::{self, Cluster};
use crate::support::tree::Tree;
use crate::support::{free_port, fresh_number, python_program, sources};

/// A password with what a URL has a meaning for, and how a URL has it.
const PASSWORD: (&str, &str) = ("p@s/w:r%d", "p%40s%2Fw%3Ar%25d");

struct Azure {
    cluster: Cluster,
    port: String,
}

static AZURE: LazyLock<Azure> = LazyLock::new(|| {
    let port = free_port().to_string();
    let flags = format!("-c listen_addresses=localhost -c port={port}");
    let cluster = Cluster::start(&flags);
    let script = sources().join("support/certify.sh");
    let ran = Command::new("sh").arg(script).args([&cluster.directory, &port]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let azure = Azure { cluster, port };
    azure.ask("postgres", &format!("CREATE ROLE mover LOGIN PASSWORD '{}'", PASSWORD.0));
    azure
});

impl Azure {
    /// What `psql` prints for an SQL text, as the superuser.
    fn ask(&self, database: &str, sql: &str) -> String {
        psql(&self.cluster.directory, &self.port, database, sql)
    }

    /// An empty database of the role that moves; its name.
    fn database(&self) -> String {
        let name = format!("moved_{}", fresh_number());
        self.ask("postgres", &format!("CREATE DATABASE {name} OWNER mover"));
        name
    }

    fn url(&self, name: &str) -> String {
        format!("postgres://mover:{}@localhost:{}/{name}?sslmode=require", PASSWORD.1, self.port)
    }

    fn authority(&self) -> String {
        format!("{}/authority.pem", self.cluster.directory)
    }
}

fn psql(host: &str, port: &str, database: &str, sql: &str) -> String {
    let mut psql = Command::new("psql");
    psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, "-U", "postgres"]);
    let output = psql.args(["-d", database, "-c", sql]).output().unwrap();
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// A database as Heroku has it, on the other tests' cluster; its name.
static HEROKU: LazyLock<String> = LazyLock::new(|| {
    let name = format!("heroku_{}", fresh_number());
    database::query(&format!("CREATE DATABASE {name}"));
    database::prepare(database::directory(), &name);
    heroku(
        &name,
        r#"CREATE SCHEMA heroku_ext;
        CREATE EXTENSION citext WITH SCHEMA heroku_ext;
        CREATE EXTENSION hstore;
        CREATE SCHEMA _heroku;
        CREATE TABLE _heroku.theirs (id int);
        CREATE SCHEMA shop;
        CREATE TABLE shop."It's (an) ""Order""" (id serial PRIMARY KEY, mail heroku_ext.citext, text text);
        INSERT INTO shop."It's (an) ""Order""" (mail, text) SELECT 'a@example.com', e'one\ttwo\n\\.\n\\N' FROM generate_series(1, 1000);
        CREATE TABLE parts (id int, place text) PARTITION BY LIST (place);
        CREATE TABLE parts_here PARTITION OF parts FOR VALUES IN ('here');
        INSERT INTO parts VALUES (1, 'here'), (2, 'here');
        CREATE SEQUENCE untouched;
        CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM parts;"#,
    );
    name
});

fn heroku(name: &str, sql: &str) -> String {
    psql(database::directory(), "5432", name, sql)
}

fn heroku_url() -> String {
    format!("postgres://postgres@{}/{}", database::directory().replace('/', "%2F"), *HEROKU)
}

/// A dump of it in the given format.
fn dumped(tree: &Tree, format: &str) -> String {
    let file = tree.path(format);
    let host = database::directory();
    let mut dump = Command::new("pg_dump");
    dump.args(["-h", host, "-U", "postgres", "-f", &file, "-F", format, &HEROKU]);
    assert!(dump.status().unwrap().success());
    file
}

struct Moved {
    code: Option<i32>,
    /// Standard output and standard error.
    text: String,
}

/// Runs the script with the authority of the target and an answer to its question.
fn moved(arguments: &[&str], answer: &str, path: Option<&Path>) -> Moved {
    let before = path.map_or_else(String::new, |path| format!("{}:", path.display()));
    let mut script =
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/heroku-to-azure.sh"))
            .args(["--ca", &AZURE.authority()])
            .args(arguments)
            .env_clear()
            .env("PATH", format!("{before}/usr/bin:/bin"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    // A script that has ended early reads nothing.
    drop(script.stdin.take().unwrap().write_all(answer.as_bytes()));
    let Output { status, stdout, stderr } = script.wait_with_output().unwrap();
    let text = String::from_utf8([stdout, stderr].concat()).unwrap();
    for secret in [PASSWORD.0, PASSWORD.1] {
        assert!(!text.contains(secret), "a password: {text}");
    }
    Moved { code: status.code(), text }
}

/// All rows of Django's models, by Django itself.
fn django_sees(host: &str, port: &str, name: &str) -> String {
    let mut dumpdata = Command::new(python_program("python"));
    dumpdata.args(["-B", "manage.py", "dumpdata", "--all"]).current_dir(sources().join("site"));
    dumpdata.env_clear().env("PGUSER", "postgres").env("PGDATABASE", name);
    let output = dumpdata.env("PGHOST", host).env("PGPORT", port).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const ORDERS: &str = r#"SELECT md5(string_agg(o::text, '' ORDER BY id)) || (SELECT count FROM seen)
    || nextval('untouched') FROM shop."It's (an) ""Order""" o"#;

#[test]
fn a_django_database_moves_with_every_row_and_can_be_moved_again() {
    let (azure, name) = (&*AZURE, AZURE.database());
    let (from, to) = (heroku_url(), azure.url(&name));
    let first = moved(&["--from", &from, "--to", &to, "--yes"], "", None);
    assert_eq!(first.code, Some(0), "{}", first.text);
    for part in ["TLS verified", "NOTHING WILL BE DESTROYED", "DONE: ", "all the same"] {
        assert!(first.text.contains(part), "{part}: {}", first.text);
    }
    let host = azure.cluster.directory.as_str();
    let source = django_sees(database::directory(), "5432", &HEROKU);
    assert!(source.contains("we_e2e") && source.contains("alice"));
    assert_eq!(django_sees(host, &azure.port, &name), source);
    assert_eq!(azure.ask(&name, ORDERS), heroku(&HEROKU, ORDERS));
    assert_eq!(
        azure.ask(&name, "SELECT count(*) FROM pg_namespace WHERE nspname = '_heroku'"),
        "0"
    );

    // A second time over what is there, and over what has been written meanwhile.
    azure.ask(&name, "UPDATE auth_user SET username = 'mallory'; CREATE TABLE mine (id int)");
    let again = ["--from", &from, "--to", &to];
    let nobody = moved(&again, "", None);
    assert_eq!(nobody.code, Some(2), "{}", nobody.text);
    let wrong = moved(&again, "yes\n", None);
    assert!(wrong.code == Some(1) && wrong.text.contains("nothing was touched"), "{}", wrong.text);
    assert_eq!(azure.ask(&name, "SELECT username FROM auth_user"), "mallory");
    let second = moved(&again, &format!("{name}\n"), None);
    assert_eq!(second.code, Some(0), "{}", second.text);
    for part in ["THIS WILL DESTROY ", "auth_user (1 rows)", "1 other tables in it are left alone"]
    {
        assert!(second.text.contains(part), "{part}: {}", second.text);
    }
    assert_eq!(django_sees(host, &azure.port, &name), source);
    assert_eq!(azure.ask(&name, "SELECT count(*) FROM mine"), "0");
}

#[test]
fn heroku_s_own_backup_is_captured_downloaded_and_kept() {
    let (azure, name, tree) = (&*AZURE, AZURE.database(), Tree::fresh());
    let (dump, kept) = (dumped(&tree, "c"), tree.path("kept"));
    // In the place of Heroku's program: it takes only what that one is documented to take.
    let bin = tree.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let heroku = format!("{bin}/heroku");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n'pg:backups:capture --app shop') echo captured ;;\n\
         'pg:backups:download --app shop --output {kept}') cp {dump} {kept} ;;\n*) exit 9 ;;\nesac\n"
    );
    fs::write(&heroku, script).unwrap();
    fs::set_permissions(&heroku, fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = ["--app", "shop", "--to", &azure.url(&name), "--keep", &kept, "--yes"];
    let ran = moved(&arguments, "", Some(Path::new(&bin)));
    assert_eq!(ran.code, Some(0), "{}", ran.text);
    assert!(ran.text.contains("captured") && ran.text.contains("DONE: "), "{}", ran.text);
    assert_eq!(fs::read(kept).unwrap(), fs::read(dump).unwrap());
    assert_eq!(azure.ask(&name, "SELECT username FROM auth_user"), "alice");
}

#[test]
fn what_would_go_wrong_is_said_before_anything_is_touched() {
    let (azure, name, tree) = (&*AZURE, AZURE.database(), Tree::fresh());
    let (from, to, port) = (heroku_url(), azure.url(&name), azure.port.as_str());
    let dump = dumped(&tree, "c");
    let (later, plain) = (tree.path("later"), dumped(&tree, "p"));
    let bytes = fs::read(&dump).unwrap();
    let version = database::query("SHOW server_version");
    let at = bytes.windows(version.len()).position(|part| part == version.as_bytes()).unwrap();
    let other = [&bytes[..at], b"99", &bytes[at + 2..]].concat();
    fs::write(&later, other).unwrap();
    let itself = format!("postgres://postgres:x@localhost:{port}/{name}");
    azure.ask("postgres", "ALTER ROLE postgres PASSWORD 'x'");
    let to_itself = format!("{itself}?sslmode=require");
    let limited = azure.database();
    azure.ask("postgres", &format!("ALTER DATABASE {limited} SET azure.extensions = 'CITEXT'"));
    let [single, bouncer, wrong, absent, elsewhere] = [
        to.replace("mover:", "mover%40server:"),
        to.replace(&format!(":{port}/"), ":6432/"),
        to.replace(PASSWORD.1, "guess"),
        to.replace(&name, "absent"),
        to.replace("@localhost", "@127.0.0.1"),
    ];
    let wants: [(&[&str], i32, &str, &str); 13] = [
        (&["--to", &to], 2, "no source is given", "--app NAME"),
        (&["--from", &from, "--dump", &dump, "--to", &to], 2, "more than one source", "one of"),
        (&["--from", &from, "--to", &single], 2, "has a server in it", "`mover` alone"),
        (&["--from", &from, "--to", &bouncer], 2, "PgBouncer", "5432"),
        (&["--from", &from, "--to", &wrong], 1, "password authentication failed", "%40 for @"),
        (&["--from", &from, "--to", &absent], 1, "does not exist", "db create"),
        (&["--from", &from, "--to", &elsewhere], 1, "does not match host name", "full name"),
        (&["--from", &to_itself, "--to", &itself], 1, "the same database", "another target"),
        (&["--from", &from, "--to", &to, "--keep", "/proc/dump"], 1, "has 0 free", "more room"),
        (&["--dump", &later, "--to", &to], 1, "the source is PostgreSQL 99", "--version 99"),
        (&["--dump", &plain, "--to", &to], 1, "is plain SQL", "--format=custom"),
        (&["--dump", "/dev/null", "--to", &to], 1, "cannot read /dev/null", "download it again"),
        (&["--dump", &dump, "--to", &azure.url(&limited)], 1, "hstore", "'CITEXT,hstore'"),
    ];
    for (arguments, code, error, mend) in wants {
        let ran = moved(&[arguments, &["--yes"]].concat(), "", None);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.text);
        let (said, mended) =
            ran.text.rsplit_once("mend:").unwrap_or_else(|| panic!("{}", ran.text));
        assert!(said.contains("error: ") && said.contains(error), "{error}: {}", ran.text);
        assert!(mended.contains(mend), "{mend}: {}", ran.text);
    }
    for name in [&name, &limited] {
        let tables = "SELECT count(*) FROM pg_tables WHERE tableowner = 'mover'";
        assert_eq!(azure.ask(name, tables), "0", "{name}");
    }
    let without = ["--dump", &dump, "--to", &azure.url(&limited), "--yes"];
    let without = moved(&[&without[..], &["--skip-extension", "hstore"]].concat(), "", None);
    assert_eq!(without.code, Some(0), "{}", without.text);
}

#[test]
fn a_restore_that_fails_leaves_the_target_as_it_was() {
    let (azure, name, tree) = (&*AZURE, AZURE.database(), Tree::fresh());
    let table = "CREATE TABLE auth_user (username text); ALTER TABLE auth_user OWNER TO mover;";
    azure.ask(&name, &format!("{table} INSERT INTO auth_user VALUES ('mallory')"));
    azure.ask(&name, "CREATE VIEW names AS SELECT username FROM auth_user");
    let dump = dumped(&tree, "c");
    let ran = moved(&["--dump", &dump, "--to", &azure.url(&name), "--yes"], "", None);
    assert_eq!(ran.code, Some(1), "{}", ran.text);
    for part in ["the target is as it was", "view public.names depends on table", "mend:  drop"] {
        assert!(ran.text.contains(part), "{part}: {}", ran.text);
    }
    assert_eq!(azure.ask(&name, "SELECT username FROM names"), "mallory");
    let tables = azure.ask(&name, "SELECT count(*) FROM pg_tables WHERE tableowner = 'mover'");
    assert_eq!(tables, "1");
}

#[test]
fn a_row_that_is_missing_afterwards_is_noticed() {
    let (azure, name, tree) = (&*AZURE, AZURE.database(), Tree::fresh());
    // Indexes and constraints come after the rows.
    azure.ask(
        &name,
        "CREATE FUNCTION lose() RETURNS event_trigger LANGUAGE plpgsql AS
            $$ BEGIN DELETE FROM public.parts WHERE id = 2; END $$;
        CREATE EVENT TRIGGER lose ON ddl_command_end WHEN TAG IN ('CREATE INDEX')
            EXECUTE FUNCTION lose()",
    );
    let dump = dumped(&tree, "c");
    let ran = moved(&["--dump", &dump, "--to", &azure.url(&name), "--yes"], "", None);
    assert_eq!(ran.code, Some(1), "{}", ran.text);
    for part in
        ["differs from the dump", "< table\tpublic.parts_here\t2", "> table\tpublic.parts_here\t1"]
    {
        assert!(ran.text.contains(part), "{part}: {}", ran.text);
    }
}
