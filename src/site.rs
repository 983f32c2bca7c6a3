//! `forebay run`: finds out what there is to start and what follows for the settings, then runs it.
//!
//! Owns: the order of finding out, which settings come from the site.
//! Must not know: how anything is found out or run.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::app::{self, End, Signals};
use crate::config::{Config, Derived, Environment, Faults, Flags, Need, Origin};
use crate::django::{self, Site};
use crate::launch::{self, Launch, Place, Variables, Wish};
use crate::proxy::upstream::Address;

/// Why `forebay run` does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings cannot be obeyed.
    #[error(transparent)]
    Settings(#[from] Faults),
    /// There is nothing to start.
    #[error(transparent)]
    Launch(#[from] launch::Error),
    /// It cannot run.
    #[error(transparent)]
    App(#[from] app::Error),
}

impl Error {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Settings(_) | Self::Launch(_) => 2,
            Self::App(why) => why.code(),
        }
    }

    /// What to do next; nothing where each fault says it.
    pub fn mend(&self) -> Option<String> {
        match self {
            Self::Settings(_) => None,
            Self::Launch(why) => Some(why.mend()),
            Self::App(why) => Some(why.mend()),
        }
    }
}

/// Runs the site of the current directory until it is told to stop.
///
/// # Errors
///
/// [`Error`].
pub fn run(
    flags: &Flags,
    command: &[OsString],
    variables: &Variables,
    environment: &Environment,
) -> Result<End, Error> {
    let mut derived = vec![private_address()?];
    let config = Config::load_with(flags.clone(), environment, Need::Upstream, &derived)?;
    let directory = Path::new(".");
    let wish = Wish {
        command,
        directory,
        variables,
        place: &place(&config.upstream.address),
        essential: &config.essential,
    };
    let launch = Launch::find(&wish)?;
    derived.extend(launch.concurrency.map(|most| Derived {
        name: "concurrency",
        text: most.to_string(),
        origin: Origin::Command,
    }));
    let question = (!config.is_chosen("static")).then(|| launch.question.clone());
    let ask = |question, flag: &_| django::ask(&question, DJANGO_DEADLINE, flag);
    let (signals, asked) = Signals::during(move |flag| question.map(|it| ask(it, flag)))
        .map_err(|source| app::Error::System { what: "signal handler", source })?;
    let Some(asked) = asked else { return Ok(End::Drained) };
    derived.extend(asked.iter().flatten().filter_map(|site| static_defaults(site).ok()));
    let config = Config::load_with(flags.clone(), environment, Need::Upstream, &derived)?;
    let announce = || {
        launch.announce();
        if config.origin_of("concurrency") == Origin::Command.to_string() {
            let concurrency = launch.concurrency;
            tracing::info!(concurrency, "gunicorn's workers and threads give --concurrency");
        }
        announce(asked.as_ref());
    };
    let programs = launch.programs.clone();
    Ok(app::run_site(&config, app::Site { programs, announce, signals: Some(signals) })?)
}

/// Where the application listens if nobody says it.
fn private_address() -> Result<Derived, launch::Error> {
    let text = format!("127.0.0.1:{}", launch::free_port()?);
    Ok(Derived { name: "upstream", text, origin: Origin::Command })
}

/// The same address as the application is told it.
fn place(address: &Address) -> Place {
    match address {
        Address::Unix(path) => Place::Unix(path.clone()),
        Address::Tcp { host, port } => Place::Tcp { host: host.clone(), port: *port },
    }
}

/// The files that forebay serves because Django's settings name them.
///
/// # Errors
///
/// Why there are none.
fn static_defaults(site: &Site) -> Result<Derived, &'static str> {
    let root = site.static_root.as_ref().ok_or("STATIC_ROOT is not set")?;
    let root = root.to_str().ok_or("STATIC_ROOT is not Unicode")?;
    let prefix = site.static_prefix.trim_start_matches('/');
    if prefix.is_empty() || prefix.contains('%') || prefix.contains("//") {
        return Err("STATIC_URL has no path, or one with escapes");
    }
    // It may come later, from the release command.
    if Path::new(root).exists() && !Path::new(root).is_dir() {
        return Err("STATIC_ROOT is no directory");
    }
    let text = format!("{}={root}", site.static_prefix);
    Ok(Derived { name: "static", text, origin: Origin::Django })
}

/// Says what Django's settings say of static files.
fn announce(asked: Option<&Result<Site, django::Error>>) {
    match asked {
        None => {}
        Some(Ok(site)) => {
            let Site { settings, static_prefix, storage, has_whitenoise, .. } = site;
            let root = site.static_root.as_ref().map(|root| root.display().to_string());
            tracing::info!(
                settings,
                static_prefix,
                static_root = root,
                storage,
                has_whitenoise,
                is_debug = site.debug,
                "Django's settings"
            );
            match (static_defaults(site), &site.static_root) {
                (Ok(_), Some(root)) if !root.exists() => tracing::warn!(
                    mend = "run `manage.py collectstatic` before the start, or in `release`",
                    "STATIC_ROOT is not there yet"
                ),
                (Ok(_), _) => {}
                (Err(why), _) => tracing::info!(why, "static files are left to the application"),
            }
        }
        // Not every application is Django.
        Some(Err(why @ django::Error::NoModule { .. })) => tracing::debug!(%why, "no Django"),
        Some(Err(why)) => {
            let mend = why.mend();
            tracing::warn!(%why, mend, "Django's settings are unknown; static files are left to it");
        }
    }
}

/// How long Django's settings may take to load.
const DJANGO_DEADLINE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_files_come_from_djangos_settings_only_where_they_say_all() {
        let site = |prefix: &str, root: Option<&str>| Site {
            settings: "a.settings".to_owned(),
            static_prefix: prefix.to_owned(),
            static_root: root.map(Into::into),
            storage: None,
            has_whitenoise: false,
            whitenoise_root: None,
            whitenoise_max_age: None,
            whitenoise_index_file: None,
            allowed_hosts: Vec::new(),
            debug: false,
        };
        for (prefix, root, text) in [
            ("/static/", Some("/srv/static"), Some("/static/=/srv/static")),
            ("/a/b/", Some("/"), Some("/a/b/=/")),
            ("/", Some("/srv/static"), None),
            ("/a%20b/", Some("/srv/static"), None),
            ("/static/", None, None),
            ("/static/", Some("/etc/passwd"), None),
        ] {
            let derived = static_defaults(&site(prefix, root)).ok();
            assert_eq!(derived.map(|it| it.text).as_deref(), text, "{prefix} {root:?}");
        }
    }
}
