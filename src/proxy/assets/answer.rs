//! Answers a request for an asset.
//!
//! Owns: the header section of each kind of answer, what is done when a file is not what it was.
//! Must not know: which path means which file, sockets.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, ETAG,
    LAST_MODIFIED, LOCATION,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Assets;
use super::body::Body;
use super::decide::{Decision, decide};
use super::describe::Rules;
use super::store::{Gone, Location, Stored};
use super::table::{Asset, File, Representation};
use crate::code::Code;
use crate::coding::Coding;
use crate::proxy::fields::{Fields, Head};
use crate::proxy::file::confine::{Opened, Refusal};
use crate::proxy::file::ranges::Span;
use crate::proxy::file::{self, Content, Piece, Wanted, content_range, partial};

/// Why a request for an asset gets none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file, and the application is not asked.
    #[error("there is no file for this path")]
    Missing,
    /// The file went after the table was laid.
    #[error("the file is gone: {0}")]
    Vanished(String),
    /// The method is not for files.
    #[error("`{0}` is not for files")]
    NotAllowed(Method),
    /// The system does not open it, or not in time.
    #[error("the file cannot be opened: {0}")]
    Unreadable(String),
}

impl Error {
    /// The code to answer with.
    pub fn code(&self) -> Code {
        match self {
            Self::Missing | Self::Vanished(_) => Code::AssetMissing,
            Self::NotAllowed(_) => Code::AssetMethod,
            Self::Unreadable(_) => Code::AssetUnreadable,
        }
    }
}

/// What may be asked of an asset.
pub const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// An answer for which nothing has to be waited for, described beforehand.
#[derive(Debug)]
pub struct AtOnce {
    /// 200 or 304.
    pub status: StatusCode,
    /// The field lines, without `Date`.
    pub lines: Bytes,
    /// The content; none for HEAD and 304.
    pub content: Body,
    /// The coding of the content, for the log.
    pub coding: Option<&'static str>,
}

const NOTHING: Body = Body::Heap(Bytes::new());

/// Answers GET or HEAD with a file that is in memory as a whole, or with 304; nothing where the
/// answer is another one: see [`Assets::answer`].
pub fn at_once(file: &File, method: &Method, fields: &Fields) -> Option<AtOnce> {
    match decide(file, method, fields)? {
        Decision::Whole(form) => {
            let is_head = *method == Method::HEAD;
            let content = if is_head { NOTHING } else { form.stored.body.clone()? };
            let lines = form.lines.all().clone();
            let coding = form.coding.map(Coding::name);
            Some(AtOnce { status: StatusCode::OK, lines, content, coding })
        }
        Decision::NotModified(form) => {
            let (status, lines) = (StatusCode::NOT_MODIFIED, form.lines.shared());
            Some(AtOnce { status, lines, content: NOTHING, coding: None })
        }
        Decision::Failed(_)
        | Decision::Parts(..)
        | Decision::Unsatisfiable(_)
        | Decision::Options
        | Decision::NotAllowed => None,
    }
}

impl Assets {
    /// Answers a request for an asset; the coding of the content too, for the log.
    ///
    /// # Errors
    ///
    /// Every [`Error`] but [`Error::Missing`].
    pub async fn answer(
        &self,
        asset: &Asset,
        head: &Head,
    ) -> Result<(Response<Content>, Option<&'static str>), Error> {
        let method = &head.method;
        let file = match asset {
            Asset::File(file) => file,
            Asset::Redirect(to) => return Ok((self.redirect(to, head)?, None)),
        };
        let decision = decide(file, method, &head.fields).ok_or(Error::Missing)?;
        let (status, form, parts) = match decision {
            Decision::Whole(form) => (StatusCode::OK, form, None),
            Decision::Parts(form, parts) => (StatusCode::PARTIAL_CONTENT, form, Some(parts)),
            Decision::NotModified(form) => return Ok((not_modified(form), None)),
            Decision::Failed(form) => return Ok((failed(form), None)),
            Decision::Unsatisfiable(form) => return Ok((unsatisfiable(form), None)),
            Decision::Options => return Ok((options(&self.settings.rules), None)),
            Decision::NotAllowed => return Err(Error::NotAllowed(method.clone())),
        };
        let coding = form.coding.map(Coding::name);
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = fields(form.lines.all());
        if *method == Method::HEAD {
            return Ok((response.map(|()| Content::nothing()), coding));
        }
        let pieces = match &parts {
            Some(parts) => {
                let pieces = partial(response.headers_mut(), parts, form.stored.size);
                let length: u64 = pieces.iter().map(Piece::length).sum();
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
                pieces
            }
            None => vec![Piece::Part(0..form.stored.size)],
        };
        if let Some(body) = &form.stored.body {
            return Ok((response.map(|()| body.content(pieces)), coding));
        }
        match open(&form.stored, Location::open).await? {
            Ok(opened) => Ok((response.map(|()| Content::of_known(opened, pieces)), coding)),
            Err(Gone::Changed | Gone::Refused(Refusal::Missing(_))) => {
                let wanted = Wanted::of(method, &head.fields);
                Ok((changed(file, &wanted, SystemTime::now()).await?, None))
            }
            Err(why) => Err(refused(&why)),
        }
    }

    /// The way to the directory that an index file stands for, with the query that came.
    fn redirect(&self, to: &str, head: &Head) -> Result<Response<Content>, Error> {
        match head.method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Ok(options(&self.settings.rules)),
            _ => return Err(Error::NotAllowed(head.method.clone())),
        }
        let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        // A name such as `ä` has to be encoded in a field.
        let to = percent_encoding::utf8_percent_encode(to, &UNSAFE).to_string();
        let mut response = Response::new(Content::nothing());
        *response.status_mut() = StatusCode::FOUND;
        let fields = response.headers_mut();
        if let Ok(location) = HeaderValue::try_from(format!("{to}{query}")) {
            fields.insert(LOCATION, location);
        }
        let cache = self.settings.rules.cache_control();
        if let Some(Ok(cache)) = cache.map(HeaderValue::try_from) {
            fields.insert(CACHE_CONTROL, cache);
        }
        fields.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        Ok(response)
    }
}

/// What stands for itself in a path is left (RFC 3986 §3.3); `:` is not, since the first part of a
/// relative reference must not look like a scheme.
const UNSAFE: percent_encoding::AsciiSet = percent_encoding::NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@')
    .remove(b'+');

/// Opens the file of a content that is not in memory, off the data thread.
async fn open(
    stored: &Stored,
    how: fn(&Location) -> Result<Opened, Gone>,
) -> Result<Result<Opened, Gone>, Error> {
    let place = stored.place.clone().ok_or(Error::Missing)?;
    let path = place.path();
    let opening = spawn_blocking(move || how(&place));
    match timeout(file::DEADLINE, opening).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) | Err(_) => {
            Err(Error::Unreadable(format!("`{}` did not open in time", path.display())))
        }
    }
}

/// Answers with a file that is not the one in the table any more, as it is now. Its validators come
/// from its time and size: nobody has read it yet.
async fn changed(
    file: &File,
    wanted: &Wanted,
    now: SystemTime,
) -> Result<Response<Content>, Error> {
    let identity = file.representations.first().ok_or(Error::Missing)?;
    let anew = open(&identity.stored, |place| Ok(place.open_anew()?)).await?;
    let opened = anew.map_err(|why| refused(&why))?;
    let mut response = Response::new(());
    let own = response.headers_mut();
    *own = fields(identity.lines.all());
    for name in [ETAG, LAST_MODIFIED, CONTENT_LENGTH] {
        own.remove(name);
    }
    // It may be in the middle of being written: nobody should keep that for longer than it takes.
    own.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(file::answer(wanted, response, opened, now))
}

fn refused(why: &Gone) -> Error {
    match why {
        Gone::Refused(Refusal::Missing(path)) => Error::Vanished(path.display().to_string()),
        Gone::Changed | Gone::Refused(_) | Gone::Unreadable(_) => {
            Error::Unreadable(why.to_string())
        }
    }
}

fn not_modified(form: &Representation) -> Response<Content> {
    let mut response = Response::new(Content::nothing());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = fields(&form.lines.shared());
    response
}

fn failed(form: &Representation) -> Response<Content> {
    let mut response = not_modified(form);
    *response.status_mut() = StatusCode::PRECONDITION_FAILED;
    let fields = response.headers_mut();
    // How long a file may be kept says nothing of this; a cache that kept it would give it to those
    // who ask without a condition or a range (RFC 9111 §3).
    fields.remove(CACHE_CONTROL);
    fields.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

fn unsatisfiable(form: &Representation) -> Response<Content> {
    let mut response = failed(form);
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    let range = content_range(None::<&Span>, form.stored.size);
    response.headers_mut().insert(CONTENT_RANGE, range);
    response
}

/// What may be asked, also by a script of another origin (Fetch standard, CORS preflight).
fn options(rules: &Rules) -> Response<Content> {
    let mut response = Response::new(Content::nothing());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let fields = response.headers_mut();
    fields.insert(ALLOW, METHODS);
    if rules.allows_all_origins {
        fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        fields.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
        fields.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    }
    response
}

/// The fields that lines say, as they were described.
fn fields(lines: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(16);
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = line.split_at(colon);
        // The colon and the space behind it.
        let value = Bytes::copy_from_slice(value.get(2..).unwrap_or_default());
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_maybe_shared(value))
        {
            fields.append(name, value);
        }
    }
    fields
}
