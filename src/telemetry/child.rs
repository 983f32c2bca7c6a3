//! The record that a child's output becomes.
//!
//! Owns: its fields and their form, what is never shown of a command or of a message.
//! Must not know: how lines become records.

use std::fmt;
use std::io::Write as _;
use std::time::SystemTime;

use super::Format;
use super::json::string;

/// How serious a record is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// For developers.
    Debug,
    /// As it should be.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        })
    }
}

/// Something that a child said.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// The process, by its name in the Procfile.
    pub process: &'a str,
    /// `stdout` or `stderr`.
    pub stream: &'static str,
    /// How serious it is.
    pub level: Level,
    /// Its lines, without the last line end.
    pub text: &'a [u8],
    /// Bytes that were cut off its end.
    pub cut_bytes: u64,
}

impl Said<'_> {
    /// Writes the record with its line end.
    pub fn write(&self, out: &mut Vec<u8>, format: Format) {
        match format {
            Format::Json => self.write_json(out),
            Format::Text => self.write_text(out),
        }
    }

    /// One JSON object a line. What is an object already is kept as it is, as a member of its own.
    fn write_json(&self, out: &mut Vec<u8>) {
        let stamp = humantime::format_rfc3339_micros(SystemTime::now());
        // Writing to a buffer in memory cannot fail.
        write!(out, r#"{{"timestamp":"{stamp}","level":"{}","#, self.level).unwrap_or_default();
        if self.cut_bytes == 0 && is_object(self.text) {
            out.extend_from_slice(br#""record":"#);
            out.extend_from_slice(self.text.trim_ascii());
            out.push(b',');
        } else {
            string(out, "message", self.text);
        }
        string(out, "process", self.process.as_bytes());
        write!(out, r#""stream":"{}""#, self.stream).unwrap_or_default();
        if self.cut_bytes > 0 {
            write!(out, r#","cut_bytes":{}"#, self.cut_bytes).unwrap_or_default();
        }
        out.extend_from_slice(b"}\n");
    }

    fn write_text(&self, out: &mut Vec<u8>) {
        let stamp = humantime::format_rfc3339_micros(SystemTime::now());
        let text = String::from_utf8_lossy(self.text);
        for (place, line) in text.lines().enumerate() {
            if place == 0 {
                write!(out, "{stamp} {:>5} {}| ", self.level, self.process).unwrap_or_default();
            } else {
                write!(out, "{:33} {}| ", "", self.process).unwrap_or_default();
            }
            // Nothing that it says steers a terminal.
            let clean =
                |letter: char| if letter.is_control() && letter != '\t' { '?' } else { letter };
            out.extend_from_slice(line.chars().map(clean).collect::<String>().as_bytes());
            out.push(b'\n');
        }
        if self.cut_bytes > 0 {
            let cut = self.cut_bytes;
            writeln!(out, "{:33} {}| ({cut} bytes cut off)", "", self.process).unwrap_or_default();
        }
    }
}

fn is_object(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let looks_like_one = text.first() == Some(&b'{') && text.last() == Some(&b'}');
    looks_like_one
        && !text.contains(&b'\n')
        && serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(text).is_ok()
}

/// Variables that only forebay needs; App Service gives each a second time (facts, 5.1).
pub const OWN_SECRETS: [&str; 4] = [
    "FOREBAY_STATUS_TOKEN",
    "APPSETTING_FOREBAY_STATUS_TOKEN",
    "FOREBAY_RELEASE_LOCK",
    "APPSETTING_FOREBAY_RELEASE_LOCK",
];

/// A text without the passwords of the URLs in it: `scheme://user:password@host`.
pub fn redacted(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("://") {
        clean.push_str(before);
        clean.push_str("://");
        let end = behind.find(|it: char| it.is_whitespace() || "/'\"".contains(it));
        let (authority, after) =
            behind.split_at_checked(end.unwrap_or(behind.len())).unwrap_or((behind, ""));
        // A password may have an `@`, and a `/` that should have been escaped.
        let secret = behind.split(char::is_whitespace).next().unwrap_or_default();
        match (authority.rsplit_once('@'), secret.rsplit_once('@')) {
            (Some((_, host)), _) => {
                clean.push_str("[redacted]@");
                clean.push_str(host);
                rest = after;
            }
            (None, Some((credentials, _))) if credentials.contains(':') => {
                clean.push_str("[redacted]");
                rest = behind.get(credentials.len()..).unwrap_or_default();
            }
            _ => {
                clean.push_str(authority);
                rest = after;
            }
        }
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(text: &[u8]) -> Said<'_> {
        Said { process: "web", stream: "stderr", level: Level::Warn, text, cut_bytes: 0 }
    }

    fn written(said: &Said<'_>, format: Format) -> String {
        let mut out = Vec::new();
        said.write(&mut out, format);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_is_one_json_object_and_an_object_is_kept_whole() {
        let plain = said(b"a\n  \"b\" \xff");
        let line = written(&plain, Format::Json);
        assert_eq!(line.matches('\n').count(), 1);
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["message"], "a\n  \"b\" \u{fffd}");
        assert_eq!((&line["process"], &line["stream"]), (&"web".into(), &"stderr".into()));
        assert_eq!(line["level"], "WARN");
        let object = said(br#" {"message": "x", "process": 7} "#);
        let line: serde_json::Value =
            serde_json::from_str(&written(&object, Format::Json)).unwrap();
        assert_eq!(line["record"]["process"], 7);
        assert_eq!(line["process"], "web");
        let broken = said(br#"{"message": x}"#);
        let line: serde_json::Value =
            serde_json::from_str(&written(&broken, Format::Json)).unwrap();
        assert_eq!(line["message"], "{\"message\": x}");
    }

    #[test]
    fn each_line_of_a_text_says_whose_it_is() {
        let record = Said { cut_bytes: 9, ..said(b"first\n\x1b[31msecond") };
        let text = written(&record, Format::Text);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].ends_with(" WARN web| first"), "{text}");
        assert!(lines[1].ends_with(" web| ?[31msecond"), "{text}");
        assert!(lines[2].ends_with(" web| (9 bytes cut off)"), "{text}");
        assert_eq!(lines[0].find("web|"), lines[1].find("web|"), "{text}");
    }

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        for (text, shown) in [
            ("a postgres://me:pw@host/db b", "a postgres://[redacted]@host/db b"),
            ("a amqp://me:p@w@host:5672//", "a amqp://[redacted]@host:5672//"),
            ("a redis://:p/w@host", "a redis://[redacted]@host"),
            (
                "see https://example.com/a@b and 'x://y:z@h'",
                "see https://example.com/a@b and 'x://[redacted]@h'",
            ),
            ("nothing", "nothing"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_become_one_object(text in prop::collection::vec(any::<u8>(), 0..80)) {
            let line = written(&said(&text), Format::Json);
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
        }

        #[test]
        fn no_password_survives(password in "[a-z]{8,12}", before in "[ -~]{0,20}", after in "[ -~]{0,20}") {
            prop_assume!(!before.contains(&password) && !after.contains(&password));
            let text = format!("{before} x://me:{password}@host {after}");
            prop_assert!(!redacted(&text).contains(&password));
        }
    }
}
