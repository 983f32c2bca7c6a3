//! Reads the settings of the leg to a PostgreSQL server.
//!
//! Owns: their form, and what they must be together.
//! Must not know: where a text comes from.

use std::net::IpAddr;
use std::path::PathBuf;

use rustls::pki_types::ServerName;

use super::source::Sources;
use super::value;
use crate::postgres;
use crate::postgres_tls::{self, Believed, Negotiation, PORT, Place, Target};
use crate::postgres_tls::{socket_port, variables};

/// Reads them; nothing where no server is named, or something is at fault.
pub(super) fn read(
    sources: &mut Sources,
    database_url: Option<&str>,
) -> Option<postgres_tls::Settings> {
    let server = sources.read_all("postgres", |text| target(text, database_url));
    let listen = sources.read_all("postgres-listen", place);
    let is_exposed = sources.read("postgres-exposed", value::switch);
    let changes_variables = sources.read("postgres-env", value::switch);
    let files = sources.read_all("postgres-ca", file);
    let is_all = sources.read("postgres-ca-only", value::switch);
    let names = sources.read_all("postgres-server-name", name);
    let negotiation = sources.read("postgres-negotiation", |text| match text {
        "postgres" => Ok(Negotiation::Postgres),
        "direct" => Ok(Negotiation::Direct),
        _ => Err("write `postgres` or `direct`".to_owned()),
    });
    let limit = sources.read("postgres-connections", value::count::<1, 100_000>);
    let connect_deadline = sources.read("postgres-connect-deadline", value::deadline);
    let listen = listen?.into_iter().next_back();
    if listen.as_ref().is_some_and(|place| !place.is_private()) && is_exposed == Some(false) {
        let why = "choose an address of this machine alone, such as `127.0.0.1:5432`; if passwords \
                   may cross that network in the clear, say --postgres-exposed on";
        sources.fault("postgres-listen", why);
    }
    let (files, is_all) = (files?, is_all?);
    if is_all && files.is_empty() {
        sources.fault("postgres-ca-only", "name a file of roots with --postgres-ca");
    }
    let server = server?.into_iter().next_back()?;
    let own_name = names?.into_iter().next_back();
    let Some(name) = own_name.or_else(|| name(&server.host).ok()) else {
        sources.fault("postgres", "name the server's certificate with --postgres-server-name");
        return None;
    };
    Some(postgres_tls::Settings {
        server,
        listen,
        believed: Believed { files, is_all },
        name,
        negotiation: negotiation?,
        limit: limit?,
        connect_deadline: connect_deadline?,
        changes_variables: changes_variables?,
    })
}

/// `HOST`, `HOST:PORT` or `auto`.
fn target(text: &str, database_url: Option<&str>) -> Result<Target, String> {
    let wrong = || {
        "write the server's name and perhaps its port, such as \
         `example.postgres.database.azure.com` or `example.postgres.database.azure.com:6432`"
            .to_owned()
    };
    if text == "auto" {
        let url = database_url
            .ok_or("there is no DATABASE_URL to take the server from; name it by its host")?;
        return variables::server_of(url)
            .map_err(|why| format!("DATABASE_URL gives no server ({why}); name it by its host"));
    }
    if text.contains("://") {
        return Err("write the host alone, or `auto` to take it from DATABASE_URL".to_owned());
    }
    let (host, port) = match text.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, rest)) => (address, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
        None if text.matches(':').count() > 1 => (text, None),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port.map(str::parse) {
        None => PORT,
        Some(Ok(port @ 1..)) => port,
        Some(_) => return Err(wrong()),
    };
    name(host).map_err(|_| wrong())?;
    Ok(Target { host: host.to_owned(), port })
}

/// `HOST:PORT` with an IP address or `localhost`, or `unix:/dir/.s.PGSQL.PORT`.
fn place(text: &str) -> Result<Place, String> {
    let Some(path) = text.strip_prefix("unix:") else {
        return value::listen(text).map(Place::Tcp).map_err(|_| {
            "write `127.0.0.1:5432`, or `unix:/dir/.s.PGSQL.5432` for a unix socket".to_owned()
        });
    };
    let path = PathBuf::from(path);
    if !path.is_absolute() || socket_port(&path).is_none() {
        return Err("clients look for a unix socket in a directory by a name with a port: write \
                    `unix:/dir/.s.PGSQL.5432`"
            .to_owned());
    }
    // sockaddr_un has room for 108 bytes on Linux, with the NUL.
    if text.len() - "unix:".len() > 107 {
        return Err("choose a directory with a shorter name: all has 107 bytes at most".to_owned());
    }
    Ok(Place::Unix(path))
}

fn file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_file() { Ok(path) } else { Err("name a file with certificates in PEM form".into()) }
}

/// A name or an IP address.
fn name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.to_owned()).map_err(|_| {
        "write a host's name, such as `example.postgres.database.azure.com`".to_owned()
    })
}

/// The database itself where the variables name the leg or its server, believed as the leg believes it:
/// what they say of TLS is not for those who go through the leg, and may name files that are not there.
pub fn past_the_leg(
    mut target: postgres::Target,
    leg: Option<&postgres_tls::Settings>,
) -> postgres::Target {
    let Some(leg) = leg else { return target };
    let Target { host, port } = &leg.server;
    if target.places.iter().all(|place| leads_to(place, leg)) {
        target.places = vec![postgres::Place::Tcp { host: host.clone(), port: *port }];
        target.mode = postgres::Mode::Always;
        let Believed { files, is_all } = leg.believed.clone();
        let name = Some(leg.name.to_str().into_owned());
        target.trust = postgres::Trust { files, is_all, name };
    }
    target
}

/// Whether a place is the leg's server, or the leg.
fn leads_to(place: &postgres::Place, leg: &postgres_tls::Settings) -> bool {
    let postgres::Place::Tcp { host, port } = place else { return false };
    let server = &leg.server;
    if host.eq_ignore_ascii_case(&server.host) {
        return *port == server.port;
    }
    let own = match &leg.listen {
        None => Some(server.port),
        Some(Place::Tcp(address)) => Some(address.port()),
        Some(Place::Unix(_)) => None,
    };
    let is_here = |host: &str| {
        let address = host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        address || host.eq_ignore_ascii_case("localhost")
    };
    is_here(host) && !is_here(&server.host) && own == Some(*port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_goes_past_the_leg_to_its_server_and_nobody_else_is_led_there() {
        let leg = postgres_tls::Settings {
            server: Target { host: "db.example.com".to_owned(), port: 6432 },
            listen: None,
            believed: Believed { files: vec!["/ca.pem".into()], is_all: true },
            name: ServerName::try_from("other.example.com").unwrap(),
            negotiation: Negotiation::Postgres,
            limit: 1,
            connect_deadline: std::time::Duration::from_secs(1),
            changes_variables: true,
        };
        for (url, is_led) in [
            ("postgres://u:p@db.example.com:6432/d?sslmode=disable", true),
            ("postgres://u:p@DB.example.com:6432/d?sslrootcert=/gone.pem", true),
            ("postgres://u:p@127.0.0.1:6432/d", true),
            ("postgres://u:p@localhost:6432/d", true),
            ("postgres://u:p@127.0.0.1:5432/d", false),
            ("postgres://u:p@db.example.com:5432/d", false),
            ("postgres://u:p@%2Frun/d", false),
        ] {
            let variables = [("DATABASE_URL".to_owned(), url.to_owned())].into();
            let found = postgres::find(&postgres::Choice::Auto, &variables).unwrap();
            let postgres::Found::Database { target, .. } = found else { panic!("{found:?}") };
            let led = past_the_leg(target.clone(), Some(&leg));
            if is_led {
                assert_eq!(led.to_string(), "database `d` of db.example.com:6432 as `u`", "{url}");
                assert_eq!(led.mode, postgres::Mode::Always, "{url}");
                let name = Some("other.example.com".to_owned());
                let files = vec!["/ca.pem".into()];
                assert_eq!(led.trust, postgres::Trust { files, is_all: true, name }, "{url}");
            } else {
                assert_eq!(led, target, "{url}");
            }
            assert_eq!(past_the_leg(target.clone(), None), target);
        }
    }

    #[test]
    fn a_server_has_a_host_and_perhaps_a_port() {
        for (text, expected) in [
            ("db.example.com", "db.example.com:5432"),
            ("db.example.com:6432", "db.example.com:6432"),
            ("10.0.0.4", "10.0.0.4:5432"),
            ("::1", "[::1]:5432"),
            ("[::1]:6432", "[::1]:6432"),
            ("[::1]", "[::1]:5432"),
            ("auto", "a.example.com:7"),
        ] {
            let found = target(text, Some("postgres://u:p@a.example.com:7/site"));
            assert_eq!(found.unwrap().to_string(), expected, "{text}");
        }
        for text in
            ["", ":5432", "db:0", "db:x", "db:", "[::1]5432", "postgres://db", "a b", "auto"]
        {
            assert!(target(text, Some("sqlite:///x")).is_err(), "{text}");
        }
        assert!(target("auto", None).unwrap_err().contains("there is no DATABASE_URL"));
    }

    #[test]
    fn a_place_is_a_port_or_a_socket_that_libpq_finds() {
        for text in ["127.0.0.1:5432", "[::1]:5432", "unix:/run/.s.PGSQL.5432"] {
            assert_eq!(place(text).unwrap().to_string(), text);
        }
        assert_eq!(place("localhost:1").unwrap().to_string(), "127.0.0.1:1");
        let long = format!("unix:/{}/.s.PGSQL.5432", "x".repeat(93));
        for text in ["5432", "unix:.s.PGSQL.5432", "unix:/run/pg.sock", "db:5432", "", &long] {
            assert!(place(text).is_err(), "{text}");
        }
    }
}
