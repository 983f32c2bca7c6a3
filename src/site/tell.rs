//! Says what was found out, and what does not fit together.
//!
//! Owns: which time-outs are in the wrong order, and what to do about it.
//! Must not know: who was asked, and how.

use std::ffi::OsString;
use std::time::Duration;

use super::derive;
use crate::config::{Config, Origin};
use crate::launch::{Launch, Traits};
use crate::python::django::{self, Site};
use crate::python::{Failure, gunicorn};

/// Says what is known of the application server, what follows from it, and what does not fit.
pub(super) fn server(
    config: &Config,
    launch: &Launch,
    asked: Option<&Result<gunicorn::Configuration, Failure>>,
) {
    if let Some(Err(why)) = asked {
        tracing::warn!(
            %why,
            mend = "try `gunicorn --print-config` with the same arguments, or set --concurrency",
            "gunicorn's configuration is unknown; only its command line counts"
        );
    }
    let traits = &launch.traits;
    let Some(server) = traits.server else { return };
    let follows = config.shown().iter().filter(|shown| shown.origin == Origin::Server);
    let follows = follows.map(|shown| format!("--{} {}", shown.name, shown.value()));
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
    tracing::info!(
        server,
        class = traits.class,
        timeout_seconds = seconds(traits.timeout),
        graceful_timeout_seconds = seconds(traits.graceful_timeout),
        keep_alive_seconds = seconds(traits.keep_alive),
        derived = follows.collect::<Vec<_>>().join(" "),
        "the application server"
    );
    for Misfit { what, mend } in misfits(config, traits) {
        tracing::warn!(mend, "{what}");
    }
}

/// Says which variables lead the children to the PostgreSQL leg.
pub(super) fn postgres<'a>(config: &Config, changed: impl Iterator<Item = &'a OsString>) {
    let Some(settings) = &config.postgres else { return };
    let names = changed.map(|name| name.to_string_lossy().into_owned());
    let names = names.collect::<Vec<_>>().join(" ");
    if !names.is_empty() {
        tracing::info!(variables = names, "these variables lead what is started to PostgreSQL");
    } else if settings.changes_variables {
        tracing::warn!(
            server = %settings.server,
            mend = "name the server in DATABASE_URL, PGHOST or another variable that ends in HOST, \
                    with the same port, or name the leg in Django's settings and say \
                    --postgres-env off",
            "no variable names the PostgreSQL server: what is started does not find the leg by itself"
        );
    }
}

/// What of forebay's own settings must fit to the application server's.
#[derive(Clone, Copy, Debug)]
struct Limits {
    has_front_end: bool,
    response: Duration,
    stop: Duration,
    keep_alive: Duration,
    concurrency: usize,
}

/// Two settings that do not fit together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Misfit {
    /// Which, and what follows.
    pub what: String,
    /// What to do about it.
    pub mend: &'static str,
}

/// The settings of forebay that do not fit to the application server's.
pub fn misfits(config: &Config, traits: &Traits) -> Vec<Misfit> {
    let limits = Limits {
        has_front_end: config.normalise.platform.has_front_end(),
        response: config.upstream.deadlines.response,
        stop: config.drain_deadline,
        keep_alive: config.upstream.keep_alive,
        concurrency: config.queue.concurrency,
    };
    compared(traits, &limits)
}

/// App Service's front end gives up on an answer then (facts, 2).
const FRONT_END: Duration = Duration::from_secs(230);

/// gunicorn's default, which nobody chose.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

fn compared(traits: &Traits, limits: &Limits) -> Vec<Misfit> {
    let mut found = Vec::new();
    let mut misfit = |what: String, mend| found.push(Misfit { what, mend });
    let in_seconds = |time: Duration| format!("{} s", time.as_secs_f32());
    // In other classes the time-out watches over a worker, not over a request.
    if let Some(timeout) = traits.timeout.filter(|_| traits.connects_for_each) {
        let (most, whose) = if limits.has_front_end && FRONT_END <= limits.response {
            (FRONT_END, "the front end")
        } else {
            (limits.response, "--upstream-response-deadline")
        };
        let works_for_nobody = "a worker goes on for a visitor who has been told 504 already";
        if timeout.is_zero() {
            misfit(
                format!("gunicorn has no --timeout: {works_for_nobody}, for ever"),
                "set gunicorn's --timeout to less than 230",
            );
        } else if timeout >= most {
            let (timeout, most) = (in_seconds(timeout), in_seconds(most));
            misfit(
                format!(
                    "gunicorn's --timeout is {timeout}, and {whose} gives up at {most}: \
                     {works_for_nobody}"
                ),
                "set gunicorn's --timeout lower, such as 120",
            );
        }
    }
    if let Some(grace) = traits.graceful_timeout
        && grace > limits.stop
        && grace != DEFAULT_GRACE
    {
        let (grace, stop) = (in_seconds(grace), in_seconds(limits.stop));
        misfit(
            format!(
                "gunicorn's --graceful-timeout is {grace}, and a stop may take {stop} \
                 (--drain-deadline): its workers are killed before"
            ),
            "raise WEBSITES_CONTAINER_STOP_TIME_LIMIT or --drain-deadline, or lower \
             --graceful-timeout",
        );
    }
    if let Some(theirs) = traits.keep_alive.filter(|_| !traits.connects_for_each)
        && !limits.keep_alive.is_zero()
        && limits.keep_alive >= theirs
    {
        let (ours, theirs) = (in_seconds(limits.keep_alive), in_seconds(theirs));
        misfit(
            format!(
                "--upstream-keep-alive is {ours}, and the application closes idle connections \
                 after {theirs}: requests meet closed connections"
            ),
            "leave --upstream-keep-alive out; it follows from the application's",
        );
    }
    if let Some(most) = traits.concurrency
        && usize::try_from(most).is_ok_and(|most| limits.concurrency > most)
    {
        let ours = limits.concurrency;
        misfit(
            format!(
                "--concurrency is {ours}, and the application does {most} at once: what is beyond \
                 that waits where nobody counts it"
            ),
            "leave --concurrency out; it follows from the application's",
        );
    }
    found
}

/// Says what Django's settings say of static files.
pub(super) fn django(asked: Option<&Result<Site, django::Error>>) {
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
            match (derive::static_files(site), &site.static_root) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        has_front_end: true,
        response: Duration::from_secs(230),
        stop: Duration::from_secs(4),
        keep_alive: Duration::from_millis(1500),
        concurrency: 4,
    };

    fn sync() -> Traits {
        let seconds = |count| Some(Duration::from_secs(count));
        Traits {
            concurrency: Some(4),
            timeout: seconds(30),
            graceful_timeout: seconds(30),
            keep_alive: seconds(2),
            connects_for_each: true,
            ..Traits::default()
        }
    }

    fn found(traits: &Traits, limits: &Limits) -> String {
        compared(traits, limits).into_iter().map(|it| it.what).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn what_fits_is_not_complained_of() {
        assert_eq!(found(&sync(), &LIMITS), "");
        let threads = Traits { connects_for_each: false, timeout: Some(Duration::ZERO), ..sync() };
        assert_eq!(found(&threads, &LIMITS), "", "it watches over workers there");
        assert_eq!(found(&Traits::default(), &LIMITS), "");
    }

    #[test]
    fn each_pair_in_the_wrong_order_is_told() {
        let seconds = |count| Some(Duration::from_secs(count));
        let threads = Traits { connects_for_each: false, ..sync() };
        let long = Duration::from_mins(5);
        for (traits, limits, part) in [
            (Traits { timeout: seconds(0), ..sync() }, LIMITS, "no --timeout"),
            (Traits { timeout: seconds(230), ..sync() }, LIMITS, "the front end gives up at 230 s"),
            (
                Traits { timeout: seconds(400), ..sync() },
                Limits { has_front_end: false, response: long, ..LIMITS },
                "--upstream-response-deadline gives up at 300 s",
            ),
            (Traits { graceful_timeout: seconds(20), ..sync() }, LIMITS, "--graceful-timeout"),
            (
                threads.clone(),
                Limits { keep_alive: Duration::from_secs(2), ..LIMITS },
                "--upstream-keep-alive",
            ),
            (threads, Limits { concurrency: 5, ..LIMITS }, "--concurrency is 5"),
        ] {
            let found = found(&traits, &limits);
            assert!(found.contains(part) && !found.contains("; "), "{part}: {found}");
        }
    }
}
