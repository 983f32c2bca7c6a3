//! Finds the level in a line of gunicorn, uvicorn, Django, celery or granian.
//!
//! Owns: where the level stands in their formats. Pure.
//! Must not know: what a record is.

use crate::telemetry::Level;

/// The level that a line names before its message, as in
///
/// - `[2026-11-24 15:54:10 +0000] [7] [INFO] Booting worker` (gunicorn),
/// - `INFO:     Started server process [7]` (uvicorn), `WARNING:django.request:Not Found`,
/// - `[2026-11-24 15:54:10,123: WARNING/MainProcess] consumer` (celery),
/// - `ERROR 2026-11-24 15:54:10,123 views 7 140 message` (Django's documentation),
/// - `[24/Nov/2026 15:54:10] ERROR [app.views:12] message`,
/// - `2026-11-24 15:54:10,123 - app.views - INFO - message`, `[INFO] Starting granian`.
///
/// and `10.0.0.1 - - [24/Nov/2026 15:54:10] "GET / HTTP/1.1" 200 5`, the access line of servers that
/// write it to standard error, which is [`Level::Info`].
///
/// A word in the message is none: what stands before the level is a date, numbers, or names between
/// marks.
pub(super) fn of(line: &[u8]) -> Option<Level> {
    let head = line.get(..LOOKED_AT).unwrap_or(line);
    let mut start = None;
    for (place, byte) in head.iter().chain(b" ").enumerate() {
        if byte.is_ascii_alphanumeric() || *byte == b'_' {
            start = start.or(Some(place));
            continue;
        }
        let Some(begin) = start.take() else { continue };
        let Some(level) = head.get(begin..place).and_then(named) else { continue };
        let before = head.get(..begin).unwrap_or_default();
        let behind = line.get(place..).unwrap_or_default();
        if is_its_place(before, behind) {
            return Some(level);
        }
    }
    is_access(line).then_some(Level::Info)
}

/// Whether a line tells of a request: its line in quotes, and then a status.
fn is_access(line: &[u8]) -> bool {
    let Some(place) = memchr::memmem::find(line, b" HTTP/1.") else { return false };
    let behind = line.get(place + 8..).unwrap_or_default();
    matches!(behind, [b'0' | b'1', b'"', b' ', b'1'..=b'5', b'0'..=b'9', b'0'..=b'9', ..])
}

fn named(word: &[u8]) -> Option<Level> {
    match word {
        b"DEBUG" | b"TRACE" => Some(Level::Debug),
        b"INFO" | b"NOTICE" => Some(Level::Info),
        b"WARNING" | b"WARN" => Some(Level::Warn),
        b"ERROR" | b"CRITICAL" | b"FATAL" => Some(Level::Error),
        _ => None,
    }
}

fn is_its_place(before: &[u8], behind: &[u8]) -> bool {
    let mut words = before.split(|byte| !byte.is_ascii_alphabetic());
    let is_bare = words.all(|word| word.is_empty() || OF_DATES.contains(&word));
    let mark = before.trim_ascii_end().last();
    let next = behind.trim_ascii_start().first();
    let is_between = match mark {
        Some(b'[') => matches!(next, Some(b']')),
        Some(b'(') => matches!(next, Some(b')')),
        Some(b'|') => matches!(next, Some(b'|')),
        Some(b'-') => matches!(next, Some(b'-')),
        _ => false,
    };
    // At its beginning a level has something behind it, else it is a word.
    is_between
        || (is_bare && matches!(behind.first(), Some(b':' | b' ' | b']' | b'/' | b'|' | b'\t')))
}

/// What dates have beside numbers.
const OF_DATES: &[&[u8]] = &[
    b"T", b"Z", b"UTC", b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep",
    b"Oct", b"Nov", b"Dec",
];

/// Levels stand at the beginning.
const LOOKED_AT: usize = 120;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_level_is_found_where_each_program_writes_it() {
        use Level::{Debug, Error, Info, Warn};
        for (line, level) in [
            ("[2026-11-24 15:54:10 +0000] [7] [INFO] Booting worker with pid: 7", Some(Info)),
            ("[2026-11-24 15:54:10 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:8)", Some(Error)),
            ("INFO:     Started server process [7]", Some(Info)),
            ("WARNING:  StatReload detected changes", Some(Warn)),
            ("WARNING:django.request:Not Found: /a", Some(Warn)),
            ("[2026-11-24 15:54:10,123: WARNING/MainProcess] Restoring 3 messages", Some(Warn)),
            ("[2026-11-24 15:54:10,123: ERROR/ForkPoolWorker-1] Task failed", Some(Error)),
            ("ERROR 2026-11-24 15:54:10,123 views 7 140 message", Some(Error)),
            ("DEBUG (0.001) SELECT 1", Some(Debug)),
            ("2026-11-24 15:54:10,123 - app.views - INFO - message", Some(Info)),
            ("2026-11-24T15:54:10Z WARN message", Some(Warn)),
            ("[INFO] Starting granian (main PID: 7)", Some(Info)),
            ("2026-11-24 15:54:10.123 | ERROR    | app:main:1 - message", Some(Error)),
            ("[24/Nov/2026 15:54:10] ERROR [app.views:12] message", Some(Error)),
            ("Internal Server Error: /a", None),
            ("Operations to perform:", None),
            ("  Applying auth.0001_initial... OK", None),
            ("SELECT * FROM INFO WHERE a", None),
            ("the ERROR was here", None),
            ("10.0.0.1 - - [24/Nov/2026 15:54:10] \"GET /ERROR HTTP/1.1\" 200 5", Some(Info)),
            ("he said \"GET / HTTP/1.1\" and left", None),
            ("INFO", None),
            ("ERROR_CODE: 1", None),
            ("", None),
        ] {
            assert_eq!(of(line.as_bytes()), level, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _: Option<Level> = of(&line);
        }
    }
}
