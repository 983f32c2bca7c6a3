//! Joins the release command and the release lock.
//!
//! Owns: what happens without a database, what is logged of a turn.
//! Must not know: how a lock is held, how a process is started.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::config;
use crate::postgres::{self, Choice, Found};
use crate::postgres_tls;
use crate::readiness::{Phase, Readiness, Reason};
use crate::release::{self, Code, Limits, Record, Release, Why};
use crate::supervise::{Refused, Report, Turn, Verdict};
use crate::telemetry;

/// What must be known of a site whose release command takes turns with that of other instances.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What the operator says.
    pub settings: release::Settings,
    /// How long a release command may take, here and elsewhere.
    pub release_deadline: Duration,
    /// The environment, where the database is named.
    pub variables: BTreeMap<String, String>,
    /// The release command as it is shown.
    pub command: String,
    /// Directories whose files follow from others.
    pub collected: Vec<PathBuf>,
    /// The leg to the database, if there is one.
    pub leg: Option<postgres_tls::Settings>,
    /// The kind of Django's database, where it is known to be another one.
    pub other_kind: Option<String>,
}

/// The turn of this start; `named` gets to know which release this is.
pub(super) fn turn(
    wish: Option<Wish>,
    readiness: Arc<Readiness>,
    named: Arc<OnceLock<String>>,
) -> Turn {
    Turn::of(async move {
        match wish {
            Some(wish) => find(wish, readiness, &named).await,
            None => Ok(Verdict::Run(Report::to_nobody(EACH_START))),
        }
    })
}

/// The database by which instances agree, and what names it; nothing where there is none, which is
/// said.
fn database(wish: &Wish) -> Result<Option<(postgres::Target, String)>, Refused> {
    let choice = &wish.settings.choice;
    if let Some(kind) = wish.other_kind.as_ref().filter(|_| *choice == Choice::Auto) {
        tracing::info!(
            kind,
            "Django's database is not PostgreSQL: without a lock each instance runs the release command"
        );
        return Ok(None);
    }
    let found = postgres::find(choice, &wish.variables)
        .map_err(|why| Refused { mend: why.mend(), source: Box::new(why) })?;
    Ok(match found {
        Found::Database { target, named_by } => {
            // Not through the leg, behind which a pooler would not be noticed.
            Some((config::past_the_leg(target, wish.leg.as_ref()), named_by))
        }
        Found::Off => None,
        Found::Nothing => {
            tracing::info!(
                mend = "set DATABASE_URL, or name the database with --release-lock postgres://…",
                "no database is named: without a lock each instance runs the release command"
            );
            None
        }
        Found::OtherKind { kind, named_by } => {
            tracing::info!(
                kind,
                named_by,
                "the database is not PostgreSQL: without a lock each instance runs the release command"
            );
            None
        }
    })
}

async fn find(
    wish: Wish,
    readiness: Arc<Readiness>,
    named: &OnceLock<String>,
) -> Result<Verdict, Refused> {
    let Some((target, named_by)) = database(&wish)? else {
        return Ok(Verdict::Run(Report::to_nobody(EACH_START)));
    };
    let release = release_of(&wish).await;
    if let Some(fingerprint) = &release.fingerprint {
        // Where it was named beforehand it is the same.
        named.get_or_init(|| fingerprint.clone());
    }
    tracing::info!(
        database = %target,
        named_by,
        site = release.site,
        release = release.fingerprint,
        "the release lock is asked for"
    );
    let limits = Limits {
        database: wish.settings.deadline,
        holder: wish.release_deadline.saturating_add(GRACE),
    };
    let since = Instant::now();
    let mut tell = |holder: &str| {
        let waited_ms = since.elapsed().as_millis();
        tracing::info!(holder, waited_ms, "another instance releases: this one waits");
        readiness.set(Phase::Starting(Reason::ReleasingElsewhere));
    };
    let turn = release::turn(&target, release, limits, &mut tell).await;
    let turn = turn.map_err(|why| refused(why.mend(), why))?;
    let waited_ms = since.elapsed().as_millis();
    let held = match turn {
        release::Turn::Done(Record { by, finished, .. }) => {
            tracing::info!(by, finished, waited_ms, "the release has run already");
            return Ok(Verdict::Done);
        }
        release::Turn::Run(held, why) => {
            tell_why(&why, waited_ms);
            held
        }
    };
    readiness.set(Phase::Starting(Reason::Releasing));
    let scope = if held.is_recorded() { EACH_RELEASE } else { EACH_IN_TURN };
    let (report, exits, heard) = Report::to_somebody(scope);
    // It ends when the command has ended, or nobody can say any more how.
    tokio::spawn(async move {
        held.until(async { exits.await.ok().map(|exit| exit.code()) }).await;
        drop(heard);
    });
    Ok(Verdict::Run(report))
}

/// Says why the release command does not run; the last line of the log has not all the causes.
fn refused(mend: String, why: impl std::error::Error + Send + Sync + 'static) -> Refused {
    let cause = telemetry::cause(&why);
    tracing::error!(%why, cause, mend, "it cannot be found out whose turn it is to release");
    Refused { source: Box::new(why), mend }
}

fn tell_why(why: &Why, waited_ms: u128) {
    match why {
        Why::First => tracing::info!(waited_ms, "this instance has the release lock"),
        Why::Unfinished(Record { by, started, .. }) => tracing::warn!(
            waited_ms,
            by,
            started,
            "this instance has the release lock: another one had begun, and was lost before the end"
        ),
        Why::Failed(Record { by, finished, code, .. }) => tracing::warn!(
            waited_ms,
            by,
            finished,
            exit_code = code,
            "this instance has the release lock: another one has tried, and failed"
        ),
    }
}

/// Which release this is, and on which instance.
async fn release_of(wish: &Wish) -> Release {
    let variable = |name: &str| wish.variables.get(name).filter(|text| !text.is_empty()).cloned();
    let site = ["WEBSITE_SITE_NAME", "CONTAINER_APP_NAME"].into_iter().find_map(variable);
    // The names are long; the beginning tells them apart (facts, 5.1).
    let instance = ["CONTAINER_APP_REPLICA_NAME", "HOSTNAME", "WEBSITE_INSTANCE_ID"]
        .into_iter()
        .find_map(variable)
        .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    let instance: String = instance.unwrap_or_default().trim().chars().take(40).collect();
    let fingerprint = match &wish.settings.id {
        Some(id) => Some(id.clone()),
        None => fingerprint(wish).await,
    };
    Release {
        site: site.unwrap_or_else(|| "site".to_owned()),
        fingerprint,
        by: format!("{instance}/{}", std::process::id()),
    }
}

/// Sets its flag when it is dropped.
struct GiveUp(Arc<AtomicBool>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn fingerprint(wish: &Wish) -> Option<String> {
    let begun = Instant::now();
    let variable = |name: &str| wish.variables.get(name).map(OsString::from);
    let environment = variable("VIRTUAL_ENV").map(PathBuf::from);
    let path = variable("PATH");
    let (collected, command) = (wish.collected.clone(), wish.command.clone());
    let give_up = GiveUp(Arc::default());
    let is_given_up = Arc::clone(&give_up.0);
    let taken = spawn_blocking(move || {
        let code = Code {
            directory: PathBuf::from("."),
            left_out: collected,
            packages: release::packages_beside(path.as_deref(), environment.as_deref()),
            command,
        };
        release::of_code(&code, &is_given_up)
    });
    let elapsed_ms = || begun.elapsed().as_millis();
    match taken.await {
        Ok(Ok(taken)) => {
            let (files, bytes) = (taken.files, taken.bytes);
            tracing::info!(
                files,
                bytes,
                elapsed_ms = elapsed_ms(),
                "the site's files name the release"
            );
            Some(taken.digest)
        }
        Ok(Err(why)) => {
            tracing::warn!(
                %why,
                mend = "name the release with --release-id, such as the commit",
                "it is not known which release this is: each instance runs the release command, one \
                 after the other"
            );
            None
        }
        // The runtime ends.
        Err(_) => None,
    }
}

/// What is said of a release command without a lock.
const EACH_START: &str = "once per start";

/// And with one.
const EACH_RELEASE: &str = "once per release";

/// And with one, where nobody remembers.
const EACH_IN_TURN: &str = "once per start, one instance after the other";

/// Another instance needs so long to end what has passed its deadline, and to say so.
const GRACE: Duration = Duration::from_secs(30);
