//! Whether all peers do the same work: only then can they be compared.

use super::front::Front;
use super::peer::Started;
use super::wire::{self, Answer};
use super::{Failure, Tried as _};

/// Compares what the client gets from each peer with what it gets without one, and what the
/// application gets with what the work asks for. Returns what is to be said about it.
pub(crate) fn all_do_the_same(peers: &[Started], upstream: u16) -> Result<String, Failure> {
    let mut text = String::from("checked:");
    for peer in peers {
        let mut stream = wire::connect(peer.port).tried("connect to a peer")?;
        let mut straight = wire::connect(upstream).tried("connect to the upstream")?;
        let requests = ["/b200", "/b10k", "/b100k"].map(wire::request);
        let posts = [2 << 10, 1 << 20].map(|length| wire::post("/b200", &vec![b'x'; length]));
        for request in requests.iter().chain(&posts) {
            let answer = wire::exchange(&mut stream, request)?;
            let original = wire::exchange(&mut straight, request)?;
            compare(peer, &answer, &original)?;
        }
        let answer = wire::exchange(&mut stream, &wire::request("/b200"))?;
        let request = wire::request("/seen");
        let seen = String::from_utf8(wire::exchange(&mut stream, &request)?.content)
            .tried("read what the application saw")?;
        if peer.peer.does_the_same() {
            is_normal(peer, &seen)?;
        }
        text.extend([format!(
            "\n  {:16} request of {} bytes, {} fields; answer's head of {} bytes, {} fields",
            peer.peer.name,
            seen.len(),
            wire::fields(seen.lines().skip(1)).len(),
            answer.head_bytes,
            answer.fields.len()
        )]);
    }
    text.push_str(
        "\n  the client gets the same content from all, and the same fields (but Connection)",
    );
    text.push_str(
        "\n  from all but caddy, which adds a Server; the application gets the client's bare",
    );
    text.push_str("\n  address, its Host and https from nginx, haproxy and forebay");
    Ok(text)
}

fn compare(peer: &Started, answer: &Answer, original: &Answer) -> Result<(), Failure> {
    let has_same_content = answer.content == original.content;
    let (fields, expected) = (end_to_end(answer), end_to_end(original));
    let has_same_fields = fields == expected || peer.peer.front() == Some(Front::Caddy);
    if answer.status_line == original.status_line && has_same_content && has_same_fields {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} changes the answer: `{}` {fields:?}, content the same: {has_same_content}; \
         it was `{}` {expected:?}",
        peer.peer.name, answer.status_line, original.status_line
    )))
}

/// The fields that a proxy passes on, in an order that says nothing (RFC 9110 §5.3 and §7.6.1).
fn end_to_end(answer: &Answer) -> Vec<&(String, String)> {
    let mut fields: Vec<_> =
        answer.fields.iter().filter(|(name, _)| name != "connection").collect();
    fields.sort();
    fields
}

fn is_normal(peer: &Started, seen: &str) -> Result<(), Failure> {
    let fields = wire::fields(seen.lines().skip(1));
    for (name, expected) in [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("host", "www.example.com"),
        ("cookie", COOKIE),
    ] {
        let values: Vec<_> =
            fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value).collect();
        if values != [expected] {
            return Err(Failure::new(format!(
                "{} gives the application {name} {values:?} and not `{expected}`",
                peer.peer.name
            )));
        }
    }
    Ok(())
}

/// What passes untouched.
const COOKIE: &str =
    "csrftoken=Jw8mQ3xVb0sT6yKd2RfLh9ZpNcE4uAgX; sessionid=q7m2v5x8z1b4n6k9j3h0g2f5d8s1a4p7";
