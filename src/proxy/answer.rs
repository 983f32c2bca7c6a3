//! An answer on its way to the client.
//!
//! Owns: its header section, in the form in which whoever made it has it.
//! Must not know: who made it, how it is written.
//!
//! What the application answers stays as it was read as long as nobody changes it: most answers only
//! pass through, and `http`'s map takes longer to fill than all else that is done about them.

use http::{HeaderMap, Response, StatusCode};

use super::fields::{Fields, Name};

/// An answer with its content.
#[derive(Debug)]
pub struct Answer<C> {
    /// The status.
    pub status: StatusCode,
    /// The content.
    pub content: C,
    /// The fields as the application sent them; they count as long as there are no others.
    read: Option<Fields>,
    /// The fields as forebay made or changed them.
    made: Option<Box<HeaderMap>>,
}

impl<C> Answer<C> {
    /// An answer that was read.
    pub fn read(status: StatusCode, fields: Fields, content: C) -> Self {
        Self { status, content, read: Some(fields), made: None }
    }

    /// The fields, to be changed.
    pub fn fields(&mut self) -> &mut HeaderMap {
        let read = || self.read.as_ref().map(HeaderMap::from).unwrap_or_default();
        self.made.get_or_insert_with(|| Box::new(read()))
    }

    /// The first value of a field.
    pub fn get(&self, name: &Name) -> Option<&[u8]> {
        match &self.made {
            Some(fields) => fields.get(name.as_str()).map(|value| value.as_bytes()),
            None => self.read.as_ref()?.get(name),
        }
    }

    /// Whether a field comes more than once.
    pub fn is_repeated(&self, name: &Name) -> bool {
        match &self.made {
            Some(fields) => fields.get_all(name.as_str()).iter().nth(1).is_some(),
            None => self.read.as_ref().is_some_and(|fields| fields.is_repeated(name)),
        }
    }

    /// Gives the name and the value of each field to `write`, in their order.
    pub fn each(&self, mut write: impl FnMut(&str, &[u8])) {
        if let Some(fields) = &self.made {
            for (name, value) in &**fields {
                write(name.as_str(), value.as_bytes());
            }
            return;
        }
        for (name, value) in self.read.iter().flat_map(Fields::iter) {
            write(name.as_str(), value);
        }
    }

    /// The same answer with changed content.
    pub fn map<D>(self, change: impl FnOnce(C) -> D) -> Answer<D> {
        let (answer, content) = self.apart();
        answer.with(change(content))
    }

    /// The same answer without its content, and the content.
    pub fn apart(self) -> (Answer<()>, C) {
        let Self { status, content, read, made } = self;
        (Answer { status, content: (), read, made }, content)
    }

    /// The same answer with other content.
    pub fn with<D>(self, content: D) -> Answer<D> {
        Answer { status: self.status, content, read: self.read, made: self.made }
    }
}

impl<C> From<Response<C>> for Answer<C> {
    fn from(response: Response<C>) -> Self {
        let (parts, content) = response.into_parts();
        let made = Some(Box::new(parts.headers));
        Self { status: parts.status, content, read: None, made }
    }
}

impl<C> From<Answer<C>> for Response<C> {
    fn from(mut answer: Answer<C>) -> Self {
        let fields = std::mem::take(answer.fields());
        let mut response = Self::new(answer.content);
        *response.status_mut() = answer.status;
        *response.headers_mut() = fields;
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fields::{Value, names};
    use http::header::{SET_COOKIE, VARY};

    fn answer() -> Answer<()> {
        let mut fields = Fields::new();
        for (name, value) in [
            (names::SET_COOKIE, "a=b"),
            (names::CONTENT_TYPE, "text/html"),
            (names::SET_COOKIE, "c=d"),
            (Name::read(b"X-Own").unwrap(), "e"),
        ] {
            fields.append(name, &Value::from_static(value));
        }
        Answer::read(StatusCode::CREATED, fields, ())
    }

    fn lines(answer: &Answer<()>) -> Vec<String> {
        let mut lines = Vec::new();
        answer.each(|name, value| lines.push(format!("{name}={}", String::from_utf8_lossy(value))));
        lines
    }

    #[test]
    fn what_nobody_changes_stays_as_it_was_read() {
        let answer = answer();
        let wanted = ["set-cookie=a=b", "content-type=text/html", "set-cookie=c=d", "x-own=e"];
        assert_eq!(lines(&answer), wanted);
        assert_eq!(answer.get(&names::CONTENT_TYPE), Some(&b"text/html"[..]));
    }

    #[test]
    fn both_forms_say_the_same() {
        let mut made = answer();
        made.fields().append(VARY, http::HeaderValue::from_static("cookie"));
        assert_eq!(made.get(&names::VARY), Some(&b"cookie"[..]));
        made.fields().remove(VARY);
        for name in [names::SET_COOKIE, names::CONTENT_TYPE, names::ETAG] {
            assert_eq!(made.get(&name), answer().get(&name), "{name}");
            assert_eq!(made.is_repeated(&name), answer().is_repeated(&name), "{name}");
        }
        let response = Response::from(made);
        assert_eq!(response.status(), StatusCode::CREATED);
        let cookies: Vec<_> = response.headers().get_all(SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["a=b", "c=d"]);
        assert_eq!(lines(&Answer::from(response)).len(), 4);
    }
}
