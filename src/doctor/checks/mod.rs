//! The rules, one file each.
//!
//! Owns: the list and its order.
//! Must not know: how anything is found out.

mod settings;
mod start;
mod application;
mod hosts;
mod csrf;
mod proto;
mod redirect;
mod cookies;
mod debug;
mod sessions;
mod static_root;
mod collected;
mod whitenoise;
mod home;
mod sqlite;
mod dollar;
mod gunicorn_args;
mod makemigrations;
mod migrate;
mod public_bind;
mod workers;
mod timeouts;
mod start_limit;
mod ports;
mod memory;
mod disk;
mod clock;
mod reachable;
mod login;
mod roots;
mod unverified;
mod pooler;
mod idle;
mod live_host;
mod live_redirect;

use super::Rule;

/// Every rule, in the order of the report and the README.
pub static RULES: &[Rule] = &[
    settings::RULE,
    start::RULE,
    application::RULE,
    hosts::RULE,
    csrf::RULE,
    proto::RULE,
    redirect::RULE,
    cookies::RULE,
    debug::RULE,
    sessions::RULE,
    static_root::RULE,
    collected::RULE,
    whitenoise::RULE,
    home::RULE,
    sqlite::RULE,
    dollar::RULE,
    gunicorn_args::RULE,
    makemigrations::RULE,
    migrate::RULE,
    public_bind::RULE,
    workers::RULE,
    timeouts::RULE,
    start_limit::RULE,
    ports::RULE,
    memory::RULE,
    disk::RULE,
    clock::RULE,
    reachable::RULE,
    login::RULE,
    roots::RULE,
    unverified::RULE,
    pooler::RULE,
    idle::RULE,
    live_host::RULE,
    live_redirect::RULE,
];
