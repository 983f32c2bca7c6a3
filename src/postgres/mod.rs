//! A PostgreSQL server: where the site's database is, and how it is reached safely.
//!
//! Owns: the places where a database is named, encryption, what a failed connection means.
//! Must not know: what the connection is for.

mod connect;
mod error;
mod find;
mod target;
mod written;

pub use connect::{Client, connect};
pub use error::{Error, Fault};
pub use find::{Choice, Found, Misnamed, Written, find};
pub use target::{Mode, Place, Target, Trust};
pub use written::Bad;
