//! The command line and its help.
//!
//! Owns: commands, flags, help texts.
//! Must not know: what a setting does.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use forebay::coding::Coding;
use forebay::config::{self, Environment, Flags, POSTGRES, SETTINGS, Setting};
use forebay::doctor;
use forebay::follow::{self, Target, Until, Wanted};
use forebay::precompress::{self, Effort, Purpose, Show, Skips};
use forebay::status::Paint;

use crate::manual;

/// The whole command line.
pub(crate) fn command() -> Command {
    Command::new("forebay")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The one process between Azure and a Django site")
        .after_help(
            "Every flag has a variable (`--listen` is FOREBAY_LISTEN) and a key in forebay.toml \
             (`listen`). The order is: flag, variable, file, platform variable, default. \
             `forebay config` shows which one won.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(with_settings(run()))
        .subcommand(with_settings(
            Command::new("proxy")
                .about("Stands in front of an application that is already started")
                .after_help(
                    "Example: forebay proxy --upstream 127.0.0.1:8001 --host www.example.com",
                ),
        ))
        .subcommand(status())
        .subcommand(with_settings(explain()))
        .subcommand(with_settings(
            Command::new("config")
                .about("Shows the settings in force, each with its value and where it came from")
                .arg(
                    Arg::new("run")
                        .long("run")
                        .help(
                            "The settings of `forebay run` here, with those that follow from what \
                             the application server and Django say; a COMMAND means the same",
                        )
                        .action(ArgAction::SetTrue),
                )
                .arg(site_command())
                .arg(json()),
        ))
        .subcommand(with_settings(
            Command::new("demo")
                .about(
                    "Shows in a browser what Azure sends and what Django would get; needs nothing",
                )
                .after_help("Open the address that it prints. `curl` gets JSON."),
        ))
        .subcommand(with_settings(doctor()))
        .subcommand(compress())
        .subcommands(manual::commands())
        .subcommand(tunnel())
}

/// `--listen` and `--to` are other names of `--postgres-listen` and `--postgres`; of the other
/// settings, those that have no meaning here are left out.
fn tunnel() -> Command {
    let own = |name: &str| match name {
        "postgres" => Some(("to", "postgres")),
        "postgres-listen" => Some(("listen", "postgres-listen")),
        _ => None,
    };
    let has_meaning = |setting: &Setting| {
        let is_of_the_leg = setting.group == POSTGRES && setting.name != "postgres-env";
        is_of_the_leg || ["drain-deadline", "log", "log-level"].contains(&setting.name)
    };
    let command = Command::new("tunnel")
        .about("Speaks TLS with a PostgreSQL server for programs that speak without")
        .after_help(
            "Example: forebay tunnel --listen 127.0.0.1:5432 \
             --to example.postgres.database.azure.com\n\
             `forebay run --postgres` does the same for the site that it starts.",
        );
    with_those_settings(command, has_meaning).mut_args(|arg| match own(arg.get_id().as_str()) {
        Some((name, other)) => arg.long(name).visible_alias(other).help_heading("Where"),
        None => arg,
    })
}

fn doctor() -> Command {
    Command::new("doctor")
        .about("Says what is wrong with the site of this directory, why it matters, how to mend it")
        .arg(site_command())
        .arg(
            Arg::new("only")
                .long("only")
                .value_name("RULES")
                .help("Looks at these rules only, as FD-10,FD-30")
                .action(ArgAction::Append)
                .value_delimiter(','),
        )
        .arg(
            Arg::new("bundle")
                .long("bundle")
                .value_name("FILE")
                .help("Writes all that was found out to a file for a support request, without secrets")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            Arg::new("offline")
                .long("offline")
                .help("Connects to nobody and does not load the application")
                .action(ArgAction::SetTrue),
        )
        .arg(json())
        .after_help(
            "Takes the flags and the COMMAND of `forebay run`, in the site's directory. Ends with 0 when \
             all is in order (notes may be there), 1 when something is to be mended, 2 when it could not \
             look. The README explains each rule.",
        )
}

/// What the command line of `doctor` says.
pub(crate) fn wish(matches: &ArgMatches) -> doctor::Wish {
    doctor::Wish {
        only: matches.get_many("only").into_iter().flatten().cloned().collect(),
        is_offline: matches.get_flag("offline"),
        bundle: matches.get_one::<PathBuf>("bundle").cloned(),
    }
}

fn compress() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
    let codings = PossibleValuesParser::new([
        PossibleValue::new("br").alias("brotli"),
        PossibleValue::new("gz").alias("gzip"),
        PossibleValue::new("zst").alias("zstd"),
    ]);
    Command::new("compress")
        .about("Writes a compressed variant beside each file of a directory, at build time")
        .arg(
            Arg::new("directory")
                .value_name("DIR")
                .help("The directory, such as Django's STATIC_ROOT after collectstatic")
                .required(true)
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(flag("fast", "A third of the time for three per cent more bytes"))
        .arg(flag("check", "Writes nothing; ends with 1 unless every variant is there and right"))
        .arg(
            Arg::new("only")
                .long("only")
                .value_name("CODINGS")
                .help("The codings to have variants in [default: br,gz,zst]")
                .value_delimiter(',')
                .value_parser(codings.map(|name| match name.as_str() {
                    "br" | "brotli" => Coding::Brotli,
                    "gz" | "gzip" => Coding::Gzip,
                    _ => Coding::Zstd,
                })),
        )
        .arg(
            Arg::new("skip")
                .long("skip")
                .value_name("EXT")
                .help("Leaves files with this ending alone, besides images, archives and the like")
                .action(ArgAction::Append)
                .value_parser(extension),
        )
        .arg(flag("no-default-skips", "Compresses images, archives and the like, where it pays"))
        .arg(
            Arg::new("jobs")
                .long("jobs")
                .value_name("N")
                .help("How many threads compress [default: as many as there are CPUs]")
                .value_parser(value_parser!(u16).range(1..=256)),
        )
        .arg(flag("quiet", "Shows nothing but errors").short('q'))
        .after_help(
            "Only what changed is compressed: DIR/.forebay-compress.json keeps what was written \
             for which content. Variants that this file does not name are never removed. \
             Ends with 0 when all is in order, 1 when something is not, 2 for a bad command line.",
        )
}

/// An ending with or without its dot.
fn extension(text: &str) -> Result<String, String> {
    match text.strip_prefix('.').unwrap_or(text) {
        "" => Err("an ending is wanted, such as `map`".to_owned()),
        extension => Ok(extension.to_owned()),
    }
}

/// What the command line of `compress` says; `watched` where somebody looks at a terminal.
pub(crate) fn precompress(matches: &ArgMatches, watched: bool) -> precompress::Settings {
    let only = matches.get_many("only").map(|codings| codings.copied().collect());
    let cpus = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = matches.get_one::<u16>("jobs").copied().map(usize::from);
    precompress::Settings {
        directory: matches.get_one::<PathBuf>("directory").cloned().unwrap_or_default(),
        codings: only.unwrap_or_else(|| Coding::ALL.to_vec()),
        effort: if matches.get_flag("fast") { Effort::Fast } else { Effort::Best },
        skips: Skips {
            usual: !matches.get_flag("no-default-skips"),
            more: matches.get_many("skip").into_iter().flatten().cloned().collect(),
        },
        purpose: if matches.get_flag("check") { Purpose::Check } else { Purpose::Write },
        threads: jobs.and_then(NonZeroUsize::new).unwrap_or(cpus),
        show: match matches.get_flag("quiet") {
            true => Show::Nothing,
            false if watched => Show::Bar,
            false => Show::Lines,
        },
    }
}

fn status() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
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
                .help("Waits until this release, or one that begins so, serves on every instance met"),
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
pub(crate) fn follow(
    matches: &ArgMatches,
    environment: &Environment,
    is_watched: bool,
) -> follow::Settings {
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
    follow::Settings {
        target: matches.get_one::<Target>("target").cloned(),
        token: text("token").or_else(|| set("FOREBAY_STATUS_TOKEN")),
        roots: matches.get_one::<PathBuf>("ca").cloned(),
        show: match (matches.get_flag("json"), matches.get_flag("quiet")) {
            (true, _) => follow::Show::Json,
            (_, true) => follow::Show::Nothing,
            _ => follow::Show::Text,
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

fn run() -> Command {
    Command::new("run")
        .about("Starts the application and stands in front of it")
        .arg(site_command())
        .after_help(
            "Example: forebay run -- gunicorn mysite.wsgi\n\
             In a Procfile `release` runs first and `web` is what visitors are sent to.",
        )
}

fn site_command() -> Arg {
    Arg::new("command")
        .value_name("COMMAND")
        .help(
            "The program and its arguments; without it [processes] of forebay.toml, else the \
             Procfile of this directory, else the Django site in it",
        )
        .num_args(0..)
        .last(true)
        .value_parser(value_parser!(OsString))
}

fn explain() -> Command {
    Command::new("explain")
        .about("Shows what is done to a raw request, and the exact bytes the application would get")
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .help("The raw request; standard input when there is none")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            Arg::new("peer")
                .long("peer")
                .value_name("ADDRESS")
                .help("Who holds the socket; 169.254.130.1 on a platform, else 127.0.0.1"),
        )
        .arg(json())
        .after_help(
            "Example: forebay explain --platform app-service --host www.example.com request.http",
        )
}

fn json() -> Arg {
    Arg::new("json").long("json").help("Prints JSON").action(ArgAction::SetTrue)
}

/// Adds a flag for every setting.
fn with_settings(command: Command) -> Command {
    with_those_settings(command, |_| true)
}

fn with_those_settings(command: Command, wanted: impl Fn(&Setting) -> bool) -> Command {
    let file = Arg::new("config-file")
        .long("config")
        .value_name("FILE")
        .help("The configuration file; forebay.toml when it is there [variable: FOREBAY_CONFIG]")
        .value_parser(value_parser!(PathBuf));
    let wanted = SETTINGS.iter().filter(|setting| wanted(setting));
    wanted.fold(command.arg(file), |command, setting| {
        let default = match setting.default {
            "" => String::new(),
            default => format!(" [default: {default}]"),
        };
        let action = if setting.repeats { ArgAction::Append } else { ArgAction::Set };
        command.arg(
            Arg::new(setting.name)
                .long(setting.name)
                .value_name(setting.value)
                .help(format!("{}{default}", setting.help))
                .help_heading(setting.group)
                .action(action),
        )
    })
}

/// What stands behind `--`.
pub(crate) fn words(matches: &ArgMatches) -> Vec<OsString> {
    matches.get_many::<OsString>("command").into_iter().flatten().cloned().collect()
}

/// What the command line says about settings.
pub(crate) fn flags(matches: &ArgMatches) -> Flags {
    let mut flags =
        Flags { file: matches.get_one::<PathBuf>("config-file").cloned(), ..Flags::default() };
    for setting in SETTINGS.iter() {
        // A command need not know all of them.
        if let Ok(Some(values)) = matches.try_get_many::<String>(setting.name) {
            flags.settings.insert(setting.name, values.cloned().collect());
        }
    }
    flags
}
