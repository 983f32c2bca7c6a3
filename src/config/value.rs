//! Reads the text of one setting.
//!
//! Owns: units, ranges, and the sentence that says how a bad text is mended.
//! Must not know: which setting a text belongs to.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use regex_lite::Regex;

use crate::proxy::assets::{Place as AssetPlace, may_be_set};
use crate::proxy::fields::{Name, Value};
use crate::proxy::file::confine::Root;
use crate::proxy::normalise::{Edges, may_be_kept};
use crate::proxy::send_file::Place;
use crate::proxy::upstream::Address;

/// `HOST:PORT` with an IP address, or `localhost`.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    let text =
        text.strip_prefix("localhost:").map_or(text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().map_err(|_| {
        "write an address and a port, such as `0.0.0.0:8000`, `127.0.0.1:8000` or `[::]:8000`"
            .to_owned()
    })
}

/// `HOST:PORT` or `unix:/path`.
pub(super) fn upstream(text: &str) -> Result<Address, String> {
    let wrong = || "write `127.0.0.1:8001` or `unix:/path/to/socket`".to_owned();
    if let Some(path) = text.strip_prefix("unix:") {
        let path = PathBuf::from(path);
        return if path.is_absolute() {
            Ok(Address::Unix(path))
        } else {
            Err("the path of a unix socket begins with `/`, as in `unix:/tmp/app.sock`".to_owned())
        };
    }
    if text.contains("://") {
        return Err("write the address alone, without `http://`".to_owned());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return check_port(address.ip().to_string(), address.port());
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let is_name = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if !is_name {
        return Err(wrong());
    }
    check_port(host.to_owned(), port.parse().map_err(|_| wrong())?)
}

fn check_port(host: String, port: u16) -> Result<Address, String> {
    if port == 0 {
        return Err("port 0 is nobody's; write the port that the application listens on".to_owned());
    }
    Ok(Address::Tcp { host, port })
}

/// `250ms`, `30s`, `4m` or `1h`, from 1 ms to 24 h. A bare number is refused: its unit is a guess.
pub(super) fn deadline(text: &str) -> Result<Duration, String> {
    let wrong = || "write a time with its unit, such as `250ms`, `30s`, `4m` or `1h`".to_owned();
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    match number.checked_mul(factor) {
        Some(milliseconds @ 1..=86_400_000) => Ok(Duration::from_millis(milliseconds)),
        _ => Err("write a time from 1ms to 24h".to_owned()),
    }
}

/// A time, or `off`, which is zero.
pub(super) fn deadline_or_off(text: &str) -> Result<Duration, String> {
    if text == "off" { Ok(Duration::ZERO) } else { deadline(text) }
}

/// A time that ends before App Service's front end gives up (facts, 6: 230 s).
pub(super) fn patience(text: &str) -> Result<Duration, String> {
    match deadline(text)? {
        time if time <= Duration::from_secs(225) => Ok(time),
        _ => Err(
            "write 225s at most: the front end gives up at 230s, and its visitor would see its \
                  error and not yours"
                .to_owned(),
        ),
    }
}

/// `8190B`, `64KiB`, `1MiB` or `1GiB`, within a range of bytes.
pub(super) fn bytes<const LEAST: usize, const MOST: usize>(text: &str) -> Result<usize, String> {
    let wrong =
        || "write a size with its unit, such as `8190B`, `64KiB`, `1MiB` or `1GiB`".to_owned();
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let factor = match unit {
        "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        "GiB" => 1024 * 1024 * 1024,
        _ => return Err(wrong()),
    };
    let size = number.checked_mul(factor).and_then(|size| usize::try_from(size).ok());
    match size {
        Some(size) if (LEAST..=MOST).contains(&size) => Ok(size),
        _ => Err(format!("write a size from {LEAST}B to {MOST}B")),
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
}

/// A number within a range.
pub(super) fn count<const LEAST: usize, const MOST: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (LEAST..=MOST).contains(&count) => Ok(count),
        _ => Err(format!("write a number from {LEAST} to {MOST}")),
    }
}

/// `on` or `off`.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write `on` or `off`".to_owned()),
    }
}

/// A path as it stands in a request: it begins with `/` and has no query.
pub(super) fn path(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/')
        && text.bytes().all(|byte| (0x21..0x7f).contains(&byte) && !b"?#\"<>".contains(&byte));
    if is_path { Ok(text.to_owned()) } else { Err("write a path such as `/healthz`".to_owned()) }
}

/// A directory that is there.
pub(super) fn directory(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_dir() { Ok(path) } else { Err("name a directory that exists".to_owned()) }
}

/// `on`, `off`, or one of them for the paths that begin with a prefix; nothing for all paths.
pub(super) fn buffering(text: &str) -> Result<(Option<String>, bool), String> {
    let (prefix, rule) = match text.rsplit_once('=') {
        Some((prefix, rule)) => (Some(path(prefix)?), rule),
        None => (None, text),
    };
    match switch(rule) {
        Ok(is_on) => Ok((prefix, is_on)),
        Err(_) => Err("write `on`, `off`, or a prefix of paths and one of them, such as \
                       `/upload/=off`"
            .to_owned()),
    }
}

/// `10.0.0.0/8`, `fd00::/8` or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>()
        .or_else(|_| address())
        .map_err(|_| "write a network such as `10.0.0.0/24`, `fd00::/8`, or one address".to_owned())
}

/// `PREFIX=DIR`: a path of URLs, with or without its last `/`, and a directory that is there.
pub(super) fn send_file(text: &str) -> Result<Place, String> {
    let wrong = || "write a path of URLs and a directory, such as `/protected/=/srv/media`";
    let (prefix, directory) = text.split_once('=').ok_or_else(wrong)?;
    let mut prefix = path(prefix).map_err(|_| wrong())?;
    if !prefix.ends_with('/') {
        prefix.push('/');
    }
    let directory = PathBuf::from(directory);
    if !directory.is_absolute() {
        return Err("the directory's path begins with `/`, as in `/protected/=/srv/media`".into());
    }
    match std::fs::metadata(&directory) {
        Ok(found) if found.is_dir() => Ok(Place { prefix, root: Root::new(directory) }),
        Ok(_) => Err("it names a file; name the directory that the files lie in".to_owned()),
        Err(why) => Err(format!("the directory cannot be read ({why}); correct its name")),
    }
}

/// `PREFIX=DIR` of static files; the directory may come later, but must not be a file.
pub(super) fn static_files(text: &str) -> Result<AssetPlace, String> {
    let wrong = || "write a path of URLs and a directory, such as `/static/=staticfiles`";
    let (prefix, directory) = text.split_once('=').ok_or_else(wrong)?;
    let mut prefix = path(prefix).map_err(|_| wrong())?;
    if prefix.contains('%') || prefix.contains("//") {
        return Err("write the path decoded and with single slashes".to_owned());
    }
    if !prefix.ends_with('/') {
        prefix.push('/');
    }
    if prefix == "/" {
        return Err("files at `/` are what --static-root is for".to_owned());
    }
    Ok(AssetPlace { prefix, directory: static_directory(directory)? })
}

/// The directory of static files at `/`.
pub(super) fn static_root(text: &str) -> Result<AssetPlace, String> {
    Ok(AssetPlace { prefix: "/".to_owned(), directory: static_directory(text)? })
}

fn static_directory(text: &str) -> Result<PathBuf, String> {
    let directory = PathBuf::from(text);
    if text.is_empty() {
        return Err("name the directory that the files lie in".to_owned());
    }
    if directory.is_file() {
        return Err("it names a file; name the directory that the files lie in".to_owned());
    }
    Ok(directory)
}

/// A time from 0 s to ten years, or `off`.
pub(super) fn max_age(text: &str) -> Result<Option<Duration>, String> {
    let wrong = || "write a time with its unit, such as `60s`, `10m`, `1h` or `365d`, or `off`";
    if text == "off" {
        return Ok(None);
    }
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong().to_owned()),
    };
    match number.checked_mul(factor) {
        Some(seconds @ 0..=315_360_000) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err("write a time of ten years (3650d) at most".to_owned()),
    }
}

/// A regular expression.
pub(super) fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|why| format!("correct the regular expression: {why}"))
}

/// A regular expression, a space and a field.
pub(super) fn static_field(text: &str) -> Result<(Regex, HeaderName, HeaderValue), String> {
    let wrong = || {
        "write a regular expression, a space and a field, such as \
         `\\.pdf$ Content-Disposition: attachment`"
            .to_owned()
    };
    let (expression, field) = text.split_once(' ').ok_or_else(wrong)?;
    let (name, value) = field.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
    if !may_be_set(&name) {
        return Err(format!("choose another field: `{name}` is forebay's own to set"));
    }
    Ok((pattern(expression)?, name, value))
}

/// A media type by ending or whole name, in lower case.
pub(super) fn static_type(text: &str) -> Result<(String, String), String> {
    let wrong = || "write an ending and a type, such as `.geojson=application/geo+json`".to_owned();
    let (name, kind) = text.split_once('=').ok_or_else(wrong)?;
    let is_type = HeaderValue::from_str(kind).is_ok()
        && kind.split_once('/').is_some_and(|(one, other)| !one.is_empty() && !other.is_empty());
    let is_name = !name.is_empty() && name != "." && !name.contains('/');
    if is_type && is_name { Ok((name.to_lowercase(), kind.to_owned())) } else { Err(wrong()) }
}

/// The name of a charset (RFC 2978 §2.3).
pub(super) fn charset(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+:".contains(&byte));
    if is_name { Ok(text.to_owned()) } else { Err("write a charset such as `utf-8`".to_owned()) }
}

/// The name of index files, or `off`.
pub(super) fn index(text: &str) -> Result<Option<String>, String> {
    match text {
        "off" => Ok(None),
        name if !name.is_empty() && !name.contains('/') && !name.starts_with('.') => {
            Ok(Some(name.to_owned()))
        }
        _ => Err("write the name of a file, such as `index.html`, or `off`".to_owned()),
    }
}

/// A number of hops, or the name of an edge.
pub(super) fn edges(text: &str, front_door_id: Option<Value>) -> Result<Edges, String> {
    match text {
        "front-door" => Ok(Edges::FrontDoor(front_door_id)),
        "app-gateway" => Ok(Edges::AppGateway),
        _ => match text.parse() {
            Ok(count @ 0..=16) => Ok(Edges::Count(count)),
            _ => Err("write a number from 0 to 16, `front-door` or `app-gateway`".to_owned()),
        },
    }
}

/// The id of a Front Door profile.
pub(super) fn front_door_id(text: &str) -> Result<Value, String> {
    let is_id = text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    match Value::read(text.to_owned()) {
        Ok(value) if is_id => Ok(value),
        _ => {
            Err("write the profile's id, such as `00000000-0000-0000-0000-000000000000`".to_owned())
        }
    }
}

/// A field that may be passed on as it came.
pub(super) fn kept_field(text: &str) -> Result<Name, String> {
    match Name::read(text.as_bytes()) {
        Some(name) if may_be_kept(&name) => Ok(name),
        _ => {
            Err("name a field that forebay removes or rewrites, but none that says who asks, how \
                  and for whom: `forebay explain` shows which these are"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_is_never_zero() {
        assert_eq!(deadline("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(deadline("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(deadline("4m"), Ok(Duration::from_mins(4)));
        assert_eq!(deadline("24h"), Ok(Duration::from_hours(24)));
        for text in ["30", "0s", "25h", "s", "", "1 s", "-1s", "1.5s", "99999999999999999999s"] {
            assert!(deadline(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_has_a_unit_and_a_range() {
        assert_eq!(bytes::<256, 65_536>("64KiB"), Ok(65_536));
        assert_eq!(bytes::<256, 65_536>("256B"), Ok(256));
        for text in ["65537B", "255B", "64", "64kb", "", "99999999999999999999MiB"] {
            assert!(bytes::<256, 65_536>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_upstream_is_an_address_or_a_socket() {
        for text in
            ["127.0.0.1:8001", "[::1]:8001", "app:8001", "localhost:80", "unix:/tmp/a b.sock"]
        {
            assert_eq!(upstream(text).unwrap().to_string(), text);
        }
        for text in
            ["8001", ":8001", "127.0.0.1", "127.0.0.1:0", "a:b", "unix:app.sock", "http://a:1"]
        {
            assert!(upstream(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_have_a_prefix_and_a_directory() {
        for (text, prefix) in [("/p=/tmp", "/p/"), ("/p/q/=/tmp/", "/p/q/"), ("/=/tmp", "/")] {
            assert_eq!(send_file(text).unwrap().prefix, prefix);
        }
        for text in
            ["", "/p", "/p/=", "/p/=tmp", "p/=/tmp", "=/tmp", "/p/=/no/such", "/p/=/etc/passwd"]
        {
            assert!(send_file(text).is_err(), "{text}");
        }
    }

    #[test]
    fn static_files_have_a_prefix_and_perhaps_a_directory_later() {
        for (text, prefix) in [("/static=/no/such", "/static/"), ("/a/b/=static", "/a/b/")] {
            assert_eq!(static_files(text).unwrap().prefix, prefix);
        }
        for text in ["", "/static/", "/static/=", "static=x", "/=x", "/s%61/=x", "//s/=x"] {
            assert!(static_files(text).is_err(), "{text}");
        }
        assert!(static_files("/static/=/etc/passwd").is_err());
        assert!(static_root("/etc/passwd").is_err() && static_root("").is_err());
    }

    #[test]
    fn a_file_may_be_kept_for_ten_years_or_not_at_all() {
        assert_eq!(max_age("0s"), Ok(Some(Duration::ZERO)));
        assert_eq!(max_age("3650d"), Ok(Some(Duration::from_hours(3650 * 24))));
        assert_eq!(max_age("off"), Ok(None));
        for text in ["", "60", "3651d", "-1s", "1y"] {
            assert!(max_age(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rules_for_static_files_have_their_form() {
        let (pattern, name, value) = static_field(r"\.pdf$ X-A: b c").unwrap();
        assert!(pattern.is_match("/a.pdf") && !pattern.is_match("/a.pdf.js"));
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-a", "b c"));
        for text in ["", "x", "x y", "( X-A: b", "x ETag: b", "x Content-Length: 1", "x A B: c"] {
            assert!(static_field(text).is_err(), "{text}");
        }
        let wanted = (".x".to_owned(), "a/b".to_owned());
        assert_eq!(static_type(".X=a/b"), Ok(wanted));
        for text in ["", ".x", ".x=", "=a/b", ".x=a", "d/.x=a/b", ".=a/b", ".x=a/"] {
            assert!(static_type(text).is_err(), "{text}");
        }
        assert_eq!(index("off"), Ok(None));
        assert!(index("a/b").is_err() && index("").is_err() && charset("utf 8").is_err());
    }

    #[test]
    fn an_address_to_listen_on_has_a_port() {
        assert_eq!(listen("localhost:8000").unwrap().to_string(), "127.0.0.1:8000");
        assert!(listen("[::]:8000").is_ok());
        for text in ["8000", "0.0.0.0", "example.com:80", "0.0.0.0:99999", "0.0.0.0:abc"] {
            assert!(listen(text).is_err(), "{text}");
        }
    }
}
