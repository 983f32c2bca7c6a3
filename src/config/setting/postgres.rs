//! The settings of the leg to a PostgreSQL server.
//!
//! Owns: their names, help texts and defaults.
//! Must not know: what a setting does.

use super::{Setting, many, one};

/// The group in the help and in the README.
pub const GROUP: &str = "PostgreSQL over TLS";

/// In the order of the help and the README.
pub(super) const LIST: &[Setting] = &[
    one(
        GROUP,
        "postgres",
        "HOST[:PORT]",
        "",
        "The PostgreSQL server that forebay speaks TLS with, for programs that speak without; `auto` takes it from DATABASE_URL",
    ),
    one(
        GROUP,
        "postgres-listen",
        "ADDR",
        "",
        "Where programs find it: a port of this machine, such as `127.0.0.1:5432`, or `unix:/dir/.s.PGSQL.5432`. Default: the server's port of 127.0.0.1, or another if that is taken",
    ),
    one(
        GROUP,
        "postgres-exposed",
        "SWITCH",
        "off",
        "Whether --postgres-listen may be an address that other machines reach, over which passwords then go in the clear: `on` or `off`",
    ),
    one(
        GROUP,
        "postgres-env",
        "SWITCH",
        "on",
        "Whether `forebay run` changes the variables that name the server (DATABASE_URL, PGHOST and their kin) for what it starts: `on` or `off`",
    ),
    many(
        GROUP,
        "postgres-ca",
        "FILE",
        "Roots in PEM form that are believed beside those built in, which are Mozilla's and with them both of Azure",
    ),
    one(
        GROUP,
        "postgres-ca-only",
        "SWITCH",
        "off",
        "Whether the roots of --postgres-ca count alone: `on` or `off`",
    ),
    one(
        GROUP,
        "postgres-server-name",
        "NAME",
        "",
        "The name that the server's certificate must have, where it is not the host's",
    ),
    one(
        GROUP,
        "postgres-negotiation",
        "WAY",
        "postgres",
        "How TLS begins: `postgres`, or `direct` from version 17 of the server on, which saves a round trip",
    ),
    one(
        GROUP,
        "postgres-connections",
        "COUNT",
        "500",
        "The most sessions at once; more are refused with 53300",
    ),
    one(
        GROUP,
        "postgres-connect-deadline",
        "TIME",
        "10s",
        "How long connecting to the server may take, with the look-up of its name and TLS",
    ),
];
