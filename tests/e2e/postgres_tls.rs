//! The PostgreSQL leg before a real server with TLS: psycopg, asyncpg, psql and Django through it.

use std::sync::LazyLock;

use crate::support::eventually;
use crate::support::random::number_from_environment;
use crate::support::secure::{Secure, Tunnel};
use crate::support::start::Started;

/// Shared by tests that leave it as it is.
static CLUSTER: LazyLock<Secure> = LazyLock::new(Secure::start);

#[test]
fn psycopg_and_asyncpg_work_without_tls_and_the_server_sees_tls() {
    let tunnel = Tunnel::to(&CLUSTER);
    tunnel.session(&["psycopg"]);
    tunnel.session(&["asyncpg"]);
    assert!(!tunnel.written().contains("WARN"), "{}", tunnel.written());
}

#[test]
fn a_query_is_cancelled_over_a_connection_of_its_own() {
    let mut tunnel = Tunnel::to(&CLUSTER);
    tunnel.session(&["cancel"]);
    assert_eq!(tunnel.end(), Some(0));
    assert!(tunnel.written().contains("\"cancels\":2"), "{}", tunnel.written());
}

#[test]
fn what_is_copied_in_comes_out_the_same() {
    let mut tunnel = Tunnel::to(&CLUSTER);
    let size = number_from_environment("FOREBAY_TEST_COPY_MIB", 64);
    let told = tunnel.session(&["copy", &size.to_string()]);
    eprintln!("{told}");
    assert_eq!(tunnel.end(), Some(0));
    let written = tunnel.written();
    let (_, counted) = written.split_once("\"bytes_to_clients\":").unwrap();
    let counted: u64 = counted.split(',').next().unwrap().parse().unwrap();
    // The last line may be missing to the full size.
    assert!(counted + 2000 > size * 1024 * 1024, "{counted}");
}

#[test]
fn notices_arrive() {
    Tunnel::to(&CLUSTER).session(&["notify"]);
}

#[test]
fn two_hundred_sessions_are_carried_at_once() {
    let mut tunnel = Tunnel::to(&CLUSTER);
    tunnel.session(&["many", "200"]);
    assert_eq!(tunnel.end(), Some(0));
    assert!(tunnel.written().contains("\"sessions\":200,\"failed\":0"), "{}", tunnel.written());
}

#[test]
fn a_server_that_starts_again_ends_its_sessions_with_its_own_words_and_takes_new_ones() {
    let cluster = Secure::start();
    let tunnel = Tunnel::to(&cluster);
    std::thread::scope(|scope| {
        let session = scope.spawn(|| tunnel.session(&["psycopg"]));
        session.join().unwrap();
    });
    let sleeping = std::thread::scope(|scope| {
        let sleeping = scope.spawn(|| tunnel.psql("SELECT pg_sleep(60)"));
        eventually("it sleeps", || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(6%' \
                       AND pid <> pg_backend_pid()";
            (cluster.query(sql) == "1").then_some(())
        });
        cluster.control("restart -m fast");
        sleeping.join().unwrap()
    });
    let said = String::from_utf8_lossy(&sleeping.stderr).into_owned();
    assert!(said.contains("terminating connection due to administrator command"), "{said}");
    tunnel.session(&["psycopg"]);
    cluster.control("stop -m fast");
    let said = String::from_utf8_lossy(&tunnel.psql("SELECT 1").stderr).into_owned();
    assert!(said.contains("FATAL:  forebay: localhost:"), "{said}");
    assert!(said.contains("refuses the connection: nobody listens there"), "{said}");
    cluster.control("start");
    tunnel.session(&["psycopg"]);
}

#[test]
fn a_server_that_is_not_believed_gets_nothing_and_the_client_is_told_why() {
    let cluster = Secure::start();
    let path = |name: &str| format!("{}/{name}", cluster.directory);
    let said = |tunnel: &Tunnel| {
        let output = tunnel.psql("SELECT 1");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let unknown = said(&Tunnel::with(&cluster, &[]));
    let authority = "comes from `The Authority of the Tests`, which leads to no known root";
    assert!(unknown.contains(authority) && unknown.contains("HINT:"), "{unknown}");
    let other = ["--postgres-ca-only", "on", "--postgres-ca", &path("self.pem")];
    let other = said(&Tunnel::with(&cluster, &other));
    assert!(other.contains(authority), "{other}");
    for (certificate, words) in [
        ("name", "is not for `localhost` but for `db.example.com`, `*.example.net`"),
        ("expired", "has expired"),
        ("self", "has a certificate that it issued itself"),
    ] {
        cluster.set(&[
            ("ssl_cert_file", &path(&format!("{certificate}.pem"))),
            ("ssl_key_file", &path(&format!("{certificate}.key"))),
        ]);
        let told = said(&Tunnel::to(&cluster));
        assert!(told.contains(words) && told.contains("HINT:"), "{certificate}: {told}");
    }
    // By the name that it has, the one of another name is believed.
    cluster.set(&[("ssl_cert_file", &path("name.pem")), ("ssl_key_file", &path("name.key"))]);
    let flags = ["--postgres-ca", &cluster.authority(), "--postgres-server-name", "a.example.net"];
    Tunnel::with(&cluster, &flags).session(&["psycopg"]);
    // Version 15 has no TLS without a request before it.
    if cluster.query("SHOW server_version_num").parse::<u32>().unwrap() < 170_000 {
        let flags = [&flags[..], &["--postgres-negotiation", "direct"]].concat();
        let told = said(&Tunnel::with(&cluster, &flags));
        assert!(told.contains("takes no TLS without a request before it"), "{told}");
    }
    cluster.set(&[("ssl", "off")]);
    let told = said(&Tunnel::to(&cluster));
    assert!(told.contains("has no TLS"), "{told}");
}

#[test]
fn a_server_of_old_tls_is_told_so() {
    let cluster = Secure::start();
    cluster.set(&[
        ("ssl_min_protocol_version", "TLSv1"),
        ("ssl_max_protocol_version", "TLSv1.1"),
        ("ssl_ciphers", "ALL@SECLEVEL=0"),
    ]);
    let output = Tunnel::to(&cluster).psql("SELECT 1");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("speaks no TLS of version 1.2 or 1.3"), "{said}");
    assert!(said.contains("ssl_min_protocol_version"), "{said}");
}

#[test]
fn the_servers_own_limit_reaches_the_client_and_the_log() {
    let cluster = Secure::start();
    cluster.set(&[("max_connections", "5"), ("superuser_reserved_connections", "0")]);
    let tunnel = Tunnel::to(&cluster);
    let sleeping: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..12).map(|_| scope.spawn(|| tunnel.psql("SELECT pg_sleep(3)"))).collect();
        all.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let refused = sleeping.iter().filter(|it| {
        String::from_utf8_lossy(&it.stderr).contains("sorry, too many clients already")
    });
    assert!(refused.count() > 0);
    assert!(tunnel.written().contains("has no connection left"), "{}", tunnel.written());
}

#[test]
fn djangos_migrations_and_its_requests_go_through_the_leg_of_forebay_run() {
    let cluster = Secure::start();
    let procfile = "release: python manage.py migrate && python manage.py migrate --run-syncdb
web: gunicorn mysite.wsgi --no-control-socket
";
    let port = cluster.port.to_string();
    let variables = [
        ("DJANGO_SETTINGS_MODULE", "mysite.settings"),
        ("FOREBAY_POSTGRES", "auto"),
        ("FOREBAY_POSTGRES_CA", &cluster.authority()),
        ("DATABASE_URL", &format!("postgres://postgres:p%24x@localhost:{port}/postgres")),
        ("PGHOST", "localhost"),
        ("PGPORT", &port),
        ("PGUSER", "postgres"),
        ("PGDATABASE", "postgres"),
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", "/no/such/file.pem"),
    ];
    let mut site = Started::new(procfile, &[], &variables);
    site.wait_for("DATABASE_URL PGHOST PGPORT PGSSLMODE PGSSLROOTCERT", 1);
    // One after the other: each step has a deadline of its own.
    for step in ["Applying sessions", "Creating table djstripe_account", "the application is ready"]
    {
        site.wait_for(step, 1);
    }
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'djstripe_%'";
    assert!(cluster.query(tables).parse::<u32>().unwrap() > 20, "{}", cluster.query(tables));
    assert!(!site.written().contains("p%24x"), "no password in the log");
    site.signal("TERM");
    assert_eq!(site.wait().code(), Some(0));
    let written = site.written();
    let (_, sessions) = written.split_once("\"sessions\":").unwrap();
    assert!(sessions.split(',').next().unwrap().parse::<u32>().unwrap() > 0, "{written}");
    assert!(written.contains("\"cut_sessions\":0"), "{written}");
    assert!(written.contains("PostgreSQL over TLS ended"), "it ends last, and says so");
    assert_eq!(site.processes(), 0);
}
