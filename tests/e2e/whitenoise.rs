//! What a site notices that had WhiteNoise and now has forebay: nothing, or a mistake mended.
//!
//! Both serve the same folders. What should stay is asserted of both; where forebay differs on
//! purpose, WhiteNoise's answer is asserted too, so that what is said of it stays true.

use std::fs;
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::forebay::Forebay;
use crate::support::front_end::over_tls;
use crate::support::site::{Site, collect, manifest, released};
use crate::support::tree::{Tree, encoded};
use crate::support::wire::{Response, Wire, message};
use crate::support::{eventually, python_program};

/// The same folders behind WhiteNoise and behind forebay.
struct Both {
    tree: Tree,
    whitenoise: Site,
    forebay: Forebay,
}

impl Both {
    /// WhiteNoise with its own arguments, forebay with flags; `@` stands for the tree in both.
    fn with(tree: Tree, arguments: &Value, flags: &[&str]) -> Self {
        let arguments = arguments.to_string().replace('@', &tree.path(""));
        let whitenoise = whitenoise(arguments, "UTC");
        let forebay = forebay(&tree, flags);
        Self { tree, whitenoise, forebay }
    }

    /// Asks both, and expects the same.
    fn both(&self, line: &str, fields: &str, expected: &str) -> [Response; 2] {
        [self.whitenoise(line, fields, expected), self.forebay(line, fields, expected)]
    }

    /// Asks WhiteNoise alone.
    fn whitenoise(&self, line: &str, fields: &str, expected: &str) -> Response {
        let mut answer = ask(self.whitenoise.address(), line, fields);
        for (name, value) in &mut answer.fields {
            if name == "content-type" {
                // It quotes the charset, which means the same (RFC 9110 §8.3.1).
                *value = value.replace('"', "");
            }
        }
        check(&self.tree, "WhiteNoise", line, &answer, expected);
        answer
    }

    /// Asks forebay alone: on a connection that stays, where a file in memory takes a shorter way,
    /// and on one that does not. Both have to be the same.
    fn forebay(&self, line: &str, fields: &str, expected: &str) -> Response {
        let long = ask(self.forebay.address(), line, fields);
        check(&self.tree, "forebay", line, &long, expected);
        let mut wire = self.forebay.connect();
        let short = exchange(&mut wire, line, fields);
        check(&self.tree, "forebay, short", line, &short, expected);
        if long.field("x-application").is_none() && long.status != 400 {
            let described = |answer: &Response| {
                let moving = ["date", "connection"];
                let mut fields = answer.fields.clone();
                fields.retain(|(name, _)| !moving.contains(&name.as_str()));
                fields.sort();
                fields
            };
            // A boundary between parts is made anew each time.
            if !long.body.starts_with(b"\r\n--") {
                assert_eq!(described(&short), described(&long), "{line} {fields}");
            }
            // Nothing is left of the answer: what follows on the connection is another one.
            let next = exchange(&mut wire, "GET /next", "");
            assert_eq!(next.text(), "GET /next\n", "{line} {fields}");
        }
        short
    }
}

/// WhiteNoise with its own arguments, in a time zone.
fn whitenoise(arguments: String, zone: &str) -> Site {
    let variables = [("WHITENOISE", arguments), ("TZ", zone.to_owned())];
    Site::another("mysite.assets:with_whitenoise()", &variables)
}

/// forebay with flags, in which `@` stands for the tree, before an application that tells what
/// comes through.
fn forebay(tree: &Tree, flags: &[&str]) -> Forebay {
    static APPLICATION: LazyLock<Site> =
        LazyLock::new(|| Site::another("mysite.assets:application", &[]));
    let flags: Vec<_> = flags.iter().map(|flag| flag.replace('@', &tree.path(""))).collect();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    Forebay::with(APPLICATION.address(), &flags)
}

/// One request as the front end sends it, on a connection that ends with it.
fn ask(address: &str, line: &str, fields: &str) -> Response {
    let mut wire = Wire::connect(address).unwrap();
    let mut answer = exchange(&mut wire, line, &format!("{fields}\nConnection: close"));
    // Also to HEAD.
    answer.body.extend(wire.rest());
    answer
}

/// One request as the front end sends it.
fn exchange(wire: &mut Wire, line: &str, fields: &str) -> Response {
    wire.send(&message(&over_tls(line, "203.0.113.10:64769", fields)));
    if line.starts_with("HEAD ") { wire.head() } else { wire.response() }
}

/// Holds an answer against lines: first the status, or `application` where the request has to
/// come through as it was; then `Name: value`, `Name:` for a field that must not be there, `| text`
/// for the content, `= name` for that of a file in the tree, all in any order.
fn check(tree: &Tree, who: &str, request: &str, answer: &Response, expected: &str) {
    let mut lines = expected.lines().map(str::trim).filter(|line| !line.is_empty());
    let told = || format!("{who}, {request}: {answer:?}");
    let status = lines.next().unwrap();
    let came_through = answer.field("x-application") == Some("yes");
    assert_eq!(came_through, status == "application", "came through? {}", told());
    if came_through {
        assert_eq!(answer.text(), format!("{request}\n"), "{}", told());
        return;
    }
    assert_eq!(answer.status.to_string(), status, "{}", told());
    for line in lines {
        if let Some(name) = line.strip_prefix("= ") {
            assert!(answer.body == tree.read(name), "not {name}: {}", told());
        } else if let Some(text) = line.strip_prefix('|') {
            assert_eq!(answer.text(), text.trim_start(), "{}", told());
        } else {
            let (name, value) = line.split_once(':').unwrap();
            let value = Some(value.trim()).filter(|value| !value.is_empty());
            assert_eq!(answer.field(&name.to_lowercase()), value, "{name}: {}", told());
        }
    }
}

/// Text that shrinks, by brotli most.
static CSS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let rule = |number: u32| format!(".class-{number} {{ margin: {}px }}\n", number * number % 97);
    (0..200).map(rule).collect::<String>().into_bytes()
});

const SUNDAY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// Defaults on both sides; only that forebay makes no variants of its own.
static PLAIN: LazyLock<Both> = LazyLock::new(|| {
    let tree = Tree::fresh();
    let mut dictionary = zstd::bulk::Compressor::with_dictionary(19, &CSS).unwrap();
    tree.put_with("static/css/app.css", &CSS, &["gz", "br"])
        .put_with("static/js/zst.js", &CSS, &["gz", "zst"])
        .put_with("static/js/zstd.js", &CSS, &["zstd"])
        .put("static/js/alone.js", &*CSS)
        .put("static/digits.txt", "0123456789")
        .put("static/one.txt", "1")
        .put("static/empty.txt", "")
        .put_at("static/zero.txt", "zero", SystemTime::UNIX_EPOCH)
        .put("static/.env", "SECRET=1")
        .put("static/.hidden/file.txt", "hidden")
        .put("static/sub/index.html", "<p>index")
        .put("static/nonascii✓.txt", "tick")
        .put("static/a b+c.txt", "blank")
        .put("static/100%.txt", "percent")
        .put("static/orphan.txt.gz", "no gzip at all")
        .put("static/stale.txt.gz", encoded("gz", &[b'o'; 2000]))
        .put_at("static/stale.txt", [b'n'; 2000], Tree::long_ago() + Duration::from_mins(1))
        .put("static/broken.txt", "sound text, longer than what stands beside it")
        .put("static/broken.txt.gz", "no gzip at all")
        .put("static/dictionary.js", &*CSS)
        .put("static/dictionary.js.zst", dictionary.compress(&CSS).unwrap())
        .put("outside/secret.txt", "secret")
        .link("static/inner.txt", "digits.txt")
        .link("static/folder", "sub")
        .link("static/outer.txt", "../outside/secret.txt")
        .link("static/outer", "../outside");
    for (name, _) in TYPES.iter().chain(MENDED_TYPES) {
        tree.put(&format!("static/types/{name}"), "x");
    }
    Both::with(
        tree,
        &json!({ "trees": [["@/static", "static"]] }),
        &["--static", "/static/=@/static", "--static-variants", "off"],
    )
});

/// As much set as can be.
static SET: LazyLock<Both> = LazyLock::new(|| {
    let tree = Tree::fresh();
    tree.put("first/index.html", "<p>front")
        .put("first/docs/index.html", "<p>docs")
        .put("first/docs/zwölf/index.html", "<p>zwölf")
        .put("first/empty/other.html", "<p>other")
        .put("first/both.txt", "first")
        .put("second/both.txt", "second")
        .put("second/only.txt", "second")
        .put("second/app.v12.js", "let v;")
        .put("second/app.0123456789ab.js", "let h;")
        .put("second/a.letter", "Dear")
        .put("second/a.NOTE", "note")
        .put("second/README", "readme")
        .put("root/robots.txt", "User-agent: *")
        .put("root/favicon.ico", "icon")
        .put("root/.well-known/security.txt", "Contact: mailto:security@example.com")
        .put("root/healthz", "not this")
        .put("root/robots933456.txt", "not this")
        .put("root/data.json", "{}");
    Both::with(
        tree,
        &json!({
            "trees": [["@/first", "assets"], ["@/second", "assets"], ["@/root", ""]],
            "max_age": 0,
            "index_file": true,
            "mimetypes": { ".note": "text/x-note", "readme": "text/x-readme" },
            "immutable_file_test": r"\.v\d+\.",
            "letters_are_downloads": true,
        }),
        &[
            "--static=/assets/=@/first",
            "--static=/assets/=@/second",
            "--static-root=@/root",
            "--static-max-age=0s",
            "--static-index=index.html",
            "--static-type=.note=text/x-note",
            "--static-type=readme=text/x-readme",
            r"--static-immutable=\.v\d+\.",
            r"--static-field=\.letter$ Content-Disposition: attachment",
            "--static-variants=off",
        ],
    )
});

/// As much taken away as can be.
static BARE: LazyLock<Both> = LazyLock::new(|| {
    let tree = Tree::fresh();
    tree.put("page.txt", "0123456789").put("d/start.html", "<p>start").put("data.json", "{}");
    Both::with(
        tree,
        &json!({
            "trees": [["@", "static"]],
            "max_age": null,
            "index_file": "start.html",
            "charset": "iso-8859-1",
            "allow_all_origins": false,
        }),
        &[
            "--static=/static/=@",
            "--static-max-age=off",
            "--static-index=start.html",
            "--static-charset=iso-8859-1",
            "--static-cors=off",
        ],
    )
});

/// A Django site whose files were collected with WhiteNoise's own storage.
static COLLECTED: LazyLock<Both> = LazyLock::new(|| {
    let tree = Tree::fresh();
    tree.put(
        "source/css/app.css",
        [b".a { background: url(../img/a.svg) }\n", CSS.as_slice()].concat(),
    )
    .put("source/img/a.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>")
    .put("source/only.txt", "only")
    .put("root/robots.txt", "User-agent: *")
    .put("root/app.0123456789ab.js", "let root;");
    let variables = released(&tree);
    collect("mysite.released", &variables);
    // What `WHITENOISE_KEEP_ONLY_HASHED_FILES` does, and what an earlier release left behind.
    tree.remove("static/only.txt");
    tree.put("static/css/app.0123456789ab.css", "of an earlier release");
    Both {
        whitenoise: Site::another("mysite.released:application", &variables),
        forebay: forebay(&tree, &["--static=/static/=@/static", "--static-root=@/root"]),
        tree,
    }
});

// ---- settings

#[test]
fn a_file_that_comes_changes_or_goes_is_noticed() {
    let tree = Tree::fresh();
    tree.put("changing.txt", "old").put("going.txt", "going");
    let both =
        Both::with(tree, &json!({ "trees": [["@", "static"]] }), &["--static", "/static/=@"]);
    let get = |name: &str| format!("GET /static/{name}");
    let [of_whitenoise, old] = both.both(&get("changing.txt"), "", "200\n| old");
    both.both(&get("going.txt"), "", "200");
    both.both(&get("coming.txt"), "", "application");

    both.tree.put_at("changing.txt", "new and longer", SystemTime::now());
    both.tree.put("coming.txt", "coming");
    both.tree.remove("going.txt");
    both.whitenoise(&get("coming.txt"), "", "application");
    let gone = message(&over_tls(&get("going.txt"), "203.0.113.10:64769", ""));
    let answer = Wire::connect(both.whitenoise.address()).unwrap().try_exchange(&gone);
    assert!(answer.is_err(), "WhiteNoise opens it when the worker asks: {answer:?}");
    let etag = of_whitenoise.field("etag").unwrap();
    let expected = format!("200\n Content-Length: 3\n ETag: {etag}\n Last-Modified: {SUNDAY}");
    both.whitenoise(&get("changing.txt"), "", &expected);

    eventually("forebay has seen the changes", || {
        let answers = ["changing.txt", "coming.txt", "going.txt"]
            .map(|name| ask(both.forebay.address(), &get(name), ""));
        let texts = answers.each_ref().map(Response::text);
        (texts == ["new and longer", "coming", "GET /static/going.txt\n"]).then_some(())
    });
    let new = both.forebay(&get("changing.txt"), "", "200\n Content-Length: 14");
    assert_ne!(
        (new.field("etag"), new.field("last-modified")),
        (old.field("etag"), old.field("last-modified"))
    );
}

#[test]
fn a_file_may_be_kept_for_a_minute() {
    for line in ["GET /static/css/app.css", "GET /static/digits.txt", "HEAD /static/digits.txt"] {
        PLAIN.both(line, "", "200\n Cache-Control: max-age=60, public");
    }
}

#[test]
fn how_long_a_file_may_be_kept_can_be_set_and_left_out() {
    SET.both("GET /assets/only.txt", "", "200\n Cache-Control: max-age=0, public");
    SET.both("GET /assets/docs", "", "302\n Cache-Control: max-age=0, public");
    BARE.both("GET /static/page.txt", "", "200\n Cache-Control:");
    BARE.both("GET /static/d", "", "302\n Cache-Control:");
}

#[test]
fn an_index_file_is_at_its_folder() {
    SET.both("GET /assets/", "", "200\n| <p>front\n Content-Type: text/html; charset=utf-8");
    SET.both("GET /assets/docs/", "", "200\n| <p>docs");
    SET.both("GET /assets/docs/zw%C3%B6lf/", "", "200\n| <p>zwölf");
    SET.both("GET /assets/empty/", "", "application");
    SET.both("GET /assets/empty", "", "application");
    BARE.both("GET /static/d/", "", "200\n| <p>start");
}

#[test]
fn a_folder_and_its_index_file_lead_to_the_folder() {
    SET.both("GET /assets/docs", "", "302\n Location: docs/\n|");
    SET.both("GET /assets/docs/index.html", "", "302\n Location: ./\n|");
    SET.both("GET /assets/docs/zw%C3%B6lf", "", "302\n Location: zw%C3%B6lf/");
    SET.both("HEAD /assets/docs", "", "302\n Location: docs/\n|");
    BARE.both("GET /static/d/start.html", "", "302\n Location: ./");
}

#[test]
fn a_redirect_keeps_the_query() {
    SET.whitenoise("GET /assets/docs?a=1", "", "302\n Location: docs/");
    SET.forebay("GET /assets/docs?a=1", "", "302\n Location: docs/?a=1");
    SET.whitenoise("GET /assets/docs/index.html?a=%20", "", "302\n Location: ./");
    SET.forebay("GET /assets/docs/index.html?a=%20", "", "302\n Location: ./?a=%20");
}

#[test]
fn a_redirect_is_not_for_what_wants_an_effect() {
    let length = "Content-Length: 0";
    SET.whitenoise("POST /assets/docs", length, "302");
    let refused = "405\n Allow: GET, HEAD, OPTIONS\n X-Forebay-Error: FB-51";
    SET.forebay("POST /assets/docs", length, refused);
}

#[test]
fn types_can_be_set_by_ending_and_by_name() {
    SET.both("GET /assets/a.NOTE", "", "200\n Content-Type: text/x-note; charset=utf-8");
    SET.both("GET /assets/README", "", "200\n Content-Type: text/x-readme; charset=utf-8");
}

#[test]
fn text_has_the_charset_and_nothing_else_has() {
    PLAIN.both("GET /static/css/app.css", "", "200\n Content-Type: text/css; charset=utf-8");
    PLAIN.both("GET /static/types/a.json", "", "200\n Content-Type: application/json");
    BARE.both("GET /static/page.txt", "", "200\n Content-Type: text/plain; charset=iso-8859-1");
    BARE.both("GET /static/data.json", "", "200\n Content-Type: application/json");
}

#[test]
fn any_origin_may_use_a_file_unless_it_is_off() {
    PLAIN.both("GET /static/digits.txt", "", "200\n Access-Control-Allow-Origin: *");
    let range = "Range: bytes=0-1";
    PLAIN.both("GET /static/digits.txt", range, "206\n Access-Control-Allow-Origin: *");
    for range in ["", range] {
        let answers = ["200", "206"][usize::from(!range.is_empty())];
        let expected = format!("{answers}\n Access-Control-Allow-Origin:");
        BARE.both("GET /static/page.txt", range, &expected);
    }
}

#[test]
fn any_origin_may_use_what_it_has_already() {
    let since = format!("If-Modified-Since: {SUNDAY}");
    PLAIN.whitenoise("GET /static/digits.txt", &since, "304\n Access-Control-Allow-Origin:");
    PLAIN.forebay("GET /static/digits.txt", &since, "304\n Access-Control-Allow-Origin: *");
    BARE.both("GET /static/page.txt", &since, "304\n Access-Control-Allow-Origin:");
}

#[test]
fn some_files_have_fields_of_their_own() {
    SET.both("GET /assets/a.letter", "", "200\n Content-Disposition: attachment");
    SET.both("GET /assets/only.txt", "", "200\n Content-Disposition:");
}

#[test]
fn what_the_manifest_names_is_kept_for_ever() {
    let names = manifest(&COLLECTED.tree);
    assert_eq!(names.len(), 3, "{names:?}");
    for (name, hashed) in names {
        let line = format!("GET /static/{hashed}");
        eventually("forebay trusts that nobody writes it any more", || {
            let answer = ask(COLLECTED.forebay.address(), &line, "");
            answer.field("cache-control")?.contains("immutable").then_some(())
        });
        let expected =
            format!("200\n Cache-Control: max-age=315360000, public, immutable\n= static/{hashed}");
        COLLECTED.both(&line, "", &expected);
        let line = format!("GET /static/{name}");
        let expected = if name == "only.txt" {
            "application"
        } else {
            "200\n Cache-Control: max-age=60, public"
        };
        COLLECTED.both(&line, "", expected);
    }
    // Named as if it were, but of another release, or not at all a static file.
    for path in ["/static/css/app.0123456789ab.css", "/app.0123456789ab.js", "/robots.txt"] {
        let line = format!("GET {path}");
        COLLECTED.both(&line, "", "200\n Cache-Control: max-age=60, public");
    }
}

#[test]
fn variants_that_whitenoise_made_are_served() {
    let css = "GET /static/css/app.css";
    let expected = "200\n Content-Encoding: br\n Vary: Accept-Encoding\n= static/css/app.css.br";
    COLLECTED.both(css, "Accept-Encoding: gzip, br", expected);
    let expected = "200\n Content-Encoding: gzip\n Vary: Accept-Encoding\n= static/css/app.css.gz";
    COLLECTED.both(css, "Accept-Encoding: gzip", expected);
}

#[test]
fn what_is_kept_for_ever_can_be_set() {
    let ever = "200\n Cache-Control: max-age=315360000, public, immutable";
    SET.both("GET /assets/app.v12.js", "", ever);
    SET.both("GET /assets/app.0123456789ab.js", "", "200\n Cache-Control: max-age=0, public");
}

#[test]
fn a_prefix_can_be_any() {
    SET.both("GET /assets/only.txt", "", "200\n| second");
    SET.both("GET /static/only.txt", "", "application");
    SET.both("GET /assetsonly.txt", "", "application");
    SET.both("GET /x/assets/only.txt", "", "application");
}

#[test]
fn files_at_the_root_come_before_the_application() {
    SET.both("GET /robots.txt", "", "200\n| User-agent: *");
    SET.both("GET /favicon.ico", "", "200\n| icon\n Content-Type: image/x-icon");
    let expected = "200\n| Contact: mailto:security@example.com";
    SET.both("GET /.well-known/security.txt", "", expected);
    SET.both("GET /", "", "application");
    SET.both("GET /another.txt", "", "application");
}

#[test]
fn files_at_the_root_never_hide_probes() {
    SET.whitenoise("GET /healthz", "", "200\n| not this");
    assert_ne!(SET.forebay.health().text(), "not this");
    assert_eq!(SET.forebay.health().status, 200);
    let warm_up = "GET /robots933456.txt HTTP/1.1\nHost: 169.254.130.4:8000";
    let answer = SET.forebay.exchange(warm_up);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_ne!(answer.text(), "not this");
}

#[test]
fn of_two_folders_with_one_prefix_the_later_comes_first() {
    SET.both("GET /assets/both.txt", "", "200\n| second");
    SET.both("GET /assets/docs/", "", "200\n| <p>docs");
}

// ---- names and methods

#[test]
fn what_is_not_canonical_is_left_to_the_application() {
    for path in [
        "/static//digits.txt",
        "//static/digits.txt",
        "/static/sub/../digits.txt",
        "/static/./digits.txt",
        "/static/../static/digits.txt",
        "/static/%2e%2e/static/digits.txt",
        "/static/.%2E/static/digits.txt",
        "/static/sub%5C..%5Cdigits.txt",
        "/static/%252e%252e/static/digits.txt",
        "/static/digits%2Etxt%00",
        "/static/%00digits.txt",
        "/static/digits%252Etxt",
        "/static/digits.txt/",
        "/static/%FFdigits.txt",
        "/Static/digits.txt",
    ] {
        PLAIN.both(&format!("GET {path}"), "", "application");
    }
}

#[test]
fn a_back_slash_that_is_not_encoded_is_no_request() {
    for path in [r"/static\digits.txt", r"/static/sub\..\digits.txt"] {
        let line = format!("GET {path}");
        PLAIN.whitenoise(&line, "", "application");
        PLAIN.forebay(&line, "", "400\n X-Forebay-Error: FB-10");
    }
}

#[test]
fn a_name_may_be_encoded_as_one_likes() {
    for path in ["/static/digits%2Etxt", "/%73tatic/digits.txt", "/static/digits.txt?v=1&w=%2e%2e"]
    {
        PLAIN.both(&format!("GET {path}"), "", "200\n= static/digits.txt");
    }
}

#[test]
fn what_is_not_there_is_the_applications() {
    for path in ["/static/nothing.txt", "/static/sub/nothing/at/all?a=b", "/static", "/digits.txt"]
    {
        PLAIN.both(&format!("GET {path}"), "", "application");
        PLAIN.both(&format!("POST {path}"), "Content-Length: 0", "application");
    }
}

#[test]
fn what_is_not_there_can_end_before_the_application() {
    let flags = ["--static=/static/=@/static", "--static-missing=404"];
    let forebay = forebay(&PLAIN.tree, &flags);
    let ask = |line: &str| ask(forebay.address(), line, "Content-Length: 0");
    for path in ["/static/nothing.txt", "/static/.env", "/static/outer.txt"] {
        let answer = ask(&format!("GET {path}"));
        assert_eq!(
            (answer.status, answer.field("x-forebay-error")),
            (404, Some("FB-50")),
            "{path}: {answer:?}"
        );
    }
    let answer = ask("GET /nothing.txt");
    assert_eq!(answer.text(), "GET /nothing.txt\n", "{answer:?}");
    assert_eq!(ask("GET /static/digits.txt").text(), "0123456789");
}

#[test]
fn a_folder_is_the_applications() {
    for path in ["/static/", "/static/sub/", "/static/sub"] {
        PLAIN.both(&format!("GET {path}"), "", "application");
    }
}

#[test]
fn what_wants_an_effect_is_refused() {
    for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"] {
        let line = format!("{method} /static/digits.txt");
        let length = "Content-Length: 0";
        PLAIN.whitenoise(&line, length, "405\n Allow: GET, HEAD\n|\n Content-Type:");
        let expected = "405\n Allow: GET, HEAD, OPTIONS\n X-Forebay-Error: FB-51";
        PLAIN.forebay(&line, length, expected);
    }
}

#[test]
fn options_tells_the_methods() {
    PLAIN.whitenoise("OPTIONS /static/digits.txt", "", "405\n Allow: GET, HEAD");
    let expected = "204\n Allow: GET, HEAD, OPTIONS\n X-Forebay-Error:\n|";
    PLAIN.forebay("OPTIONS /static/digits.txt", "", expected);
}

#[test]
fn head_has_the_fields_of_get() {
    for (path, coding) in
        [("/static/digits.txt", ""), ("/static/css/app.css", "Accept-Encoding: gzip")]
    {
        let heads = PLAIN.both(&format!("HEAD {path}"), coding, "200\n|");
        let gets = PLAIN.both(&format!("GET {path}"), coding, "200");
        for (head, get) in heads.iter().zip(&gets) {
            for name in DESCRIBING {
                assert_eq!(head.field(name), get.field(name), "{name} of {head:?}");
            }
        }
    }
}

#[test]
fn head_has_no_range() {
    let range = "Range: bytes=2-4";
    PLAIN.whitenoise("HEAD /static/digits.txt", range, "206\n Content-Range: bytes 2-4/10");
    let expected = "200\n Content-Length: 10\n Content-Range:\n|";
    PLAIN.forebay("HEAD /static/digits.txt", range, expected);
}

#[test]
fn hidden_files_stay_hidden() {
    for path in ["/static/.env", "/static/.hidden/file.txt", "/static/%2Eenv"] {
        let line = format!("GET {path}");
        PLAIN.whitenoise(&line, "", "200");
        PLAIN.forebay(&line, "", "application");
    }
}

#[test]
fn links_within_the_folder_are_followed() {
    PLAIN.both("GET /static/inner.txt", "", "200\n| 0123456789");
    PLAIN.both("GET /static/folder/index.html", "", "200\n| <p>index");
}

#[test]
fn links_that_lead_out_are_not_followed_unless_that_is_wanted() {
    let anywhere = forebay(&PLAIN.tree, &["--static=/static/=@/static", "--static-links=anywhere"]);
    for path in ["/static/outer.txt", "/static/outer/secret.txt"] {
        let line = format!("GET {path}");
        PLAIN.whitenoise(&line, "", "200\n| secret");
        PLAIN.forebay(&line, "", "application");
        check(&PLAIN.tree, "anywhere", &line, &ask(anywhere.address(), &line, ""), "200\n| secret");
    }
}

#[test]
fn what_cannot_be_served_does_not_end_the_start() {
    for (name, complaint) in [("link", "FileNotFoundError"), ("pipe", "NotARegularFileError")] {
        let tree = Tree::fresh();
        tree.put("a.txt", "a");
        if name == "link" {
            tree.link(name, "nowhere")
        } else {
            tree.pipe(name)
        };
        let code =
            format!("import whitenoise; whitenoise.WhiteNoise(None, root={:?})", tree.path(""));
        let ran =
            Command::new(python_program("python")).args(["-B", "-c", &code]).output().unwrap();
        let words = String::from_utf8_lossy(&ran.stderr);
        assert!(!ran.status.success() && words.contains(complaint), "{words}");

        let forebay = forebay(&tree, &["--static=/static/=@"]);
        for (path, expected) in [("a.txt", "200\n| a"), (name, "application")] {
            let line = format!("GET /static/{path}");
            check(&tree, "forebay", &line, &ask(forebay.address(), &line, ""), expected);
        }
    }
}

#[test]
fn a_missing_folder_does_not_end_the_start_and_is_noticed_when_it_comes() {
    let both = Both::with(
        Tree::fresh(),
        &json!({ "trees": [["@/static", "static"]] }),
        &["--static", "/static/=@/static"],
    );
    both.both("GET /static/a.txt", "", "application");
    eventually("both warn of the folder", || {
        let warns = |written: String| {
            let line = written.lines().find(|line| line.contains(&both.tree.path("static")));
            line.is_some_and(|line| line.to_lowercase().contains("warn"))
        };
        (warns(both.whitenoise.written()) && warns(both.forebay.written())).then_some(())
    });
    both.tree.put("static/a.txt", "a");
    eventually("forebay has seen the folder", || {
        (ask(both.forebay.address(), "GET /static/a.txt", "").text() == "a").then_some(())
    });
}

#[test]
fn variants_have_no_address_of_their_own() {
    for name in ["css/app.css.gz", "css/app.css.br", "js/zst.js.gz"] {
        PLAIN.both(&format!("GET /static/{name}"), "", "application");
    }
    for name in ["js/zst.js.zst", "js/zstd.js.zstd"] {
        PLAIN.whitenoise(&format!("GET /static/{name}"), "", "200");
        PLAIN.forebay(&format!("GET /static/{name}"), "", "application");
    }
    // It is no variant where there is nothing that it could be one of.
    let expected = "200\n| no gzip at all\n Content-Encoding:";
    PLAIN.both("GET /static/orphan.txt.gz", "Accept-Encoding: gzip", expected);
}

/// Types that WhiteNoise has right.
const TYPES: &[(&str, &str)] = &[
    ("a.css", "text/css; charset=utf-8"),
    ("a.CSS", "text/css; charset=utf-8"),
    ("a.html", "text/html; charset=utf-8"),
    ("a.htm", "text/html; charset=utf-8"),
    ("a.js", "text/javascript; charset=utf-8"),
    ("a.mjs", "text/javascript; charset=utf-8"),
    ("a.txt", "text/plain; charset=utf-8"),
    ("a.md", "text/markdown; charset=utf-8"),
    ("a.xml", "text/xml; charset=utf-8"),
    ("a.json", "application/json"),
    ("a.wasm", "application/wasm"),
    ("a.woff2", "font/woff2"),
    ("a.svg", "image/svg+xml"),
    ("a.png", "image/png"),
    ("a.jpg", "image/jpeg"),
    ("a.jpeg", "image/jpeg"),
    ("a.gif", "image/gif"),
    ("a.webp", "image/webp"),
    ("a.avif", "image/avif"),
    ("a.ico", "image/x-icon"),
    ("a.mp4", "video/mp4"),
    ("a.webm", "video/webm"),
    ("a.ts", "video/mp2t"),
    ("a.mp3", "audio/mpeg"),
    ("a.ogg", "audio/ogg"),
    ("a.pdf", "application/pdf"),
    ("a.zip", "application/zip"),
    ("a.rtf", "application/rtf"),
    ("a.tar.css", "text/css; charset=utf-8"),
    ("crossdomain.xml", "text/x-cross-domain-policy; charset=utf-8"),
    ("unknown.thing", "application/octet-stream"),
    ("noending", "application/octet-stream"),
    ("a.rss", "application/rss+xml"),
];

/// Types that it has not.
const MENDED_TYPES: &[(&str, &str)] = &[
    ("apple-app-site-association", "application/json"),
    ("archive.gz", "application/gzip"),
    ("a.webmanifest", "application/manifest+json"),
    ("a.map", "application/json"),
    ("a.woff", "font/woff"),
    ("a.jxl", "image/jxl"),
];

#[test]
fn a_type_follows_from_the_name() {
    for (name, kind) in TYPES {
        let expected = format!("200\n Content-Type: {kind}");
        PLAIN.both(&format!("GET /static/types/{name}"), "", &expected);
    }
}

#[test]
fn types_that_are_newer_than_whitenoise_are_known() {
    for (name, kind) in MENDED_TYPES {
        let line = format!("GET /static/types/{name}");
        let theirs = ask(PLAIN.whitenoise.address(), &line, "");
        assert_ne!(theirs.field("content-type"), Some(*kind), "{name}");
        PLAIN.forebay(&line, "", &format!("200\n Content-Type: {kind}"));
    }
}

#[test]
fn a_name_may_have_any_letters() {
    PLAIN.both("GET /static/nonascii%E2%9C%93.txt", "", "200\n| tick");
    PLAIN.both("GET /static/a%20b+c.txt", "", "200\n| blank");
    PLAIN.both("GET /static/a%20b%2Bc.txt", "", "200\n| blank");
    PLAIN.both("GET /static/100%25.txt", "", "200\n| percent");
}

#[test]
fn a_name_longer_than_any_is_not_there() {
    let long = "a".repeat(300);
    PLAIN.both(&format!("GET /static/{long}.txt"), "", "application");
    let deep = "a/".repeat(1500);
    PLAIN.both(&format!("GET /static/{deep}a.txt"), "", "application");
}

#[test]
fn browsers_are_told_not_to_guess_types() {
    let line = "GET /static/digits.txt";
    PLAIN.whitenoise(line, "", "200\n X-Content-Type-Options:");
    PLAIN.forebay(line, "", "200\n X-Content-Type-Options: nosniff");
    // With Django's SecurityMiddleware before it, as in most sites, both say so.
    let line = "GET /static/css/app.css";
    COLLECTED.both(line, "", "200\n X-Content-Type-Options: nosniff");
}

// ---- codings, validators, ranges

#[test]
fn the_smallest_variant_that_is_accepted_is_sent() {
    for (accepted, coding, file) in [
        ("br, gzip", "Content-Encoding: br", "app.css.br"),
        ("gzip, deflate, br, zstd", "Content-Encoding: br", "app.css.br"),
        ("gzip", "Content-Encoding: gzip", "app.css.gz"),
        ("gzip;q=1.0", "Content-Encoding: gzip", "app.css.gz"),
        ("deflate", "Content-Encoding:", "app.css"),
    ] {
        let length = PLAIN.tree.read(&format!("static/css/{file}")).len();
        let expected = format!(
            "200\n {coding}\n Content-Length: {length}\n Vary: Accept-Encoding\n= static/css/{file}"
        );
        PLAIN.both("GET /static/css/app.css", &format!("Accept-Encoding: {accepted}"), &expected);
    }
}

#[test]
fn zstd_is_sent_under_both_of_its_endings() {
    for (name, variant) in [("zst.js", "zst.js.zst"), ("zstd.js", "zstd.js.zstd")] {
        let line = format!("GET /static/js/{name}");
        PLAIN.whitenoise(&line, "Accept-Encoding: zstd", "200\n Content-Encoding:");
        let expected = format!("200\n Content-Encoding: zstd\n= static/js/{variant}");
        PLAIN.forebay(&line, "Accept-Encoding: zstd", &expected);
    }
}

#[test]
fn what_a_client_refuses_is_not_sent() {
    let line = "GET /static/css/app.css";
    for (accepted, theirs, ours) in [
        ("gzip;q=0", "Content-Encoding: gzip", "Content-Encoding:"),
        ("br;q=0, gzip", "Content-Encoding: br", "Content-Encoding: gzip"),
        ("br;q=0.0, gzip;q=0.000", "Content-Encoding: br", "Content-Encoding:"),
        ("*;q=0, gzip", "Content-Encoding: gzip", "Content-Encoding: gzip"),
    ] {
        let field = format!("Accept-Encoding: {accepted}");
        PLAIN.whitenoise(line, &field, &format!("200\n {theirs}"));
        PLAIN.forebay(line, &field, &format!("200\n {ours}"));
    }
}

#[test]
fn a_coding_is_known_by_its_name_in_any_case() {
    let line = "GET /static/css/app.css";
    for (accepted, theirs, ours) in [
        ("GZIP", "Content-Encoding:", "Content-Encoding: gzip"),
        ("Br", "Content-Encoding:", "Content-Encoding: br"),
        ("x-gzip", "Content-Encoding: gzip", "Content-Encoding: gzip"),
        ("x-gzip-really", "Content-Encoding: gzip", "Content-Encoding:"),
    ] {
        let field = format!("Accept-Encoding: {accepted}");
        PLAIN.whitenoise(line, &field, &format!("200\n {theirs}"));
        PLAIN.forebay(line, &field, &format!("200\n {ours}"));
    }
}

#[test]
fn who_names_no_coding_gets_the_file_as_it_is() {
    for field in [
        "",
        "Accept-Encoding:",
        "Accept-Encoding: *",
        "Accept-Encoding: *;q=1",
        "Accept-Encoding: identity",
        "Accept-Encoding: identity;q=0",
    ] {
        let expected = "200\n Content-Encoding:\n Vary: Accept-Encoding\n= static/css/app.css";
        PLAIN.both("GET /static/css/app.css", field, expected);
    }
}

#[test]
fn caches_are_told_what_the_answer_depends_on() {
    let css = "GET /static/css/app.css";
    let vary = "Vary: Accept-Encoding";
    PLAIN.both(css, "Accept-Encoding: br", &format!("200\n {vary}"));
    PLAIN.both(css, "Range: bytes=0-9", &format!("206\n {vary}"));
    PLAIN.both(css, &format!("If-Modified-Since: {SUNDAY}"), &format!("304\n {vary}"));
    PLAIN.both("GET /static/digits.txt", "Accept-Encoding: br", "200\n Vary:");
}

#[test]
fn each_variant_has_a_validator_of_its_own() {
    let tags = |ask: &dyn Fn(&str) -> Response| {
        ["Accept-Encoding: br", "Accept-Encoding: gzip", ""]
            .map(|field| ask(field).field("etag").unwrap().to_owned())
    };
    let line = "GET /static/css/app.css";
    let [br, gzip, plain] = tags(&|field| PLAIN.whitenoise(line, field, "200"));
    assert!(br == gzip && gzip == plain, "{br} {gzip} {plain}");
    let ours = tags(&|field| PLAIN.forebay(line, field, "200"));
    let [br, gzip, plain] = &ours;
    assert!(br != gzip && gzip != plain && plain != br, "{ours:?}");
    for (tag, coding) in ours.iter().zip(["br", "gzip", ""]) {
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag} is strong");
        let fields = format!("If-None-Match: {tag}\nAccept-Encoding: {coding}");
        PLAIN.forebay(line, &fields, &format!("304\n ETag: {tag}"));
    }
}

#[test]
fn the_validator_is_the_same_on_every_instance() {
    let file = "GET /static/digits.txt";
    let tree = Tree::fresh();
    tree.put_at("digits.txt", "0123456789", SystemTime::now());
    let new_york = |folder: &str| {
        whitenoise(json!({ "trees": [[folder, "static"]] }).to_string(), "America/New_York")
    };
    let theirs = new_york(&tree.path(""));
    let ours = forebay(&tree, &["--static=/static/=@"]);
    let [of_whitenoise, of_forebay] = PLAIN.both(file, "", "200");
    let tag = |address| ask(address, file, "").field("etag").map(str::to_owned);
    assert_ne!(tag(theirs.address()).as_deref(), of_whitenoise.field("etag"));
    assert_eq!(tag(ours.address()).as_deref(), of_forebay.field("etag"));
    // Not even for files that are the same to the second.
    let theirs = new_york(&PLAIN.tree.path("static"));
    assert_ne!(tag(theirs.address()).as_deref(), of_whitenoise.field("etag"));
}

#[test]
fn a_file_without_a_date_has_a_validator_all_the_same() {
    let line = "GET /static/zero.txt";
    PLAIN.whitenoise(line, "", "200\n Last-Modified:\n ETag:");
    let ours = PLAIN.forebay(line, "", "200");
    let same = format!("If-None-Match: {}", ours.field("etag").unwrap());
    PLAIN.forebay(line, &same, "304");
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    let line = "GET /static/digits.txt";
    for (ask, who) in [(Both::whitenoise as Ask, "WhiteNoise"), (Both::forebay, "forebay")] {
        let answer = ask(&PLAIN, line, "", "200");
        let tag = answer.field("etag").unwrap();
        assert!(tag.starts_with('"'), "{who}: {tag}");
        ask(&PLAIN, line, &format!("If-None-Match: {tag}"), &format!("304\n ETag: {tag}\n|"));
        ask(&PLAIN, line, "If-None-Match: \"other\"", "200\n= static/digits.txt");
        // The tag decides where there is one: think of a roll-back.
        let fields = format!("If-None-Match: \"other\"\nIf-Modified-Since: {SUNDAY}");
        ask(&PLAIN, line, &fields, "200");
        let fields =
            format!("If-None-Match: {tag}\nIf-Modified-Since: Sat, 05 Nov 1994 08:49:37 GMT");
        ask(&PLAIN, line, &fields, "304");
    }
}

#[test]
fn a_tag_is_found_in_a_list_and_when_it_is_weak() {
    let line = "GET /static/digits.txt";
    for (ask, status) in [(Both::whitenoise as Ask, "200"), (Both::forebay, "304")] {
        let answer = ask(&PLAIN, line, "", "200");
        let tag = answer.field("etag").unwrap();
        for list in [
            format!("W/{tag}"),
            format!("\"a\", {tag}"),
            format!("{tag}, \"b\""),
            format!("\"a\",W/{tag},\"b\""),
            "*".to_owned(),
        ] {
            ask(&PLAIN, line, &format!("If-None-Match: {list}"), status);
        }
    }
}

#[test]
fn what_was_not_modified_is_not_sent_again() {
    for (date, status) in [
        (SUNDAY, "304"),
        ("Mon, 07 Nov 1994 08:49:37 GMT", "304"),
        ("Sat, 05 Nov 1994 08:49:37 GMT", "200"),
        ("Fri, 01 Jan 2100 00:00:00 GMT", "304"),
        ("yesterday", "200"),
        ("0", "200"),
        ("-1", "200"),
    ] {
        let field = format!("If-Modified-Since: {date}");
        PLAIN.both("GET /static/digits.txt", &field, status);
        PLAIN.both("HEAD /static/digits.txt", &field, status);
    }
}

#[test]
fn what_was_not_modified_is_described_by_little() {
    let field = format!("If-Modified-Since: {SUNDAY}");
    let expected = "304\n Cache-Control: max-age=60, public\n Content-Type:\n Last-Modified:\n\
        Content-Length:\n Content-Encoding:\n|";
    for answer in PLAIN.both("GET /static/css/app.css", &field, expected) {
        assert!(answer.field("etag").is_some() && answer.field("date").is_some(), "{answer:?}");
    }
}

#[test]
fn a_condition_that_fails_ends_the_request() {
    let line = "GET /static/digits.txt";
    for field in ["If-Match: \"other\"", "If-Unmodified-Since: Sat, 05 Nov 1994 08:49:37 GMT"] {
        PLAIN.whitenoise(line, field, "200");
        // Nobody who asks without a condition may get this from a cache.
        PLAIN.forebay(line, field, "412\n Cache-Control:\n|");
    }
    let tag = PLAIN.forebay(line, "", "200").field("etag").unwrap().to_owned();
    for field in [
        format!("If-Match: \"a\", {tag}"),
        "If-Match: *".to_owned(),
        format!("If-Unmodified-Since: {SUNDAY}"),
    ] {
        PLAIN.both(line, &field, "200\n= static/digits.txt");
    }
    // RFC 9110 §13.1.1: strongly.
    PLAIN.forebay(line, &format!("If-Match: W/{tag}"), "412");
}

#[test]
fn a_range_is_sent() {
    for (range, part, content) in [
        ("2-4", "2-4", "234"),
        ("0-9", "0-9", "0123456789"),
        ("7-", "7-9", "789"),
        ("0-", "0-9", "0123456789"),
        ("-3", "7-9", "789"),
        ("-30", "0-9", "0123456789"),
        ("5-99", "5-9", "56789"),
    ] {
        let length = content.len();
        let expected = format!(
            "206\n Content-Range: bytes {part}/10\n Content-Length: {length}\n| {content}\n
             Content-Type: text/plain; charset=utf-8\n Last-Modified: {SUNDAY}"
        );
        let field = format!("Range: bytes={range}");
        for answer in PLAIN.both("GET /static/digits.txt", &field, &expected) {
            assert!(answer.field("etag").is_some(), "{answer:?}");
        }
    }
}

#[test]
fn a_range_may_be_a_single_byte() {
    for (name, range, part, content) in [
        ("digits.txt", "0-0", "0-0/10", "0"),
        ("digits.txt", "9-9", "9-9/10", "9"),
        ("digits.txt", "-1", "9-9/10", "9"),
        ("one.txt", "0-", "0-0/1", "1"),
    ] {
        let (line, field) = (format!("GET /static/{name}"), format!("Range: bytes={range}"));
        PLAIN.whitenoise(&line, &field, "416");
        let expected = format!("206\n Content-Range: bytes {part}\n| {content}");
        PLAIN.forebay(&line, &field, &expected);
    }
}

#[test]
fn a_range_of_nothing_cannot_be_sent() {
    PLAIN.whitenoise("GET /static/digits.txt", "Range: bytes=-0", "206\n| 0123456789");
    let refused = "416\n Content-Range: bytes */10";
    PLAIN.forebay("GET /static/digits.txt", "Range: bytes=-0", refused);
}

#[test]
fn a_range_beyond_the_end_cannot_be_sent() {
    for range in ["10-", "10-20", "99-100"] {
        let field = format!("Range: bytes={range}");
        let expected = "416\n Content-Range: bytes */10\n Cache-Control:\n Content-Encoding:";
        PLAIN.both("GET /static/digits.txt", &field, expected);
    }
    PLAIN.both("GET /static/empty.txt", "Range: bytes=0-", "416\n Content-Range: bytes */0");
}

#[test]
fn what_is_no_range_is_passed_over() {
    for range in ["bytes=", "bytes=a-b", "bytes=1", "lines=1-2", "bytes", "1-2", "bytes=5-x"] {
        let field = format!("Range: {range}");
        PLAIN.both("GET /static/digits.txt", &field, "200\n Content-Range:\n= static/digits.txt");
    }
}

#[test]
fn several_ranges_are_sent_in_parts() {
    let (line, field) = ("GET /static/digits.txt", "Range: bytes=0-1,-2");
    PLAIN.whitenoise(line, field, "200\n= static/digits.txt");
    let answer = PLAIN.forebay(line, field, "206\n Content-Range:");
    let kind = answer.field("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let parts: Vec<_> = answer.text().split(&format!("--{boundary}")).collect();
    assert_eq!(parts.len(), 4, "{parts:?}");
    assert!(parts[1].ends_with("Content-Range: bytes 0-1/10\r\n\r\n01\r\n"), "{parts:?}");
    assert!(parts[2].ends_with("Content-Range: bytes 8-9/10\r\n\r\n89\r\n"), "{parts:?}");
}

#[test]
fn a_range_of_what_the_client_has_not_is_not_sent() {
    let line = "GET /static/digits.txt";
    let range = "Range: bytes=2-4";
    for validator in ["\"other\"", "Sat, 05 Nov 1994 08:49:37 GMT"] {
        let fields = format!("{range}\nIf-Range: {validator}");
        PLAIN.whitenoise(line, &fields, "206");
        PLAIN.forebay(line, &fields, "200\n= static/digits.txt");
    }
    for (ask, who) in [(Both::whitenoise as Ask, "WhiteNoise"), (Both::forebay, "forebay")] {
        let answer = ask(&PLAIN, line, "", "200");
        let tag = answer.field("etag").unwrap_or_else(|| panic!("{who}: {answer:?}"));
        for validator in [tag, SUNDAY] {
            let fields = format!("{range}\nIf-Range: {validator}");
            ask(&PLAIN, line, &fields, "206\n| 234");
        }
    }
}

#[test]
fn a_range_is_of_the_file_itself() {
    let (line, fields) = ("GET /static/css/app.css", "Range: bytes=0-9\nAccept-Encoding: gzip");
    PLAIN.whitenoise(line, fields, "206\n Content-Encoding: gzip");
    let length = CSS.len();
    let text = String::from_utf8_lossy(&CSS[..10]).into_owned();
    let expected = format!(
        "206\n Content-Encoding:\n Content-Range: bytes 0-9/{length}\n Vary: Accept-Encoding\n| {text}"
    );
    let part = PLAIN.forebay(line, fields, &expected);
    // Its validator is that of the file as it is: parts of two codings never meet.
    let whole = PLAIN.forebay(line, "", "200");
    assert_eq!(part.field("etag"), whole.field("etag"));
    let zipped = PLAIN.forebay(line, "Accept-Encoding: gzip", "200");
    let resumed = format!("{fields}\nIf-Range: {}", zipped.field("etag").unwrap());
    PLAIN.forebay(line, &resumed, "200");
}

#[test]
fn clients_are_told_that_there_are_ranges() {
    PLAIN.whitenoise("GET /static/digits.txt", "", "200\n Accept-Ranges:");
    PLAIN.forebay("GET /static/digits.txt", "", "200\n Accept-Ranges: bytes");
}

#[test]
fn a_variant_that_says_something_else_is_not_sent() {
    for (name, coding, variant) in [
        ("stale.txt", "gzip", "stale.txt.gz"),
        ("broken.txt", "gzip", "broken.txt.gz"),
        // No browser has the dictionary.
        ("dictionary.js", "zstd", "dictionary.js.zst"),
    ] {
        let (line, field) = (format!("GET /static/{name}"), format!("Accept-Encoding: {coding}"));
        if coding == "gzip" {
            let expected = format!("200\n Content-Encoding: gzip\n= static/{variant}");
            PLAIN.whitenoise(&line, &field, &expected);
        }
        PLAIN.forebay(&line, &field, &format!("200\n Content-Encoding:\n= static/{name}"));
        eventually("the log tells it", || {
            let log = PLAIN.forebay.written();
            log.lines().any(|line| line.contains(variant) && line.contains("WARN")).then_some(())
        });
    }
}

#[test]
fn a_variant_is_made_where_there_is_none() {
    let forebay = forebay(&PLAIN.tree, &["--static=/static/=@/static", "--static-variants=on"]);
    let line = "GET /static/js/alone.js";
    let made = eventually("there is a variant", || {
        let answer = ask(forebay.address(), line, "Accept-Encoding: gzip");
        (answer.field("content-encoding") == Some("gzip")).then_some(answer)
    });
    let mut text = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(&*made.body), &mut text).unwrap();
    assert!(text == *CSS);
    // Nothing is written, and what lies there is left as it is.
    assert!(fs::metadata(PLAIN.tree.path("static/js/alone.js.gz")).is_err());
    let lying = ask(forebay.address(), "GET /static/css/app.css", "Accept-Encoding: br");
    assert!(lying.body == PLAIN.tree.read("static/css/app.css.br"));
}

/// One of the two ways to ask.
type Ask = fn(&Both, &str, &str, &str) -> Response;

/// Fields that describe what is sent.
const DESCRIBING: [&str; 8] = [
    "content-type",
    "content-length",
    "content-encoding",
    "cache-control",
    "etag",
    "last-modified",
    "vary",
    "access-control-allow-origin",
];
