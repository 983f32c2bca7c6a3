//! Step 5: the answers that forebay makes itself.
//!
//! Owns: their fields and their content, as a page, as JSON and as text.
//! Must not know: sockets, settings, why there is no other answer.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, SERVER,
    WWW_AUTHENTICATE,
};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};

use super::fields::{Head, names};
use super::probe::Answer;
use crate::code::Code;

/// The field that carries the code.
pub const X_FOREBAY_ERROR: HeaderName = HeaderName::from_static("x-forebay-error");

/// What a client can read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// A page for a browser, which may ask again by itself.
    Html,
    /// A page for a browser that sent something: asking again would lose it.
    HtmlOnce,
    /// For a program that asked for it.
    Json,
    /// For everybody else.
    Text,
}

impl Form {
    /// The form that a request's Accept field asks for.
    pub fn wanted(method: &Method, accept: Option<&[u8]>) -> Self {
        let accepts = |kind: &[u8]| {
            let accept = accept.unwrap_or_default();
            // A browser begins with it.
            accept.starts_with(kind) || memchr::memmem::find(accept, kind).is_some()
        };
        if accepts(b"text/html") {
            let is_repeatable = matches!(*method, Method::GET | Method::HEAD);
            if is_repeatable { Self::Html } else { Self::HtmlOnce }
        } else if accepts(b"json") {
            Self::Json
        } else {
            Self::Text
        }
    }
}

/// Whether somebody looks at a browser's window and waits for a page to come up in it.
pub fn wants_page(request: &Head) -> bool {
    let fields = &request.fields;
    // Fetch Metadata tells a page from what a page loads; a browser without it is old.
    let is_part = fields
        .get(&names::SEC_FETCH_DEST)
        .is_some_and(|value| !matches!(value, b"document" | b"iframe" | b"frame"));
    !is_part && Form::wanted(&request.method, fields.get(&names::ACCEPT)) == Form::Html
}

/// The answer for a request that does not reach the application.
pub fn error(code: Code, form: Form) -> Response<Bytes> {
    let meaning = code.meaning();
    let (kind, content) = match form {
        Form::Html => ("text/html; charset=utf-8", page(code, meaning.status == 503)),
        Form::HtmlOnce => ("text/html; charset=utf-8", page(code, false)),
        Form::Json => {
            let (id, status, title) = (meaning.id, meaning.status, meaning.title);
            (
                "application/json",
                format!(r#"{{"code":"{id}","status":{status},"title":"{title}"}}"#),
            )
        }
        Form::Text => ("text/plain; charset=utf-8", format!("{} {}\n", meaning.id, meaning.title)),
    };
    let mut response = own(code.status(), kind, content);
    let headers = response.headers_mut();
    headers.insert(X_FOREBAY_ERROR, HeaderValue::from_static(meaning.id));
    if code == Code::AssetMethod {
        headers.insert(ALLOW, super::assets::METHODS);
    }
    if code == Code::StatusToken {
        // For browsers, which ask their user, and for programs (RFC 7617, RFC 6750).
        let challenges = "Basic realm=\"forebay status\", Bearer";
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenges));
    }
    if code == Code::StatusAttempts {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
    }
    if meaning.status == 503 {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    if may_be_out_of_step(code) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer to a prober.
pub fn probe(answer: Answer) -> Response<Bytes> {
    match answer {
        Answer::Healthy(text) => {
            own(StatusCode::OK, "text/plain; charset=utf-8", format!("{text}\n"))
        }
        Answer::Unhealthy(code) => error(code, Form::Text),
    }
}

/// The whole answer as bytes of HTTP/1.1, for a connection that ends with it.
pub fn last_words(code: Code) -> Vec<u8> {
    let response = error(code, Form::Text);
    let mut text = format!("HTTP/1.1 {}\r\n", response.status());
    for (name, value) in response.headers() {
        if name != CONNECTION {
            // Writing to a string cannot fail.
            write!(text, "{name}: {}\r\n", value.to_str().unwrap_or_default()).unwrap_or_default();
        }
    }
    text.push_str("connection: close\r\n\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(response.body());
    bytes
}

fn own(status: StatusCode, kind: &'static str, content: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(content));
    *response.status_mut() = status;
    let length = HeaderValue::from(response.body().len());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(SERVER, HeaderValue::from_static("forebay"));
    response
}

/// Whether the client and forebay may disagree where the next request begins.
fn may_be_out_of_step(code: Code) -> bool {
    matches!(
        code,
        Code::Malformed
            | Code::Ambiguous
            | Code::HeaderTooLarge
            | Code::TargetTooLong
            | Code::HeaderDeadline
            | Code::BodyDeadline
            | Code::BodyTooLarge
            | Code::BadHost
            | Code::NotServed
    )
}

fn page(code: Code, refreshes: bool) -> String {
    let meaning = code.meaning();
    let refresh = if refreshes { "<meta http-equiv=refresh content=5>" } else { "" };
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content='width=device-width'>{refresh}<title>{title}</title>\
         <style>:root{{color-scheme:light dark}}body{{font:1.1rem/1.5 system-ui,sans-serif;\
         max-width:32rem;margin:20vh auto 0;padding:0 1.5rem}}h1{{font-size:1.5rem}}\
         p{{opacity:.7}}</style><h1>{title}</h1><p>{hint}</p><p><small>{id}</small></p></html>",
        title = meaning.title,
        hint = hint(meaning.status, refreshes),
        id = meaning.id,
    )
}

fn hint(status: u16, refreshes: bool) -> &'static str {
    match status {
        503 if refreshes => "This page tries again by itself.",
        503 => "What you sent was not taken. Please go back and send it again in a moment.",
        404 => "It may have been moved or removed.",
        401 => "The password is the status token; any user name will do.",
        429 => "Please wait for a minute.",
        500.. => "Please try again in a moment. If it lasts, tell the site's owner the code below.",
        _ => "The request was not passed on.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_every_answer_has_its_code_and_is_not_stored() {
        for &code in Code::ALL {
            for form in [Form::Html, Form::HtmlOnce, Form::Json, Form::Text] {
                let answer = error(code, form);
                assert_eq!(answer.headers()[X_FOREBAY_ERROR], code.id());
                assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
                let content = std::str::from_utf8(answer.body()).unwrap();
                assert!(content.contains(code.id()));
                if form == Form::Json {
                    serde_json::from_str::<serde_json::Value>(content).unwrap();
                }
            }
        }
    }

    #[test]
    fn last_words_are_a_whole_answer() {
        let bytes = last_words(Code::Ambiguous);
        let text = String::from_utf8(bytes).unwrap();
        let (head, content) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains("x-forebay-error: FB-11\r\n"), "{head}");
        assert!(head.ends_with("connection: close"), "{head}");
        assert!(head.contains(&format!("content-length: {}", content.len())), "{head}");
    }
}
