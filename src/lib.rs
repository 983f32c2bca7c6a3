//! forebay stands between Azure and a Django site, in one process with one port.
//!
//! Read it in this order: [`proxy`] is the way of a request; [`readiness`] is what probes are told;
//! [`config`] is where settings come from; [`site`] is `forebay run`: [`launch`] finds out what to
//! start, [`python`] what Django and gunicorn say, [`supervise`] keeps it running; [`app`] puts the
//! parts together and takes them apart. [`explain`] shows what is done to a request, [`demo`] shows it
//! in a browser, [`doctor`] looks for what is wrong, and [`telemetry`] says what happens. [`tls`] knows
//! which servers are believed, [`postgres`] reaches the site's database, and [`release`] has one
//! instance release for all. [`postgres_tls`] is the leg from this machine's programs to a PostgreSQL
//! server. [`status`] is what forebay knows about itself, [`admin`] serves it on an address of its own,
//! [`follow`] asks for it from elsewhere.
//! [`precompress`] is a tool for build time. The binary is in `main.rs` and `cli.rs`.

pub mod proxy;
pub mod code;
pub mod coding;
mod decimal;
mod scan;
pub mod readiness;
pub mod socket;
pub mod tls;
pub mod postgres;
pub mod status;
pub mod admin;
pub mod follow;
pub mod postgres_tls;
pub mod config;
pub mod telemetry;
pub mod release;
pub mod supervise;
pub mod python;
pub mod launch;
pub mod app;
pub mod site;
pub mod explain;
pub mod demo;
pub mod doctor;
pub mod precompress;
