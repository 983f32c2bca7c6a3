//! The questions to the database: the lock and the table.
//!
//! Owns: SQL, the form of the table, which session may hold a lock.
//! Must not know: what follows from an answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::decide::{Record, State};
use super::{Error, Release};
use crate::postgres::{self, Client, Target};

/// A session that can hold the lock.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    release: Release,
    key: i64,
    /// Whether the table cannot be used: it is told once.
    has_no_table: AtomicBool,
}

/// Where the end of a release is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Keeping {
    /// In the table.
    Table,
    /// Nowhere: there is no table, or nobody knows which release this is.
    Nowhere,
}

impl Session {
    /// Opens one, with the server itself and never through a pooler.
    pub(super) async fn open(
        target: &Target,
        release: Release,
        deadline: Duration,
    ) -> Result<Self, Error> {
        let client = open_directly(target, deadline).await?;
        super::answered(prepare(&client, &release.by)).await?;
        let key = key(&release.site);
        Ok(Self { client, release, key, has_no_table: AtomicBool::new(false) })
    }

    /// Where the end will be kept.
    pub(super) fn keeping(&self) -> Keeping {
        if self.release.fingerprint.is_some() && !self.has_no_table.load(Ordering::Relaxed) {
            Keeping::Table
        } else {
            Keeping::Nowhere
        }
    }

    /// Waits until the session is lost.
    pub(super) async fn lost(&self) {
        self.client.lost().await;
    }

    /// What is recorded of this release.
    pub(super) async fn record(&self) -> Result<Option<Record>, Error> {
        let Some(fingerprint) = &self.release.fingerprint else { return Ok(None) };
        let rows = self.client.queries.query(RECORD, &[&self.release.site, fingerprint]).await;
        let row = match rows {
            Ok(rows) => rows.into_iter().next(),
            Err(why) if why.code() == Some(&SqlState::UNDEFINED_TABLE) => None,
            Err(why) if why.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                self.do_without_table(&why);
                None
            }
            Err(why) => return Err(why.into()),
        };
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Record {
            state: State::of(row.try_get(0)?),
            by: row.try_get(1)?,
            started: row.try_get(2)?,
            finished: row.try_get(3)?,
            code: row.try_get(4)?,
        }))
    }

    /// Takes the lock if nobody has it. It goes with the session.
    pub(super) async fn try_lock(&self) -> Result<bool, Error> {
        let question = "SELECT pg_catalog.pg_try_advisory_lock($1)";
        Ok(self.client.queries.query_one(question, &[&self.key]).await?.try_get(0)?)
    }

    /// Whether this session has the lock, as the server sees it.
    pub(super) async fn is_ours(&self) -> Result<bool, Error> {
        Ok(self.client.queries.query_one(IS_OURS, &[&self.key]).await?.try_get(0)?)
    }

    /// Who has it, since when, in words; empty for nobody.
    pub(super) async fn holder(&self) -> Result<String, Error> {
        let rows = self.client.queries.query(HOLDER, &[&self.key]).await?;
        let Some(row) = rows.first() else { return Ok(String::new()) };
        let (process, name, since): (i32, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let name = name.strip_prefix("forebay ").unwrap_or(&name).to_owned();
        Ok(format!("{name} (session {process} since {since})"))
    }

    /// Records that the command begins; makes the table if it is not there. The lock must be held.
    pub(super) async fn begin(&self) -> Result<(), Error> {
        let Some(fingerprint) = &self.release.fingerprint else { return Ok(()) };
        if !self.has_table().await? {
            return Ok(());
        }
        let Release { site, by, .. } = &self.release;
        let answer = self.client.queries.execute(BEGIN, &[site, fingerprint, by]).await;
        match answer {
            Err(why) if why.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                self.do_without_table(&why);
                Ok(())
            }
            answer => Ok(answer.map(|_| ())?),
        }
    }

    /// Records how the command ended, and forgets the oldest releases.
    pub(super) async fn end(&self, code: u8) -> Result<(), Error> {
        let (Some(fingerprint), Keeping::Table) = (&self.release.fingerprint, self.keeping())
        else {
            return Ok(());
        };
        let Release { site, by, .. } = &self.release;
        let state = if code == 0 { State::Done } else { State::Failed }.word();
        let code = i16::from(code);
        self.client.queries.execute(END, &[site, fingerprint, by, &state, &code]).await?;
        self.client.queries.execute(FORGET, &[site]).await?;
        Ok(())
    }

    /// Makes the table where there is none; whether there is one then.
    async fn has_table(&self) -> Result<bool, Error> {
        // Another site of the same database may make it in the same moment, which PostgreSQL tells
        // in several ways; then it is there.
        for _ in 0..3 {
            let is_there = self.client.queries.query_one(IS_THERE, &[]).await?;
            if is_there.try_get(0)? {
                return Ok(true);
            }
            let Err(why) = self.client.queries.batch_execute(TABLE).await else { return Ok(true) };
            let is_race =
                [SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_OBJECT];
            let is_refused = [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::INVALID_SCHEMA_NAME];
            match why.code() {
                Some(code) if is_race.contains(code) => {}
                Some(code) if is_refused.contains(code) => {
                    self.do_without_table(&why);
                    return Ok(false);
                }
                _ => return Err(why.into()),
            }
        }
        Ok(false)
    }

    /// Says once that nothing can be recorded.
    fn do_without_table(&self, why: &tokio_postgres::Error) {
        if self.has_no_table.swap(true, Ordering::Relaxed) {
            return;
        }
        let words = why.as_db_error().map(|why| why.message().to_owned());
        tracing::warn!(
            cause = words,
            mend = format!(
                "as the owner of the database: `{TABLE}` and `GRANT SELECT, INSERT, UPDATE, DELETE ON \
                 forebay_release TO …`, or `GRANT CREATE ON SCHEMA public TO …`"
            ),
            "the database's role may not use the table forebay_release: the lock holds, but nobody \
             knows that a release has run, so that each instance runs the command, one after the other"
        );
    }
}

/// Names the session, and has it neither wait for long nor end for being idle.
async fn prepare(client: &Client, by: &str) -> Result<(), Error> {
    for text in [
        // What the operator sees in pg_stat_activity.
        format!("SET application_name = {}", quoted(&format!("forebay {by}"))),
        "SET lock_timeout = '10s'".to_owned(),
        // PostgreSQL 14; an older one does not end idle sessions.
        "SET idle_session_timeout = 0".to_owned(),
        // The server keeps the lock of an instance that is gone without a word until it notices.
        "SET tcp_keepalives_idle = 15".to_owned(),
        "SET tcp_keepalives_interval = 5".to_owned(),
        "SET tcp_keepalives_count = 3".to_owned(),
        "SET tcp_user_timeout = 30000".to_owned(),
    ] {
        let answer = client.queries.batch_execute(&text).await;
        if let Err(why) = answer
            && why.code() != Some(&SqlState::UNDEFINED_OBJECT)
        {
            return Err(why.into());
        }
    }
    Ok(())
}

/// A session with the server itself. Where the port is a pooler's, the server is looked for at its own
/// port of the same host: in a pooler's transaction mode each question can have another session, and a
/// lock belongs to one of them.
async fn open_directly(target: &Target, deadline: Duration) -> Result<Client, Error> {
    let is_pooler = |place: &postgres::Place| place.port() == POOLER_PORT;
    if !target.places.iter().any(is_pooler) {
        return Ok(postgres::connect(target, deadline).await?);
    }
    let mut direct = target.clone();
    for place in direct.places.iter_mut().filter(|place| is_pooler(place)) {
        *place = place.at(SERVER_PORT);
    }
    let is_azure = target.places.iter().all(postgres::Place::is_azure);
    let refused = match postgres::connect(&direct, deadline).await {
        Ok(client) => {
            tracing::info!(
                place = %client.place,
                "port 6432 is a pooler's: the release lock goes to the server itself"
            );
            return Ok(client);
        }
        // Azure's own pooler is always on the server's host: it is only out of reach now. And what
        // refuses us is a server.
        Err(why) if is_azure || !why.may_pass() => return Err(why.into()),
        Err(why) => why,
    };
    // A server may listen at that port itself.
    match postgres::connect(target, deadline).await {
        Ok(client) => {
            let port = super::answered(server_port(&client)).await;
            if port.is_ok_and(|port| port == Some(client.place.port())) {
                return Ok(client);
            }
        }
        // Nobody is there, so that nobody has seen a pooler.
        Err(
            why @ (postgres::Error::Resolve { .. }
            | postgres::Error::Connect { .. }
            | postgres::Error::TimedOut { .. }),
        ) => return Err(why.into()),
        Err(_) => {}
    }
    let place = target.places.iter().find(|place| is_pooler(place));
    let place = place.map(ToString::to_string).unwrap_or_default();
    Err(Error::Pooler { place, direct: SERVER_PORT, source: refused })
}

/// The port at which the server has taken this session; nothing for a unix socket.
async fn server_port(client: &Client) -> Result<Option<u16>, Error> {
    let question = "SELECT pg_catalog.inet_server_port()";
    let port: Option<i32> = client.queries.query_one(question, &[]).await?.try_get(0)?;
    Ok(port.and_then(|port| u16::try_from(port).ok()))
}

/// The port of `PgBouncer`, also of the one that is built into Azure's Flexible Server.
const POOLER_PORT: u16 = 6432;

/// PostgreSQL's own.
const SERVER_PORT: u16 = 5432;

/// The lock's number: of the site and not of the release, so that two releases of one site never
/// change the database at once.
fn key(site: &str) -> i64 {
    let digest = blake3::hash(format!("forebay release lock of {site}").as_bytes());
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
    i64::from_be_bytes(bytes)
}

/// A text for SQL, where a parameter cannot stand.
fn quoted(text: &str) -> String {
    let text: String = text.chars().filter(|letter| *letter != '\\' && *letter != '\0').collect();
    format!("'{}'", text.replace('\'', "''"))
}

const IS_THERE: &str = "SELECT pg_catalog.to_regclass('forebay_release') IS NOT NULL";

/// It lies in the first schema of the role's search path.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS forebay_release (site text NOT NULL, fingerprint text \
                     NOT NULL, state text NOT NULL, started timestamptz NOT NULL, finished timestamptz, \
                     run_by text NOT NULL, exit_code smallint, PRIMARY KEY (site, fingerprint))";

const RECORD: &str = "SELECT state, run_by, \
    to_char(started AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \
    to_char(finished AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), exit_code \
    FROM forebay_release WHERE site = $1 AND fingerprint = $2";

const BEGIN: &str = "INSERT INTO forebay_release \
    (site, fingerprint, state, started, finished, run_by, exit_code) \
    VALUES ($1, $2, 'running', now(), NULL, $3, NULL) \
    ON CONFLICT (site, fingerprint) DO UPDATE SET state = 'running', started = now(), \
    finished = NULL, run_by = EXCLUDED.run_by, exit_code = NULL";

const END: &str = "UPDATE forebay_release SET state = $4, finished = now(), exit_code = $5 \
    WHERE site = $1 AND fingerprint = $2 AND run_by = $3";

/// So many releases of a site are remembered.
const FORGET: &str = "DELETE FROM forebay_release WHERE site = $1 AND fingerprint NOT IN \
    (SELECT fingerprint FROM forebay_release WHERE site = $1 ORDER BY started DESC LIMIT 200)";

/// PostgreSQL, `pg_locks`: a key of 64 bits is in `classid` and `objid`, with `objsubid` 1.
const IS_OURS: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks \
    WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() AND objsubid = 1 \
    AND ((classid::int8 << 32) | objid::int8) = $1)";

const HOLDER: &str = "SELECT a.pid, coalesce(a.application_name, ''), \
    coalesce(to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '') \
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid) \
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) \
    AND ((l.classid::int8 << 32) | l.objid::int8) = $1 LIMIT 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_the_sites_alone_and_never_changes() {
        assert_eq!(key("a"), key("a"));
        assert_ne!(key("a"), key("b"));
        // Instances of two versions of forebay must mean the same lock.
        let digest = blake3::hash(b"forebay release lock of example-app");
        let first = digest.as_bytes()[..8].try_into().unwrap();
        assert_eq!(key("example-app"), i64::from_be_bytes(first));
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(quoted("a'; DROP TABLE b; --\\"), "'a''; DROP TABLE b; --'");
    }
}
