//! `forebay compress`.
//!
//! Owns: its options.
//! Must not know: how files are compressed.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use forebay::coding::Coding;
use forebay::precompress::{Effort, Purpose, Settings, Show, Skips};

use super::flag;

pub(super) fn command() -> Command {
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
pub(crate) fn settings(matches: &ArgMatches, watched: bool) -> Settings {
    let only = matches.get_many("only").map(|codings| codings.copied().collect());
    let cpus = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = matches.get_one::<u16>("jobs").copied().map(usize::from);
    Settings {
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
