//! What of a request and its fate is kept for the log.
//!
//! Owns: which fields are kept.
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
