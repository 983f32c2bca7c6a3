//! The settings of static files and compression.
//!
//! Owns: their names, help texts and defaults.
//! Must not know: what a setting does.

use super::{Setting, many, one};

const STATIC: &str = "Static files";
const COMPRESSION: &str = "Compression";

/// In the order of the help and the README.
pub(super) const LIST: &[Setting] = &[
    many(
        STATIC,
        "static",
        "PREFIX=DIR",
        "Serves the files of a directory under a path of URLs, as `/static/=staticfiles`; the directory may come later",
    ),
    one(
        STATIC,
        "static-root",
        "DIR",
        "",
        "Serves the files of a directory at `/`: robots.txt, favicon.ico, `.well-known/`",
    ),
    one(
        STATIC,
        "static-max-age",
        "TIME",
        "60s",
        "How long a browser may use a file without asking again; `off` for no Cache-Control",
    ),
    many(
        STATIC,
        "static-immutable",
        "PATTERN",
        "A regular expression: files whose URL's path has it may be kept for ever. Default: what Django's staticfiles.json names, or where there is none, names with twelve hexadecimal digits before the ending",
    ),
    one(
        STATIC,
        "static-index",
        "NAME",
        "off",
        "The name of files that stand for their directories, such as `index.html`; `off` for none",
    ),
    one(
        STATIC,
        "static-missing",
        "WHO",
        "application",
        "Who answers for a path under --static without a file: the `application`, or forebay with `404`",
    ),
    many(
        STATIC,
        "static-field",
        "RULE",
        "A regular expression, a space and a field for files whose URL's path has it, as `\\.pdf$ Content-Disposition: attachment`; it replaces forebay's own",
    ),
    many(
        STATIC,
        "static-type",
        "NAME=TYPE",
        "The media type of files by ending or whole name, as `.geojson=application/geo+json`",
    ),
    one(STATIC, "static-charset", "NAME", "utf-8", "The charset of text"),
    one(
        STATIC,
        "static-cors",
        "SWITCH",
        "on",
        "Whether scripts of all origins may read static files, as fonts from a CDN need: `on` or `off`",
    ),
    one(
        STATIC,
        "static-links",
        "WHICH",
        "inside",
        "Which links are followed: those that end `inside` their directory, or `anywhere`, which `collectstatic --link` needs",
    ),
    one(
        STATIC,
        "static-variants",
        "WHEN",
        "auto",
        "Whether brotli and gzip variants are made in memory where none lie beside a file: `on`, `off`, or `auto`, which is on with two cores or more",
    ),
    one(
        STATIC,
        "asset-memory",
        "SIZE",
        "64MiB",
        "Memory for the content of static files; what has no room is read when it is asked for",
    ),
    one(
        COMPRESSION,
        "compress",
        "SWITCH",
        "off",
        "Compresses the application's text with zstd, brotli or gzip, as the client likes: `on` or `off`",
    ),
    one(COMPRESSION, "compress-min", "SIZE", "1KiB", "Smaller answers are not worth it"),
    one(
        COMPRESSION,
        "compress-personal",
        "SWITCH",
        "off",
        "Compresses answers for one person too; their lengths can then betray a secret beside something that an attacker chooses (BREACH): `on` or `off`",
    ),
    one(
        COMPRESSION,
        "compress-limit",
        "COUNT",
        "100",
        "The most answers compressed at once, with up to 2MiB of memory each; more go as they are",
    ),
];
