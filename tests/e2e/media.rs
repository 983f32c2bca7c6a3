//! Files that Django names, and Django's text compressed.

use std::fs;
use std::process::Command;

use crate::every_server::piped;
use crate::support::forebay::Forebay;
use crate::support::front_end::over_tls;
use crate::support::site::{SYNC, UVICORN};
use crate::support::{database, fresh_number};

const VISITOR: &str = "203.0.113.10:64769";

#[test]
fn a_file_that_django_names_is_sent_with_ranges_and_conditions() {
    let root = format!("{}/media-{}", database::directory(), fresh_number());
    fs::create_dir_all(format!("{root}/invoices")).unwrap();
    fs::write(format!("{root}/invoices/zwölf 1.pdf"), "0123456789").unwrap();
    for site in [&*SYNC, &*UVICORN] {
        let forebay =
            Forebay::with(site.address(), &["--send-file", &format!("/protected/={root}")]);
        let get = |query: &str, fields: &str| {
            let target = format!("GET /media/invoices/zw%C3%B6lf%201.pdf{query}");
            forebay.exchange(&over_tls(&target, VISITOR, fields))
        };
        for query in [String::new(), format!("?root={root}")] {
            let whole = get(&query, "");
            assert_eq!((whole.status, whole.text()), (200, "0123456789"), "{whole:?}");
            assert_eq!(whole.field("content-type"), Some("application/pdf"));
            assert_eq!(whole.field("content-disposition"), Some("attachment"));
            assert_eq!(whole.field("x-checked"), Some("yes"));
            assert_eq!((whole.field("x-accel-redirect"), whole.field("x-sendfile")), (None, None));
            let part = get(&query, "Range: bytes=2-4");
            assert_eq!((part.status, part.text()), (206, "234"), "{part:?}");
            let etag = whole.field("etag").unwrap();
            let same = get(&query, &format!("If-None-Match: {etag}"));
            assert_eq!((same.status, same.text()), (304, ""), "{same:?}");
        }
        let outside =
            forebay.exchange(&over_tls("GET /media/../../etc/passwd?root=/", VISITOR, ""));
        assert_ne!(outside.status, 200, "{outside:?}");
        let missing = forebay.exchange(&over_tls("GET /media/invoices/13.pdf", VISITOR, ""));
        assert_eq!(missing.field("x-forebay-error"), Some("FB-37"), "{missing:?}");
    }
}

#[test]
fn the_text_of_django_is_compressed_unless_it_is_for_one_person() {
    for site in [&*SYNC, &*UVICORN] {
        let forebay = Forebay::with(site.address(), &["--compress", "on"]);
        let head = over_tls(
            "GET /echo/",
            VISITOR,
            &format!("Accept-Encoding: gzip\nX-Long: {}", "y".repeat(3000)),
        );
        let answer = forebay.exchange(&head);
        assert_eq!(answer.field("content-encoding"), Some("gzip"), "{:?}", answer.fields);
        let text = piped(Command::new("gzip").arg("-dc"), &answer.body);
        let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(seen["meta"]["HTTP_X_LONG"], "y".repeat(3000));
        let personal = format!("{head}\nCookie: sessionid=1");
        assert_eq!(forebay.exchange(&personal).field("content-encoding"), None);
    }
}
