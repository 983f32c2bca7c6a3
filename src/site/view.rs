//! What there is to know of the site without running it, also where it could not run.
//!
//! Owns: that a start command that is none hides nothing else.
//! Must not know: what is right or wrong with it.

use std::sync::atomic::AtomicBool;

use super::{Answers, Draft, Error, Given, Purpose, Questions, derive};
use crate::config::{Config, Need};
use crate::launch::{self, Launch};
use crate::python::django;

/// The site as `forebay run` sees it.
#[derive(Debug)]
pub struct View {
    /// The settings that it would run with.
    pub config: Config,
    /// What it would start, or why there is nothing to start.
    pub launch: Result<Launch, launch::Error>,
    /// What Django and gunicorn said.
    pub answers: Answers,
}

/// Looks at the site of the current directory; Django is asked in any case.
///
/// # Errors
///
/// [`Error::Settings`].
pub fn view(given: &Given<'_>) -> Result<View, Error> {
    let draft = match Draft::make(given, Purpose::Show) {
        Ok(draft) => draft,
        Err(Error::Launch(why)) => {
            let need = Need::NoUpstream;
            let config = Config::load(given.flags.clone(), given.environment, need)?;
            let answers = Answers { django: None, gunicorn: None };
            return Ok(View { config, launch: Err(why), answers });
        }
        Err(why @ (Error::Settings(_) | Error::App(_))) => return Err(why),
    };
    let questions = Questions {
        django: Some(draft.launch.django.clone()),
        gunicorn: draft.launch.gunicorn.clone(),
    };
    let answers = questions.ask(&AtomicBool::new(false));
    let site = draft.conclude(given, answers)?;
    Ok(View { config: site.config, launch: Ok(site.launch), answers: site.answers })
}

/// Whether forebay can serve the files that Django's settings name.
///
/// # Errors
///
/// Why it cannot.
pub fn static_files(site: &django::Site) -> Result<(), &'static str> {
    derive::static_files(site).map(drop)
}
