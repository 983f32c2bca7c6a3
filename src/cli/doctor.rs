//! `forebay doctor`.
//!
//! Owns: its options.
//! Must not know: what is looked at.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use forebay::doctor::Wish;

use super::{flag, json, site_command};

pub(super) fn command() -> Command {
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
            flag("offline", "Connects to nobody and does not load the application"))
        .arg(json())
        .after_help(
            "Takes the flags and the COMMAND of `forebay run`, in the site's directory. Ends with 0 when \
             all is in order (notes may be there), 1 when something is to be mended, 2 when it could not \
             look. The README explains each rule.",
        )
}

/// What the command line of `doctor` says.
pub(crate) fn wish(matches: &ArgMatches) -> Wish {
    Wish {
        only: matches.get_many("only").into_iter().flatten().cloned().collect(),
        is_offline: matches.get_flag("offline"),
        bundle: matches.get_one::<PathBuf>("bundle").cloned(),
    }
}
