//! The codes that mark every answer forebay makes itself, each with its cause and cure.
//!
//! Owns: the list of codes, their statuses, tokens and texts.
//! Must not know: how an answer is written, or which module found the fault.

use http::StatusCode;

/// What a code means, for the client, the log and the README's table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Meaning {
    /// The code as it is shown: `FB-` and two digits.
    pub id: &'static str,
    /// The status sent with it. 499 and 200 are never sent: these codes only mark log lines.
    pub status: u16,
    /// The log's and the metrics' token, from RFC 9209 section 2.3 where one fits.
    pub reason: &'static str,
    /// What the client is told: never an address, a path or a cause.
    pub title: &'static str,
    /// What the operator should look at.
    pub cure: &'static str,
}

/// Builds [`Code`] and its table in one place, so that neither can miss an entry.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $id:literal $status:literal $reason:literal
        $title:literal $cure:literal;)*) => {
        /// Why forebay answered in the place of the application.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code, in the order of the README's table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What this code means.
            pub const fn meaning(self) -> Meaning {
                match self {
                    $(Self::$name => Meaning {
                        id: $id, status: $status, reason: $reason, title: $title, cure: $cure,
                    },)*
                }
            }
        }
    };
}

codes! {
    /// The request breaks the grammar of HTTP/1.
    Malformed = "FB-10" 400 "http_request_error"
        "The request is not valid HTTP."
        "Look at the client: the log line names the fault. Nothing reached the application.";
    /// The request can be read in two ways.
    Ambiguous = "FB-11" 400 "http_request_error"
        "The request's length can be read in two ways."
        "A broken client, or an attempt at request smuggling. Nothing reached the application.";
    /// A header section over one of its limits.
    HeaderTooLarge = "FB-12" 431 "http_request_header_section_size"
        "The request's header section is too large."
        "Raise --header-bytes-limit, --header-count-limit or --field-bytes-limit, and gunicorn's --limit-request-field_size with them.";
    /// A request line over its limit.
    TargetTooLong = "FB-13" 414 "http_request_uri_length"
        "The request's address is too long."
        "Raise --request-line-limit, and gunicorn's --limit-request-line with it.";
    /// The header section did not arrive in time.
    HeaderDeadline = "FB-14" 408 "http_request_timeout"
        "The request's header section did not arrive in time."
        "A slow or hostile client. Raise --header-deadline if honest clients need it.";
    /// The content of the request stopped arriving.
    BodyDeadline = "FB-15" 408 "http_request_timeout"
        "The request's content did not arrive in time."
        "A slow or hostile client. Raise --body-idle-deadline if honest clients need it.";
    /// No usable host.
    BadHost = "FB-16" 400 "http_request_error"
        "The request names no valid host, or more than one."
        "Look at the client; a front end sends exactly one Host field.";
    /// A method or a form of target that a gateway does not serve.
    NotServed = "FB-17" 501 "http_request_error"
        "This method is not served here."
        "CONNECT is for forward proxies, and TRACE shows fields to scripts; the application never sees either.";
    /// All places for connections are taken.
    TooManyConnections = "FB-18" 503 "connection_limit_reached"
        "Too many connections are open."
        "Raise --connection-limit and the limit of open files, or find out who holds connections.";
    /// More content than may be.
    BodyTooLarge = "FB-19" 413 "http_request_body_size"
        "The request's content is too large."
        "Raise --max-body if the site takes larger uploads.";
    /// The application has not answered yet.
    Starting = "FB-20" 503 "destination_unavailable"
        "The site is starting."
        "Wait. If it lasts, the log says what the application answered last.";
    /// forebay was told to stop.
    Draining = "FB-21" 503 "destination_unavailable"
        "The site is restarting."
        "A new instance takes over.";
    /// The application was ready and does not answer any more.
    NotAnswering = "FB-22" 503 "destination_unavailable"
        "The site does not answer."
        "See the application's log: it died, or its workers hang.";
    /// As many requests wait as may.
    QueueFull = "FB-23" 503 "connection_limit_reached"
        "Too many people are waiting."
        "The application is slower than its visitors come: more workers, or look for slow views. --queue-limit says how many wait.";
    /// No place in the application in time.
    QueueDeadline = "FB-24" 503 "connection_limit_reached"
        "The site is too busy to answer in time."
        "All --concurrency places were taken for --queue-deadline: more workers, or look for slow views.";
    /// The application stopped listening and did not come back in time.
    NotBack = "FB-25" 503 "destination_unavailable"
        "The site is restarting."
        "If it lasts, the application does not come up: see its log. --hold-deadline and --page-after say how long a request waits.";
    /// A budget for content that waits is spent, or its file failed.
    NoRoom = "FB-26" 503 "spool_full"
        "The site takes no more uploads at the moment."
        "--spool-disk is spent, or the disk behind --spool-dir is full: the log line says which.";
    /// All places for upgraded connections are taken.
    TooManyTunnels = "FB-27" 503 "connection_limit_reached"
        "Too many WebSockets are open."
        "Raise --tunnel-limit, or find out who holds them: each has a line `tunnel ended`.";
    /// The application's process ends again and again.
    Dying = "FB-28" 503 "destination_unavailable"
        "The site cannot start at the moment."
        "Its process ends soon after its start, so that waiting is of no use: its last lines are in the log.";
    /// The application could not be connected to.
    Refused = "FB-30" 502 "connection_refused"
        "The site cannot be reached."
        "Correct --upstream, or the rights of its socket. The log line has the address and the cause.";
    /// Connecting took too long.
    ConnectDeadline = "FB-31" 504 "connection_timeout"
        "The site takes no more requests at the moment."
        "Its backlog is full: more workers, or a longer --upstream-connect-deadline.";
    /// The connection ended before an answer.
    ClosedEarly = "FB-32" 502 "connection_terminated"
        "The site ended without an answer."
        "A worker died or was killed at gunicorn's --timeout: see the application's log.";
    /// The answer did not begin in time.
    ResponseDeadline = "FB-33" 504 "http_response_timeout"
        "The site did not answer in time."
        "Find the slow view, or raise --upstream-response-deadline (the front end gives up at 230 s).";
    /// What came back was not HTTP.
    BadResponse = "FB-34" 502 "http_protocol_error"
        "The site's answer was not valid."
        "Is --upstream the application's HTTP port? The log line says what was wrong.";
    /// The answer broke off after it had begun.
    BrokenOff = "FB-35" 502 "http_response_incomplete"
        "The site's answer broke off."
        "A worker died while answering: see the application's log.";
    /// The application names a file that is not sent.
    FileRefused = "FB-36" 502 "proxy_configuration_error"
        "The file cannot be delivered."
        "X-Accel-Redirect or X-Sendfile names no regular file beneath --send-file, or one that forebay may not read: the log line says which and why.";
    /// The application names a file that is not there.
    FileMissing = "FB-37" 404 "file_missing"
        "The file is not there."
        "X-Accel-Redirect or X-Sendfile names a file that does not exist: the log line says which.";
    /// A file could not be sent to its end.
    FileBrokenOff = "FB-38" 502 "http_response_incomplete"
        "The file broke off."
        "The file was shortened or rewritten while it was sent, or its disk failed: the log line says which. Write a new file and rename it into place.";
    /// The client left before the answer was complete.
    ClientLeft = "FB-40" 499 "client_left"
        "The client closed the connection."
        "Nothing to mend, unless it happens often: then the answers are too slow.";
    /// There is no such static file, and the application is not asked.
    AssetMissing = "FB-50" 404 "file_missing"
        "There is no such file."
        "No file under --static has this name: was collectstatic run for this release? With --static-missing application Django is asked.";
    /// Static files are only read.
    AssetMethod = "FB-51" 405 "http_request_error"
        "This file can only be read."
        "A form or a script sends to the address of a static file: look at its action.";
    /// A static file cannot be opened.
    AssetUnreadable = "FB-52" 500 "file_unreadable"
        "The file cannot be delivered."
        "A file under --static cannot be opened any more, or its disk does not answer: the log line says which and why.";
    /// Who asks for forebay's status has not the token.
    StatusToken = "FB-60" 401 "http_request_denied"
        "The status is shown to those who have its token."
        "Send the token of --status-token as `Authorization: Bearer TOKEN`, or as the password in a browser. Someone may be guessing.";
    /// Too many wrong tokens from one client.
    StatusAttempts = "FB-61" 429 "http_request_denied"
        "Too many wrong tokens."
        "Ten within a minute came from this client. Correct the token where it is sent from, and wait a minute.";
}

impl Code {
    /// The status that is sent with this code; 500 for the log-only code of a client that left.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.meaning().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The code as it is shown: `FB-` and two digits.
    pub const fn id(self) -> &'static str {
        self.meaning().id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn every_code_has_its_own_number_and_a_real_status() {
        for (place, code) in Code::ALL.iter().enumerate() {
            assert!(Code::ALL[..place].iter().all(|other| other.id() != code.id()));
            assert!((400..600).contains(&code.meaning().status), "{}", code.id());
        }
    }

    /// The README's table, made from the list.
    fn table() -> String {
        let mut table =
            String::from("| Code | Status | The client reads | What to do |\n|---|---|---|---|\n");
        for code in Code::ALL {
            let Meaning { id, status, title, cure, .. } = code.meaning();
            writeln!(table, "| {id} | {status} | {title} | {cure} |").unwrap();
        }
        table
    }

    #[test]
    fn the_readme_lists_every_code() {
        let readme = include_str!("../README.md");
        let (_, rest) = readme.split_once("<!-- codes -->\n").unwrap();
        let (listed, _) = rest.split_once("<!-- /codes -->").unwrap();
        assert_eq!(listed, table(), "put this between the marks in the README:\n{}", table());
    }
}
