//! `forebay status`.
//!
//! Owns: its options.
//! Must not know: how somebody is asked.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgGroup, ArgMatches, Command, value_parser};
use forebay::config::{self, Environment};
use forebay::follow::{Settings, Show, Target, Until, Wanted};
use forebay::status::Paint;

use super::{flag, json};

pub(super) fn command() -> Command {
    let time = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("TIME")
            .help(help)
            .value_parser(|text: &str| config::time(text))
    };
    Command::new("status")
        .about("Says whether the site is up, which release runs, and what happens in it")
        .arg(
            Arg::new("target")
                .value_name("TARGET")
                .help(
                    "Whom to ask: `https://www.example.com`, or an --admin address: `unix:/path` or \
                     `HOST:PORT`; without it the forebay of this machine",
                )
                .value_parser(|text: &str| Target::parse(text)),
        )
        .arg(json())
        .arg(flag("quiet", "Prints nothing; the exit code says it").short('q').conflicts_with("json"))
        .arg(flag("watch", "Goes on asking: a picture on a terminal, else a line for each change"))
        .arg(
            Arg::new("until-release")
                .long("until-release")
                .value_name("ID")
                .help("Waits until this --release-id, or one that begins with these seven characters or more, \
                     serves on every instance met"),
        )
        .arg(flag("until-restart", "Waits until every instance met was started after this command"))
        .group(ArgGroup::new("until").args(["watch", "until-release", "until-restart"]))
        .arg(time(
            "deadline",
            "How long all of it may take [default: 10s, 10m until something, for ever with --watch]",
        ))
        .arg(time("interval", "Between two questions [default: 500ms, 2s with --watch]"))
        .arg(time(
            "settle",
            "For how long all answers must have been right [default: 10s]",
        ))
        .arg(
            Arg::new("token").long("token").value_name("TOKEN").help(
                "The site's --status-token [variable: FOREBAY_STATUS_TOKEN, which fewer can see]",
            ),
        )
        .arg(
            Arg::new("ca")
                .long("ca")
                .value_name("FILE")
                .help("Certificates of authorities to believe beside the usual ones, in PEM form")
                .value_parser(value_parser!(PathBuf)),
        )
        .after_help(
            "Example: forebay status https://www.example.com --until-release abc1234 --deadline 15m\n\
             Ends with 0 when the site is ready or what was waited for has come about, 1 when it is \
             not or the deadline passed, 2 when nobody answers or the command line is wrong. \
             `forebay status --quiet` is a HEALTHCHECK.",
        )
}

/// What the command line of `status` says.
pub(crate) fn settings(
    matches: &ArgMatches,
    environment: &Environment,
    is_watched: bool,
) -> Settings {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let time = |name: &str| matches.get_one::<Duration>(name).copied();
    let set = |name: &str| environment.get(name).filter(|text| !text.is_empty()).cloned();
    let until = match text("until-release") {
        Some(release) => Until::Reached(Wanted::Release(release)),
        None if matches.get_flag("until-restart") => Until::Reached(Wanted::Restart),
        None if matches.get_flag("watch") => Until::Stopped,
        None => Until::Once,
    };
    let seconds = Duration::from_secs;
    let (deadline, interval) = match until {
        Until::Once => (Some(seconds(10)), seconds(2)),
        Until::Stopped => (None, seconds(2)),
        Until::Reached(_) => (Some(Duration::from_mins(10)), Duration::from_millis(500)),
    };
    Settings {
        target: matches.get_one::<Target>("target").cloned(),
        token: text("token").or_else(|| set("FOREBAY_STATUS_TOKEN")),
        roots: matches.get_one::<PathBuf>("ca").cloned(),
        show: match (matches.get_flag("json"), matches.get_flag("quiet")) {
            (true, _) => Show::Json,
            (_, true) => Show::Nothing,
            _ => Show::Text,
        },
        until,
        deadline: time("deadline").or(deadline),
        interval: time("interval").unwrap_or(interval),
        settle: time("settle").unwrap_or(seconds(10)),
        // https://no-color.org
        paint: if is_watched && set("NO_COLOR").is_none() { Paint::Coloured } else { Paint::Plain },
        is_watched,
    }
}
