//! The variables that name a PostgreSQL server, changed so that they name the leg.
//!
//! Owns: the forms in which a server is named, what is changed in them. Pure.
//! Must not know: where variables come from, who gets them.
//!
//! What does not name the server stays byte for byte, and so do user, password and database.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;

use super::{PORT, Place, Target};

/// Variables by name.
type Variables = BTreeMap<OsString, OsString>;

/// The variables that are to be set anew, in order of their names: URLs and connection strings that
/// name the server, `…HOST` whose value is the server with its `…PORT`, and libpq's own that would
/// make a client insist on TLS, which ends in the leg.
pub fn pointing_at(place: &Place, server: &Target, variables: &Variables) -> Variables {
    let mut changed = Variables::new();
    for (name, value) in variables {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
        if name.starts_with("FOREBAY_") {
            continue;
        }
        if let Some(text) = url(value, server, place).or_else(|| words(value, server, place)) {
            changed.insert(name.into(), text.into());
        } else if let Some(prefix) = names_host(name, value, server) {
            pair(&mut changed, (prefix, name), variables, (server, place));
        }
    }
    if !changed.is_empty() {
        for (name, value) in LIBPQ {
            if variables.contains_key(OsStr::new(name)) {
                changed.insert(name.into(), value.into());
            }
        }
    }
    changed
}

/// What libpq takes from the environment where nobody says else, and what lets it do without TLS.
const LIBPQ: [(&str, &str); 6] = [
    ("PGSSLMODE", "disable"),
    ("PGSSLROOTCERT", ""),
    ("PGSSLNEGOTIATION", "postgres"),
    ("PGCHANNELBINDING", "prefer"),
    ("PGREQUIRESSL", "0"),
    ("PGHOSTADDR", ""),
];

/// What a name with a host's value has in front of `HOST`.
fn names_host<'a>(name: &'a str, value: &str, server: &Target) -> Option<&'a str> {
    let prefix = ["HOSTNAME", "HOST", "SERVER"].iter().find_map(|end| name.strip_suffix(end))?;
    is_host(value, server).then_some(prefix)
}

/// Changes a host and what belongs to it, unless its port is another server's.
fn pair(
    changed: &mut Variables,
    (prefix, name): (&str, &str),
    variables: &Variables,
    (server, place): (&Target, &Place),
) {
    let port_name = OsString::from(format!("{prefix}PORT"));
    let port = variables.get(&port_name);
    if port.is_some_and(|it| !it.is_empty() && *it != *server.port.to_string()) {
        return;
    }
    changed.insert(name.into(), place.host().into());
    // Where there is no such variable, the usual port is meant.
    if port.is_some_and(|it| !it.is_empty()) || place.port() != PORT {
        changed.insert(port_name, place.port().to_string().into());
    }
    for end in ["SSLMODE", "SSL_MODE"] {
        let mode = OsString::from(format!("{prefix}{end}"));
        if variables.contains_key(&mode) {
            changed.insert(mode, "disable".into());
        }
    }
}

fn is_host(text: &str, server: &Target) -> bool {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    !bare.is_empty() && bare.eq_ignore_ascii_case(&server.host)
}

fn is_port(text: &str, server: &Target) -> bool {
    if text.is_empty() { server.port == PORT } else { text.parse() == Ok(server.port) }
}

/// The parts of a URL, together the whole of it.
#[derive(Clone, Copy, Debug)]
struct Parts<'a> {
    scheme: &'a str,
    /// With its `@`, or empty.
    user: &'a str,
    host: &'a str,
    /// Without its `:`.
    port: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    /// With its `#`, or empty.
    fragment: &'a str,
}

/// Takes a URL of PostgreSQL apart (RFC 3986 §3); nothing where it is another.
fn parts(text: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    let is_postgres =
        scheme.split('+').any(|it| SCHEMES.iter().any(|of| it.eq_ignore_ascii_case(of)));
    if !is_postgres {
        return None;
    }
    let (rest, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let (user, place) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    // An IPv6 address has its colons in brackets.
    let port_at = place.rfind(':').filter(|at| place.rfind(']').is_none_or(|end| end < *at));
    let (host, port) = place.split_at(port_at.unwrap_or(place.len()));
    let port = port.strip_prefix(':').unwrap_or_default();
    Some(Parts { scheme, user, host, port, path, query, fragment })
}

/// The names under which URLs of PostgreSQL go: libpq's, dj-database-url's, and those that have a
/// driver or a library beside it, as `postgresql+psycopg` and `db+postgresql`.
const SCHEMES: [&str; 7] =
    ["postgres", "postgresql", "postgis", "pgsql", "psql", "timescale", "timescalegis"];

/// The server that a URL names.
///
/// # Errors
///
/// Why it names none.
pub fn server_of(url: &str) -> Result<Target, &'static str> {
    let parts = parts(url).ok_or("it is no URL of PostgreSQL")?;
    if parts.host.contains(',') {
        return Err("it names several servers");
    }
    let host = parts.host.trim_matches(['[', ']']);
    if host.is_empty() || host.contains('%') {
        return Err("it names no host but a unix socket, or none");
    }
    let port = match parts.port {
        "" => PORT,
        text => text.parse().map_err(|_| "its port is no number from 1 to 65535")?,
    };
    Ok(Target { host: host.to_owned(), port })
}

/// The URL with the leg in the server's place; nothing where it names another.
fn url(text: &str, server: &Target, place: &Place) -> Option<String> {
    let parts = parts(text)?;
    let is_named = is_host(parts.host, server) && is_port(parts.port, server);
    let item = |wanted: &str| {
        let items = parts.query.into_iter().flat_map(|query| query.split('&'));
        items.filter_map(|it| it.split_once('=')).find(|(name, _)| *name == wanted)
    };
    // libpq takes them from the query as well.
    let in_query = parts.host.is_empty()
        && item("host").is_some_and(|(_, host)| is_host(host, server))
        && is_port(item("port").map_or("", |(_, port)| port), server);
    if !is_named && !in_query {
        return None;
    }
    let Parts { scheme, user, path, fragment, .. } = parts;
    let (host, port) = (encoded(&place.host()), place.port());
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let mut query: Vec<_> = parts
        .query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter(|item| !item.is_empty())
        .filter(|item| !asks_for_tls(item.split('=').next().unwrap_or_default()))
        .filter(|item| !in_query || !["host=", "port="].iter().any(|it| item.starts_with(it)))
        .collect();
    let has_driver = |name: &str| scheme.split('+').any(|it| it.eq_ignore_ascii_case(name));
    // These drivers have words of their own.
    query.extend(match () {
        () if has_driver("asyncpg") => Some("ssl=disable"),
        () if has_driver("pg8000") => None,
        () => Some("sslmode=disable"),
    });
    let mut changed = format!("{scheme}://{user}{host}:{port}{path}");
    if !query.is_empty() {
        // Writing to a string cannot fail.
        write!(changed, "?{}", query.join("&")).unwrap_or_default();
    }
    changed.push_str(fragment);
    Some(changed)
}

/// Whether a setting of a connection is about TLS.
fn asks_for_tls(name: &str) -> bool {
    name.starts_with("ssl") || ["requiressl", "channel_binding"].contains(&name)
}

/// A path as a host (RFC 3986 §3.2.2: the slash has to be escaped, and the percent sign).
fn encoded(host: &str) -> String {
    if host.starts_with('/') {
        host.bytes().fold(String::new(), |mut text, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                write!(text, "%{byte:02X}").unwrap_or_default();
            }
            text
        })
    } else {
        host.to_owned()
    }
}

/// A connection string, as Service Connector writes it, with the leg in the server's place: words as
/// libpq has them (`host=… port=…`), or those of ADO.NET (`Server=…;Port=…`). Nothing where it names
/// another.
fn words(text: &str, server: &Target, place: &Place) -> Option<String> {
    // A password may have either in it, but a host has none.
    [';', ' '].into_iter().find_map(|separator| words_by(separator, text, server, place))
}

fn words_by(separator: char, text: &str, server: &Target, place: &Place) -> Option<String> {
    let pairs = || text.split(separator).filter_map(|word| word.split_once('='));
    let key = |name: &str| name.trim().to_ascii_lowercase().replace(' ', "");
    let value = |wanted: &[&str]| {
        pairs().find(|(name, _)| wanted.contains(&key(name).as_str())).map(|(_, value)| value)
    };
    let is_named = value(&["host", "server"]).is_some_and(|host| is_host(host.trim(), server))
        && is_port(value(&["port"]).unwrap_or_default().trim(), server);
    if !is_named {
        return None;
    }
    let port = place.port().to_string();
    let change = |word: &str| {
        let Some((name, _)) = word.split_once('=') else { return Some(word.to_owned()) };
        match key(name).as_str() {
            "host" | "server" => Some(format!("{name}={}", place.host())),
            "port" => Some(format!("{name}={port}")),
            "sslmode" => Some(format!("{name}=disable")),
            other if asks_for_tls(other) || other == "trustservercertificate" => None,
            _ => Some(word.to_owned()),
        }
    };
    let mut changed: Vec<_> = text.split(separator).filter_map(change).collect();
    if changed.last().is_some_and(String::is_empty) {
        changed.pop();
    }
    if value(&["port"]).is_none() && place.port() != PORT {
        changed.push(format!("port={port}"));
    }
    if value(&["sslmode"]).is_none() {
        changed
            .push(if separator == ';' { "SslMode=disable" } else { "sslmode=disable" }.to_owned());
    }
    Some(changed.join(&separator.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server() -> Target {
        Target { host: "db.postgres.database.azure.com".to_owned(), port: 5432 }
    }

    fn at(text: &str) -> Place {
        match text.strip_prefix("unix:") {
            Some(path) => Place::Unix(path.into()),
            None => Place::Tcp(text.parse().unwrap()),
        }
    }

    #[test]
    fn urls_keep_everything_but_the_place_and_tls() {
        let host = "db.postgres.database.azure.com";
        for (before, after) in [
            (format!("postgres://{host}"), "postgres://127.0.0.1:6000?sslmode=disable".to_owned()),
            (
                format!("postgres://u%40x:p%24%2F%3a:@{host}:5432/site?sslmode=require"),
                "postgres://u%40x:p%24%2F%3a:@127.0.0.1:6000/site?sslmode=disable".to_owned(),
            ),
            (
                "postgis://u:a$b@DB.Postgres.database.azure.com/site?sslmode=verify-full&\
                 sslrootcert=%2Fa.pem&conn_max_age=60&channel_binding=require#x"
                    .to_owned(),
                "postgis://u:a$b@127.0.0.1:6000/site?conn_max_age=60&sslmode=disable#x".to_owned(),
            ),
            (
                format!("postgresql+asyncpg://u@{host}/site?ssl=require"),
                "postgresql+asyncpg://u@127.0.0.1:6000/site?ssl=disable".to_owned(),
            ),
            (
                format!("db+postgresql://u@{host}/site?"),
                "db+postgresql://u@127.0.0.1:6000/site?sslmode=disable".to_owned(),
            ),
            (
                format!("postgresql:///site?host={host}&user=u"),
                "postgresql://127.0.0.1:6000/site?user=u&sslmode=disable".to_owned(),
            ),
        ] {
            assert_eq!(url(&before, &server(), &at("127.0.0.1:6000")), Some(after), "{before}");
        }
        let before = format!("postgres://u@{host}/site");
        let socket = at("unix:/run/a b/.s.PGSQL.5432");
        let after = "postgres://u@%2Frun%2Fa%20b:5432/site?sslmode=disable";
        assert_eq!(url(&before, &server(), &socket).unwrap(), after);
        let after = "postgres://u@[::1]:7/site?sslmode=disable";
        assert_eq!(url(&before, &server(), &at("[::1]:7")).unwrap(), after);
    }

    #[test]
    fn what_names_another_server_is_left_alone() {
        let host = "db.postgres.database.azure.com";
        for text in [
            format!("postgres://u@replica.{host}/site"),
            format!("postgres://u@{host}:6432/site"),
            format!("postgres://u@{host}:5432,other:5432/site"),
            format!("mysql://u@{host}/site"),
            format!("https://{host}/"),
            format!("postgres://{host}@other/site"),
            "postgres:///site".to_owned(),
            format!("host=other.{host} port=5432"),
            format!("host={host} port=6432"),
            String::new(),
        ] {
            let place = at("127.0.0.1:6000");
            assert_eq!(url(&text, &server(), &place), None, "{text}");
            assert_eq!(words(&text, &server(), &place), None, "{text}");
        }
    }

    #[test]
    fn connection_strings_of_service_connector_are_changed_word_by_word() {
        let place = at("127.0.0.1:6000");
        let of = |text: &str| words(text, &server(), &place).unwrap();
        assert_eq!(
            of("dbname=site host=db.postgres.database.azure.com port=5432 sslmode=require user=u \
                password=p=$;x"),
            "dbname=site host=127.0.0.1 port=6000 sslmode=disable user=u password=p=$;x"
        );
        assert_eq!(
            of("host=db.postgres.database.azure.com user=u sslrootcert=/a"),
            "host=127.0.0.1 user=u port=6000 sslmode=disable"
        );
        assert_eq!(
            of("Server=db.postgres.database.azure.com;Database=site;Port=5432;Ssl Mode=Require;\
                User Id=u;Password=p;"),
            "Server=127.0.0.1;Database=site;Port=6000;Ssl Mode=disable;User Id=u;Password=p"
        );
    }

    fn variables(text: &str) -> Variables {
        let pairs = text.lines().filter_map(|line| line.trim().split_once('='));
        pairs.map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn only_what_is_there_and_names_the_server_is_changed() {
        let before = variables(
            "AZURE_POSTGRESQL_HOST=db.postgres.database.azure.com
             AZURE_POSTGRESQL_PORT=5432
             DJANGO_DATABASE_HOST=db.postgres.database.azure.com
             DJANGO_DATABASE_PASSWORD=db.postgres.database.azure.com
             OTHER_HOST=other.postgres.database.azure.com
             POOLED_HOST=db.postgres.database.azure.com
             POOLED_PORT=6432
             PGHOST=db.postgres.database.azure.com
             PGSSLMODE=verify-full
             PGSSLROOTCERT=system
             FOREBAY_POSTGRES=db.postgres.database.azure.com
             DATABASE_URL=postgres://u@db.postgres.database.azure.com/site",
        );
        let after = variables(
            "AZURE_POSTGRESQL_HOST=127.0.0.1
             AZURE_POSTGRESQL_PORT=6000
             DJANGO_DATABASE_HOST=127.0.0.1
             DJANGO_DATABASE_PORT=6000
             PGHOST=127.0.0.1
             PGPORT=6000
             PGSSLMODE=disable
             PGSSLROOTCERT=
             DATABASE_URL=postgres://u@127.0.0.1:6000/site?sslmode=disable",
        );
        assert_eq!(pointing_at(&at("127.0.0.1:6000"), &server(), &before), after);
        let same_port = pointing_at(&at("127.0.0.1:5432"), &server(), &before);
        assert!(
            !same_port.contains_key(OsStr::new("DJANGO_DATABASE_PORT")),
            "5432 is the usual one"
        );
        let others = variables("PGHOST=other\nPGSSLMODE=require\nPATH=/bin");
        assert_eq!(pointing_at(&at("127.0.0.1:6000"), &server(), &others), Variables::new());
    }

    #[test]
    fn the_server_comes_out_of_a_url() {
        let of = |text| server_of(text).map(|it| it.to_string());
        assert_eq!(of("postgres://u:p@db.example.com/site").unwrap(), "db.example.com:5432");
        assert_eq!(of("postgresql://[::1]:6432").unwrap(), "[::1]:6432");
        for text in [
            "sqlite:///db",
            "postgres:///x",
            "postgres://%2Frun/x",
            "postgres://a,b/x",
            "postgres://a:b/x",
            "",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn user_and_password_stay_byte_for_byte(
            user in "[^/?#@\u{0}]{0,20}", password in "[^/?#\u{0}]{0,20}", name in "[^?#\u{0}]{0,20}",
        ) {
            let text = format!("postgres://{user}:{password}@db.postgres.database.azure.com/{name}");
            let changed = url(&text, &server(), &at("127.0.0.1:6000")).unwrap();
            let expected =
                format!("postgres://{user}:{password}@127.0.0.1:6000/{name}?sslmode=disable");
            prop_assert_eq!(&changed, &expected);
            // What was changed once names the server no more.
            prop_assert_eq!(url(&changed, &server(), &at("127.0.0.1:6000")), None);
        }

        #[test]
        fn any_text_does_no_harm(text: String) {
            let with_scheme = format!("postgres://{text}");
            drop(server_of(&with_scheme));
            for text in [&text, &with_scheme] {
                url(text, &server(), &at("127.0.0.1:6000"));
                words(text, &server(), &at("127.0.0.1:6000"));
            }
        }
    }
}
