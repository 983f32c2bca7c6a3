//! `forebay doctor`: looks at a site and says what is wrong, why it matters and how to mend it.
//!
//! Owns: the order of looking, and that one check that fails ends no other.
//! Must not know: what any single check looks for.

mod bundle;
mod checks;
mod database;
#[cfg(test)]
mod fixture;
mod gather;
mod live;
mod machine;
mod patient;
mod report;
mod scheme;
mod scripts;
mod secrets;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

pub use checks::RULES;
pub use database::{Reached, Session, Stage, Trouble};
pub use live::{Answer, Live};
pub use machine::{Disk, Listener, Machine};
pub use patient::{Fault, Patient, Start};
pub use report::Report;
pub use scripts::{Line, Script, When};

use crate::site::{self, Given};
use secrets::Secrets;

/// One thing that may be wrong with a site.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name for ever: `FD-` and two digits.
    pub id: &'static str,
    /// What it finds.
    pub title: &'static str,
    /// Why that matters on Azure.
    pub why: &'static str,
    /// What to do about it.
    pub mend: &'static str,
    /// Looks for it.
    pub check: fn(&Patient) -> Verdict,
}

/// What a check says; nothing found is an empty list.
pub type Verdict = Result<Vec<Finding>, NotLooked>;

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// Visitors or operators meet it already, or will.
    Error,
    /// It will bite one day.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// As the report writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong here.
    pub what: String,
    /// What shows it.
    pub evidence: String,
    /// What to do about it here; nothing where the rule says it.
    pub mend: Option<String>,
}

impl Finding {
    /// A finding that is mended as its rule says.
    pub fn new(severity: Severity, what: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self { severity, what: what.into(), evidence: evidence.into(), mend: None }
    }

    /// The same with a mend of its own.
    #[must_use]
    pub fn mended_by(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }
}

/// Why something could not be looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotLooked(pub String);

impl NotLooked {
    /// Because of `why`.
    pub fn because(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// What is known, or why it is not.
pub type Known<T> = Result<T, NotLooked>;

/// What the operator wants.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The rules to look at, by their ids; none for all.
    pub only: Vec<String>,
    /// Whether nobody is connected to and the application is not loaded.
    pub is_offline: bool,
    /// Where everything that was found out is written to, without secrets.
    pub bundle: Option<PathBuf>,
}

/// Why nothing was looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot be obeyed.
    #[error(transparent)]
    Site(#[from] site::Error),
    /// There is no such rule.
    #[error("there is no rule `{id}`")]
    UnknownRule {
        /// What was written.
        id: String,
    },
    /// The bundle cannot be written.
    #[error("cannot write {path}")]
    Bundle {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// The exit code: the doctor could not be used.
    pub fn code(&self) -> u8 {
        2
    }

    /// What to do next; nothing where each fault says it.
    pub fn mend(&self) -> Option<String> {
        match self {
            Self::Site(why) => why.mend(),
            Self::UnknownRule { .. } => {
                let ids: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
                Some(format!("name some of {}", ids.join(", ")))
            }
            Self::Bundle { .. } => {
                Some("name a file in a directory that can be written".to_owned())
            }
        }
    }
}

/// Looks at the site of the current directory.
///
/// # Errors
///
/// [`Error`].
pub fn run(given: &Given<'_>, wish: &Wish) -> Result<Report, Error> {
    let rules = chosen(&wish.only)?;
    let patient = Arc::new(gather::patient(given, wish.is_offline)?);
    let secrets = Secrets::of(&patient);
    let report = Report::new(examine(&rules, &patient), &secrets);
    if let Some(path) = &wish.bundle {
        let text = bundle::text(&patient, &report, &secrets);
        bundle::write(path, &text)
            .map_err(|source| Error::Bundle { path: path.clone(), source })?;
    }
    Ok(report)
}

/// The rules with these ids, in the order of the list.
fn chosen(only: &[String]) -> Result<Vec<&'static Rule>, Error> {
    let is_named = |rule: &Rule| only.iter().any(|id| id.eq_ignore_ascii_case(rule.id));
    let unknown = only.iter().find(|id| !RULES.iter().any(|it| it.id.eq_ignore_ascii_case(id)));
    if let Some(id) = unknown {
        return Err(Error::UnknownRule { id: id.clone() });
    }
    Ok(RULES.iter().filter(|rule| only.is_empty() || is_named(rule)).collect())
}

/// What every rule says, in their order.
fn examine(rules: &[&'static Rule], patient: &Arc<Patient>) -> Vec<(&'static Rule, Verdict)> {
    rules.iter().map(|rule| (*rule, said(rule, patient, DEADLINE))).collect()
}

/// What one rule says. A panic and a hanging disk are told as "not looked at".
fn said(rule: &'static Rule, patient: &Arc<Patient>, deadline: Duration) -> Verdict {
    let (check, patient) = (rule.check, Arc::clone(patient));
    within(deadline, move || check(&patient)).and_then(|verdict| verdict)
}

/// Does something in a thread of its own, which is left behind when it takes too long.
fn within<T: Send + 'static>(
    deadline: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Known<T> {
    let (sender, receiver) = sync_channel(1);
    let looking = move || drop(sender.try_send(look()));
    thread::Builder::new()
        .name("forebay-doctor".to_owned())
        .spawn(looking)
        .map_err(|why| NotLooked(format!("no thread could be started ({why})")))?;
    receiver.recv_timeout(deadline).map_err(|why| match why {
        RecvTimeoutError::Timeout => {
            NotLooked(format!("it took longer than {} s", deadline.as_secs_f32()))
        }
        RecvTimeoutError::Disconnected => {
            NotLooked("the check failed: please report this with --bundle".to_owned())
        }
    })
}

/// How long one check may take; files on a network share may hang.
const DEADLINE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const fn rule(check: fn(&Patient) -> Verdict) -> Rule {
        Rule { id: "FD-00", title: "", why: "", mend: "", check }
    }

    #[test]
    fn a_check_that_fails_or_hangs_ends_no_other() {
        static RULES: [Rule; 3] = [
            rule(|_| panic!("a mistake of ours")),
            rule(|_| {
                thread::park_timeout(Duration::from_secs(5));
                Ok(vec![])
            }),
            rule(|_| Ok(vec![Finding::new(Severity::Note, "seen", "")])),
        ];
        let patient = Arc::new(fixture::healthy());
        let told = |place: usize, deadline| said(&RULES[place], &patient, deadline);
        assert!(told(0, DEADLINE).unwrap_err().0.contains("the check failed"));
        let short = Duration::from_millis(200);
        assert!(told(1, short).unwrap_err().0.contains("longer than 0.2 s"));
        assert_eq!(told(2, DEADLINE).unwrap()[0].what, "seen");
    }

    #[test]
    fn a_healthy_site_has_nothing_and_every_rule_has_looked() {
        let patient = Arc::new(fixture::healthy());
        for (rule, verdict) in examine(&RULES.iter().collect::<Vec<_>>(), &patient) {
            assert_eq!(verdict, Ok(vec![]), "{}", rule.id);
        }
    }

    #[test]
    fn rules_are_in_order_and_chosen_by_their_ids() {
        assert!(RULES.windows(2).all(|pair| pair[0].id < pair[1].id));
        let only = ["fd-22".to_owned(), "FD-10".to_owned()];
        let ids: Vec<_> = chosen(&only).unwrap().iter().map(|rule| rule.id).collect();
        assert_eq!(ids, ["FD-10", "FD-22"]);
        assert_eq!(chosen(&[]).unwrap().len(), RULES.len());
        let why = chosen(&["FD-1".to_owned()]).unwrap_err();
        assert_eq!((why.to_string().as_str(), why.code()), ("there is no rule `FD-1`", 2));
        assert!(why.mend().unwrap().contains("FD-10"));
    }

    /// The README's table, made from the list.
    fn table() -> String {
        let mut table = String::from(
            "| Rule | Finds | Why it matters on Azure | What to do |\n|---|---|---|---|\n",
        );
        for Rule { id, title, why, mend, .. } in RULES {
            writeln!(table, "| {id} | {title} | {why} | {mend} |").unwrap();
        }
        table
    }

    #[test]
    fn the_readme_lists_every_rule() {
        let readme = include_str!("../../README.md");
        let (_, rest) = readme.split_once("<!-- rules -->\n").unwrap();
        let (listed, _) = rest.split_once("<!-- /rules -->").unwrap();
        assert_eq!(listed, table(), "put this between the marks in the README:\n{}", table());
    }
}
