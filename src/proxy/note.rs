//! What of a request and its fate is kept for the log.
//!
//! Owns: which fields are kept, how an error is told in one line.
//! Must not know: who writes the log.

use http::HeaderMap;

use super::connection::Client;
use crate::telemetry::Record;

/// Begins the log line, with what the fields say before anything is changed.
pub(super) fn begin_record(fields: &HeaderMap, client: &Client) -> Record {
    let field = |name: &str| fields.get(name).cloned();
    Record {
        host: field("host"),
        trace: field("traceparent"),
        arr_log_id: field("x-arr-log-id"),
        ..Record::begin(client.peer)
    }
}

/// An error and its causes, in one line for the log.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
