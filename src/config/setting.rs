//! The list of all settings: flags, help and README are made from it.
//!
//! Owns: names, help texts, defaults.
//! Must not know: what a setting does.

/// One setting, as the operator meets it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The flag without its dashes; also the key in `forebay.toml`.
    pub name: &'static str,
    /// What stands for the value in the help.
    pub value: &'static str,
    /// The text that holds when nobody wrote another; empty for none.
    pub default: &'static str,
    /// One line of help, without a full stop.
    pub help: &'static str,
    /// Whether it may be given several times.
    pub repeats: bool,
    /// The group in the help and in the README.
    pub group: &'static str,
}

impl Setting {
    /// The variable of the same meaning.
    pub fn variable(&self) -> String {
        format!("FOREBAY_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }
}

const fn one(
    group: &'static str,
    name: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, value, default, help, repeats: false, group }
}

const fn many(
    group: &'static str,
    name: &'static str,
    value: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, value, default: "", help, repeats: true, group }
}

const PLACE: &str = "Where";
const TRUST: &str = "Whom to believe";
const PROBES: &str = "Probes";
const UPSTREAM: &str = "The application's side";
const QUEUE: &str = "The queue";
const SPOOL: &str = "Content that waits";
const COMPRESSION: &str = "Compression";
const LIMITS: &str = "Limits on clients";
const CHILDREN: &str = "Processes of forebay run";
const LOG: &str = "Log";

/// Every setting.
pub const SETTINGS: &[Setting] = &[
    one(
        PLACE,
        "listen",
        "HOST:PORT",
        "0.0.0.0:8000",
        "The public address; the port comes from PORT, then WEBSITES_PORT, when they are set",
    ),
    one(
        PLACE,
        "upstream",
        "ADDR",
        "",
        "Where the application listens: `HOST:PORT` or `unix:/path`",
    ),
    many(
        PLACE,
        "host",
        "NAME",
        "The canonical host, one that ALLOWED_HOSTS has; it replaces IP addresses on requests from inside. The first counts, the others are tried too when readiness is asked. Default: WEBSITE_HOSTNAME or CONTAINER_APP_HOSTNAME",
    ),
    one(
        PLACE,
        "platform",
        "NAME",
        "auto",
        "Whose fields describe the visitor: `auto`, `app-service`, `container-apps`, `kubernetes` or `none`",
    ),
    one(
        PLACE,
        "threads",
        "COUNT",
        "1",
        "Data threads; one serves tens of thousands of requests a second",
    ),
    one(
        PLACE,
        "drain-deadline",
        "TIME",
        "25s",
        "How long a stop may take before what is left is cut; on App Service WEBSITES_CONTAINER_STOP_TIME_LIMIT less 1s, which is 4s",
    ),
    one(
        TRUST,
        "edges",
        "EDGES",
        "0",
        "Trusted edges in front of the platform's front end: a number of hops, `front-door` or `app-gateway`",
    ),
    one(
        TRUST,
        "front-door-id",
        "GUID",
        "",
        "The id of your Front Door profile; only requests that carry it count as having passed the edge",
    ),
    many(TRUST, "trusted", "CIDR", "Networks whose hops are trusted and skipped"),
    one(
        TRUST,
        "forwarded",
        "FORM",
        "client",
        "What X-Forwarded-For tells the application: the `client` alone or the trusted `chain`",
    ),
    one(
        TRUST,
        "scheme",
        "SCHEME",
        "auto",
        "The visitor's scheme: `auto` believes the trusted fields, `http` and `https` hold always",
    ),
    one(
        TRUST,
        "easy-auth",
        "SWITCH",
        "off",
        "Whether X-MS-CLIENT-PRINCIPAL and its kin are genuine: `on` or `off`; on App Service WEBSITE_AUTH_ENABLED decides",
    ),
    many(
        TRUST,
        "keep",
        "FIELD",
        "A field that would be removed or rewritten and is passed on as it came",
    ),
    one(
        TRUST,
        "accept-proxy-protocol",
        "SWITCH",
        "off",
        "Whether every connection begins with a PROXY protocol header, version 1 or 2 (Application Gateway in TCP mode): `on` or `off`",
    ),
    one(
        PROBES,
        "health-path",
        "PATH",
        "/healthz",
        "The path that is answered 200 while the application answers and 503 otherwise; the application is asked for the same path",
    ),
    one(
        PROBES,
        "warm-up-path",
        "PATH",
        "/robots933456.txt",
        "App Service's warm-up path; WEBSITE_WARMUP_PATH when it is set",
    ),
    one(
        PROBES,
        "always-on",
        "WHO",
        "application",
        "Who answers App Service's Always On: the `application`, or `answer` for forebay",
    ),
    one(
        PROBES,
        "start-limit",
        "TIME",
        "230s",
        "How long the platform waits for a start; WEBSITES_CONTAINER_START_TIME_LIMIT when it is set",
    ),
    one(
        PROBES,
        "ready-interval",
        "TIME",
        "5s",
        "Between two questions to an application that is ready",
    ),
    one(PROBES, "ready-deadline", "TIME", "10s", "How long the answer to such a question may take"),
    one(
        UPSTREAM,
        "upstream-connect-deadline",
        "TIME",
        "5s",
        "How long connecting to the application may take",
    ),
    one(
        UPSTREAM,
        "upstream-response-deadline",
        "TIME",
        "230s",
        "From the end of the request to the beginning of the answer; App Service's front end gives up at 230s",
    ),
    one(UPSTREAM, "upstream-idle-deadline", "TIME", "240s", "Between two pieces of an answer"),
    one(
        UPSTREAM,
        "upstream-keep-alive",
        "TIME",
        "1500ms",
        "How long an idle connection to the application is reused; less than gunicorn's --keep-alive (2s); `off` for none",
    ),
    one(
        UPSTREAM,
        "proxy-protocol",
        "VERSION",
        "off",
        "Begins each connection to the application with its client: `off`, `v1` or `v2`; gunicorn needs --proxy-protocol and then sees the client as REMOTE_ADDR",
    ),
    one(
        QUEUE,
        "concurrency",
        "COUNT",
        "1000",
        "The most requests in the application at once, over all threads; with sync workers as many as there are workers, with gthread workers × threads",
    ),
    one(
        QUEUE,
        "queue-limit",
        "COUNT",
        "1000",
        "The most requests that wait, for a place or for an application that restarts; more get 503 at once; 0 for none",
    ),
    one(QUEUE, "queue-deadline", "TIME", "30s", "How long a request may wait for a place"),
    one(
        QUEUE,
        "hold-deadline",
        "TIME",
        "120s",
        "How long a request waits while nothing listens at the upstream address; shorter than the front end's 230s",
    ),
    one(
        QUEUE,
        "page-after",
        "TIME",
        "4s",
        "When a browser that waits for such an application gets a page that tries again by itself",
    ),
    many(
        SPOOL,
        "request-buffering",
        "RULE",
        "Whether a request's content is read to its end before the application is connected to: `on`, `off`, or for paths `/prefix=off`; the longest prefix holds. Default: `on`",
    ),
    one(SPOOL, "max-body", "SIZE", "100MiB", "The most bytes of a request's content; more get 413"),
    one(
        SPOOL,
        "spool-memory",
        "SIZE",
        "64MiB",
        "Memory for content that waits, over all requests and answers: 64KiB of a request, 1MiB of an answer; the rest goes to files",
    ),
    one(
        SPOOL,
        "spool-disk",
        "SIZE",
        "1GiB",
        "Files for content that waits, over all requests and answers; without room a request gets 503, and an answer waits in the application",
    ),
    one(
        SPOOL,
        "answer-spool-disk",
        "SIZE",
        "256MiB",
        "How much of one answer may wait in a file; `0B` for none",
    ),
    one(
        SPOOL,
        "spool-dir",
        "DIR",
        "/tmp",
        "Where these files are, without a name: nothing is left of them; TMPDIR when it is set",
    ),
    many(
        UPSTREAM,
        "send-file",
        "PREFIX=DIR",
        "Sends the file that the application names by X-Accel-Redirect (a URL's path that begins with PREFIX) or X-Sendfile (a path beneath DIR), as `/protected/=/srv/media`; without it both fields are passed on",
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
    one(LIMITS, "connection-limit", "COUNT", "10000", "The most connections at once; more get 503"),
    one(LIMITS, "header-deadline", "TIME", "15s", "How long a header section may take"),
    one(
        LIMITS,
        "idle-deadline",
        "TIME",
        "300s",
        "How long a connection may be idle between requests; longer than the front end's 240s",
    ),
    one(
        LIMITS,
        "body-idle-deadline",
        "TIME",
        "60s",
        "How long a client may neither send nor take content that is waited for",
    ),
    one(
        LIMITS,
        "header-bytes-limit",
        "SIZE",
        "64KiB",
        "The most bytes in a header section; App Service's front end allows 64KiB",
    ),
    one(LIMITS, "header-count-limit", "COUNT", "100", "The most fields; gunicorn allows 100"),
    one(
        LIMITS,
        "field-bytes-limit",
        "SIZE",
        "8190B",
        "The most bytes in one field; gunicorn's --limit-request-field_size",
    ),
    one(
        LIMITS,
        "request-line-limit",
        "SIZE",
        "4094B",
        "The most bytes in the request line; gunicorn's --limit-request-line",
    ),
    one(
        LIMITS,
        "tunnel-limit",
        "COUNT",
        "1000",
        "The most WebSockets and other upgraded connections at once; more get 503",
    ),
    one(
        LIMITS,
        "tunnel-idle-deadline",
        "TIME",
        "300s",
        "How long a WebSocket may pass no byte, pings included; longer than the front end's 240s",
    ),
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
    one(LOG, "log", "FORM", "json", "The form of a log line: `json` or `text`"),
    one(
        LOG,
        "log-level",
        "LEVEL",
        "info",
        "The least level that is logged: `error`, `warn`, `info` or `debug`",
    ),
    one(LOG, "access-log", "SWITCH", "on", "Whether each request has a line: `on` or `off`"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn names_are_unique_and_helps_are_one_sentence() {
        for (place, setting) in SETTINGS.iter().enumerate() {
            assert!(SETTINGS[..place].iter().all(|other| other.name != setting.name));
            assert!(!setting.help.ends_with('.'), "{}", setting.name);
        }
    }

    /// The README's table, made from the list.
    fn table() -> String {
        let mut table = String::from("| Flag | Default | Meaning |\n|---|---|---|\n");
        let mut group = "";
        for setting in SETTINGS {
            if std::mem::replace(&mut group, setting.group) != setting.group {
                writeln!(table, "| **{}** | | |", setting.group).unwrap();
            }
            let default = match setting.default {
                "" => String::new(),
                default => format!("`{default}`"),
            };
            let several = if setting.repeats { " (repeatable)" } else { "" };
            let (name, value) = (setting.name, setting.value);
            let help = setting.help;
            writeln!(table, "| `--{name} {value}` | {default} | {help}{several} |").unwrap();
        }
        table
    }

    #[test]
    fn the_readme_lists_every_setting() {
        let readme = include_str!("../../README.md");
        let (_, rest) = readme.split_once("<!-- settings -->\n").unwrap();
        let (listed, _) = rest.split_once("<!-- /settings -->").unwrap();
        assert_eq!(listed, table(), "put this between the marks in the README:\n{}", table());
    }
}
