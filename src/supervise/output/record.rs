//! Turns what a child writes into records: lines, and tracebacks as a whole.
//!
//! Owns: where a record ends, how long one may be. Pure.
//! Must not know: pipes, clocks, the form of the log.

use super::level;
use crate::telemetry::Level;

/// One record of a child.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Record {
    /// Its lines, without the last line end.
    pub(super) text: Vec<u8>,
    /// The level that it names, or that a traceback has.
    pub(super) level: Option<Level>,
    /// Bytes that were cut off.
    pub(super) cut_bytes: u64,
}

/// What has been read of one stream and is no whole record yet.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// The line that has not ended.
    line: Vec<u8>,
    /// Bytes of that line that had no room.
    line_cut: u64,
    /// The lines of the record so far.
    text: Vec<u8>,
    cut: u64,
    level: Option<Level>,
    trace: Trace,
}

/// How far a traceback has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Trace {
    /// There is none.
    #[default]
    None,
    /// Its head has come; frames follow, and then the exception.
    Frames,
    /// The exception has come; another one may follow that it caused.
    Raised,
    /// Another one is announced.
    Chained,
}

impl Records {
    /// Takes what was read; gives each record that has ended.
    pub(super) fn take(&mut self, mut bytes: &[u8], give: &mut impl FnMut(Record)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
            self.extend(line);
            self.end_line(give);
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.extend(bytes);
    }

    /// Gives the record whose lines have all come, as far as one can tell. A line that has not
    /// ended stays.
    pub(super) fn settle(&mut self, give: &mut impl FnMut(Record)) {
        let mut text = std::mem::take(&mut self.text);
        text.truncate(text.trim_ascii_end().len());
        let (cut_bytes, level) = (std::mem::take(&mut self.cut), self.level.take());
        self.trace = Trace::None;
        if !text.is_empty() || cut_bytes > 0 {
            give(Record { text, level, cut_bytes });
        }
    }

    /// Gives all that is left: nothing follows.
    pub(super) fn end(&mut self, give: &mut impl FnMut(Record)) {
        if !self.line.is_empty() || self.line_cut > 0 {
            self.end_line(give);
        }
        self.settle(give);
    }

    /// Whether a record waits for what follows.
    pub(super) fn has_lines(&self) -> bool {
        !self.text.is_empty()
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = LINE_LIMIT.saturating_sub(self.line.len()).min(bytes.len());
        self.line.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.line_cut += (bytes.len() - room) as u64;
    }

    fn end_line(&mut self, give: &mut impl FnMut(Record)) {
        let mut line = std::mem::take(&mut self.line);
        let cut = std::mem::take(&mut self.line_cut);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let named = level::of(&line);
        let next = self.continued(&line, named.is_some());
        let has_room = self.text.len() + line.len() < RECORD_LIMIT;
        if next.is_none() || !has_room {
            self.settle(give);
        }
        if self.text.is_empty() {
            self.level = named;
        } else {
            self.text.push(b'\n');
        }
        self.trace = next.unwrap_or(if is_head(&line) { Trace::Frames } else { Trace::None });
        if self.trace == Trace::Frames {
            self.level = self.level.or(Some(Level::Error));
        }
        self.text.extend_from_slice(&line);
        self.cut += cut;
        // The buffer of the line serves the next one.
        line.clear();
        self.line = line;
    }

    /// The state of the record with this line; nothing if the line begins another one.
    fn continued(&self, line: &[u8], has_level: bool) -> Option<Trace> {
        if self.text.is_empty() {
            return None;
        }
        let is_indented = line.first().is_some_and(|byte| b" \t".contains(byte));
        let is_blank = line.trim_ascii().is_empty();
        match self.trace {
            Trace::None | Trace::Chained if is_head(line) => Some(Trace::Frames),
            Trace::None => (is_indented && !is_blank).then_some(Trace::None),
            Trace::Frames if is_indented => Some(Trace::Frames),
            // Another worker speaks in between, or it broke off.
            Trace::Frames if has_level || is_blank => None,
            Trace::Frames => Some(Trace::Raised),
            Trace::Raised if CHAINS.iter().any(|chain| line.starts_with(chain)) => {
                Some(Trace::Chained)
            }
            Trace::Raised => {
                let is_more = NOTES.iter().any(|note| line.starts_with(note));
                (is_indented || is_blank || is_more).then_some(Trace::Raised)
            }
            Trace::Chained => is_blank.then_some(Trace::Chained),
        }
    }
}

fn is_head(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    line.starts_with(b"Traceback (most recent call last):")
        || line.starts_with(b"+ Exception Group Traceback (most recent call last):")
}

/// What Python writes between two tracebacks of one failure.
const CHAINS: &[&[u8]] = &[
    b"During handling of the above exception, another exception occurred:",
    b"The above exception was the direct cause of the following exception:",
];

/// What psycopg adds to its exceptions.
const NOTES: &[&[u8]] = &[b"DETAIL:", b"HINT:", b"CONTEXT:", b"LINE "];

/// The most bytes of one line; the rest of it is counted and dropped.
const LINE_LIMIT: usize = 32 * 1024;

/// A record that is as long ends with its next line.
const RECORD_LIMIT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(pieces: &[&[u8]]) -> Vec<Record> {
        let mut records = Records::default();
        let mut given = Vec::new();
        for piece in pieces {
            records.take(piece, &mut |record| given.push(record));
        }
        records.end(&mut |record| given.push(record));
        given
    }

    fn texts(text: &str) -> Vec<String> {
        let given = records(&[text.as_bytes()]);
        given.iter().map(|it| String::from_utf8_lossy(&it.text).into_owned()).collect()
    }

    const TRACE: &str = "Internal Server Error: /a
Traceback (most recent call last):
  File \"a.py\", line 1, in get
    raise KeyError(1)
KeyError: 1

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File \"b.py\", line 2, in post
    f()
    ~^^
django.db.utils.IntegrityError: duplicate key
DETAIL:  Key (id)=(1) already exists.
";

    #[test]
    fn a_traceback_is_one_record_with_the_message_before_it() {
        let text = format!("{TRACE}\nafter\n{TRACE}[1] [7] [INFO] next\n");
        let trace = TRACE.trim_end();
        assert_eq!(texts(&text), [trace, "after", trace, "[1] [7] [INFO] next"]);
    }

    #[test]
    fn a_line_is_a_record_and_indented_ones_belong_to_it() {
        assert_eq!(texts("a\nb\r\n\n  c\nd\n    e\nf"), ["a", "b", "  c", "d\n    e", "f"]);
        assert_eq!(texts("\n\n"), [""; 0]);
    }

    #[test]
    fn a_worker_that_speaks_in_between_has_a_record_of_its_own() {
        let given = texts("Traceback (most recent call last):\n  File a\n[1] [7] [INFO] x\nE: 1\n");
        assert_eq!(given.len(), 3, "{given:?}");
        assert_eq!(given[1], "[1] [7] [INFO] x");
    }

    #[test]
    fn levels_are_those_of_the_first_line_or_of_a_traceback() {
        let given = records(&[TRACE.as_bytes(), b"INFO:  a\nplain\n  WARNING b\n"]);
        let levels: Vec<_> = given.iter().map(|record| record.level).collect();
        assert_eq!(levels, [Some(Level::Error), Some(Level::Info), None]);
        let given = records(&[b"WARNING: a\n", TRACE.as_bytes()]);
        assert_eq!(given[0].level, Some(Level::Warn), "the message names its level");
    }

    #[test]
    fn a_line_without_end_is_cut_and_counted() {
        for (length, kept, cut) in [
            (LINE_LIMIT - 1, LINE_LIMIT - 1, 0),
            (LINE_LIMIT, LINE_LIMIT, 0),
            (LINE_LIMIT + 1, LINE_LIMIT, 1),
            (3 * LINE_LIMIT, LINE_LIMIT, 2 * LINE_LIMIT as u64),
        ] {
            let line = vec![b'x'; length];
            let given = records(&[&line[..length / 2], &line[length / 2..], b"\nnext"]);
            assert_eq!((given[0].text.len(), given[0].cut_bytes), (kept, cut));
            assert_eq!(given[1].text, b"next");
        }
    }

    #[test]
    fn a_record_without_end_is_ended() {
        let given = records(&[b"a\n", &b" 1234567\n".repeat(100_000)]);
        assert!(given.len() > 10);
        assert!(given.iter().all(|record| record.text.len() <= RECORD_LIMIT + LINE_LIMIT));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_come(
            lines in prop::collection::vec("[ \t]?(a|INFO: b|Traceback \\(most recent call last\\):|E: x|)\r?", 0..12),
            cuts in prop::collection::vec(0_usize..200, 0..6),
        ) {
            let text = lines.join("\n").into_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            prop_assert_eq!(records(&pieces), records(&[&text]));
        }

        #[test]
        fn no_byte_is_lost_but_line_ends(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let is_kept = |byte: &u8| !byte.is_ascii_whitespace();
            let given: Vec<_> = records(&[&text]).into_iter().flat_map(|it| it.text).filter(is_kept).collect();
            prop_assert_eq!(given, text.into_iter().filter(is_kept).collect::<Vec<_>>());
        }
    }
}
