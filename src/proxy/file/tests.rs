use super::*;
use std::fs::File;
use std::future::poll_fn;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::HeaderName;

use crate::proxy::fields::{Name, Value};

const TEN: &[u8] = b"0123456789";

/// A file with this content and an old modification time.
fn file(content: &[u8]) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("forebay-file-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{number}.txt"));
    std::fs::write(&path, content).unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(UNIX_EPOCH + Duration::from_millis(784_111_777_500))
        .unwrap();
    path
}

fn open(path: &Path) -> Opened {
    let root = confine::Root::new(path.parent().unwrap().to_owned());
    root.open(Path::new(path.file_name().unwrap())).unwrap()
}

/// The fields of an answer, one a line.
pub(in crate::proxy) fn fields(lines: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines.lines().filter_map(|line| line.split_once(": ")) {
        let name = HeaderName::from_bytes(name.trim().as_bytes()).unwrap();
        fields.append(name, HeaderValue::from_str(value).unwrap());
    }
    fields
}

/// The fields of a request, one a line.
pub(in crate::proxy) fn asked(lines: &str) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines.lines().filter_map(|line| line.split_once(": ")) {
        let name = Name::read(name.trim().as_bytes()).unwrap();
        fields.append(name, &Value::read(value.to_owned()).unwrap());
    }
    fields
}

/// The answer to `method` with `asked`, where `own` is there already.
fn answer_to(method: &Method, asked: &str, own: &str) -> Response<Content> {
    let mut response = Response::new(());
    *response.headers_mut() = fields(own);
    let wanted = Wanted::of(method, &self::asked(asked));
    answer(&wanted, response, open(&file(TEN)), SystemTime::now())
}

async fn read(mut content: Content) -> Result<Vec<u8>, Broken> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| content.poll_frame(cx)).await {
        bytes.extend(frame?.into_data().unwrap());
    }
    assert!(content.is_end_stream());
    Ok(bytes)
}

#[tokio::test]
async fn a_plain_request_gets_the_whole_file_and_its_description() {
    let answer = answer_to(&Method::GET, "", "content-length: 5\nset-cookie: a=b");
    assert_eq!(answer.status(), 200);
    let expected = fields(
        "set-cookie: a=b
        last-modified: Sun, 06 Nov 1994 08:49:37 GMT
        content-type: text/plain; charset=utf-8
        accept-ranges: bytes
        content-length: 10",
    );
    let mut found = answer.headers().clone();
    let tag = found.remove(ETAG).unwrap();
    assert_eq!(tag, format!("\"{:x}-a\"", 784_111_777_500_000_000_u64).as_str());
    assert_eq!(found, expected);
    assert_eq!(read(answer.into_body()).await.unwrap(), TEN);
}

#[tokio::test]
async fn the_status_follows_the_request() {
    for (method, asked, status, content) in [
        (Method::GET, "range: bytes=2-4", 206, &b"234"[..]),
        (Method::GET, "range: bytes=-2", 206, b"89"),
        (Method::GET, "range: bytes=10-", 416, b""),
        (Method::GET, "range: bytes=2-4\nif-range: \"x\"", 200, TEN),
        (Method::GET, "range: bytes=10-\nif-range: \"x\"", 200, TEN),
        (Method::GET, "range: bytes=2-4\nif-range: Sun, 06 Nov 1994 08:49:37 GMT", 206, b"234"),
        (Method::GET, "if-none-match: *", 304, b""),
        (Method::GET, "if-none-match: *\nrange: bytes=10-", 304, b""),
        (Method::GET, "if-match: \"x\"", 412, b""),
        (Method::HEAD, "", 200, b""),
        (Method::HEAD, "range: bytes=2-4", 200, b""),
        (Method::HEAD, "if-none-match: *", 304, b""),
        (Method::POST, "if-none-match: *\nrange: bytes=2-4", 200, TEN),
    ] {
        let answer = answer_to(&method, asked, "content-disposition: inline");
        assert_eq!(answer.status(), status, "{method} {asked}");
        let length = match (method, status) {
            (_, 304) => None,
            (Method::HEAD, _) => Some("10".to_owned()),
            _ => Some(content.len().to_string()),
        };
        let found = answer.headers().get(CONTENT_LENGTH).map(|value| value.to_str().unwrap());
        assert_eq!(found, length.as_deref(), "{asked}");
        assert_eq!(answer.headers().contains_key(CONTENT_TYPE), matches!(status, 200 | 206));
        let range = answer.headers().get(CONTENT_RANGE).map(|value| value.to_str().unwrap());
        assert_eq!(range.is_some(), matches!(status, 206 | 416), "{asked}");
        assert_eq!(read(answer.into_body()).await.unwrap(), content, "{asked}");
    }
}

#[tokio::test]
async fn several_ranges_come_in_parts() {
    let answer = answer_to(&Method::GET, "range: bytes=8-9,0-0", "content-type: a/b");
    assert_eq!(answer.status(), 206);
    assert!(!answer.headers().contains_key(CONTENT_RANGE));
    let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap().to_owned();
    let length: usize = answer.headers()[CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
    let content = read(answer.into_body()).await.unwrap();
    assert_eq!(content.len(), length);
    let expected = format!(
        "\r\n--{boundary}\r\nContent-Type: a/b\r\nContent-Range: bytes 8-9/10\r\n\r\n89\
         \r\n--{boundary}\r\nContent-Type: a/b\r\nContent-Range: bytes 0-0/10\r\n\r\n0\
         \r\n--{boundary}--\r\n"
    );
    assert_eq!(String::from_utf8(content).unwrap(), expected);
}

#[test]
fn own_validators_come_first() {
    let own = "etag: \"own\"\nlast-modified: Sun, 06 Nov 1994 08:49:36 GMT";
    for (asked, status) in [
        ("if-none-match: \"own\"", 304),
        ("if-none-match: \"other\"", 200),
        ("if-modified-since: Sun, 06 Nov 1994 08:49:36 GMT", 304),
        ("if-modified-since: Sun, 06 Nov 1994 08:49:35 GMT", 200),
    ] {
        let answer = answer_to(&Method::GET, asked, own);
        assert_eq!(answer.status(), status, "{asked}");
        assert_eq!(answer.headers()[ETAG], "\"own\"");
    }
    // One that is none would be compared with nothing.
    let answer = answer_to(&Method::GET, "", "etag: own");
    assert!(conditions::is_tag(answer.headers()[ETAG].as_bytes()));
}

#[test]
fn who_says_that_there_are_no_ranges_is_believed() {
    let answer = answer_to(&Method::GET, "range: bytes=0-0", "accept-ranges: none");
    assert_eq!(
        (answer.status(), &answer.headers()[ACCEPT_RANGES]),
        (StatusCode::OK, &"none".parse().unwrap())
    );
}

#[test]
fn a_file_of_this_moment_has_a_weak_tag() {
    let opened = open(&file(TEN));
    let modified = opened.modified;
    let weak = |age| {
        let tag = entity_tag(&opened, modified + age).unwrap();
        tag.as_bytes().starts_with(b"W/")
    };
    assert!(weak(Duration::ZERO) && weak(Duration::from_millis(1999)));
    assert!(!weak(Duration::from_secs(2)));
    let before = entity_tag(&opened, modified - Duration::from_secs(9)).unwrap();
    assert!(before.as_bytes().starts_with(b"W/"), "a file of the future");
}

#[tokio::test]
async fn an_empty_file_is_sent_as_it_is() {
    let path = file(b"");
    for (asked, status) in [("", 200), ("range: bytes=0-0", 416), ("range: bytes=-1", 200)] {
        let wanted = Wanted::of(&Method::GET, &self::asked(asked));
        let answer = answer(&wanted, Response::new(()), open(&path), SystemTime::now());
        assert_eq!(answer.status(), status, "{asked}");
        assert_eq!(answer.headers()[CONTENT_LENGTH], "0");
        assert!(answer.body().is_end_stream());
        assert_eq!(read(answer.into_body()).await.unwrap(), b"");
    }
}

#[tokio::test]
async fn chunks_join_without_a_seam() {
    let content: Vec<u8> = (0..=250).cycle().take(CHUNK * 2 + 1).collect();
    let path = file(&content);
    for length in [CHUNK - 1, CHUNK, CHUNK + 1, content.len()] {
        let wanted = asked(&format!("range: bytes=0-{}", length - 1));
        let wanted = Wanted::of(&Method::GET, &wanted);
        let answer = answer(&wanted, Response::new(()), open(&path), SystemTime::now());
        assert_eq!(read(answer.into_body()).await.unwrap(), content[..length]);
    }
}

#[tokio::test]
async fn a_file_that_changes_ends_in_an_error_but_one_that_grows_does_not() {
    let content = vec![b'a'; CHUNK * 4];
    for (change, broken) in [("shorten", "shorter"), ("rewrite", "rewritten"), ("grow", "")] {
        let path = file(&content);
        let mut body = Content::new(open(&path), vec![Piece::Part(0..content.len() as u64)]);
        let first = poll_fn(|cx| body.poll_frame(cx)).await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap().len(), CHUNK);
        // A chunk is being read ahead: each change is one step, so that it sees one or the other.
        let mut changed = File::options().write(true).append(change == "grow").open(&path).unwrap();
        match change {
            "shorten" => changed.set_len(9).unwrap(),
            _ => changed.write_all(&vec![b'b'; content.len()]).unwrap(),
        }
        // The clock of a file system may be too coarse for a change this soon.
        changed.set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
        let rest = read(body).await;
        match broken {
            "" => assert_eq!(rest.unwrap().len(), content.len() - CHUNK),
            part => assert!(rest.unwrap_err().to_string().contains(part), "{change}"),
        }
    }
}

#[tokio::test]
async fn a_file_that_vanishes_is_sent_to_its_end() {
    let content = vec![b'a'; CHUNK * 3];
    let path = file(&content);
    let body = Content::new(open(&path), vec![Piece::Part(0..content.len() as u64)]);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"another file").unwrap();
    assert_eq!(read(body).await.unwrap(), content);
}
