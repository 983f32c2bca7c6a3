//! Shell completions and manual pages, made from the command line's own definition.
//!
//! Owns: where they are written and what they are called.
//! Must not know: what a command does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

/// What ends `forebay completions` and `forebay man` early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The directory could not be made.
    #[error("cannot make the directory {directory}")]
    Directory { directory: String, source: io::Error },
    /// A page could not be written.
    #[error("cannot write the manual pages into {directory}")]
    Page { directory: String, source: io::Error },
}

impl Error {
    /// What to do next.
    pub(crate) fn mend(&self) -> String {
        match self {
            Self::Directory { .. } | Self::Page { .. } => {
                "name a directory that you may write to, such as ~/.local/share/man/man1".to_owned()
            }
        }
    }
}

/// The two commands.
pub(crate) fn commands() -> [Command; 2] {
    let wanted = |name: &'static str, value: &'static str, help: &'static str, of: ValueParser| {
        Arg::new(name).value_name(value).help(help).required(true).value_parser(of)
    };
    [
        Command::new("completions")
            .about("Prints what makes a shell complete forebay's commands and flags")
            .arg(wanted("shell", "SHELL", "The shell", value_parser!(Shell).into()))
            .after_help(
                "For bash, in ~/.bashrc: eval \"$(forebay completions bash)\"\n\
                 For fish: forebay completions fish >~/.config/fish/completions/forebay.fish\n\
                 For zsh, in a directory of $fpath: forebay completions zsh >_forebay",
            ),
        Command::new("man")
            .about("Writes the manual pages, one for each command")
            .arg(wanted("directory", "DIR", "Made if missing", value_parser!(PathBuf)))
            .after_help("Example: forebay man ~/.local/share/man/man1 && man forebay-run"),
    ]
}

/// The completions for the shell that was named.
pub(crate) fn completions(mut forebay: Command, matches: &ArgMatches) -> String {
    let shell = matches.get_one::<Shell>("shell").copied().unwrap_or(Shell::Bash);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut forebay, "forebay", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes the pages; says where they are.
///
/// # Errors
///
/// [`Error::Directory`] and [`Error::Page`] where the file system refuses.
pub(crate) fn pages(forebay: Command, matches: &ArgMatches) -> Result<String, Error> {
    let directory =
        matches.get_one::<PathBuf>("directory").map_or(Path::new("."), PathBuf::as_path);
    let named = || directory.display().to_string();
    fs::create_dir_all(directory)
        .map_err(|source| Error::Directory { directory: named(), source })?;
    clap_mangen::generate_to(forebay, directory)
        .map_err(|source| Error::Page { directory: named(), source })?;
    Ok(format!("The manual is in {}; read it with `man -l`.\n", named()))
}
