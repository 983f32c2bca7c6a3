//! The settings of the application's side, and what waits for it.
//!
//! Owns: their names, help texts and defaults.
//! Must not know: what a setting does.

use super::{Setting, many, one};

const UPSTREAM: &str = "The application's side";
const QUEUE: &str = "The queue";
const SPOOL: &str = "Content that waits";

/// In the order of the help and the README.
pub(super) const LIST: &[Setting] = &[
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
        "upstream-reuse",
        "WHICH",
        "safe",
        "Which requests reuse a connection to the application: `safe` for GET, HEAD and OPTIONS without content, `all` for all of up to 4 KiB; gunicorn's threads lose none by it, servers on asyncio now and then one",
    ),
    one(
        UPSTREAM,
        "proxy-protocol",
        "VERSION",
        "off",
        "Begins each connection to the application with its client: `off`, `v1` or `v2`; gunicorn needs --proxy-protocol and then sees the client as REMOTE_ADDR",
    ),
    many(
        UPSTREAM,
        "send-file",
        "PREFIX=DIR",
        "Sends the file that the application names by X-Accel-Redirect (a URL's path that begins with PREFIX) or X-Sendfile (a path beneath DIR), as `/protected/=/srv/media`; without it both fields are passed on",
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
];
