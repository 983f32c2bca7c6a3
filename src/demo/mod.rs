//! The main job on an embedded default: a proxy, an application that shows what it received, and a
//! page that replays what Azure really sends.
//!
//! Owns: the built-in application and its page.
//! Must not know: how the proxy works. It uses it as `forebay proxy` does.

mod vectors;

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub use vectors::{VECTORS, Vector};

use crate::app::{self, End};
use crate::config::Config;
use crate::explain;
use crate::proxy::Witness;
use crate::proxy::upstream::Address;

/// Runs the demo until it is told to stop.
///
/// # Errors
///
/// [`app::Error`] when it cannot start.
pub fn run(mut config: Config) -> Result<End, app::Error> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(no("loopback port for the built-in application"))?;
    let port = listener.local_addr().map_err(no("loopback address"))?.port();
    config.upstream.address = Address::Tcp { host: Ipv4Addr::LOCALHOST.to_string(), port };
    let witness = Arc::new(Witness::new(true));
    let shown = Arc::clone(&witness);
    std::thread::Builder::new()
        .name("forebay-demo".to_owned())
        .spawn(move || serve(listener, &shown))
        .map_err(no("thread for the built-in application"))?;
    app::run(&config, Some(witness))
}

fn no(what: &'static str) -> impl Fn(io::Error) -> app::Error {
    move |source| app::Error::System { what, source }
}

/// Serves the built-in application until the process ends.
fn serve(listener: std::net::TcpListener, witness: &Arc<Witness>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.and_then(|runtime| runtime.block_on(accept(listener, witness)));
    if let Err(why) = served {
        tracing::error!(%why, "the built-in application ended");
    }
}

async fn accept(listener: std::net::TcpListener, witness: &Arc<Witness>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let witness = Arc::clone(witness);
        let service = service_fn(move |request| {
            let witness = Arc::clone(&witness);
            async move { Ok::<_, Infallible>(answer(&request, &witness).await) }
        });
        tokio::spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(why) = connection.await {
                tracing::debug!(%why, "a connection to the built-in application ended early");
            }
        });
    }
}

/// The built-in application.
async fn answer(request: &Request<Incoming>, witness: &Witness) -> Response<String> {
    let path = request.uri().path();
    if let Some(id) = path.strip_prefix("/replay/") {
        return match VECTORS.iter().find(|vector| vector.id == id) {
            Some(vector) => as_json(StatusCode::OK, &replay(vector).await),
            None => as_json(StatusCode::NOT_FOUND, &json!({"error": "there is no such example"})),
        };
    }
    if path == "/" && accepts_html(request.headers()) {
        let mut page = Response::new(include_str!("page.html").to_owned());
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        page.headers_mut().insert(CONTENT_TYPE, kind);
        return page;
    }
    as_json(StatusCode::OK, &show(request, witness))
}

/// What arrived, what Django would get, and the examples to replay.
fn show(request: &Request<Incoming>, witness: &Witness) -> Value {
    let number = request.headers().get(crate::proxy::SIGHTING);
    let number = number.and_then(|value| value.to_str().ok()?.parse().ok());
    let sighting = number.and_then(|number| witness.recall(number));
    let sent = sighting.as_ref().map(|sighting| {
        let fields = sighting.before.fields.iter();
        shown(fields.map(|(name, value)| (name.as_str(), value)))
    });
    let got = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let vectors: Vec<_> = VECTORS
        .iter()
        .map(|vector| {
            json!({
                "id": vector.id,
                "title": vector.title,
                "replay": format!("/replay/{}", vector.id),
            })
        })
        .collect();
    json!({
        "platform_sent": sent,
        "django_gets": shown(got),
        "client": sighting.as_ref().map(|sighting| sighting.seen.client.to_string()),
        "scheme": sighting.as_ref().map(|sighting| sighting.seen.scheme.as_str()),
        "changes": sighting.as_ref().map(|sighting| explain::changes_json(&sighting.changes)),
        "request": format!("{} {}", request.method(), request.uri()),
        "examples": vectors,
    })
}

/// Fields in their order, without the demo's own.
fn shown<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Value {
    fields
        .filter(|(name, _)| *name != crate::proxy::SIGHTING.as_str())
        .map(|(name, value)| json!([name, String::from_utf8_lossy(value)]))
        .collect()
}

/// Sends an example through the live code, with the settings it is meant for.
async fn replay(vector: &Vector) -> Value {
    let explained = async {
        let config = vector.config().map_err(|why| why.to_string())?;
        let peer = vector.peer(&config);
        let explained =
            explain::explain(&config, vector.raw, SocketAddr::new(peer.ip(), peer.port()));
        explained.await.map_err(|why| why.to_string())
    };
    let sent = String::from_utf8_lossy(vector.raw).trim_end().to_owned();
    let mut report = match explained.await {
        Ok(explained) => explained.json(),
        Err(why) => json!({ "error": why }),
    };
    if let Some(report) = report.as_object_mut() {
        report.insert("id".to_owned(), vector.id.into());
        report.insert("title".to_owned(), vector.title.into());
        report.insert("expected".to_owned(), vector.expected.into());
        report.insert("sent".to_owned(), sent.into());
    }
    report
}

fn accepts_html(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .is_some_and(|value| memchr::memmem::find(value.as_bytes(), b"text/html").is_some())
}

fn as_json(status: StatusCode, value: &Value) -> Response<String> {
    let mut response = Response::new(format!("{value:#}\n"));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_example_has_sound_settings_and_comes_out_as_expected() {
        for (vector, number) in VECTORS.iter().zip(1..) {
            assert_eq!(vector.id, format!("e{number:02}"));
            let report = replay(vector).await;
            assert!(report.get("error").is_none(), "{}: {report:#}", vector.id);
            if let Some(client) = vector.expected.strip_prefix("client ")
                && !client.starts_with("is")
            {
                let client = client.split([',', ' ', ':', ';']).next().unwrap();
                assert_eq!(report["client"], client, "{}", vector.id);
            }
            let is_probe = vector.expected.contains("from forebay");
            assert_eq!(report["upstream"].is_null(), is_probe, "{}", vector.id);
            if is_probe {
                assert_eq!(report["status"], 200, "{}", vector.id);
            }
        }
    }
}
