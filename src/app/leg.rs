//! The PostgreSQL leg: alone, as `forebay tunnel`, and beside a site.
//!
//! Owns: the order of its start and its end.
//! Must not know: how it works.

use std::io;
use std::time::Duration;

use super::{End, Error, Signals, runtime};
use crate::config::Config;
use crate::postgres_tls::{self, Leg, Running};
use crate::telemetry::{self, Output};

/// Runs `forebay tunnel` until it is told to stop: then nobody new is let in, and those that are
/// there have the drain deadline, or until a second signal.
///
/// # Errors
///
/// [`Error::System`] and [`Error::Postgres`] when it cannot start.
pub fn run(config: &Config, settings: &postgres_tls::Settings) -> Result<End, Error> {
    let mut signals = Signals::catch(false)?;
    let leg = Leg::bind(settings, false)?;
    let (output, writer) = Output::start(io::stdout())
        .map_err(|source| Error::System { what: "log thread", source })?;
    telemetry::install(config.log, &output);
    let deadline = config.drain_deadline;
    let end = runtime()?.block_on(async {
        let mut leg = leg.start()?;
        signals.stop().await;
        tracing::info!(deadline_ms = deadline.as_millis(), "told to stop: draining");
        let is_drained = tokio::select! {
            is_drained = leg.end(deadline) => is_drained,
            () = signals.stop() => false,
        };
        leg.cut().await;
        Ok(if is_drained { End::Drained } else { End::Cut })
    });
    drop(writer);
    end
}

/// Ends the leg of a site, whose children are gone.
pub(super) async fn end_last(leg: Option<Running>) {
    if let Some(mut leg) = leg {
        // What children have begun and not read to the end is of no use to anybody.
        leg.end(AFTER_CHILDREN).await;
    }
}

/// How long sessions may take to end when those who had them are gone.
const AFTER_CHILDREN: Duration = Duration::from_millis(500);
