//! The options behind `--`.

use std::path::PathBuf;

use super::Failure;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
cargo bench --bench load -- [OPTIONS]

  --list          tells the parts of the report
  --only NAME,…   only these parts
  --quick         less of everything: numbers to look at, not to quote
  --rounds N      rounds through the peers and back, so 2 N samples of each [3]
  --seconds N     length of a sample [1]
  --forebay FILE  the forebay to measure [the one that cargo bench has built]
  --json FILE     writes every number to a file
  --svg FILE      writes charts to a file";

/// What the command line of `load` asks for.
#[derive(Debug)]
pub(crate) enum Wish {
    Help,
    List,
    Measure(Options),
}

/// What to measure.
#[derive(Debug)]
pub(crate) struct Options {
    /// What every benchmark lets one choose.
    pub(crate) choice: Choice,
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
    /// How often a start is measured.
    pub(crate) starts: usize,
    /// Idle connections, if the limit on open files allows.
    pub(crate) crowd: usize,
    /// The parts that are wanted; all when it is empty.
    only: Vec<String>,
    pub(crate) svg: Option<PathBuf>,
}

impl Options {
    /// Reads the command line, with the names of the parts there are.
    pub(crate) fn read(arguments: &[String], parts: &[&str]) -> Result<Wish, Failure> {
        let own: Vec<&str> =
            arguments.iter().map(String::as_str).filter(|text| *text != "--bench").collect();
        let mut options = Self {
            choice: Choice::plain("load", &own),
            rounds: 3,
            seconds: 1,
            starts: 7,
            crowd: 9000,
            only: Vec::new(),
            svg: None,
        };
        let mut rest = own.into_iter();
        while let Some(option) = rest.next() {
            match option {
                "--help" => return Ok(Wish::Help),
                "--list" => return Ok(Wish::List),
                "--quick" => {
                    options.choice.quick = true;
                    (options.rounds, options.starts) = (1, 3);
                }
                "--only" => options.only = names(option, rest.next(), parts)?,
                "--rounds" => options.rounds = count(option, rest.next())?,
                "--seconds" => options.seconds = count(option, rest.next())?,
                "--forebay" => options.choice.forebay = path(option, rest.next())?,
                "--json" => options.choice.json = Some(path(option, rest.next())?),
                "--svg" => options.svg = Some(path(option, rest.next())?),
                _ => return Err(Failure::new(format!("`{option}` is no option\n\n{HELP}"))),
            }
        }
        Ok(Wish::Measure(options))
    }

    /// Whether a part is to be measured.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == part)
    }
}

/// What the benchmarks with one way to run let one choose.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Less of everything: to see that it works, not to quote.
    pub(crate) quick: bool,
    /// Instructions in place of time, where a benchmark can count them.
    pub(crate) instructions: bool,
    /// What is done about the record of what was counted before.
    pub(crate) record: Record,
    pub(crate) forebay: PathBuf,
    pub(crate) json: Option<PathBuf>,
    /// The command as it can be repeated.
    pub(crate) command: String,
}

/// What is done about a record of earlier numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Record {
    /// It is shown beside the new ones.
    Show,
    /// The benchmark fails where they differ.
    Check,
    /// The new ones take its place.
    Replace,
}

impl Choice {
    /// Reads the command line of a benchmark; its help, as an error, when that is asked for.
    pub(crate) fn read(bench: &str, arguments: &[String]) -> Result<Self, Failure> {
        let (counts, has_record) = (bench == "statics", bench == "instructions");
        let mut help = format!(
            "cargo bench --bench {bench} -- [OPTIONS]\n\n  \
             --quick         less of everything: numbers to look at, not to quote\n  \
             --forebay FILE  the forebay to measure [the one that cargo bench has built]\n  \
             --json FILE     writes every number to a file"
        );
        if has_record {
            help += "\n  --check         fails where forebay takes more than is on record, or less\n  \
                     --record        puts what is counted on record";
        }
        if counts {
            help += "\n  --instructions  counts them, in place of time, in nginx and forebay";
        }
        let own: Vec<&str> =
            arguments.iter().map(String::as_str).filter(|text| *text != "--bench").collect();
        let mut choice = Self::plain(bench, &own);
        let mut rest = own.into_iter();
        while let Some(option) = rest.next() {
            match option {
                "--quick" => choice.quick = true,
                "--check" if has_record => choice.record = Record::Check,
                "--record" if has_record => choice.record = Record::Replace,
                "--instructions" if counts => choice.instructions = true,
                "--forebay" => choice.forebay = path(option, rest.next())?,
                "--json" => choice.json = Some(path(option, rest.next())?),
                "--help" => return Err(Failure::new(help)),
                _ => return Err(Failure::new(format!("`{option}` is no option\n\n{help}"))),
            }
        }
        Ok(choice)
    }

    /// What holds without options, and the command with those that there are.
    fn plain(bench: &str, own: &[&str]) -> Self {
        let mut command = format!("cargo bench --bench {bench}");
        if !own.is_empty() {
            command = format!("{command} -- {}", own.join(" "));
        }
        Self {
            quick: false,
            instructions: false,
            record: Record::Show,
            forebay: PathBuf::from(env!("CARGO_BIN_EXE_forebay")),
            json: None,
            command,
        }
    }
}

/// Names between commas, each one of those that are known.
fn names(option: &str, text: Option<&str>, known: &[&str]) -> Result<Vec<String>, Failure> {
    let names: Vec<_> = text.unwrap_or_default().split(',').map(str::to_owned).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(Failure::new(format!(
            "{option}: there is no part `{name}`, but {}",
            known.join(", ")
        ))),
        None => Ok(names),
    }
}

fn count<T: TryFrom<u16>>(option: &str, text: Option<&str>) -> Result<T, Failure> {
    text.and_then(|text| text.parse::<u16>().ok())
        .filter(|count| (1..=1000).contains(count))
        .and_then(|count| T::try_from(count).ok())
        .ok_or_else(|| Failure::new(format!("{option} needs a number from 1 to 1000")))
}

/// A path from where cargo was started or, as cargo starts benches, from the package.
fn path(option: &str, text: Option<&str>) -> Result<PathBuf, Failure> {
    let text = text.ok_or_else(|| Failure::new(format!("{option} needs a file")))?;
    std::path::absolute(text).map_err(|why| Failure::new(format!("{option}: {why}")))
}
