//! Real gunicorn and uvicorn, real Django and a real database; `tests/run` has them ready.
//!
//! First the trouble without forebay, then the same site behind it, unchanged.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "what these tests rely on must be there; a failure shows what the programs wrote"
)]

mod without_forebay;
mod every_server;
mod addresses;
mod probes;
mod proxy_protocol;
mod websocket;
mod workers;
mod media;
mod whitenoise;
mod static_site;
mod lifecycle;
mod run;
mod processes;
mod release;
mod keep_alive;
mod postgres_tls;
mod chaos;
mod demo;
mod doctor;
mod status;
mod heroku;
mod deploy;
mod packages;
mod support;
