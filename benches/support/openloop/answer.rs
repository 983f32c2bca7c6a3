//! Where an answer ends, as its pieces come.

use crate::support::Failure;

/// An answer that is being received.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    /// The header section as far as it is there; with content in chunks, everything.
    bytes: Vec<u8>,
    state: State,
    status: u16,
    /// Whether the connection ends with this answer.
    closes: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Head,
    /// So many bytes of content are to come.
    Content(usize),
    Chunks,
}

/// An answer that is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Complete {
    pub(super) status: u16,
    pub(super) closes: bool,
}

impl Receiving {
    /// Whether nothing has come yet.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes a piece; tells the answer when it is complete, and is ready for the next.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<Option<Complete>, Failure> {
        let is_complete = match self.state {
            State::Head => {
                self.bytes.extend_from_slice(piece);
                self.head()?
            }
            State::Content(left) => {
                let left = left.saturating_sub(piece.len());
                self.state = State::Content(left);
                left == 0
            }
            State::Chunks => {
                self.bytes.extend_from_slice(piece);
                self.bytes.ends_with(LAST_CHUNK)
            }
        };
        if !is_complete {
            return Ok(None);
        }
        let complete = Complete { status: self.status, closes: self.closes };
        self.bytes.clear();
        self.state = State::Head;
        Ok(Some(complete))
    }

    /// Looks at the header section once it is whole, and whether the answer is.
    fn head(&mut self) -> Result<bool, Failure> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut fields);
        let parsed = head.parse(&self.bytes);
        let parsed = parsed.map_err(|why| Failure::new(format!("not an answer: {why}")))?;
        let httparse::Status::Complete(length) = parsed else { return Ok(false) };
        self.status = head.code.unwrap_or(0);
        self.closes = head.version == Some(0);
        let mut content = Some(0);
        if !matches!(self.status, 204 | 304) {
            content = None;
        }
        let mut in_chunks = false;
        for field in &*head.headers {
            let value = str::from_utf8(field.value).unwrap_or_default();
            if field.name.eq_ignore_ascii_case("content-length") && content.is_none() {
                content = value.parse::<usize>().ok();
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                in_chunks = value.eq_ignore_ascii_case("chunked");
            } else if field.name.eq_ignore_ascii_case("connection") {
                self.closes |= value.eq_ignore_ascii_case("close");
            }
        }
        if in_chunks {
            self.state = State::Chunks;
            return Ok(self.bytes.ends_with(LAST_CHUNK));
        }
        let content = content.ok_or_else(|| Failure::new("an answer without a length"))?;
        let left = (length + content).saturating_sub(self.bytes.len());
        self.state = State::Content(left);
        Ok(left == 0)
    }
}

/// Nobody here sends trailers.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
