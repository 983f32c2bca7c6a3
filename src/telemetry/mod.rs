//! What forebay says about itself: log lines and counters.
//!
//! Owns: the form of a line, the way to standard output, the counters.
//! Must not know: what a number means.

mod access;
mod cause;
mod child;
mod counters;
mod histogram;
mod json;
mod output;
mod tally;

use std::sync::Arc;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

pub use access::{Record, Times, Tunnel};
pub use cause::{cause, causes, chain};
pub use child::{Level, OWN_SECRETS, Said, redacted};
pub use counters::Counters;
pub use histogram::{BOUNDS_US, Histogram, Spread};
pub use output::{Output, Writer};
pub use tally::{CLASSES, KEPT, Mishap, OfWayTallied, Tallied, Tally, Way};

/// The form of a log line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What the log obeys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// The form of a line.
    pub format: Format,
    /// Lines below this level are not written.
    pub level: tracing::Level,
    /// Whether each request has a line.
    pub has_access_log: bool,
}

/// Sends everything that is traced to `output`, for the life of the process.
///
/// A second call in one process changes nothing: tests start several servers in one.
pub fn install(settings: Settings, output: &Arc<Output>) {
    let level = LevelFilter::from_level(settings.level);
    let writer = output::Lines::new(Arc::clone(output));
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false);
    let result = match settings.format {
        Format::Json => {
            let layer = layer.json().flatten_event(true).with_current_span(false);
            let layer = layer.with_span_list(false).with_writer(writer);
            tracing::subscriber::set_global_default(
                tracing_subscriber::registry().with(level).with(layer),
            )
        }
        Format::Text => tracing::subscriber::set_global_default(
            tracing_subscriber::registry().with(level).with(layer.with_writer(writer)),
        ),
    };
    // The only error is that there is a subscriber already.
    drop(result);
}
