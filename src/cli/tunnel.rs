//! `forebay tunnel`.
//!
//! Owns: what settings of the leg are called there.
//! Must not know: what they do.

use clap::Command;
use forebay::config::{POSTGRES, Setting};

use super::with_those_settings;

/// `--listen` and `--to` are other names of `--postgres-listen` and `--postgres`; of the other
/// settings, those that have no meaning here are left out.
pub(super) fn command() -> Command {
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
             `forebay run --postgres auto` does the same for the site that it starts.",
        );
    with_those_settings(command, has_meaning).mut_args(|arg| match own(arg.get_id().as_str()) {
        Some((name, other)) => arg.long(name).visible_alias(other).help_heading("Where"),
        None => arg,
    })
}
