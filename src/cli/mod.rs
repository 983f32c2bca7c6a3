//! The command line and its help.
//!
//! Owns: commands, flags, help texts.
//! Must not know: what a setting does.

mod compress;
mod doctor;
mod status;
mod tunnel;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, Error, value_parser};
use forebay::config::{Flags, SETTINGS, Setting};

use crate::manual;

pub(crate) use compress::settings as precompress;
pub(crate) use doctor::wish;
pub(crate) use status::settings as follow;

/// The whole command line.
pub(crate) fn command() -> Command {
    Command::new("forebay")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The one process between Azure and a Django site")
        .after_help(
            "Every setting has a flag, a variable (`--listen` is FOREBAY_LISTEN) and a key in \
             forebay.toml (`listen`). The order is: flag, variable, file, platform variable, default. \
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
        .subcommand(status::command())
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
        .subcommand(with_settings(doctor::command()))
        .subcommand(compress::command())
        .subcommand(tunnel::command())
        .subcommands(manual::commands())
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

/// A switch of a command.
fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

fn json() -> Arg {
    flag("json", "Prints JSON")
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

/// What helps with a command line that is wrong, beside what clap says.
pub(crate) fn hint(error: &Error) -> String {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else {
        return String::new();
    };
    // A command without its `--`.
    if error.kind() != ErrorKind::UnknownArgument || word.starts_with('-') {
        return String::new();
    }
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some(name @ ("run" | "config" | "doctor")) => {
            let rest: Vec<_> = words.skip_while(|it| it != word).collect();
            format!("\nmend:  put `--` before the command: forebay {name} -- {}\n", rest.join(" "))
        }
        Some("tunnel") => format!("\nmend:  name the server with --to {word}\n"),
        _ => String::new(),
    }
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
