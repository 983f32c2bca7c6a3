//! The guard's rules for requests that are parsed already, those of HTTP/2.
//!
//! Owns: the limits and the target of such a request.
//! Must not know: HTTP/2.

use super::Refusal;
use super::framing::Limits;
use super::grammar::is_clean_target;
use crate::proxy::fields::{Head, Name};

/// Holds a request that did not come through the guard, one of HTTP/2, to the same rules and limits
/// as if it had been written in HTTP/1.1.
///
/// # Errors
///
/// The [`Refusal`] to answer with.
pub fn check_parsed(request: &Head, limits: &Limits) -> Result<(), Refusal> {
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    let line = request.method.as_str().len() + target.len() + b"  HTTP/1.1".len();
    if line > limits.request_line_bytes {
        return Err(Refusal::RequestLineTooLong);
    }
    if !is_clean_target(target.as_bytes()) {
        return Err(Refusal::BadTarget);
    }
    let field = |(name, value): (&Name, &[u8])| name.as_str().len() + value.len() + 2;
    if request.fields.iter().any(|entry| field(entry) > limits.field_bytes) {
        return Err(Refusal::FieldTooLong);
    }
    if request.fields.iter().count() > limits.header_count {
        return Err(Refusal::TooManyFields);
    }
    let fields: usize = request.fields.iter().map(|entry| field(entry) + 2).sum();
    if line + fields > limits.header_bytes { Err(Refusal::HeaderTooLarge) } else { Ok(()) }
}
