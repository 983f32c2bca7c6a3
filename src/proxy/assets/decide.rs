//! Decides what a request for a file gets: which form of it, and how much.
//!
//! Owns: the choice between representations, conditions and ranges on them.
//! Must not know: where the content is, how an answer is written.

use std::cmp::Reverse;
use std::time::SystemTime;

use http::Method;

use super::table::{File, Representation};
use crate::proxy::accept::Weights;
use crate::proxy::fields::Fields;
use crate::proxy::fields::names::{ACCEPT_ENCODING, IF_MATCH, IF_NONE_MATCH, RANGE};
use crate::proxy::file::conditions::{self, Validators, Verdict, judge};
use crate::proxy::file::ranges::{Selection, Span, select};

/// What a request gets.
#[derive(Debug)]
pub(super) enum Decision<'a> {
    /// 200, or what HEAD has of it.
    Whole(&'a Representation),
    /// 304.
    NotModified(&'a Representation),
    /// 412.
    Failed(&'a Representation),
    /// 206 with these parts.
    Parts(&'a Representation, Vec<Span>),
    /// 416.
    Unsatisfiable(&'a Representation),
    /// What may be asked: the answer to OPTIONS.
    Options,
    /// The method is not for files.
    NotAllowed,
}

/// Decides what a request gets. Nothing, if the file has no form, which does not happen.
pub(super) fn decide<'a>(file: &'a File, method: &Method, fields: &Fields) -> Option<Decision<'a>> {
    match *method {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return Some(Decision::Options),
        _ => return Some(Decision::NotAllowed),
    }
    let has_range = *method == Method::GET && fields.contains(&RANGE);
    let form = choose(file, fields, has_range)?;
    if !has_range && !conditions::FIELDS.iter().any(|name| fields.contains(name)) {
        return Some(Decision::Whole(form));
    }
    let own = |form: &Representation| Validators {
        tag: Some(form.tag.clone()),
        modified: Some(file.modified),
        now: SystemTime::now(),
    };
    Some(match judge(fields, &own(form)) {
        Verdict::NotModified => Decision::NotModified(form),
        Verdict::Failed => Decision::Failed(form),
        Verdict::Content if has_range => match select(fields, form.stored.size) {
            Selection::Whole => Decision::Whole(form),
            Selection::Parts(parts) => Decision::Parts(form, parts),
            Selection::Unsatisfiable => Decision::Unsatisfiable(form),
        },
        Verdict::Content | Verdict::Whole => Decision::Whole(form),
    })
}

/// The form of a file that a request gets: the one that the client likes best, of several the
/// smallest. One that the client has already, and would take, goes before all.
///
/// Parts are always of the file as it is: who puts them together must not mix codings.
fn choose<'a>(file: &'a File, fields: &Fields, has_range: bool) -> Option<&'a Representation> {
    let identity = file.representations.first()?;
    if has_range || file.representations.len() == 1 || !fields.contains(&ACCEPT_ENCODING) {
        return Some(identity);
    }
    let weights = Weights::read(fields);
    let weight = |form: &Representation| match form.coding {
        Some(coding) => weights.named(coding),
        None => weights.identity(),
    };
    let coded = file.representations.iter().skip(1);
    let acceptable = || coded.clone().filter(|form| weight(form) > 0).chain([identity]);
    if fields.contains(&IF_NONE_MATCH) || fields.contains(&IF_MATCH) {
        let has = |form: &Representation| {
            [IF_NONE_MATCH, IF_MATCH].iter().any(|name| conditions::names(fields, name, &form.tag))
        };
        if let Some(known) = acceptable().find(|form| has(form)) {
            return Some(known);
        }
    }
    // The first of the heaviest; the smallest comes first, and the file as it is last.
    let rank = |form: &Representation| (weight(form), Reverse(form.stored.size));
    acceptable().reduce(|best, next| if rank(next) > rank(best) { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::Coding;
    use crate::proxy::assets::store::Store;
    use crate::proxy::assets::table::{Asset, Entry, Table};
    use crate::proxy::assets::tests::rules;
    use crate::proxy::file::tests::asked as fields;
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    /// Ten bytes; brotli three, gzip four, zstd five.
    fn file() -> Arc<File> {
        let store = Store::new(1000);
        let stored = |text: &str| store.keep_made(text.as_bytes().to_vec()).unwrap();
        let entry = Entry {
            prefix: "/",
            name: "a.css",
            modified: UNIX_EPOCH + Duration::from_millis(784_111_777_500),
            is_immutable: false,
            identity: stored("0123456789"),
            variants: vec![
                (Coding::Gzip, stored("gzip")),
                (Coding::Brotli, stored("bro")),
                (Coding::Zstd, stored("zstd5")),
            ],
        };
        let mut table = Table::default();
        table.put(entry, &rules(), None, &[]);
        match table.get("/a.css") {
            Some(Asset::File(file)) => Arc::clone(file),
            _ => panic!("it is there"),
        }
    }

    /// The decision in a few letters: status, coding.
    fn decided(method: &Method, lines: &str) -> String {
        let file = file();
        // `{br}` stands for that form's tag.
        let mut lines = lines.to_owned();
        for form in &file.representations {
            let name = form.coding.map_or("id", Coding::name);
            lines = lines.replace(&format!("{{{name}}}"), form.tag.to_str().unwrap());
        }
        let name = |form: &Representation| form.coding.map_or("id", Coding::name);
        match decide(&file, method, &fields(&lines)).unwrap() {
            Decision::Whole(form) => format!("200 {}", name(form)),
            Decision::NotModified(form) => format!("304 {}", name(form)),
            Decision::Failed(form) => format!("412 {}", name(form)),
            Decision::Parts(form, parts) => format!("206 {} {parts:?}", name(form)),
            Decision::Unsatisfiable(form) => format!("416 {}", name(form)),
            Decision::Options => "options".to_owned(),
            Decision::NotAllowed => "405".to_owned(),
        }
    }

    #[test]
    fn the_client_gets_the_smallest_of_what_it_likes_best() {
        for (accept, wanted) in [
            ("gzip, deflate, br, zstd", "br"),
            ("gzip, zstd", "gzip"),
            ("gzip", "gzip"),
            ("GZIP", "gzip"),
            ("x-gzip", "gzip"),
            ("x-gzip-really", "id"),
            ("gzip;q=0", "id"),
            ("br;q=0, gzip", "gzip"),
            ("gzip;q=0.9, br;q=0.8", "gzip"),
            ("gzip;q=0.001", "gzip"),
            ("identity, gzip", "gzip"),
            ("identity;q=0.5, gzip;q=0.4", "id"),
            ("identity;q=0", "id"),
            ("*", "id"),
            ("*;q=1", "id"),
            ("", "id"),
            ("deflate", "id"),
        ] {
            let lines = format!("accept-encoding: {accept}");
            assert_eq!(decided(&Method::GET, &lines), format!("200 {wanted}"), "{accept}");
        }
        assert_eq!(decided(&Method::GET, ""), "200 id");
    }

    #[test]
    fn who_has_a_form_keeps_it() {
        for (lines, wanted) in [
            ("if-none-match: {id}", "304 id"),
            ("accept-encoding: br\nif-none-match: {br}", "304 br"),
            ("accept-encoding: br\nif-none-match: W/{br}", "304 br"),
            ("accept-encoding: br\nif-none-match: \"x\", {br}", "304 br"),
            ("accept-encoding: br\nif-none-match: *", "304 br"),
            // It was stored before there was a variant, or from another front end.
            ("accept-encoding: br, gzip\nif-none-match: {id}", "304 id"),
            ("accept-encoding: br, gzip\nif-none-match: {gzip}", "304 gzip"),
            // Not acceptable: it may not even be able to decode it.
            ("accept-encoding: gzip\nif-none-match: {br}", "200 gzip"),
            ("accept-encoding: br\nif-none-match: \"x\"", "200 br"),
        ] {
            assert_eq!(decided(&Method::GET, lines), wanted, "{lines}");
            assert_eq!(decided(&Method::HEAD, lines), wanted, "{lines}");
        }
    }

    #[test]
    fn conditions_are_judged() {
        let since = format!("if-modified-since: {THEN}");
        let unless = format!("if-unmodified-since: {THEN}");
        for (lines, wanted) in [
            (since.as_str(), "304 id"),
            ("if-modified-since: Sun, 06 Nov 1994 08:49:36 GMT", "200 id"),
            ("if-modified-since: Sat, 06 Nov 2094 08:49:36 GMT", "304 id"),
            ("if-modified-since: yesterday", "200 id"),
            (&format!("if-none-match: \"x\"\n{since}"), "200 id"),
            ("if-match: \"x\"", "412 id"),
            ("if-match: {id}", "200 id"),
            ("if-match: *", "200 id"),
            ("accept-encoding: gzip, br\nif-match: {gzip}", "200 gzip"),
            (unless.as_str(), "200 id"),
            ("if-unmodified-since: Sun, 06 Nov 1994 08:49:36 GMT", "412 id"),
        ] {
            assert_eq!(decided(&Method::GET, lines), wanted, "{lines}");
        }
    }

    #[test]
    fn parts_are_of_the_file_as_it_is() {
        for (lines, wanted) in [
            ("range: bytes=0-0", "206 id [0..1]"),
            ("range: bytes=2-4", "206 id [2..5]"),
            ("range: bytes=-3", "206 id [7..10]"),
            ("range: bytes=-99", "206 id [0..10]"),
            ("range: bytes=-0", "416 id"),
            ("range: bytes=10-", "416 id"),
            ("range: bytes=0-1,4-5", "206 id [0..2, 4..6]"),
            ("range: lines=0-1", "200 id"),
            ("range: junk", "200 id"),
            ("accept-encoding: br\nrange: bytes=2-4", "206 id [2..5]"),
            ("range: bytes=2-4\nif-range: {id}", "206 id [2..5]"),
            ("range: bytes=2-4\nif-range: {br}", "200 id"),
            ("range: bytes=2-4\nif-range: Sun, 06 Nov 1994 08:49:37 GMT", "206 id [2..5]"),
            ("range: bytes=2-4\nif-none-match: {id}", "304 id"),
            ("range: bytes=99-\nif-match: \"x\"", "412 id"),
        ] {
            assert_eq!(decided(&Method::GET, lines), wanted, "{lines}");
        }
        assert_eq!(decided(&Method::HEAD, "range: bytes=2-4"), "200 id", "a range is for GET");
    }

    #[test]
    fn a_file_can_only_be_read() {
        assert_eq!(decided(&Method::OPTIONS, ""), "options");
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            assert_eq!(decided(&method, "if-none-match: {id}"), "405");
        }
    }
}
