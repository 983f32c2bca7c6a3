//! Reaches the site's database and logs in, over forebay's own TLS.
//!
//! Owns: which database is meant, and whether a failure is the way's or the login's.
//! Must not know: what follows from it.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Known, NotLooked};
use crate::config::{self, Config, Environment};
use crate::postgres::{self, Choice, Client, Error, Found, Mode, Place, Target, Trust};
use crate::python::details;

/// What became of connecting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reached {
    /// The database, without its password.
    pub target: String,
    /// What names it.
    pub named_by: String,
    /// The length of the password that was tried, in characters; nothing where none is known.
    pub password_length: Option<u64>,
    /// The session, or why there is none.
    pub outcome: Result<Session, Trouble>,
}

/// A session that could be had.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Session {
    /// Whether it goes through TLS.
    pub is_encrypted: bool,
    /// How far the server's clock is from this machine's.
    pub apart: Duration,
}

/// Why there is no session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trouble {
    /// Where it failed.
    pub stage: Stage,
    /// What happened.
    pub what: String,
    /// What to do about it.
    pub mend: String,
}

/// Where connecting failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// On the way: the name, the network, TLS.
    Way,
    /// At the server: the role, its password, the database.
    Login,
    /// At the server, which wants a password that only Django has.
    NoPassword,
}

/// A database, and what names it.
#[derive(Clone, Debug)]
struct Meant {
    target: Target,
    named_by: String,
}

/// Connects to the database that Django's settings mean; without Django's settings, to the one that
/// the environment names.
pub(super) fn reach(
    config: &Config,
    environment: &Environment,
    databases: Option<&[details::Database]>,
) -> Known<Reached> {
    let Meant { target, named_by } = meant(config, environment, databases)?;
    let target = config::past_the_leg(target, config.postgres.as_ref());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|why| NotLooked(format!("the system gives no runtime ({why})")))?;
    let outcome = runtime.block_on(async {
        let client = postgres::connect(&target, CONNECT).await?;
        Ok(Session { is_encrypted: client.is_encrypted, apart: apart(&client).await })
    });
    let has_password = target.password.is_some();
    Ok(Reached {
        target: target.to_string(),
        named_by,
        password_length: target.password.as_ref().map(|text| text.chars().count() as u64),
        outcome: outcome.map_err(|why| trouble(&why, has_password)),
    })
}

fn meant(
    config: &Config,
    environment: &Environment,
    databases: Option<&[details::Database]>,
) -> Known<Meant> {
    // Who wants no lock has a database all the same.
    let choice = match &config.release.choice {
        Choice::Off => &Choice::Auto,
        choice @ (Choice::Auto | Choice::Named(_)) => choice,
    };
    let named = match postgres::find(choice, environment) {
        Ok(Found::Database { target, named_by }) => Some(Meant { target, named_by }),
        Ok(Found::OtherKind { .. } | Found::Nothing | Found::Off) | Err(_) => None,
    };
    let Some(databases) = databases else {
        return named
            .ok_or_else(|| NotLooked("no variable names a PostgreSQL database".to_owned()));
    };
    let default = databases.iter().find(|it| it.alias == "default").filter(|it| it.is_postgres());
    let Some(default) = default else {
        return Err(NotLooked("Django's default database is not PostgreSQL".to_owned()));
    };
    let of_django = of_django(default, environment);
    Ok(match named {
        Some(named) if is_same(&named.target, &of_django) => named,
        Some(_) | None => {
            Meant { target: of_django, named_by: "DATABASES[\"default\"]".to_owned() }
        }
    })
}

/// What Django's settings say of it: all but the password.
fn of_django(database: &details::Database, environment: &Environment) -> Target {
    let or = |written: &str, name: &str, default: &str| {
        let set = || environment.get(name).filter(|text| !text.is_empty()).cloned();
        let written = Some(written).filter(|text| !text.is_empty()).map(str::to_owned);
        written.or_else(set).unwrap_or_else(|| default.to_owned())
    };
    let host = or(&database.host, "PGHOST", "/var/run/postgresql");
    let port = or(&database.port, "PGPORT", "5432").parse().unwrap_or(5432);
    let place = if host.starts_with('/') {
        Place::Unix { directory: host.into(), port }
    } else {
        Place::Tcp { host, port }
    };
    let mode = match or(database.sslmode.as_deref().unwrap_or_default(), "PGSSLMODE", "").as_str() {
        "disable" => Mode::Never,
        "require" | "verify-ca" | "verify-full" => Mode::Always,
        _ => Mode::Fitting,
    };
    let roots = or(database.sslrootcert.as_deref().unwrap_or_default(), "PGSSLROOTCERT", "system");
    let user = or(&database.user, "PGUSER", "");
    Target {
        places: vec![place],
        database: or(&database.name, "PGDATABASE", &user),
        user,
        password: environment.get("PGPASSWORD").cloned(),
        mode,
        trust: Trust {
            files: (roots != "system").then(|| PathBuf::from(roots)).into_iter().collect(),
            ..Trust::default()
        },
        options: None,
    }
}

/// Whether the environment names the server and the role that Django uses.
fn is_same(named: &Target, django: &Target) -> bool {
    let has = |place: &Place| named.places.contains(place);
    django.places.iter().any(has) && named.user == django.user && named.database == django.database
}

fn trouble(why: &Error, has_password: bool) -> Trouble {
    let stage = match why {
        Error::Resolve { .. }
        | Error::Connect { .. }
        | Error::TimedOut { .. }
        | Error::NoTls { .. }
        | Error::Unproven { .. }
        | Error::Roots(_)
        | Error::Strange { .. }
        | Error::Broken { .. } => Stage::Way,
        Error::NoPassword { .. } => Stage::NoPassword,
        Error::Refused { .. } if !has_password => Stage::NoPassword,
        Error::Refused { .. } | Error::Replica { .. } => Stage::Login,
    };
    let cause =
        std::error::Error::source(why).map(|cause| format!(": {cause}")).unwrap_or_default();
    Trouble { stage, what: format!("{why}{cause}"), mend: why.mend() }
}

/// How far the clocks are apart; nothing is made of a question that fails.
async fn apart(client: &Client) -> Duration {
    let question = "SELECT extract(epoch FROM clock_timestamp())::float8";
    let before = SystemTime::now();
    let answer = client.queries.query_one(question, &[]).await.and_then(|row| row.try_get(0));
    let after = SystemTime::now();
    let theirs: Option<f64> = answer.ok();
    let Some(theirs) = theirs.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) else {
        return Duration::ZERO;
    };
    let theirs = UNIX_EPOCH + theirs;
    // Between the question and the answer nobody can say.
    let late = theirs.duration_since(after).unwrap_or_default();
    before.duration_since(theirs).unwrap_or_default().max(late)
}

/// How long one server may take to let us in.
const CONNECT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn django() -> details::Database {
        details::Database {
            alias: "default".to_owned(),
            engine: "django.db.backends.postgresql".to_owned(),
            host: "db.example.com".to_owned(),
            name: "site".to_owned(),
            user: "app".to_owned(),
            ..details::Database::default()
        }
    }

    fn config() -> Config {
        let flags = config::Flags::default();
        Config::load(flags, &Environment::new(), config::Need::NoUpstream).unwrap()
    }

    fn meant_by(url: &str, databases: Option<&[details::Database]>) -> Known<Meant> {
        let environment = [("DATABASE_URL".to_owned(), url.to_owned())].into();
        meant(&config(), &environment, databases)
    }

    #[test]
    fn the_password_of_a_variable_is_used_for_djangos_own_database_only() {
        let here = "postgres://app:secret@db.example.com/site";
        let elsewhere = "postgres://app:secret@other.example.com/site";
        let databases = [django()];
        for (url, databases, named_by, has_password) in [
            (here, Some(&databases[..]), "DATABASE_URL", true),
            (elsewhere, Some(&databases[..]), "DATABASES[\"default\"]", false),
            (elsewhere, None, "DATABASE_URL", true),
        ] {
            let meant = meant_by(url, databases).unwrap();
            assert_eq!(meant.named_by, named_by, "{url}");
            assert_eq!(meant.target.password.is_some(), has_password, "{url}");
        }
    }

    #[test]
    fn where_there_is_no_postgresql_nobody_is_asked() {
        let file =
            details::Database { engine: "django.db.backends.sqlite3".to_owned(), ..django() };
        let why = meant_by("postgres://a@b/c", Some(&[file])).unwrap_err();
        assert!(why.0.contains("not PostgreSQL"), "{why:?}");
        assert!(meant_by("sqlite:///a", None).is_err());
    }

    #[test]
    fn what_django_does_not_say_comes_from_libpqs_variables() {
        let nameless = details::Database { host: String::new(), name: String::new(), ..django() };
        let environment = [("PGHOST".to_owned(), "/run/pg".to_owned())].into();
        let target = of_django(&nameless, &environment);
        let directory = PathBuf::from("/run/pg");
        assert_eq!(target.places, [Place::Unix { directory, port: 5432 }]);
        assert_eq!((target.database.as_str(), target.user.as_str()), ("app", "app"));
    }

    #[test]
    fn without_a_password_a_refusal_is_no_fault() {
        let place = Place::Tcp { host: "a".to_owned(), port: 1 };
        let refused = Error::Refused {
            place: place.clone(),
            code: "28P01".to_owned(),
            message: "password authentication failed".to_owned(),
        };
        assert_eq!(trouble(&refused, true).stage, Stage::Login);
        assert_eq!(trouble(&refused, false).stage, Stage::NoPassword);
        assert_eq!(trouble(&Error::NoTls { place }, true).stage, Stage::Way);
    }
}
