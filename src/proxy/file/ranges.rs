//! Reads the Range field (RFC 9110 §14).
//!
//! Owns: its grammar, the bounds against floods.
//! Must not know: files, conditions, how parts are sent.

use crate::proxy::fields::names::RANGE;
use crate::proxy::fields::{Fields, text};

/// A part of a representation: its first byte and the byte after its last.
pub type Span = std::ops::Range<u64>;

/// What a request asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Selection {
    /// All of it: no range is asked for, or none that is understood and reasonable.
    Whole,
    /// One part or several, in the order asked for; none is empty and no two overlap.
    Parts(Vec<Span>),
    /// Only what lies behind the end.
    Unsatisfiable,
}

/// Reads which parts of a representation of `length` bytes `fields` ask for.
///
/// What cannot be read, is in another unit, names more than [`PARTS_LIMIT`] ranges or names a byte
/// twice selects the whole: a server may always ignore the field (RFC 9110 §14.2), and what is sent
/// can then never be more than the representation.
pub fn select(fields: &Fields, length: u64) -> Selection {
    let mut lines = fields.get_all(&RANGE);
    let (Some(line), None) = (lines.next(), lines.next()) else { return Selection::Whole };
    let Some(asked) = text(line).and_then(parse) else { return Selection::Whole };
    let mut parts = Vec::with_capacity(asked.len());
    for range in asked {
        match range.within(length) {
            Some(Span { end: 0, .. }) => return Selection::Whole,
            Some(span) => parts.push(span),
            None => {}
        }
    }
    if parts.is_empty() {
        return Selection::Unsatisfiable;
    }
    let mut sorted: Vec<_> = parts.iter().collect();
    sorted.sort_unstable_by_key(|span| span.start);
    let overlaps = sorted.iter().zip(sorted.iter().skip(1)).any(|(one, next)| next.start < one.end);
    if overlaps { Selection::Whole } else { Selection::Parts(parts) }
}

/// The most ranges in one request; more select the whole. A reader of PDF documents asks for a
/// dozen at most.
pub const PARTS_LIMIT: usize = 32;

/// One range as it is written; a number beyond 64 bits is as good as the greatest.
#[derive(Clone, Copy, Debug)]
enum Asked {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

impl Asked {
    /// The bytes that it means; nothing when it lies behind the end. The last bytes of nothing are
    /// satisfiable, and empty.
    fn within(self, length: u64) -> Option<Span> {
        match self {
            Self::From(first) => (first < length).then_some(first..length),
            Self::Between(first, last) => {
                (first < length).then_some(first..last.saturating_add(1).min(length))
            }
            Self::Last(0) => None,
            Self::Last(count) => Some(length.saturating_sub(count)..length),
        }
    }
}

/// Nothing for what is no set of byte ranges within the bounds.
fn parse(text: &str) -> Option<Vec<Asked>> {
    let (unit, set) = text.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut asked = Vec::new();
    // RFC 9110 §5.6.1.2: empty elements count for nothing.
    for range in set.split(',').map(|range| range.trim_matches([' ', '\t'])) {
        if range.is_empty() {
            continue;
        }
        if asked.len() == PARTS_LIMIT {
            return None;
        }
        asked.push(match range.split_once('-')? {
            ("", count) => Asked::Last(number(count)?),
            (first, "") => Asked::From(number(first)?),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return None;
                }
                Asked::Between(first, last)
            }
        });
    }
    (!asked.is_empty()).then_some(asked)
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fields::Value;
    use proptest::prelude::*;

    fn selected(text: &str, length: u64) -> Selection {
        let mut fields = Fields::new();
        fields.insert(RANGE, &Value::read(text.to_owned()).unwrap());
        select(&fields, length)
    }

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        use Selection::{Parts, Unsatisfiable, Whole};
        let part = |first, end| Parts(vec![Span { start: first, end }]);
        for (text, length, wanted) in [
            ("bytes=0-0", 10, part(0, 1)),
            ("bytes=9-9", 10, part(9, 10)),
            ("bytes=3-5", 10, part(3, 6)),
            ("bytes=3-", 10, part(3, 10)),
            ("bytes=0-", 10, part(0, 10)),
            ("bytes=8-100", 10, part(8, 10)),
            ("bytes=0-99999999999999999999999", 10, part(0, 10)),
            ("bytes=-3", 10, part(7, 10)),
            ("bytes=-100", 10, part(0, 10)),
            ("BYTES=1-2", 10, part(1, 3)),
            ("bytes= 1-2 ,\t", 10, part(1, 3)),
            ("bytes=5-6,0-1,-1", 10, Parts(vec![5..7, 0..2, 9..10])),
            // What lies behind the end is left out.
            ("bytes=5-6,10-12", 10, part(5, 7)),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=10-12,11-,-0", 10, Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Unsatisfiable),
            ("bytes=0-0", 0, Unsatisfiable),
            ("bytes=-0", 0, Unsatisfiable),
            ("bytes=-5", 0, Whole),
            ("lines=1-2", 10, Whole),
            ("bytes", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes=,", 10, Whole),
            ("bytes=5-3", 10, Whole),
            ("bytes=1-2,5-3", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=1-2-3", 10, Whole),
            ("bytes=--1", 10, Whole),
            ("bytes =1-2", 10, Whole),
            // Overlaps.
            ("bytes=0-5,5-6", 10, Whole),
            ("bytes=0-,0-,0-", 10, Whole),
        ] {
            assert_eq!(selected(text, length), wanted, "{text} of {length}");
        }
    }

    #[test]
    fn there_is_a_limit_of_ranges() {
        let text = |count: u64| {
            let ranges: Vec<_> = (0..count).map(|at| format!("{}-{}", at * 2, at * 2)).collect();
            format!("bytes={}", ranges.join(","))
        };
        let limit = PARTS_LIMIT as u64;
        for (count, is_obeyed) in [(limit - 1, true), (limit, true), (limit + 1, false)] {
            let selected = selected(&text(count), 1000);
            assert_eq!(matches!(selected, Selection::Parts(_)), is_obeyed, "{count}");
        }
    }

    #[test]
    fn two_fields_are_no_set_of_ranges() {
        let mut fields = Fields::new();
        fields.append(RANGE, &Value::from_static("bytes=0-1"));
        fields.append(RANGE, &Value::from_static("bytes=0-1"));
        assert_eq!(select(&fields, 10), Selection::Whole);
    }

    proptest! {
        #[test]
        fn parts_are_never_more_than_the_whole(
            text in "bytes=([0-9]{0,3}-[0-9]{0,3},){0,40}[0-9]{0,22}-[0-9]{0,22}",
            length in 0_u64..2000,
        ) {
            if let Selection::Parts(parts) = selected(&text, length) {
                let sum: u64 = parts.iter().map(|span| span.end - span.start).sum();
                prop_assert!(sum <= length && parts.len() <= PARTS_LIMIT);
                prop_assert!(parts.iter().all(|span| span.start < span.end && span.end <= length));
            }
        }

        #[test]
        fn any_field_can_be_read(text in "\\PC{0,80}", length: u64) {
            if let Ok(value) = Value::read(text) {
                let mut fields = Fields::new();
                fields.insert(RANGE, &value);
                prop_assert_ne!(select(&fields, length), Selection::Parts(vec![]));
            }
        }

        #[test]
        fn one_range_is_what_it_says(first in 0_u64..100, more in 0_u64..100, length in 1_u64..200) {
            let last = first + more;
            let wanted = if first < length {
                Selection::Parts(vec![Span { start: first, end: (last + 1).min(length) }])
            } else {
                Selection::Unsatisfiable
            };
            prop_assert_eq!(selected(&format!("bytes={first}-{last}"), length), wanted);
        }
    }
}
