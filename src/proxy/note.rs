//! What of a request and its fate is kept for the log.
//!
//! Owns: which fields are kept.
//! Must not know: who writes the log.

use super::connection::Client;
use super::fields::{Fields, Name, Value, names};
use crate::telemetry::Record;

/// Begins the log line, with what the fields say before anything is changed.
pub(super) fn begin_record(fields: &Fields, client: &Client) -> Box<Record> {
    let field = |name: &Name| fields.keep(name).map(Value::into_bytes);
    Box::new(Record {
        host: field(&names::HOST),
        trace: field(&names::TRACEPARENT),
        arr_log_id: field(&names::X_ARR_LOG_ID),
        ..Record::begin(client.peer)
    })
}
