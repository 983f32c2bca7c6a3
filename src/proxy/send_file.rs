//! Step 4c, after the application's answer: sends the file that it names instead of content.
//!
//! Owns: `X-Accel-Redirect`, `X-Sendfile`, and which answers they count in.
//! Must not know: how a file is opened, read and sent.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, Response, StatusCode};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::file::confine::{self, Opened, Refusal, Root};
use super::file::{self, Wanted};
use super::upstream;
use crate::code::Code;

/// Names a file by a path of a URL, as in nginx.
pub const X_ACCEL_REDIRECT: HeaderName = HeaderName::from_static("x-accel-redirect");
/// Names a file by its path, as in Apache and lighttpd.
pub const X_SENDFILE: HeaderName = HeaderName::from_static("x-sendfile");

/// Where the files are that the application may name. Without any, the fields mean nothing here.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// In no order.
    pub places: Vec<Place>,
}

/// A prefix of URL paths and the directory that it stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// Begins and ends with `/`.
    pub prefix: String,
    /// What lies beneath may be sent.
    pub root: Root,
}

/// Why a named file is not sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two files are named at once.
    #[error("the application names more than one file")]
    Ambiguous,
    /// No `--send-file` covers the path.
    #[error("the application names `{0}`, which is beneath no place of --send-file")]
    NoPlace(String),
    /// The file is not there, or may not be sent.
    #[error("the application names `{named}`")]
    Refused {
        /// As it stands in the field.
        named: String,
        /// What is wrong with it.
        source: Refusal,
    },
    /// The file system did not answer, or the runtime ends.
    #[error("opening `{0}` took longer than {limit:?}", limit = file::DEADLINE)]
    Slow(String),
}

impl Error {
    /// The code to answer with.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused { source: Refusal::Missing(_), .. } => Code::FileMissing,
            Self::Ambiguous | Self::NoPlace(_) | Self::Refused { .. } | Self::Slow(_) => {
                Code::FileRefused
            }
        }
    }
}

/// A file, as the application names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Named {
    /// By a URL's path, percent-encoded.
    Url(Vec<u8>),
    /// By its own path, as it is.
    Path(Vec<u8>),
}

impl Settings {
    /// Whether any file may be named.
    pub fn is_on(&self) -> bool {
        !self.places.is_empty()
    }

    /// Opens the file that an answer names and answers with it.
    ///
    /// # Errors
    ///
    /// Every [`Error`] but [`Error::Ambiguous`].
    pub async fn answer(
        self: &Arc<Self>,
        named: Named,
        wanted: &Wanted,
        response: Response<upstream::Body>,
    ) -> Result<Response<file::Content>, Error> {
        let (head, content) = response.into_parts();
        let (opened, ()) = tokio::join!(self.open(named), drain(content));
        let response = Response::from_parts(head, ());
        Ok(file::answer(wanted, response, opened?, SystemTime::now()))
    }

    async fn open(self: &Arc<Self>, named: Named) -> Result<Opened, Error> {
        let text = named.to_string();
        let places = Arc::clone(self);
        let opening = spawn_blocking(move || places.find(&named));
        match timeout(file::DEADLINE, opening).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Error::Slow(text)),
        }
    }

    /// Finds the place of a file and opens it there. It blocks.
    fn find(&self, named: &Named) -> Result<Opened, Error> {
        match named {
            Named::Url(text) => {
                // A query means nothing to a file.
                let path = text.split(|byte| *byte == b'?').next().unwrap_or_default();
                let path = confine::from_url(path).map_err(|source| refused(named, source))?;
                self.open_nearest(named, |place| {
                    path.strip_prefix(place.prefix.trim_matches('/')).ok()
                })
            }
            Named::Path(text) => match (self.find_path(text, named), std::str::from_utf8(text)) {
                // Django writes a name like `zwölf` in ISO 8859-1, as far as that has its letters.
                (Err(Error::Refused { source: Refusal::Missing(_), .. }), Err(_)) => {
                    let letters: String = text.iter().copied().map(char::from).collect();
                    self.find_path(letters.as_bytes(), named)
                }
                (result, _) => result,
            },
        }
    }

    fn find_path(&self, text: &[u8], named: &Named) -> Result<Opened, Error> {
        let checked = confine::check(text).map_err(|source| refused(named, source))?;
        let path = Path::new("/").join(checked);
        self.open_nearest(named, |place| {
            place.root.relative(&path).filter(|_| text.starts_with(b"/"))
        })
    }

    /// Opens the file in the innermost of the places that `rest` finds it beneath: that is the one
    /// as it is written.
    fn open_nearest<'a>(
        &self,
        named: &Named,
        rest: impl Fn(&Place) -> Option<&'a Path>,
    ) -> Result<Opened, Error> {
        let covering = self.places.iter().filter_map(|place| Some((place, rest(place)?)));
        let nearest = covering.min_by_key(|(_, rest)| rest.as_os_str().len());
        let (place, rest) = nearest.ok_or_else(|| Error::NoPlace(named.to_string()))?;
        place.root.open(rest).map_err(|source| refused(named, source))
    }
}

fn refused(named: &Named, source: Refusal) -> Error {
    Error::Refused { named: named.to_string(), source }
}

/// Takes the fields that name a file off an answer, in any case; returns the file that is to be
/// sent, if one is.
///
/// It is sent in the place of content: to 2xx, but not to 204, 205 and 206, which have none or
/// a part of another.
///
/// # Errors
///
/// [`Error::Ambiguous`].
pub fn take(status: StatusCode, fields: &mut HeaderMap) -> Result<Option<Named>, Error> {
    let mut named = Vec::new();
    for (name, make) in
        [(X_ACCEL_REDIRECT, Named::Url as fn(_) -> _), (X_SENDFILE, Named::Path as fn(_) -> _)]
    {
        named.extend(fields.get_all(&name).iter().map(|value| make(value.as_bytes().to_vec())));
        fields.remove(name);
    }
    let has_content = status.is_success() && !matches!(status.as_u16(), 204..=206);
    match (named.pop(), named.pop()) {
        (Some(_), Some(_)) if has_content => Err(Error::Ambiguous),
        (named, _) => Ok(named.filter(|_| has_content)),
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Url(text) | Self::Path(text)) = self;
        f.write_str(&String::from_utf8_lossy(text))
    }
}

/// Takes the application's own content, which nobody gets, off its connection: the application can
/// then finish in peace and the connection can be used again. An application that goes on for
/// longer is cut off.
async fn drain(mut content: upstream::Body) {
    let all = async {
        let mut seen = 0;
        while seen <= DRAIN_LIMIT && !content.is_end_stream() {
            match std::future::poll_fn(|cx| content.poll_frame(cx)).await {
                Some(Ok(frame)) => seen += frame.data_ref().map_or(0, |data| data.len()),
                Some(Err(_)) | None => break,
            }
        }
    };
    // What is left when the deadline passes is cut off as what is over the limit is.
    drop(timeout(DRAIN_DEADLINE, all).await);
}

/// The most bytes of unwanted content, beyond the piece that passes the limit.
const DRAIN_LIMIT: usize = 256 * 1024;
/// How long an answer waits for the end of unwanted content.
const DRAIN_DEADLINE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn fields(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, text) in lines {
            fields.append(name.clone(), HeaderValue::from_static(text));
        }
        fields
    }

    #[test]
    fn a_file_is_sent_in_the_place_of_content() {
        for (status, is_sent) in [
            (200, true),
            (201, true),
            (203, true),
            (204, false),
            (205, false),
            (206, false),
            (301, false),
            (304, false),
            (403, false),
            (500, false),
        ] {
            let mut fields = fields(&[(X_ACCEL_REDIRECT, "/p/a")]);
            let status = StatusCode::from_u16(status).unwrap();
            let named = take(status, &mut fields).unwrap();
            assert_eq!(named, is_sent.then(|| Named::Url(b"/p/a".to_vec())), "{status}");
            assert!(fields.is_empty(), "{status}");
        }
    }

    #[test]
    fn two_names_are_refused() {
        for both in [
            [(X_ACCEL_REDIRECT, "/p/a"), (X_SENDFILE, "/m/a")],
            [(X_ACCEL_REDIRECT, "/p/a"), (X_ACCEL_REDIRECT, "/p/b")],
        ] {
            let mut fields = fields(&both[..1]);
            fields.append(both[1].0.clone(), HeaderValue::from_static(both[1].1));
            assert!(matches!(take(StatusCode::OK, &mut fields), Err(Error::Ambiguous)));
            assert!(fields.is_empty());
        }
    }
}
