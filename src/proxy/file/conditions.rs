//! Judges a request's conditions against a representation (RFC 9110 §13).
//!
//! Owns: the order of the conditions, strong and weak comparison, what an entity tag looks like.
//! Must not know: files, ranges, how an answer is made.

use std::time::{Duration, SystemTime};

use http::HeaderValue;

use crate::proxy::fields::names::{
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use crate::proxy::fields::{Fields, Name};

/// The fields that [`judge`] reads, and Range.
pub const FIELDS: [Name; 6] =
    [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE, RANGE];

/// What is known of the representation that a request could get.
#[derive(Clone, Debug)]
pub struct Validators {
    /// Its entity tag, if it has a valid one.
    pub tag: Option<HeaderValue>,
    /// When it was modified, in whole seconds.
    pub modified: Option<SystemTime>,
    /// When the answer is made.
    pub now: SystemTime,
}

/// What a GET or HEAD gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The representation, or the ranges of it that are asked for.
    Content,
    /// The whole representation: the client's part is of another one.
    Whole,
    /// 304: the client has it.
    NotModified,
    /// 412: the client expects another one.
    Failed,
}

/// How long a modification must be past before its time tells it from the next one: the clocks of
/// file systems tick as slowly as every two seconds (RFC 9110 §8.8.2.2 asks for one).
pub const SETTLED: Duration = Duration::from_secs(2);

impl Validators {
    /// Whether a modification time is old enough to be a strong validator.
    pub fn is_settled(modified: SystemTime, now: SystemTime) -> bool {
        now.duration_since(modified).is_ok_and(|age| age >= SETTLED)
    }

    fn matches(&self, fields: &Fields, name: &Name, strength: Strength) -> bool {
        fields.get_all(name).any(|line| {
            let list = trim(line);
            list == b"*"
                || self.tag.as_ref().is_some_and(|own| {
                    Tags(list).any(|tag| {
                        Tag::parse(own.as_bytes()).is_some_and(|own| strength.is_same(tag, own))
                    })
                })
        })
    }

    fn date(&self, fields: &Fields, name: &Name) -> Option<(SystemTime, SystemTime)> {
        let mut lines = fields.get_all(name);
        let (Some(line), None) = (lines.next(), lines.next()) else { return None };
        Some((self.modified?, parse_date(line)?))
    }

    /// RFC 9110 §13.1.5: whether the part that the client has is a part of this representation.
    fn is_same_for_range(&self, fields: &Fields) -> bool {
        let mut lines = fields.get_all(&IF_RANGE);
        let line = match (lines.next(), lines.next()) {
            (None, _) => return true,
            (Some(line), None) => line,
            (Some(_), Some(_)) => return false,
        };
        if let Some(tag) = Tag::parse(line) {
            let own = self.tag.as_ref().and_then(|own| Tag::parse(own.as_bytes()));
            return own.is_some_and(|own| Strength::Strong.is_same(tag, own));
        }
        self.modified.is_some_and(|modified| {
            parse_date(line) == Some(modified) && Self::is_settled(modified, self.now)
        })
    }
}

/// Judges the conditions of a GET or HEAD, in the order of RFC 9110 §13.2.2.
pub fn judge(fields: &Fields, own: &Validators) -> Verdict {
    if fields.contains(&IF_MATCH) {
        if !own.matches(fields, &IF_MATCH, Strength::Strong) {
            return Verdict::Failed;
        }
    } else if let Some((modified, since)) = own.date(fields, &IF_UNMODIFIED_SINCE)
        && modified > since
    {
        return Verdict::Failed;
    }
    if fields.contains(&IF_NONE_MATCH) {
        if own.matches(fields, &IF_NONE_MATCH, Strength::Weak) {
            return Verdict::NotModified;
        }
    } else if let Some((modified, since)) = own.date(fields, &IF_MODIFIED_SINCE)
        && modified <= since
    {
        return Verdict::NotModified;
    }
    if own.is_same_for_range(fields) { Verdict::Content } else { Verdict::Whole }
}

/// Whether the lists in a field name this tag, weak or strong.
pub fn names(fields: &Fields, name: &Name, tag: &HeaderValue) -> bool {
    let Some(own) = Tag::parse(tag.as_bytes()) else { return false };
    let mut lines = fields.get_all(name);
    lines.any(|line| Tags(line).any(|tag| Strength::Weak.is_same(tag, own)))
}

/// Whether a field's value is one valid entity tag (RFC 9110 §8.8.3).
pub fn is_tag(value: &[u8]) -> bool {
    Tag::parse(value).is_some()
}

/// Reads an HTTP-date (RFC 9110 §5.6.7).
pub fn parse_date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

/// An entity tag: its opaque part without quotes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Tag<'a> {
    is_weak: bool,
    opaque: &'a [u8],
}

/// How two entity tags are compared (RFC 9110 §8.8.3.2).
#[derive(Clone, Copy, Debug)]
enum Strength {
    Strong,
    Weak,
}

impl Strength {
    fn is_same(self, one: Tag<'_>, other: Tag<'_>) -> bool {
        let is_strong = !one.is_weak && !other.is_weak;
        one.opaque == other.opaque && (is_strong || matches!(self, Self::Weak))
    }
}

impl<'a> Tag<'a> {
    fn parse(value: &'a [u8]) -> Option<Self> {
        let (tag, rest) = Self::take(trim(value))?;
        rest.is_empty().then_some(tag)
    }

    /// The tag that `text` begins with, and what follows it.
    fn take(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (is_weak, text) = match text.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let text = text.strip_prefix(b"\"")?;
        let end = memchr::memchr(b'"', text)?;
        let (opaque, rest) = text.split_at_checked(end)?;
        let is_sound = opaque.iter().all(|&byte| byte == 0x21 || (byte > 0x22 && byte != 0x7f));
        is_sound.then_some((Self { is_weak, opaque }, rest.get(1..)?))
    }
}

/// The tags of a list, up to the first thing that is none.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        while let [b' ' | b'\t' | b',', rest @ ..] = self.0 {
            self.0 = rest;
        }
        let (tag, rest) = Tag::take(self.0)?;
        self.0 = rest;
        Some(tag)
    }
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fields::Value;
    use crate::proxy::file::tests::asked as fields;
    use proptest::prelude::*;

    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn own(tag: &str) -> Validators {
        let modified = httpdate::parse_http_date(THEN).unwrap();
        Validators {
            tag: Some(HeaderValue::from_str(tag).unwrap()),
            modified: Some(modified),
            now: modified + Duration::from_mins(1),
        }
    }

    #[test]
    fn conditions_are_judged_as_the_standard_says() {
        use Verdict::{Content, Failed, NotModified, Whole};
        for (lines, wanted) in [
            ("", Content),
            (r#"if-none-match: "a""#, NotModified),
            (r#"if-none-match: W/"a""#, NotModified),
            (r#"if-none-match: "x", W/"a" , "y""#, NotModified),
            (r#"if-none-match: ,,"x",,"a""#, NotModified),
            ("if-none-match: \"x\"\nif-none-match: \"a\"", NotModified),
            (r#"if-none-match: "x, a", "y""#, Content),
            ("if-none-match: *", NotModified),
            ("if-none-match: a", Content),
            (r#"if-none-match: w/"a""#, Content),
            (r#"if-none-match: "a"#, Content),
            (r#"if-match: "a""#, Content),
            (r#"if-match: W/"a""#, Failed),
            (r#"if-match: "x", "a""#, Content),
            ("if-match: *", Content),
            (r#"if-match: "x""#, Failed),
            (&format!("if-modified-since: {THEN}"), NotModified),
            (&format!("if-modified-since: {LATER}"), NotModified),
            (&format!("if-modified-since: {EARLIER}"), Content),
            ("if-modified-since: yesterday", Content),
            (&format!("if-unmodified-since: {THEN}"), Content),
            (&format!("if-unmodified-since: {EARLIER}"), Failed),
            ("if-unmodified-since: yesterday", Content),
            // The tag decides where both are there.
            (&format!("if-none-match: \"x\"\nif-modified-since: {LATER}"), Content),
            (&format!("if-match: \"a\"\nif-unmodified-since: {EARLIER}"), Content),
            // What the client expects comes first.
            ("if-match: \"x\"\nif-none-match: \"a\"", Failed),
            ("if-match: \"a\"\nif-none-match: \"a\"", NotModified),
            (r#"if-range: "a""#, Content),
            (r#"if-range: "x""#, Whole),
            (r#"if-range: W/"a""#, Whole),
            (&format!("if-range: {THEN}"), Content),
            (&format!("if-range: {EARLIER}"), Whole),
            (&format!("if-range: {LATER}"), Whole),
            ("if-range: yesterday", Whole),
            ("if-range: \"a\"\nif-range: \"a\"", Whole),
        ] {
            assert_eq!(judge(&fields(lines), &own(r#""a""#)), wanted, "{lines}");
        }
    }

    #[test]
    fn a_weak_tag_says_nothing_about_parts() {
        let own = own(r#"W/"a""#);
        for (lines, wanted) in [
            (r#"if-none-match: "a""#, Verdict::NotModified),
            (r#"if-none-match: W/"a""#, Verdict::NotModified),
            (r#"if-match: "a""#, Verdict::Failed),
            (r#"if-match: W/"a""#, Verdict::Failed),
            (r#"if-range: "a""#, Verdict::Whole),
            (r#"if-range: W/"a""#, Verdict::Whole),
        ] {
            assert_eq!(judge(&fields(lines), &own), wanted, "{lines}");
        }
    }

    #[test]
    fn a_fresh_date_says_nothing_about_parts() {
        let modified = httpdate::parse_http_date(THEN).unwrap();
        for (age, wanted) in [(0, Verdict::Whole), (1, Verdict::Whole), (2, Verdict::Content)] {
            let own = Validators { now: modified + Duration::from_secs(age), ..own(r#""a""#) };
            assert_eq!(judge(&fields(&format!("if-range: {THEN}")), &own), wanted, "{age}");
        }
    }

    proptest! {
        #[test]
        fn a_tag_is_found_in_any_list(
            before in prop::collection::vec("(W/)?\"[!#-~]{0,8}\"", 0..5),
            opaque in "[!#-~]{0,8}",
            after in prop::collection::vec("(W/)?\"[!#-~]{0,8}\"", 0..5),
        ) {
            let tag = format!("\"{opaque}\"");
            let list = before.iter().chain([&tag]).chain(&after).cloned().collect::<Vec<_>>();
            let fields = fields(&format!("if-none-match: {}", list.join(" , ")));
            prop_assert_eq!(judge(&fields, &own(&tag)), Verdict::NotModified);
        }

        #[test]
        fn any_field_can_be_judged(name in 0_usize..6, text in "[ -~]{0,60}") {
            let mut fields = Fields::new();
            fields.insert(FIELDS[name].clone(), &Value::read(text.clone()).unwrap());
            let verdict = judge(&fields, &own("\"~~not in the text~~\""));
            // Nothing but a star or a date makes a stranger's text match.
            if name == 1 && text.trim() != "*" {
                prop_assert_eq!(verdict, Verdict::Content);
            }
        }
    }
}
