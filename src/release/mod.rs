//! One release over all instances: who runs the release command, and who waits for it.
//!
//! Owns: the order of asking, waiting and recording.
//! Must not know: what the release command is, processes, readiness.
//!
//! [`fingerprint`] says which release this is, [`session`] asks the database, [`decide`] says what
//! follows.

mod decide;
mod fingerprint;
mod session;

use std::time::Duration;

use tokio::time::{Instant, interval, sleep, timeout};

pub use decide::{Record, State, Why};
pub use fingerprint::{Code, DEADLINE as CODE_DEADLINE, Taken, Unknown, of_code, packages_beside};

use crate::postgres::{self, Choice, Target};
use crate::telemetry::cause;
use decide::Step;
use session::{Keeping, Session};

/// What the operator says of the lock.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Which database.
    pub choice: Choice,
    /// The release's name, in the place of what its code gives.
    pub id: Option<String>,
    /// How long the database may be out of reach.
    pub deadline: Duration,
}

/// A release on an instance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Release {
    /// What takes turns: one site, with all its instances.
    pub site: String,
    /// What tells this release from others; nothing where it is unknown.
    pub fingerprint: Option<String>,
    /// The instance.
    pub by: String,
}

/// How long waiting may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The database may be out of reach for so long.
    pub database: Duration,
    /// One instance may hold the lock for so long.
    pub holder: Duration,
}

/// Why it cannot be found out whose turn it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is out of reach.
    #[error("the release lock cannot be taken")]
    Database(#[from] postgres::Error),
    /// There is nothing but a pooler, whose sessions are not ours alone.
    #[error(
        "{place} is a connection pooler, where a lock belongs to nobody, and the server itself is not \
         reached at port {direct}"
    )]
    Pooler {
        /// The pooler.
        place: String,
        /// Where the server was looked for.
        direct: u16,
        /// Why it is not reached there.
        source: postgres::Error,
    },
    /// A question failed.
    #[error("the database does not answer a question of the release lock")]
    Question(#[from] tokio_postgres::Error),
    /// An answer does not come.
    #[error("the database does not answer the release lock within {} s", deadline.as_secs())]
    Silent {
        /// The time allowed.
        deadline: Duration,
    },
    /// Another instance holds it for too long.
    #[error("{holder} has held the release lock for more than {} s", limit.as_secs())]
    Held {
        /// The instance.
        holder: String,
        /// The time allowed.
        limit: Duration,
    },
}

impl Error {
    /// Whether asking again may help.
    fn may_pass(&self) -> bool {
        match self {
            Self::Database(why) => why.may_pass(),
            Self::Question(why) => {
                let class = why.code().map(|code| code.code().get(..2).unwrap_or_default());
                class.is_none_or(|class| ["08", "53", "57", "58"].contains(&class))
            }
            Self::Silent { .. } => true,
            Self::Pooler { .. } | Self::Held { .. } => false,
        }
    }

    /// What to do next.
    pub fn mend(&self) -> String {
        match self {
            Self::Database(why) => why.mend(),
            Self::Pooler { .. } => {
                "name the server itself with --release-lock postgres://…, or say `--release-lock off`: \
                 then each instance runs the release command at each start"
                    .to_owned()
            }
            Self::Question(_) | Self::Silent { .. } => "see the server's log".to_owned(),
            Self::Held { .. } => {
                "see what that instance does: its release command outlives --release-deadline; \
                 `SELECT pg_terminate_backend(pid)` for its session ends its turn"
                    .to_owned()
            }
        }
    }
}

/// Whose turn it is.
#[derive(Debug)]
pub enum Turn {
    /// Ours.
    Run(Box<Held>, Why),
    /// Nobody's: the release has run.
    Done(Record),
}

/// Waits until it is clear who runs the release command. It is this instance's turn once it holds the
/// lock and nobody has finished this release; [`Held::until`] must be awaited then.
///
/// `tell` hears who is waited for, whenever that changes.
///
/// The lock is asked for again and again: a session that waited within a question would hold up
/// `CREATE INDEX CONCURRENTLY` in a migration, which waits for all questions that began before it.
///
/// # Errors
///
/// [`Error`].
///
/// # Cancel safety
///
/// Dropping the future gives up waiting, and the lock if it was just taken.
pub async fn turn(
    target: &Target,
    release: Release,
    limits: Limits,
    tell: &mut (dyn FnMut(&str) + Send),
) -> Result<Turn, Error> {
    let mut session = reach(target, &release, limits.database).await?;
    let (mut holder, mut since) = (String::new(), Instant::now());
    loop {
        match answered(ask(&session)).await {
            Ok(Asked::Turn(Step::Run(why))) => {
                return Ok(Turn::Run(Box::new(Held { session }), why));
            }
            Ok(Asked::Turn(Step::GoOn(record))) => return Ok(Turn::Done(record)),
            Ok(Asked::Held(by)) => {
                // One that has just ended is nobody.
                if by != holder && !by.is_empty() {
                    (holder, since) = (by, Instant::now());
                    tell(&holder);
                }
            }
            Err(why) if why.may_pass() => {
                tracing::warn!(%why, cause = cause(&why), "the session of the release lock is lost");
                session = reach(target, &release, limits.database).await?;
            }
            Err(why) => return Err(why),
        }
        if since.elapsed() > limits.holder {
            let holder = if holder.is_empty() { "somebody".to_owned() } else { holder };
            return Err(Error::Held { holder, limit: limits.holder });
        }
        sleep(PAUSE).await;
    }
}

/// What one look says.
enum Asked {
    Turn(Step),
    Held(String),
}

async fn ask(session: &Session) -> Result<Asked, Error> {
    if let Some(step) = decide::without_lock(session.record().await?) {
        return Ok(Asked::Turn(step));
    }
    if !session.try_lock().await? {
        return Ok(Asked::Held(session.holder().await?));
    }
    // The holder may have finished between the two questions.
    let step = decide::with_lock(session.record().await?);
    if matches!(step, Step::Run(_)) {
        session.begin().await?;
    }
    Ok(Asked::Turn(step))
}

/// An answer within its deadline.
async fn answered<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(ANSWER, answer).await.unwrap_or(Err(Error::Silent { deadline: ANSWER }))
}

/// Reaches the database, again and again until the deadline.
async fn reach(target: &Target, release: &Release, deadline: Duration) -> Result<Session, Error> {
    let end = Instant::now() + deadline;
    let mut pause = FIRST_PAUSE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let why = match Session::open(target, release.clone(), left.clamp(LEAST, CONNECT)).await {
            Ok(session) => return Ok(session),
            Err(why) => why,
        };
        if !why.may_pass() || Instant::now() + pause >= end {
            return Err(why);
        }
        let pause_ms = pause.as_millis();
        let mend = why.mend();
        tracing::warn!(%why, cause = cause(&why), mend, pause_ms, "the release lock waits for the database");
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The lock, held.
#[derive(Debug)]
pub struct Held {
    session: Session,
}

impl Held {
    /// Whether the end will be recorded, so that others need not run it again.
    pub fn is_recorded(&self) -> bool {
        self.session.keeping() == Keeping::Table
    }

    /// Holds the lock until the release command has ended, records its code, and gives the lock up.
    /// Where nobody says how it ended nothing is recorded: the next one runs it again.
    pub async fn until(self, ended: impl Future<Output = Option<u8>>) {
        let mut ended = std::pin::pin!(ended);
        let mut looks = interval(LOOK);
        loop {
            tokio::select! {
                code = &mut ended => {
                    if let Some(code) = code {
                        self.record(code).await;
                    }
                    return;
                }
                () = self.session.lost() => break,
                _ = looks.tick() => {
                    // An answer that does not come is a lost session too.
                    if !answered(self.session.is_ours()).await.unwrap_or(false) {
                        break;
                    }
                }
            }
        }
        tracing::error!(
            mend = "see whether another instance runs the release command at the same time; the \
                    server's log says why the session ended. Through a pooler no lock is held: name the \
                    server itself with --release-lock",
            "the release lock is LOST while the release command runs: another instance may begin, and \
             this run will not be recorded"
        );
        ended.await;
    }

    async fn record(&self, code: u8) {
        if let Err(why) = answered(self.session.end(code)).await {
            tracing::error!(
                %why,
                cause = cause(&why),
                mend = why.mend(),
                "the end of the release command is not recorded: the next start runs it again"
            );
        }
    }
}

/// Between two questions for the lock.
const PAUSE: Duration = Duration::from_millis(500);

/// After the first failure to reach the database; each further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The last attempt gets so long at least.
const LEAST: Duration = Duration::from_millis(500);

/// Between two looks at the lock that is held.
const LOOK: Duration = Duration::from_secs(10);

/// How long an answer may take; longer than a question waits for a lock.
const ANSWER: Duration = Duration::from_secs(15);
