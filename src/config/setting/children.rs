//! The settings of the processes that forebay starts.
//!
//! Owns: their names, help texts and defaults.
//! Must not know: what a setting does.

use super::{Setting, many, one};

const CHILDREN: &str = "Processes of forebay run";

/// In the order of the help and the README.
pub(super) const LIST: &[Setting] = &[
    many(
        CHILDREN,
        "essential",
        "NAME",
        "A process of the Procfile without which forebay ends; `web` is always one",
    ),
    one(
        CHILDREN,
        "crash-limit",
        "COUNT",
        "5",
        "So many short lives in a row, and a process is given up; for `web` and the essential ones forebay ends with its code",
    ),
    one(CHILDREN, "crash-window", "TIME", "60s", "A life that is shorter than this is a short one"),
    one(
        CHILDREN,
        "release-deadline",
        "TIME",
        "30m",
        "How long the release command may take; the platform's own limit for a start may be shorter",
    ),
    one(
        CHILDREN,
        "release-lock",
        "DATABASE",
        "auto",
        "The PostgreSQL database by which instances agree who runs the release command: a `postgres://` URL, `auto` for the one that DATABASE_URL and its kin name, or `off`",
    ),
    one(
        CHILDREN,
        "release-lock-deadline",
        "TIME",
        "60s",
        "How long that database may be out of reach at a start",
    ),
    one(
        CHILDREN,
        "release-id",
        "TEXT",
        "",
        "What tells a release from others, such as the commit. Default: a digest of the site's files and of the names and versions of its packages",
    ),
];
