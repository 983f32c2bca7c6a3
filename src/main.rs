//! The process edge: one command, one error report, the exit code.
//!
//! Owns: standard streams, the environment, the exit code.
//! Must not know: HTTP.

mod cli;
mod manual;

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
use forebay::{demo, doctor, explain, follow, precompress, telemetry};

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
    #[error(transparent)]
    Follow(#[from] follow::Error),
    #[error(transparent)]
    Manual(#[from] manual::Error),
    #[error("no PostgreSQL server is named")]
    NoServer,
    #[error("cannot read {path}")]
    Read { path: String, source: io::Error },
    #[error("cannot write to standard output")]
    Write(#[source] io::Error),
}

impl Failure {
    /// 2 where the command line or a setting is at fault, else 1.
    fn code(&self) -> u8 {
        match self {
            Self::Settings(_) | Self::Read { .. } | Self::Follow(_) | Self::NoServer => 2,
            Self::Explain(why) if why.is_the_requests_fault() => 2,
            Self::Precompress(why) if why.is_the_command_lines_fault() => 2,
            Self::App(why) => why.code(),
            Self::Site(why) => why.code(),
            Self::Doctor(why) => why.code(),
            Self::Explain(_) | Self::Precompress(_) | Self::Manual(_) | Self::Write(_) => 1,
        }
    }

    fn mend(&self) -> Option<String> {
        match self {
            Self::App(why) => Some(why.mend()),
            Self::Site(why) => why.mend(),
            Self::Doctor(why) => why.mend(),
            Self::Explain(why) => Some(why.mend()),
            Self::Precompress(why) => Some(why.mend()),
            Self::Follow(why) => Some(why.mend()),
            Self::Manual(why) => Some(why.mend()),
            Self::NoServer => Some(
                "say --to example.postgres.database.azure.com, or set FOREBAY_POSTGRES".to_owned(),
            ),
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
            drop(io::stderr().write_all(cli::hint(&help_or_error).as_bytes()));
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
    for cause in telemetry::causes(failure) {
        writeln!(text, "cause: {cause}").unwrap_or_default();
    }
    if let Some(mend) = mend {
        writeln!(text, "mend:  {mend}").unwrap_or_default();
    }
    drop(io::stderr().write_all(text.as_bytes()));
}

fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let variables: Variables = std::env::vars_os().collect();
    let environment = environment(&variables);
    // clap requires one of the commands below.
    let Some((name, matches)) = matches.subcommand() else { return Ok(ExitCode::from(2)) };
    let call = Call { matches, variables: &variables, environment: &environment };
    match name {
        "run" => call.run(),
        "proxy" => call.proxy(),
        "tunnel" => call.tunnel(),
        "demo" => call.demo(),
        "compress" => call.compress(),
        "status" => call.status(),
        "explain" => call.explain(),
        "doctor" => call.doctor(),
        "config" => call.config(),
        "completions" => say(&manual::completions(cli::command(), matches)),
        "man" => say(&manual::pages(cli::command(), matches)?),
        _ => Ok(ExitCode::from(2)),
    }
}

/// A command as it was called.
#[derive(Clone, Copy)]
struct Call<'a> {
    matches: &'a ArgMatches,
    variables: &'a Variables,
    environment: &'a Environment,
}

impl Call<'_> {
    fn run(self) -> Result<ExitCode, Failure> {
        let (flags, command) = (self.flags_for_people(), cli::words(self.matches));
        Ok(code_of(site::run(&self.given(&flags, &command))?))
    }

    fn proxy(self) -> Result<ExitCode, Failure> {
        let config = Config::load(self.flags(), self.environment, Need::Upstream)?;
        Ok(code_of(app::run(&config, None)?))
    }

    fn tunnel(self) -> Result<ExitCode, Failure> {
        let config = Config::load(self.flags_for_people(), self.environment, Need::NoUpstream)?;
        let settings = config.postgres.as_ref().ok_or(Failure::NoServer)?;
        Ok(code_of(app::run_tunnel(&config, settings)?))
    }

    fn demo(self) -> Result<ExitCode, Failure> {
        let config = Config::load(self.flags_for_people(), self.environment, Need::NoUpstream)?;
        let port = config.listen.port();
        // Beside the log, for whoever started it; the demo runs without it as well.
        let invitation = format!("Open http://127.0.0.1:{port}/ in a browser. Ctrl-C ends it.\n");
        drop(io::stderr().write_all(invitation.as_bytes()));
        Ok(code_of(demo::run(config)?))
    }

    fn compress(self) -> Result<ExitCode, Failure> {
        let is_watched = io::stdout().is_terminal() && io::stderr().is_terminal();
        let settings = cli::precompress(self.matches, is_watched);
        let end = precompress::run(&settings, &mut |why| complain(why, Some(why.mend())))?;
        Ok(match end {
            precompress::End::InOrder => ExitCode::SUCCESS,
            precompress::End::OutOfOrder => ExitCode::FAILURE,
        })
    }

    fn status(self) -> Result<ExitCode, Failure> {
        let settings = cli::follow(self.matches, self.environment, io::stdout().is_terminal());
        let found = follow::found(self.environment);
        Ok(match follow::run(&settings, &found, &mut print)? {
            follow::End::Good => ExitCode::SUCCESS,
            follow::End::Bad => ExitCode::FAILURE,
        })
    }

    fn explain(self) -> Result<ExitCode, Failure> {
        let config = Config::load(self.flags(), self.environment, Need::NoUpstream)?;
        let peer = self.matches.get_one::<String>("peer").map(String::as_str);
        let raw = match self.matches.get_one::<PathBuf>("file") {
            Some(path) => read(&path.display().to_string(), fs::File::open(path))?,
            None => read("standard input", Ok(io::stdin().lock()))?,
        };
        let explained = explain::run(&config, &raw, peer)?;
        self.say_either(|| explained.json(), || explained.text())
    }

    fn config(self) -> Result<ExitCode, Failure> {
        let (flags, command) = (self.flags(), cli::words(self.matches));
        let config = if self.matches.get_flag("run") || !command.is_empty() {
            site::settings(&self.given(&flags, &command))?
        } else {
            Config::load(flags, self.environment, Need::NoUpstream)?
        };
        self.say_either(|| config.json(), || config.table())
    }

    fn doctor(self) -> Result<ExitCode, Failure> {
        let (flags, command) = (self.flags(), cli::words(self.matches));
        let report = doctor::run(&self.given(&flags, &command), &cli::wish(self.matches))?;
        self.say_either(|| report.json(), || report.text())?;
        Ok(ExitCode::from(report.code()))
    }

    /// What `forebay run` is given.
    fn given<'a>(&'a self, flags: &'a Flags, command: &'a [OsString]) -> Given<'a> {
        Given { flags, command, variables: self.variables, environment: self.environment }
    }

    fn flags(self) -> Flags {
        cli::flags(self.matches)
    }

    /// The flags, with a log for people where standard output is a terminal and nobody says
    /// otherwise.
    fn flags_for_people(self) -> Flags {
        let mut flags = self.flags();
        if io::stdout().is_terminal() && !self.environment.contains_key("FOREBAY_LOG") {
            flags.settings.entry("log").or_insert_with(|| vec!["text".to_owned()]);
        }
        flags
    }

    /// Writes JSON where `--json` asks for it, else text.
    fn say_either(
        self,
        json: impl FnOnce() -> serde_json::Value,
        text: impl FnOnce() -> String,
    ) -> Result<ExitCode, Failure> {
        let is_json = self.matches.get_flag("json");
        say(&if is_json { format!("{:#}\n", json()) } else { text() })
    }
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

fn say(text: &str) -> Result<ExitCode, Failure> {
    match print(text) {
        // `forebay config | head` is no failure.
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Write(why)),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

/// Writes to standard output at once.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
