//! What forebay does, seen from both ends: the client's bytes and the application's bytes.
//!
//! Each test runs the real binary between a raw client and a scripted application.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "what these tests rely on must be there; a failure shows what forebay wrote"
)]

mod support;
mod wire;
mod listen;
mod http2;
mod http2_floods;
mod drain;
mod supervise;
mod supervised_end;
mod release;
mod upstream;
mod plain;
mod buffering;
mod spool;
mod queue;
mod hold;
mod lost;
mod aborts;
mod tunnel;
mod postgres_tls;
mod send_file;
mod assets;
mod compress;
mod precompress;
mod client_address;
mod scheme;
mod host;
mod probe;
mod log;
mod explain;
mod config;
mod doctor;
mod demo;
mod status;
mod follow;
mod tidy;
