//! Where the site's environment names its database.
//!
//! Owns: the names of the variables and their order.
//! Must not know: how the texts are read, sockets.

use std::collections::BTreeMap;
use std::fmt;

use super::target::Target;
use super::written::{Bad, Draft, filled};

/// What the operator said of the database.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Choice {
    /// It is looked for in the environment.
    #[default]
    Auto,
    /// None is to be used.
    Off,
    /// This one.
    Named(Written),
}

/// A database as a URL names it.
#[derive(Clone, Eq, PartialEq)]
pub struct Written(Draft);

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Choice {
    /// Reads `auto`, `off` or a URL.
    ///
    /// # Errors
    ///
    /// [`Bad`].
    pub fn parse(text: &str) -> Result<Self, Bad> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            url => Ok(Self::Named(Written(Draft::of_url(url)?))),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Found {
    /// A database of PostgreSQL.
    Database {
        /// How to reach it.
        target: Target,
        /// What names it.
        named_by: String,
    },
    /// A database of another kind.
    OtherKind {
        /// Its kind.
        kind: String,
        /// What names it.
        named_by: String,
    },
    /// Nobody names one.
    Nothing,
    /// The operator wants none.
    Off,
}

/// A text that should name a database and does not.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{named_by} does not name the database: {source}")]
pub struct Misnamed {
    /// The variable or setting.
    pub named_by: String,
    /// Why; it never shows the text.
    pub source: Bad,
}

impl Misnamed {
    /// What to do next.
    pub fn mend(&self) -> String {
        format!(
            "correct {}, write `%40` for an `@` and `%2F` for a `/` in a password, or name the \
             database with --release-lock; `--release-lock off` does without",
            self.named_by
        )
    }
}

/// Finds the database: by the choice, else by the first of these that is set: `DATABASE_URL`,
/// `DJANGO_DATABASE_URL`, the groups of variables `DJANGO_DATABASE_HOST`, `DATABASE_HOST`, `DB_HOST`,
/// `POSTGRES_HOST` with their kin, libpq's own, and what Azure's Service Connector sets.
///
/// What a text does not name is taken from libpq's variables, as psycopg does.
///
/// # Errors
///
/// [`Misnamed`] where the first one that is set cannot be read.
pub fn find(choice: &Choice, variables: &BTreeMap<String, String>) -> Result<Found, Misnamed> {
    match choice {
        Choice::Off => Ok(Found::Off),
        Choice::Named(Written(draft)) => conclude(Ok(draft.clone()), "--release-lock", variables),
        Choice::Auto => {
            let filled = |name: &str| set(variables, name);
            for name in URLS {
                if let Some(text) = filled(name) {
                    return conclude(Draft::of_url(text), name, variables);
                }
            }
            for prefix in GROUPS {
                if filled(&format!("{prefix}HOST")).is_some() {
                    let named_by = format!("{prefix}HOST");
                    return conclude(group(prefix, variables), &named_by, variables);
                }
            }
            for name in ["PGHOST", "PGHOSTADDR"] {
                if filled(name).is_some() {
                    return conclude(Ok(Draft::default()), name, variables);
                }
            }
            if let Some(text) = filled(CONNECTION_STRING) {
                let is_url = text.starts_with("postgres") && text.contains("://");
                let draft = if is_url { Draft::of_url(text) } else { Draft::of_pairs(text) };
                return conclude(draft, CONNECTION_STRING, variables);
            }
            if filled("AZURE_POSTGRESQL_HOST").is_some() {
                let draft = group("AZURE_POSTGRESQL_", variables);
                return conclude(draft, "AZURE_POSTGRESQL_HOST", variables);
            }
            Ok(Found::Nothing)
        }
    }
}

/// URLs, as dj-database-url and django-environ take them.
const URLS: [&str; 2] = ["DATABASE_URL", "DJANGO_DATABASE_URL"];

/// The beginnings of groups of variables such as `DATABASE_HOST` and `DATABASE_NAME`.
const GROUPS: [&str; 4] = ["DJANGO_DATABASE_", "DATABASE_", "DB_", "POSTGRES_"];

/// learn:service-connector/how-to-integrate-postgres
const CONNECTION_STRING: &str = "AZURE_POSTGRESQL_CONNECTIONSTRING";

fn set<'a>(variables: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    variables.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn conclude(
    draft: Result<Draft, Bad>,
    named_by: &str,
    variables: &BTreeMap<String, String>,
) -> Result<Found, Misnamed> {
    let target = draft.and_then(|draft| draft.or(libpq(variables)?).finish());
    let named_by = named_by.to_owned();
    match target {
        Ok(target) => Ok(Found::Database { target, named_by }),
        Err(Bad::OtherKind(kind)) => Ok(Found::OtherKind { kind, named_by }),
        Err(source) => Err(Misnamed { named_by, source }),
    }
}

/// A group of variables.
fn group(prefix: &str, variables: &BTreeMap<String, String>) -> Result<Draft, Bad> {
    let text = |end: &str| set(variables, &format!("{prefix}{end}"));
    if let Some(engine) = text("ENGINE")
        && !["postg", "psycopg", "timescale"].iter().any(|part| engine.contains(part))
    {
        return Err(Bad::OtherKind(engine.to_owned()));
    }
    if let Some((_, kind)) = text("HOST").and_then(of_another_kind) {
        return Err(Bad::OtherKind((*kind).to_owned()));
    }
    // Kubernetes describes a Service that is called `database` as `tcp://10.0.0.1:5432`.
    let port = text("PORT").map(|port| match port.strip_prefix("tcp://") {
        Some(rest) => rest.rsplit(':').next().unwrap_or_default(),
        None => port,
    });
    if let Some((_, kind)) = OTHER_PORTS.iter().find(|(other, _)| port == Some(*other)) {
        return Err(Bad::OtherKind((*kind).to_owned()));
    }
    let mut draft = Draft::default();
    let ssl = text("SSL").filter(|it| it.eq_ignore_ascii_case("true")).map(|_| "require");
    for (name, value) in [
        ("host", text("HOST")),
        ("port", port),
        ("dbname", text("NAME").or(text("DATABASE")).or(text("DB"))),
        ("user", text("USER").or(text("USERNAME"))),
        ("sslmode", text("SSLMODE").or(ssl)),
    ] {
        draft.take(name, value.unwrap_or_default().to_owned())?;
    }
    // Blanks can belong to it.
    let password =
        ["PASSWORD", "PASS"].map(|end| variables.get(&format!("{prefix}{end}")).cloned());
    draft.password = password.into_iter().flatten().find_map(filled);
    Ok(draft)
}

/// The ports of other databases.
const OTHER_PORTS: [(&str, &str); 3] =
    [("3306", "mysql"), ("1433", "sql server"), ("1521", "oracle")];

/// The ends of Azure's names for servers of other databases.
const OTHER_HOSTS: [(&str, &str); 3] = [
    (".mysql.database.azure.com", "mysql"),
    (".mariadb.database.azure.com", "mariadb"),
    (".database.windows.net", "sql server"),
];

fn of_another_kind(host: &str) -> Option<&'static (&'static str, &'static str)> {
    OTHER_HOSTS.iter().find(|(end, _)| host.to_ascii_lowercase().ends_with(end))
}

/// What libpq's own variables say (PostgreSQL, libpq, "Environment Variables").
fn libpq(variables: &BTreeMap<String, String>) -> Result<Draft, Bad> {
    let mut draft = Draft::default();
    for (name, variable) in [
        ("host", "PGHOST"),
        // It says where the host is; the certificate has the host's name.
        ("host", if set(variables, "PGHOST").is_some() { "PGHOST" } else { "PGHOSTADDR" }),
        ("port", "PGPORT"),
        ("dbname", "PGDATABASE"),
        ("sslmode", "PGSSLMODE"),
        ("sslrootcert", "PGSSLROOTCERT"),
        ("options", "PGOPTIONS"),
        ("user", "USER"),
        ("user", "PGUSER"),
    ] {
        draft.take(name, set(variables, variable).unwrap_or_default().to_owned())?;
    }
    draft.password = variables.get("PGPASSWORD").cloned().and_then(filled);
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::{Mode, Place};

    fn of(variables: &[(&str, &str)]) -> Result<Found, Misnamed> {
        let owned = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        find(&Choice::Auto, &owned.collect())
    }

    fn shown(variables: &[(&str, &str)]) -> String {
        match of(variables).unwrap() {
            Found::Database { target, named_by } => {
                let password = target.password.as_deref().unwrap_or("-");
                format!("{named_by}: {target}, {password}, {:?}", target.mode)
            }
            Found::OtherKind { kind, named_by } => format!("{named_by}: {kind}"),
            Found::Nothing => "nothing".to_owned(),
            Found::Off => "off".to_owned(),
        }
    }

    #[test]
    fn a_server_of_another_kind_is_known_by_its_name() {
        let host = ("DB_HOST", "a.mysql.database.azure.com");
        assert_eq!(shown(&[host, ("DB_USER", "u")]), "DB_HOST: mysql");
    }

    #[test]
    fn each_source_is_found() {
        let group = |prefix: &str| {
            let named = |end: &str, text: &str| (format!("{prefix}{end}"), text.to_owned());
            let all = [
                named("HOST", "h"),
                named("PORT", "5433"),
                named("NAME", "d"),
                named("USER", "u"),
                named("PASSWORD", "p "),
            ];
            let all: Vec<_> =
                all.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            shown(&all)
        };
        for prefix in GROUPS.into_iter().chain(["AZURE_POSTGRESQL_"]) {
            let expected = format!("{prefix}HOST: database `d` of h:5433 as `u`, p , Fitting");
            assert_eq!(group(prefix), expected);
        }
        for (variables, expected) in [
            (
                &[("DATABASE_URL", "postgis://u:p@h/d")][..],
                "DATABASE_URL: database `d` of h:5432 as `u`, p, Fitting",
            ),
            (
                &[("DJANGO_DATABASE_URL", "postgresql+psycopg://u@h/d?sslmode=require")],
                "DJANGO_DATABASE_URL: database `d` of h:5432 as `u`, -, Always",
            ),
            (
                &[("PGHOST", "/run/a"), ("PGUSER", "u"), ("PGPASSWORD", "p")],
                "PGHOST: database `u` of /run/a/.s.PGSQL.5432 as `u`, p, Fitting",
            ),
            (
                &[(
                    CONNECTION_STRING,
                    "dbname=d host=h port=5432 sslmode=require user=u password=p",
                )],
                "AZURE_POSTGRESQL_CONNECTIONSTRING: database `d` of h:5432 as `u`, p, Always",
            ),
            (
                &[(
                    CONNECTION_STRING,
                    "Database=d;Server=h;User Id=u;Password=a;Port=5433;Ssl Mode=Require;",
                )],
                "AZURE_POSTGRESQL_CONNECTIONSTRING: database `d` of h:5433 as `u`, a, Always",
            ),
            (&[("DATABASE_URL", "sqlite:///db.sqlite3")], "DATABASE_URL: sqlite"),
            (&[("DATABASE_URL", "mysql://u:p@h/d")], "DATABASE_URL: mysql"),
            (&[("DB_HOST", "h"), ("DB_PORT", "3306")], "DB_HOST: mysql"),
            (
                &[("DATABASE_HOST", "h"), ("DATABASE_ENGINE", "django.db.backends.mysql")],
                "DATABASE_HOST: django.db.backends.mysql",
            ),
            (
                &[("DATABASE_HOST", "h"), ("DATABASE_PORT", "tcp://10.0.0.1:5439"), ("USER", "u")],
                "DATABASE_HOST: database `u` of h:5439 as `u`, -, Fitting",
            ),
            (&[("PATH", "/bin")], "nothing"),
            (&[("DATABASE_URL", "")], "nothing"),
        ] {
            assert_eq!(shown(variables), expected);
        }
    }

    #[test]
    fn the_first_that_is_set_counts_and_libpqs_variables_fill_it_up() {
        let all = [
            ("PGHOST", "other"),
            ("PGPASSWORD", "p"),
            ("PGSSLMODE", "disable"),
            ("DATABASE_HOST", "group"),
            ("DATABASE_URL", "postgres://u@h:1/d"),
        ];
        assert_eq!(shown(&all), "DATABASE_URL: database `d` of h:1 as `u`, p, Never");
    }

    #[test]
    fn what_cannot_be_read_is_told_without_the_password() {
        for text in ["postgres:u:s3cret@h", "postgres://u:s3cret@h:port/d", "s3cret"] {
            let why = of(&[("DATABASE_URL", text)]).unwrap_err();
            let told = format!("{why} {why:?} {}", why.mend());
            assert!(told.contains("DATABASE_URL") && !told.contains("s3cret"), "{told}");
        }
        let why = of(&[("DATABASE_URL", "postgres://h/d")]).unwrap_err();
        assert_eq!(why.source, Bad::Missing("user"));
    }

    #[test]
    fn the_operators_choice_comes_before_all() {
        let variables = [("DATABASE_URL".to_owned(), "postgres://u@h/d".to_owned())].into();
        assert_eq!(find(&Choice::parse("off").unwrap(), &variables), Ok(Found::Off));
        let named = Choice::parse("postgres://a:s3cret@b:5432/c?sslmode=disable").unwrap();
        assert!(!format!("{named:?}").contains("s3cret"));
        let Ok(Found::Database { target, named_by }) = find(&named, &variables) else { panic!() };
        assert_eq!(named_by, "--release-lock");
        assert_eq!(target.places, [Place::Tcp { host: "b".to_owned(), port: 5432 }]);
        assert_eq!(target.mode, Mode::Never);
        assert_eq!(Choice::parse("on"), Err(Bad::NotUrl));
    }
}
