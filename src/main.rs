//! The process edge: one command, one error report, the exit code.
//!
//! Owns: standard streams, the environment, the exit code.
//! Must not know: HTTP.

mod cli;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use forebay::app::{self, End};
use forebay::config::{Config, Environment, Faults, Flags, Need};
use forebay::launch::Variables;
use forebay::site::{self, Given};
use forebay::{demo, doctor, explain, precompress};

/// Everything that ends a command early.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Settings(#[from] Faults),
    #[error(transparent)]
    App(#[from] app::Error),
    #[error(transparent)]
    Site(#[from] site::Error),
    #[error(transparent)]
    Explain(#[from] explain::Error),
    #[error(transparent)]
    Doctor(#[from] doctor::Error),
    #[error(transparent)]
    Precompress(#[from] precompress::Error),
    #[error("cannot read {path}")]
    Read { path: String, source: io::Error },
    #[error("cannot write to standard output")]
    Write(#[source] io::Error),
}

impl Failure {
    /// 2 where the command line or a setting is at fault, else 1.
    fn code(&self) -> u8 {
        match self {
            Self::Settings(_) | Self::Read { .. } => 2,
            Self::Explain(why) if why.is_the_requests_fault() => 2,
            Self::Precompress(why) if why.is_the_command_lines_fault() => 2,
            Self::App(why) => why.code(),
            Self::Site(why) => why.code(),
            Self::Doctor(why) => why.code(),
            Self::Explain(_) | Self::Precompress(_) | Self::Write(_) => 1,
        }
    }

    fn mend(&self) -> Option<String> {
        match self {
            Self::App(why) => Some(why.mend()),
            Self::Site(why) => why.mend(),
            Self::Doctor(why) => why.mend(),
            Self::Explain(why) => Some(why.mend()),
            Self::Precompress(why) => Some(why.mend()),
            Self::Read { .. } => Some("name a file that holds one raw request".to_owned()),
            // Each fault brings its own.
            Self::Settings(_) | Self::Write(_) => None,
        }
    }
}

fn main() -> ExitCode {
    let matches = match cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(help_or_error) => {
            let code = u8::try_from(help_or_error.exit_code()).unwrap_or(2);
            // Where even the terminal is gone, nothing is left to say.
            drop(help_or_error.print());
            return ExitCode::from(code);
        }
    };
    match run(&matches) {
        Ok(code) => code,
        Err(failure) => {
            complain(&failure, failure.mend());
            ExitCode::from(failure.code())
        }
    }
}

/// Writes an error with its causes, and what to do next.
fn complain(failure: &dyn std::error::Error, mend: Option<String>) {
    let mut text = format!("error: {failure}\n");
    let mut source = failure.source();
    while let Some(cause) = source {
        writeln!(text, "cause: {cause}").unwrap_or_default();
        source = cause.source();
    }
    if let Some(mend) = mend {
        writeln!(text, "mend:  {mend}").unwrap_or_default();
    }
    drop(io::stderr().write_all(text.as_bytes()));
}

fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let variables: Variables = std::env::vars_os().collect();
    let environment = environment(&variables);
    match matches.subcommand() {
        Some(("proxy", matches)) => {
            let config = Config::load(cli::flags(matches), &environment, Need::Upstream)?;
            Ok(code_of(app::run(&config, None)?))
        }
        Some(("run", matches)) => {
            let command = cli::words(matches);
            let flags = flags_for_people(matches, &environment);
            let given = Given {
                flags: &flags,
                command: &command,
                variables: &variables,
                environment: &environment,
            };
            Ok(code_of(site::run(&given)?))
        }
        Some(("demo", matches)) => {
            let flags = flags_for_people(matches, &environment);
            let config = Config::load(flags, &environment, Need::NoUpstream)?;
            let port = config.listen.port();
            // Beside the log, for whoever started it; the demo runs without it as well.
            let invitation =
                format!("Open http://127.0.0.1:{port}/ in a browser. Ctrl-C ends it.\n");
            drop(io::stderr().write_all(invitation.as_bytes()));
            Ok(code_of(demo::run(config)?))
        }
        Some(("compress", matches)) => {
            let is_watched = io::stdout().is_terminal() && io::stderr().is_terminal();
            let settings = cli::precompress(matches, is_watched);
            let end = precompress::run(&settings, &mut |why| complain(why, Some(why.mend())))?;
            Ok(match end {
                precompress::End::InOrder => ExitCode::SUCCESS,
                precompress::End::OutOfOrder => ExitCode::FAILURE,
            })
        }
        Some(("explain", matches)) => explain_request(matches, &environment),
        Some(("doctor", matches)) => diagnose(matches, &variables, &environment),
        Some(("config", matches)) => {
            let (flags, command) = (cli::flags(matches), cli::words(matches));
            let config = if matches.get_flag("run") || !command.is_empty() {
                site::settings(&Given {
                    flags: &flags,
                    command: &command,
                    variables: &variables,
                    environment: &environment,
                })?
            } else {
                Config::load(flags, &environment, Need::NoUpstream)?
            };
            say(&if matches.get_flag("json") {
                format!("{:#}\n", config.json())
            } else {
                config.table()
            })?;
            Ok(ExitCode::SUCCESS)
        }
        // clap requires one of the commands above.
        _ => Ok(ExitCode::from(2)),
    }
}

/// The flags, with a log for people where standard output is a terminal and nobody says otherwise.
fn flags_for_people(matches: &ArgMatches, environment: &Environment) -> Flags {
    let mut flags = cli::flags(matches);
    if io::stdout().is_terminal() && !environment.contains_key("FOREBAY_LOG") {
        flags.settings.entry("log").or_insert_with(|| vec!["text".to_owned()]);
    }
    flags
}

fn diagnose(
    matches: &ArgMatches,
    variables: &Variables,
    environment: &Environment,
) -> Result<ExitCode, Failure> {
    let (flags, command) = (cli::flags(matches), cli::words(matches));
    let given = Given { flags: &flags, command: &command, variables, environment };
    let report = doctor::run(&given, &cli::wish(matches))?;
    say(&if matches.get_flag("json") { format!("{:#}\n", report.json()) } else { report.text() })?;
    Ok(ExitCode::from(report.code()))
}

fn explain_request(matches: &ArgMatches, environment: &Environment) -> Result<ExitCode, Failure> {
    let config = Config::load(cli::flags(matches), environment, Need::NoUpstream)?;
    let peer = matches.get_one::<String>("peer").map(String::as_str);
    let raw = match matches.get_one::<PathBuf>("file") {
        Some(path) => read(&path.display().to_string(), fs::File::open(path))?,
        None => read("standard input", Ok(io::stdin().lock()))?,
    };
    let explained = explain::run(&config, &raw, peer)?;
    say(&if matches.get_flag("json") {
        format!("{:#}\n", explained.json())
    } else {
        explained.text()
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a request, and a byte more than is explained, so that a larger one is noticed.
fn read(name: &str, source: io::Result<impl io::Read>) -> Result<Vec<u8>, Failure> {
    let mut raw = Vec::new();
    source
        .and_then(|source| source.take(explain::REQUEST_LIMIT + 1).read_to_end(&mut raw))
        .map_err(|source| Failure::Read { path: name.to_owned(), source })?;
    Ok(raw)
}

/// The environment for settings; a variable that is not Unicode is none of forebay's.
fn environment(variables: &Variables) -> Environment {
    let text = |text: &OsString| text.to_str().map(str::to_owned);
    variables.iter().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
}

fn code_of(end: End) -> ExitCode {
    match end {
        End::Drained => ExitCode::SUCCESS,
        End::Cut => ExitCode::FAILURE,
    }
}

fn say(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        // `forebay config | head` is no failure.
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Failure::Write),
    }
}
