//! The settings of what forebay says about itself when it is asked.
//!
//! Owns: their names, help texts and defaults.
//! Must not know: what a setting does.

use super::{Setting, one, secret};

const STATUS: &str = "Status and metrics";

/// In the order of the help and the README.
pub(super) const LIST: &[Setting] = &[
    one(
        STATUS,
        "admin",
        "ADDR",
        "auto",
        "Where /status and /metrics are served, never on the public port: `HOST:PORT`, `unix:/path` or `off`; `auto` is a unix socket that `forebay status` finds by itself",
    ),
    secret(
        STATUS,
        "status-token",
        "TOKEN",
        "Whoever sends it may read /.forebay/status on the public port, where nothing answers without it; 16 characters or more. The variable shows it to fewer than the flag",
    ),
];
