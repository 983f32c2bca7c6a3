//! The way of a request, from the first byte to the last: read it top to bottom.
//!
//! Owns: the order of the steps.
//! Must not know: how a step works.
//!
//! 1. [`listen`] accepts a connection; [`connection`] serves it. [`guard`] judges every byte; it has
//!    [`plain`] requests read at once, and the others by hyper. One for an asset in memory goes a
//!    [`shortcut`] through the same steps.
//! 2. [`normalise`] makes the request arrive normal.
//! 3. [`route`] decides who answers.
//! 4. [`probe`] answers from readiness, [`status`] with what forebay knows about itself,
//!    [`assets`] with a static file; or [`intake`] takes the request's content whole, and
//!    [`upstream`] waits for a place in the application, sends the request and reads the answer.
//!    [`send_file`] sends the [file](mod@file) that the answer may name instead of content,
//!    [`compress`] makes its text smaller, [`tunnel`] carries what follows a change of protocol.
//! 5. [`respond`] makes the answers that nobody else makes; [`body`] reports the end.

pub mod listen;
pub mod connection;
pub mod guard;
pub mod proxy_protocol;
pub mod normalise;
pub mod fields;
pub mod route;
pub mod probe;
pub mod status;
pub mod assets;
pub mod intake;
pub mod upstream;
pub mod tunnel;
pub mod send_file;
pub mod file;
mod accept;
mod note;
pub mod compress;
pub mod respond;
pub mod answer;
pub mod body;
pub mod spool;
pub mod plain;
pub mod room;
pub mod shortcut;
mod witness;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Method, Uri, Version};

use note::begin_record;
pub use witness::{SIGHTING, Sighting, Witness};

use crate::code::Code;
use crate::readiness::Readiness;
use crate::telemetry::{Record, chain};
use answer::Answer;
use assets::{Asset, Assets};
use body::{Body, Content, Ending, Reporter};
use compress::{Asked, Compressor};
use connection::{Client, Next};
use fields::{Head, names};
use file::Wanted;
use guard::{Refusal, check_parsed};
use intake::{Arriving, Intake};
use normalise::{Journal, Normaliser, Seen};
use probe::Probes;
use respond::Form;
use route::{Probe, Route};
use status::Desk;
use tunnel::{Place, Protocol};
use upstream::{Incomer, Outgoing, Upstream};

/// Everything that a request meets on one data thread.
#[derive(Debug)]
pub struct Gateway {
    /// Step 2.
    pub normaliser: Arc<Normaliser>,
    /// Step 3.
    pub routes: Arc<route::Settings>,
    /// Step 4a.
    pub probes: Probes,
    /// Step 4a: who may read forebay's own status; nobody where there is no token.
    pub status: Option<Arc<Desk>>,
    /// Step 4b.
    pub assets: Arc<Assets>,
    /// Step 4c.
    pub intake: Intake,
    /// Step 4d.
    pub upstream: Arc<Upstream>,
    /// Step 4d: the files that the application may name.
    pub send_file: Arc<send_file::Settings>,
    /// Step 4d: what makes text smaller.
    pub compressor: Arc<Compressor>,
    /// What probes are told.
    pub readiness: Arc<Readiness>,
    /// Where lines and numbers go.
    pub reporter: Reporter,
    /// Who wants to see what is changed: `explain` and `demo`.
    pub witness: Option<Arc<Witness>>,
}

/// Why a request has no answer from the application.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A gateway does not serve this method, or this form of target.
    #[error("`{method} {target}` is not for a gateway")]
    NotServed {
        /// The method.
        method: Method,
        /// The target.
        target: Uri,
    },
    /// A request of HTTP/2 breaks a rule that the guard keeps in HTTP/1.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Step 2 failed.
    #[error(transparent)]
    Normalise(#[from] normalise::Error),
    /// Step 4a shows its status to nobody else.
    #[error(transparent)]
    Status(#[from] status::Error),
    /// Step 4b has no file.
    #[error(transparent)]
    Asset(#[from] assets::Error),
    /// Step 4c failed.
    #[error(transparent)]
    Intake(#[from] intake::Error),
    /// All places for tunnels are taken.
    #[error("--tunnel-limit is reached")]
    TooManyTunnels,
    /// Step 4d failed.
    #[error(transparent)]
    Upstream(#[from] upstream::Error),
    /// Step 4d could not send a file.
    #[error(transparent)]
    SendFile(#[from] send_file::Error),
}

impl Error {
    /// The code to answer with.
    pub fn code(&self) -> Code {
        match self {
            Self::NotServed { .. } => Code::NotServed,
            Self::Refused(why) => why.code(),
            Self::Normalise(why) => why.code(),
            Self::Status(why) => why.code(),
            Self::Asset(why) => why.code(),
            Self::Intake(why) => why.code(),
            Self::TooManyTunnels => Code::TooManyTunnels,
            Self::Upstream(why) => why.code(),
            Self::SendFile(why) => why.code(),
        }
    }
}

/// The client left, or is not served any more; its connection tells it why, if it still listens.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the client left")]
pub struct Left;

impl Gateway {
    /// Takes note of a request before anything is done about it.
    ///
    /// It runs as soon as the request is read: from then on the guard keeps the next one.
    pub fn begin(&self, request: &Head, client: &Client) -> Ending {
        let vital = Arc::clone(&client.vital);
        let mut record = begin_record(&request.fields, client);
        record.method = Some(request.method.clone());
        record.target = request.uri.clone();
        record.version = request.version;
        Ending::begin(record, self.reporter.clone(), vital)
    }

    /// Answers one request. The client always gets a response, unless it has left.
    ///
    /// # Errors
    ///
    /// [`Left`]: nobody is there to answer.
    pub async fn handle(
        &self,
        head: &mut Head,
        content: Arriving,
        client: &Client,
        mut ending: Ending,
    ) -> Result<Answer<Body>, Left> {
        let is_coming = content.is_coming();
        let answer = match self.answer(head, content, client, &mut ending.record).await {
            Ok(answer) => answer,
            Err(why) if why.code() == Code::ClientLeft => return Err(Left),
            Err(why) => {
                ending.record.code = Some(why.code());
                ending.record.cause = Some(chain(&why));
                let accept = head.fields.get(&names::ACCEPT);
                let form = Form::wanted(&head.method, accept);
                let mut answer = Answer::from(respond::error(why.code(), form));
                if is_coming {
                    // It may not have been read to its end.
                    answer.fields().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                own(answer, head.method == Method::HEAD)
            }
        };
        ending.record.status = answer.status.as_u16();
        Ok(answer.map(|content| Body::new(content, ending)))
    }

    async fn answer(
        &self,
        head: &mut Head,
        content: Arriving,
        client: &Client,
        record: &mut Record,
    ) -> Result<Answer<Content>, Error> {
        admit(head)?;
        if head.version == Version::HTTP_2 {
            check_parsed(head, &client.settings.limits)?;
        }
        let is_early = !self.assets.is_laid();
        let (seen, mut route) = self.look(head, client)?;
        let may_be_asset = matches!(route, Route::Upstream | Route::NoAsset);
        if is_early && may_be_asset && self.assets.settle(head).await {
            route = route::choose(&self.routes, &self.assets, head, &seen);
        }
        self.note(&seen, record);
        match route {
            Route::Probe(probe) => Ok(self.probe(probe, head, record).await),
            Route::Status => Ok(self.status(head, &seen, record).await?),
            Route::Asset(asset) => Ok(self.asset(&asset, head, record).await?),
            Route::NoAsset => Err(assets::Error::Missing.into()),
            Route::Upstream => self.forward((head, content), &seen, client, record).await,
        }
    }

    /// Steps 2 and 3: makes the request normal and decides who answers it.
    fn look(&self, head: &mut Head, client: &Client) -> Result<(Seen, Route), Error> {
        let Some(witness) = &self.witness else {
            let seen = self.normaliser.normalise(head, client.peer, &mut Journal::default())?;
            return Ok((seen, route::choose(&self.routes, &self.assets, head, &seen)));
        };
        let (before, mut journal) = (head.clone(), Journal::new(true));
        let seen = self.normaliser.normalise(head, client.peer, &mut journal)?;
        let route = route::choose(&self.routes, &self.assets, head, &seen);
        let changes = journal.into_changes();
        let sighting = Sighting { number: 0, before, changes, seen, route: route.clone() };
        witness.saw(&mut head.fields, sighting);
        Ok((seen, route))
    }

    /// Puts what was seen into the log line and the counters.
    fn note(&self, seen: &Seen, record: &mut Record) {
        record.client = Some(seen.client);
        record.scheme = seen.scheme.as_str();
        record.is_disputed = seen.is_disputed;
        if seen.is_disputed {
            self.reporter.counters.disputed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Step 4a.
    async fn probe(&self, probe: Probe, head: &Head, record: &mut Record) -> Answer<Content> {
        record.probe = Some(probe.name());
        let answer = self.probes.answer(probe, &self.readiness).await;
        record.code = answer.code();
        own(respond::probe(answer).into(), head.method == Method::HEAD)
    }

    /// Step 4a, for those who have the token.
    async fn status(
        &self,
        head: &Head,
        seen: &Seen,
        record: &mut Record,
    ) -> Result<Answer<Content>, status::Error> {
        record.is_status = true;
        let desk = self.status.as_ref().ok_or(status::Error::NoToken)?;
        Ok(own(desk.answer(head, seen).await?.into(), head.method == Method::HEAD))
    }

    /// Step 4b.
    async fn asset(
        &self,
        asset: &Asset,
        head: &Head,
        record: &mut Record,
    ) -> Result<Answer<Content>, assets::Error> {
        record.is_asset = true;
        let (answer, coding) = self.assets.answer(asset, head).await?;
        record.coding = coding;
        Ok(Answer::from(answer).map(|content| Content::File(Box::new(content))))
    }

    /// Steps 4c and 4d.
    async fn forward(
        &self,
        (head, content): (&Head, Arriving),
        seen: &Seen,
        client: &Client,
        record: &mut Record,
    ) -> Result<Answer<Content>, Error> {
        let is_upgrade = seen.is_upgrade && client.may_upgrade;
        // Before the application begins what nobody could carry.
        let place = if is_upgrade {
            let limit = client.settings.tunnel.limit;
            let place = Place::take(&self.reporter.counters, limit).ok_or(Error::TooManyTunnels)?;
            Some(place)
        } else {
            None
        };
        self.upstream.admit()?;
        let wanted = self.send_file.is_on().then(|| Wanted::of(&head.method, &head.fields));
        let asked = self.compressor.asked(&head.method, &head.fields);
        let content = self.intake.take(head, content).await?;
        let outgoing = Outgoing {
            wants_page: respond::wants_page(head),
            head,
            content,
            client: SocketAddr::new(seen.client, seen.client_port),
            local: client.local,
            is_upgrade,
        };
        let result = self.upstream.forward(outgoing, &mut record.times).await;
        match result? {
            Incomer::Answer(answer) => {
                let answer = self.content(answer, wanted.as_ref()).await?;
                Ok(self.compress(answer, asked.as_ref(), record))
            }
            Incomer::Tunnel(answer, stream, early) => {
                let upgrade = answer.get(&names::UPGRADE).unwrap_or(b"unknown");
                // The upstream leg passes no change of protocol on that was not asked for.
                if let Some(place) = place {
                    client.becomes(Next {
                        application: tunnel::End { stream, early },
                        protocol: Protocol::of(upgrade),
                        place,
                        record: record.of_tunnel(Bytes::copy_from_slice(upgrade)),
                    });
                }
                Ok(answer.with(Content::Own(Bytes::new())))
            }
        }
    }

    /// Chooses between the application's own content and a file that it names.
    async fn content(
        &self,
        mut answer: Answer<upstream::Body>,
        wanted: Option<&Wanted>,
    ) -> Result<Answer<Content>, Error> {
        if let Some(wanted) = wanted
            && let Some(named) = send_file::take(answer.status, answer.fields())?
        {
            let answer = self.send_file.answer(named, wanted, answer.into()).await?;
            return Ok(Answer::from(answer).map(|content| Content::File(Box::new(content))));
        }
        Ok(answer.map(Content::Upstream))
    }

    /// Compresses the application's own content, if that is wanted.
    fn compress(
        &self,
        mut answer: Answer<Content>,
        asked: Option<&Asked>,
        record: &mut Record,
    ) -> Answer<Content> {
        let Some(asked) = asked else { return answer };
        if !matches!(answer.content, Content::Upstream(_)) {
            return answer;
        }
        let Some(stream) = self.compressor.prepare(asked, &mut answer) else { return answer };
        record.coding = Some(stream.coding().name());
        answer.map(|content| match content {
            Content::Upstream(body) => Content::Compressed(Box::new(stream), body),
            content @ (Content::Own(_) | Content::Compressed(..) | Content::File(_)) => content,
        })
    }
}

/// Step 1: refuses what no gateway passes on (RFC 9110 §9.3.6 and §9.3.8, RFC 9112 §3.2).
fn admit(request: &Head) -> Result<(), Error> {
    let is_path = request.uri.path().starts_with('/');
    let is_served = !matches!(request.method, Method::CONNECT | Method::TRACE);
    if is_path && is_served {
        return Ok(());
    }
    Err(Error::NotServed { method: request.method.clone(), target: request.uri.clone() })
}

/// An answer of forebay's own; to HEAD only its fields go.
fn own(answer: Answer<Bytes>, is_head: bool) -> Answer<Content> {
    answer.map(|content| Content::Own(if is_head { Bytes::new() } else { content }))
}
