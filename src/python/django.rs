//! Asks for Django's settings.
//!
//! Owns: which settings module is asked for, what the answer means.
//! Must not know: who serves static files, how the site is started.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::Value;

use super::details::Details;
use super::{Failure, Interpreter, child};

/// What is known of the site before it is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The Python that runs it, and where.
    pub interpreter: Interpreter,
    /// The module of the application, as `mysite.wsgi`.
    pub module: Option<String>,
    /// `DJANGO_SETTINGS_MODULE`.
    pub settings: Option<OsString>,
}

/// What Django's settings say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Site {
    /// The settings module.
    pub settings: String,
    /// The path that static files have, with a slash on both ends.
    pub static_prefix: String,
    /// Where `collectstatic` puts them.
    pub static_root: Option<PathBuf>,
    /// The class of the static files' storage.
    pub storage: Option<String>,
    /// Whether WhiteNoise is in MIDDLEWARE.
    pub has_whitenoise: bool,
    /// `WHITENOISE_ROOT`: files that are served at `/`.
    pub whitenoise_root: Option<PathBuf>,
    /// `WHITENOISE_MAX_AGE`, in seconds.
    pub whitenoise_max_age: Option<i64>,
    /// `WHITENOISE_INDEX_FILE`, as Python prints it.
    pub whitenoise_index_file: Option<String>,
    /// `ALLOWED_HOSTS`.
    pub allowed_hosts: Vec<String>,
    /// DEBUG.
    pub debug: bool,
    /// What only the doctor looks at; or the class of the exception that reading it raised.
    pub details: Result<Details, String>,
}

impl Site {
    /// Reads what `django.py` prints.
    fn read(answer: &Value, settings: String, directory: &Path) -> Self {
        let text = |name: &str| answer[name].as_str();
        // Django takes a relative one from where it runs.
        let path = |name: &str| text(name).map(|path| directory.join(path));
        let url = text("static_url").unwrap_or_default();
        let script_name = text("script_name").unwrap_or_default();
        let hosts = answer["allowed_hosts"].as_array().into_iter().flatten();
        Self {
            settings,
            static_prefix: prefix(text("whitenoise_prefix"), url, script_name),
            static_root: path("static_root"),
            storage: text("storage").map(str::to_owned),
            has_whitenoise: answer["has_whitenoise"] == true,
            whitenoise_root: path("whitenoise_root"),
            whitenoise_max_age: answer["whitenoise_max_age"].as_i64(),
            whitenoise_index_file: text("whitenoise_index_file").map(str::to_owned),
            allowed_hosts: hosts.filter_map(|host| host.as_str().map(str::to_owned)).collect(),
            debug: answer["debug"] == true,
            details: Details::read(&answer["details"]),
        }
    }
}

/// Why nothing is known of Django's settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing names the settings module.
    #[error("no settings module is named, in {directory} or in DJANGO_SETTINGS_MODULE")]
    NoModule {
        /// Where was looked.
        directory: PathBuf,
    },
    /// Python gave no answer.
    #[error("the settings `{settings}` cannot be loaded: {source}")]
    Python {
        /// The module.
        settings: String,
        /// What happened instead.
        source: Failure,
    },
}

impl Error {
    /// What to do next.
    pub fn mend(&self) -> String {
        match self {
            Self::NoModule { .. } => "set DJANGO_SETTINGS_MODULE, or name files with --static",
            Self::Python { source: Failure::NotStarted { .. }, .. } => {
                "install Python, or name files with --static"
            }
            Self::Python { source: Failure::TookTooLong { .. }, .. } => {
                "name files with --static; then nobody is asked"
            }
            Self::Python { source: Failure::Stopped, .. } => "start it again",
            Self::Python { source: Failure::Ended { .. } | Failure::Answer(_), .. } => {
                "try `python -c 'from django.conf import settings; settings.DEBUG'`, or name files \
                 with --static"
            }
        }
        .to_owned()
    }
}

/// Asks Django for its settings; what was started for that has ended afterwards, within a second
/// of `deadline`, or when `is_given_up` is set.
///
/// Only `django.conf.settings` is loaded: no application, no database.
///
/// # Errors
///
/// [`Error`].
pub fn ask(
    question: &Question,
    deadline: Duration,
    is_given_up: &AtomicBool,
) -> Result<Site, Error> {
    let Interpreter { directory, .. } = &question.interpreter;
    let settings = settings_module(question)
        .ok_or_else(|| Error::NoModule { directory: directory.clone() })?;
    let script = child::Script {
        text: ASK,
        arguments: &[],
        variables: &[(NAME.into(), settings.clone().into())],
    };
    match child::ask(&question.interpreter, script, deadline, is_given_up) {
        Ok(answer) => Ok(Site::read(&answer, settings, directory)),
        Err(source) => Err(Error::Python { settings, source }),
    }
}

/// The settings module that a file of Python names, as `manage.py`, `wsgi.py` and `asgi.py` do: the
/// text in quotes behind `DJANGO_SETTINGS_MODULE`.
pub fn settings_module_in(path: &Path) -> Option<String> {
    named_in(&fs::read_to_string(path).ok()?)
}

fn named_in(text: &str) -> Option<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split(NAME).skip(1).find_map(|rest| {
        let rest = rest.strip_prefix(['"', '\''])?;
        let rest = rest
            .trim_start_matches(|letter: char| letter.is_whitespace() || ",]=)".contains(letter));
        let quote = rest.chars().next().filter(|letter| "\"'".contains(*letter))?;
        let module = rest.get(1..)?.split(quote).next()?;
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_.".contains(&byte);
        (!module.is_empty() && module.bytes().all(is_part)).then(|| module.to_owned())
    })
}

pub(super) const NAME: &str = "DJANGO_SETTINGS_MODULE";

const ASK: &str = include_str!("django.py");

/// The variable wins, as it does in Django; then the module that the server loads, since its
/// settings may be others than those of `manage.py`.
pub(super) fn settings_module(question: &Question) -> Option<String> {
    let Question { interpreter: Interpreter { directory, .. }, module, settings } = question;
    let named = settings.as_ref().map(|name| name.to_string_lossy().into_owned());
    let loaded = || {
        let path = format!("{}.py", module.as_ref()?.replace('.', "/"));
        settings_module_in(&directory.join(path))
    };
    let managed = || settings_module_in(&directory.join("manage.py"));
    named.filter(|name| !name.is_empty()).or_else(loaded).or_else(managed)
}

/// The prefix of static files, by WhiteNoise's rule (peers, 3.1 line 10): the path of `STATIC_URL`
/// without `FORCE_SCRIPT_NAME`, which the server cuts off too, with a slash on both ends.
fn prefix(chosen: Option<&str>, url: &str, script_name: &str) -> String {
    let path = chosen.unwrap_or_else(|| path_of(url));
    let script_name = script_name.trim_end_matches('/');
    let path = path.strip_prefix(script_name).unwrap_or(path).trim_matches('/');
    if path.is_empty() { "/".to_owned() } else { format!("/{path}/") }
}

/// The path of a URL: without scheme, host, query and fragment.
fn path_of(url: &str) -> &str {
    let rest = match url.split_once("//") {
        Some((scheme, rest)) if scheme.is_empty() || scheme.ends_with(':') => {
            rest.find('/').and_then(|start| rest.get(start..)).unwrap_or_default()
        }
        _ => url,
    };
    rest.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_the_path_of_the_url_without_the_script_name() {
        for (chosen, url, script_name, expected) in [
            (None, "/static/", "", "/static/"),
            (None, "static/", "", "/static/"),
            (None, "static", "", "/static/"),
            (None, "https://cdn.example.com/assets/v1/", "", "/assets/v1/"),
            (None, "//cdn.example.com/assets/?v=1", "", "/assets/"),
            (None, "https://cdn.example.com", "", "/"),
            (None, "/app/static/", "/app", "/static/"),
            (None, "/app/static/", "/app/", "/static/"),
            (None, "/static/", "/app", "/static/"),
            (Some("/other"), "/static/", "", "/other/"),
            (None, "", "", "/"),
        ] {
            assert_eq!(prefix(chosen, url, script_name), expected, "{url} {script_name}");
        }
    }

    #[test]
    fn the_settings_module_is_read_without_running_anything() {
        for (text, found) in [
            ("os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'a.settings')", Some("a.settings")),
            (
                "os.environ.setdefault(\n    \"DJANGO_SETTINGS_MODULE\",\n    \"a.b\",\n)",
                Some("a.b"),
            ),
            ("os.environ[\"DJANGO_SETTINGS_MODULE\"] = \"a.b\"", Some("a.b")),
            (
                "# \"DJANGO_SETTINGS_MODULE\", \"old\"\nx('DJANGO_SETTINGS_MODULE', 'new')",
                Some("new"),
            ),
            ("x('DJANGO_SETTINGS_MODULE', f'a.{b}')", None),
            ("x('DJANGO_SETTINGS_MODULE', '')", None),
            ("DJANGO_SETTINGS_MODULE", None),
        ] {
            assert_eq!(named_in(text).as_deref(), found, "{text}");
        }
    }

    #[test]
    fn the_application_s_own_settings_are_preferred_to_those_of_manage_py() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        let write = |name: &str, module: &str| {
            let text = format!("x('DJANGO_SETTINGS_MODULE', '{module}')");
            fs::write(folder.path().join(name), text).unwrap();
        };
        let directory = folder.path().to_owned();
        let mut question = Question {
            interpreter: Interpreter { directory, ..Interpreter::default() },
            module: Some("a.wsgi".to_owned()),
            ..Question::default()
        };
        assert_eq!(settings_module(&question), None);
        write("manage.py", "a.settings.local");
        assert_eq!(settings_module(&question).as_deref(), Some("a.settings.local"));
        write("a/wsgi.py", "a.settings.production");
        assert_eq!(settings_module(&question).as_deref(), Some("a.settings.production"));
        question.settings = Some("a.settings.other".into());
        assert_eq!(settings_module(&question).as_deref(), Some("a.settings.other"));
    }
}
