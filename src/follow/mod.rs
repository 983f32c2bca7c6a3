//! `forebay status`: asks a forebay how it is, once or until something has come about.
//!
//! Owns: whom to ask, how often, what is printed, what counts as reached.
//! Must not know: where the other side has its numbers from.

mod ask;
mod empty;
mod goal;
mod target;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use serde_json::Value;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

pub use ask::Silence;
pub use goal::Wanted;
pub use target::Target;

use crate::admin;
use crate::status::{Paint, clean, span, text};
use crate::tls;
use ask::Asker;
use goal::{Progress, Sight};

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whom to ask; nothing for the forebay of this machine.
    pub target: Option<Target>,
    /// The token, where one is needed.
    pub token: Option<String>,
    /// More roots to believe, as a file in PEM form.
    pub roots: Option<PathBuf>,
    /// What is printed.
    pub show: Show,
    /// When it ends.
    pub until: Until,
    /// How long all of it may take; nothing for ever.
    pub deadline: Option<Duration>,
    /// Between two questions.
    pub interval: Duration,
    /// How long all answers must have been right before a goal counts as reached.
    pub settle: Duration,
    /// Whether colours mean something where it is printed, and lines can be written anew.
    pub paint: Paint,
    /// Whether somebody looks at a terminal.
    pub is_watched: bool,
}

/// What is printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Show {
    /// Text for people.
    Text,
    /// JSON.
    Json,
    /// Nothing: the exit code says it.
    Nothing,
}

/// When it ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Until {
    /// After one answer.
    Once,
    /// At the deadline only.
    Stopped,
    /// When something has come about.
    Reached(Wanted),
}

/// How it ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The application is ready, or what was waited for has come about.
    Good,
    /// It is not, or has not by the deadline.
    Bad,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No forebay of this user runs here.
    #[error("no forebay of this user is found on this machine")]
    Nobody,
    /// More than one does.
    #[error("several run here: {}", list(.0))]
    Several(Vec<PathBuf>),
    /// The token would go through the net for all to read.
    #[error("the token is not sent to {0} over plain http")]
    InClear(Target),
    /// The token cannot be part of a request.
    #[error("the token has letters that cannot be sent")]
    OddToken,
    /// There can be no TLS.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// Nobody answered as forebay does.
    #[error("{target}: {why}")]
    Silence {
        /// Who was asked.
        target: Target,
        /// What came instead.
        why: Silence,
    },
    /// The system gives no runtime.
    #[error("the system gives no runtime")]
    Runtime(#[source] io::Error),
    /// Standard output cannot be written to.
    #[error("cannot write to standard output")]
    Write(#[source] io::Error),
}

impl Error {
    /// What to do next.
    pub fn mend(&self) -> String {
        match self {
            Self::Nobody => {
                "start forebay, or name its --admin address or its URL; run this as the same user"
            }
            Self::Several(_) => "name one of them: forebay status unix:/path",
            Self::InClear(_) => "write https://",
            Self::OddToken => "write the same letters and digits as in --status-token",
            Self::Tls(_) => "name a file with the certificate of the authority, in PEM form",
            Self::Silence { why, .. } => match why {
                Silence::Denied(_) => {
                    "give the site's --status-token by --token or FOREBAY_STATUS_TOKEN; after ten \
                     wrong ones none counts for a minute"
                }
                Silence::Elsewhere { .. } => "ask there",
                Silence::NoStatus(_) => {
                    "set FOREBAY_STATUS_TOKEN in the site's settings, without which its status is \
                     not public; then ask with the same token"
                }
                Silence::Connection(_) | Silence::Http(_) | Silence::Deadline(_) => {
                    "is forebay running, and is this its address? A certificate of your own needs --ca"
                }
            },
            Self::Runtime(_) => "raise the limits of the container (ulimit, pids)",
            Self::Write(_) => "see what reads it",
        }
        .to_owned()
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("unix:{}", path.display())).collect::<Vec<_>>().join(", ")
}

/// Asks; what is to be printed goes to `say`. `found` are the admin sockets of this machine.
///
/// # Errors
///
/// [`Error`]: nothing can be said.
pub fn run(
    settings: &Settings,
    found: &[PathBuf],
    say: &mut dyn FnMut(&str) -> io::Result<()>,
) -> Result<End, Error> {
    let target = match (&settings.target, found) {
        (Some(target), _) => target.clone(),
        (None, [only]) => Target::Unix(only.clone()),
        (None, []) => return Err(Error::Nobody),
        (None, several) => return Err(Error::Several(several.to_vec())),
    };
    let token = match &settings.token {
        // Who reaches an admin address needs none.
        Some(_) if matches!(target, Target::Unix(_)) => None,
        Some(_) if !target.keeps_secrets() => return Err(Error::InClear(target)),
        Some(token) => {
            let field = HeaderValue::try_from(format!("Bearer {token}"));
            let mut field = field.map_err(|_| Error::OddToken)?;
            field.set_sensitive(true);
            Some(field)
        }
        None => None,
    };
    let tls = if matches!(target, Target::Http { is_tls: true, .. }) {
        let roots = settings.roots.as_deref().map(tls::read_roots).transpose()?;
        Some(tls::verifying(&roots.unwrap_or_default(), true)?)
    } else {
        None
    };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let asker = Asker::new(target.clone(), token, tls);
    let end = runtime.block_on(async {
        let deadline = settings.deadline.map(|deadline| Instant::now() + deadline);
        let mut following = Following { settings, target, asker, deadline, last: None, say };
        match &settings.until {
            Until::Once => following.once().await,
            Until::Stopped => following.watch().await,
            Until::Reached(wanted) => following.reach(wanted.clone()).await,
        }
    });
    // A name may still be looked up.
    runtime.shutdown_background();
    end
}

struct Following<'a> {
    settings: &'a Settings,
    target: Target,
    asker: Asker,
    deadline: Option<Instant>,
    /// The last line, without its time.
    last: Option<String>,
    say: &'a mut dyn FnMut(&str) -> io::Result<()>,
}

impl Following<'_> {
    async fn once(&mut self) -> Result<End, Error> {
        let report = match self.ask().await {
            Ok(report) => report,
            Err(why) => return Err(Error::Silence { target: self.target.clone(), why }),
        };
        match self.settings.show {
            Show::Text => self.say(&text(&report, self.settings.paint))?,
            Show::Json => self.say(&format!("{report:#}\n"))?,
            Show::Nothing => {}
        }
        Ok(end(&report))
    }

    /// Shows what is there until the deadline or a signal.
    async fn watch(&mut self) -> Result<End, Error> {
        let mut last = End::Bad;
        let begun = Instant::now();
        while !self.is_over() {
            match self.ask().await {
                Ok(report) => {
                    last = end(&report);
                    self.show(&report, begun)?;
                }
                Err(why @ Silence::Denied(_)) => {
                    return Err(Error::Silence { target: self.target.clone(), why });
                }
                Err(why) => {
                    last = End::Bad;
                    self.tell(begun, &why.to_string())?;
                }
            }
            self.pause().await;
        }
        Ok(last)
    }

    fn show(&mut self, report: &Value, begun: Instant) -> Result<(), Error> {
        match self.settings.show {
            Show::Json => self.say(&format!("{report}\n")),
            Show::Nothing => Ok(()),
            Show::Text if self.settings.is_watched => {
                let text = text(report, self.settings.paint);
                self.last = None;
                // Home, clear to the end: nothing flickers.
                self.say(&format!("\x1b[H\x1b[J{text}"))
            }
            Show::Text => {
                let line = line_of(report, self.settings.paint);
                self.tell(begun, &line)
            }
        }
    }

    /// Asks until every instance that is met is as it is wanted.
    async fn reach(&mut self, wanted: Wanted) -> Result<End, Error> {
        let is_one = matches!(self.target, Target::Unix(_));
        let mut lacks_name = matches!(wanted, Wanted::Release(_));
        let mut progress = Progress::new(wanted, self.settings.settle, is_one);
        let begun = Instant::now();
        let mut seen = BTreeMap::new();
        let mut answers = 0;
        while !self.is_over() {
            let sight = match self.ask().await {
                Ok(report) => {
                    answers += 1;
                    if self.settings.show == Show::Json {
                        self.say(&format!("{report}\n"))?;
                    }
                    Sight::of(&report)
                }
                Err(why @ Silence::Denied(_)) => {
                    return Err(Error::Silence { target: self.target.clone(), why });
                }
                Err(why) => {
                    self.tell(begun, &why.to_string())?;
                    None
                }
            };
            let now = Instant::now();
            if let Some(sight) = &sight {
                lacks_name &= sight.release.is_none();
                let line = self.told(sight, progress.is_new(sight, now));
                if seen.insert(sight.instance.clone(), line.clone()).as_ref() != Some(&line) {
                    self.last = None;
                    self.tell(begun, &line)?;
                }
            }
            if progress.saw(sight.as_ref(), now) {
                let (right, _) = progress.counts();
                self.tell(
                    begun,
                    &format!("reached: {right} of {right} instances, {answers} answers"),
                )?;
                return Ok(End::Good);
            }
            self.pause().await;
        }
        let (right, all) = progress.counts();
        self.tell(begun, &format!("not reached by the deadline: {right} of {all} instances"))?;
        if lacks_name && all > 0 {
            let mend = "no release has a name: set FOREBAY_RELEASE_ID, such as to the commit";
            self.tell(begun, mend)?;
        }
        Ok(End::Bad)
    }

    /// What is told of an answer.
    fn told(&self, sight: &Sight, is_new: bool) -> String {
        let release = sight.release.as_deref().map(|it| format!("  release {}", clean(it)));
        format!(
            "instance {}{}  {}  {}",
            clean(&sight.instance),
            release.unwrap_or_default(),
            if is_new { "new" } else { "old" },
            self.settings.paint.word(&clean(&sight.phase)),
        )
    }

    async fn ask(&mut self) -> Result<Value, Silence> {
        let left = self.deadline.map(|deadline| deadline - Instant::now());
        let deadline = left.map_or(QUESTION, |left| left.min(QUESTION)).max(SHORTEST);
        self.asker.ask(deadline).await
    }

    /// Prints a line with its time, unless it was the last one.
    fn tell(&mut self, begun: Instant, line: &str) -> Result<(), Error> {
        if self.settings.show != Show::Text || self.last.as_deref() == Some(line) {
            return Ok(());
        }
        self.last = Some(line.to_owned());
        let time = span(begun.elapsed().as_secs_f64());
        self.say(&format!("{time:>8}  {line}\n"))
    }

    fn say(&mut self, text: &str) -> Result<(), Error> {
        (self.say)(text).map_err(Error::Write)
    }

    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    async fn pause(&self) {
        let left = self.deadline.map(|deadline| deadline - Instant::now());
        sleep(left.map_or(self.settings.interval, |left| left.min(self.settings.interval))).await;
    }
}

fn end(report: &Value) -> End {
    if report["phase"] == "ready" { End::Good } else { End::Bad }
}

/// A report in a line that changes only when something does.
fn line_of(report: &Value, paint: Paint) -> String {
    let word = |name: &str| clean(report[name].as_str().unwrap_or("-"));
    let mut line = format!("instance {}  {}", word("instance"), paint.word(&word("phase")));
    if let Some(release) = report["release"].as_str() {
        write!(line, "  release {}", clean(release)).unwrap_or_default();
    }
    if let Some(reason) = report["reason"].as_str() {
        write!(line, "  {}", clean(reason)).unwrap_or_default();
    }
    let restarts = report["processes"].as_array().into_iter().flatten();
    let restarts: u64 = restarts.filter_map(|process| process["restarts"].as_u64()).sum();
    if restarts > 0 {
        write!(line, "  {restarts} restarts").unwrap_or_default();
    }
    line
}

/// The admin sockets of this machine that this user may ask.
pub fn found(environment: &BTreeMap<String, String>) -> Vec<PathBuf> {
    admin::found(environment)
}

/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(10);

/// The least that one is given when the deadline is near.
const SHORTEST: Duration = Duration::from_millis(50);
