//! The short way of a plain request for an asset that is in memory: steps 2 to 4b on what matters
//! of its header section, to an answer that is described beforehand.
//!
//! Owns: which requests may go it.
//! Must not know: sockets, which file is meant, how its answer is described.
//!
//! It is worth having because assets are most of what a browser asks for. What is in any way unusual
//! takes the long way and gets the same answer.

use std::sync::Arc;

use bytes::Bytes;

use super::assets::{Asset, AtOnce, File, Match};
use super::connection::Client;
use super::plain::{Plain, Wanted};
use super::{Gateway, assets, begin_record, plain};
use crate::telemetry::Record;

impl Gateway {
    /// Finds the answer to a plain request for an asset in memory, from its whole header section.
    /// Nothing, if it has to take the long way.
    pub fn shorten(&self, section: &Bytes, client: &Client) -> Option<Short> {
        let file = self.file_in_memory(section)?;
        let limits = client.settings.limits;
        let Plain { head, content: 0, is_last } = plain::read(section, limits, Wanted::OfAsset)?
        else {
            return None;
        };
        let seen = self.normaliser.see(&head, client.peer).ok()?;
        let answer = assets::at_once(&file, &head.method, &head.fields)?;
        let mut record = begin_record(&head.fields, client);
        (record.method, record.target) = (Some(head.method), head.uri);
        self.note(&seen, &mut record);
        record.is_asset = true;
        record.status = answer.status.as_u16();
        record.coding = answer.coding;
        Some(Short { answer, record, is_last })
    }

    /// The file in memory that the request line asks for.
    fn file_in_memory(&self, section: &[u8]) -> Option<Arc<File>> {
        if !self.assets.is_on() {
            return None;
        }
        let path = path(section)?;
        // Probers ask for `/`, and are told by fields that are not read here.
        if path == "/" {
            return None;
        }
        match self.assets.find(path) {
            Match::Asset(asset @ Asset::File(_)) if !asset.is_in_memory() => None,
            Match::Asset(Asset::File(file)) => Some(file),
            Match::Asset(Asset::Redirect(_)) | Match::Missing | Match::Nobodys => None,
        }
    }
}

/// An answer that is ready.
#[derive(Debug)]
pub struct Short {
    /// What to send.
    pub answer: AtOnce,
    /// The log line so far.
    pub record: Box<Record>,
    /// Whether its client asks for no other answer on this connection.
    pub is_last: bool,
}

/// The path that a GET or HEAD in origin form asks for.
fn path(head: &[u8]) -> Option<&str> {
    let rest = head.strip_prefix(b"GET ").or_else(|| head.strip_prefix(b"HEAD "))?;
    let path = rest.get(..memchr::memchr2(b' ', b'?', rest)?)?;
    path.starts_with(b"/").then_some(())?;
    std::str::from_utf8(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_is_looked_up() {
        assert_eq!(path(b"GET /a?b HTTP/1.1\r\n"), Some("/a"));
        assert_eq!(path(b"HEAD /a HTTP/1.1\r\n"), Some("/a"));
        for line in ["GET http://a/b HTTP/1.1", "POST /a HTTP/1.1", "GET /a", "get /a HTTP/1.1"] {
            assert_eq!(path(line.as_bytes()), None, "{line}");
        }
    }
}
