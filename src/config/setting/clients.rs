//! The settings of limits on clients, and the log.
//!
//! Owns: their names, help texts and defaults.
//! Must not know: what a setting does.

use super::{Setting, one};

const LIMITS: &str = "Limits on clients";
const LOG: &str = "Log";

/// In the order of the help and the README.
pub(super) const LIST: &[Setting] = &[
    one(LIMITS, "connection-limit", "COUNT", "10000", "The most connections at once; more get 503"),
    one(LIMITS, "header-deadline", "TIME", "15s", "How long a header section may take"),
    one(
        LIMITS,
        "idle-deadline",
        "TIME",
        "300s",
        "How long a connection may be idle between requests; longer than the front end's 240s",
    ),
    one(
        LIMITS,
        "body-idle-deadline",
        "TIME",
        "60s",
        "How long a client may neither send nor take content that is waited for",
    ),
    one(
        LIMITS,
        "header-bytes-limit",
        "SIZE",
        "64KiB",
        "The most bytes in a header section; App Service's front end allows 64KiB",
    ),
    one(LIMITS, "header-count-limit", "COUNT", "100", "The most fields; gunicorn allows 100"),
    one(
        LIMITS,
        "field-bytes-limit",
        "SIZE",
        "8190B",
        "The most bytes in one field; gunicorn's --limit-request-field_size",
    ),
    one(
        LIMITS,
        "request-line-limit",
        "SIZE",
        "4094B",
        "The most bytes in the request line; gunicorn's --limit-request-line",
    ),
    one(
        LIMITS,
        "tunnel-limit",
        "COUNT",
        "1000",
        "The most WebSockets and other upgraded connections at once; more get 503",
    ),
    one(
        LIMITS,
        "tunnel-idle-deadline",
        "TIME",
        "300s",
        "How long a WebSocket may pass no byte, pings included; longer than the front end's 240s",
    ),
    one(LOG, "log", "FORM", "json", "The form of a log line: `json` or `text`"),
    one(
        LOG,
        "log-level",
        "LEVEL",
        "info",
        "The least level that is logged: `error`, `warn`, `info` or `debug`",
    ),
    one(LOG, "access-log", "SWITCH", "on", "Whether each request has a line: `on` or `off`"),
];
