//! Asks Django for its settings, in a process of its own.
//!
//! Owns: which Python and which settings module are asked, what the answer means.
//! Must not know: who serves static files, how the site is started.

mod child;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::{fs, io};

use serde_json::Value;

/// What is known of the site before it is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Where the application is loaded.
    pub directory: PathBuf,
    /// The program that is to run it: its first line names a Python, or it is one.
    pub program: Option<PathBuf>,
    /// The module of the application, as `mysite.wsgi`.
    pub module: Option<String>,
    /// `DJANGO_SETTINGS_MODULE`.
    pub settings: Option<OsString>,
    /// `VIRTUAL_ENV`.
    pub virtual_environment: Option<PathBuf>,
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
}

impl Site {
    /// Reads what `ask.py` prints.
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
    /// Python could not be started.
    #[error("cannot start {python}")]
    Python {
        /// The program.
        python: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Python ended without an answer.
    #[error("the settings `{settings}` cannot be loaded: {why}")]
    Import {
        /// The module.
        settings: String,
        /// The last line that Python wrote.
        why: String,
    },
    /// It took too long.
    #[error("the settings `{settings}` took longer than {} s to load", deadline.as_secs_f32())]
    TookTooLong {
        /// The module.
        settings: String,
        /// The time allowed.
        deadline: Duration,
    },
    /// forebay was told to stop meanwhile.
    #[error("forebay was told to stop")]
    Stopped,
    /// Python answered something else.
    #[error("what Python said of the settings `{settings}` is not understood")]
    Answer {
        /// The module.
        settings: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Error {
    /// What to do next.
    pub fn mend(&self) -> String {
        match self {
            Self::NoModule { .. } => "set DJANGO_SETTINGS_MODULE, or name files with --static",
            Self::Python { .. } => "install Python, or name files with --static",
            Self::Import { .. } | Self::Answer { .. } => {
                "try `python -c 'from django.conf import settings; settings.DEBUG'`, or name files \
                 with --static"
            }
            Self::Stopped => "start it again",
            Self::TookTooLong { .. } => "name files with --static; then nobody is asked",
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
    let settings = settings_module(question)
        .ok_or_else(|| Error::NoModule { directory: question.directory.clone() })?;
    let python = python(question);
    let place = child::Place { python: &python, directory: &question.directory };
    let answer = child::ask(place, &settings, deadline, is_given_up)?;
    let answer: Value = serde_json::from_str(&answer)
        .map_err(|source| Error::Answer { settings: settings.clone(), source })?;
    Ok(Site::read(&answer, settings, &question.directory))
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

const NAME: &str = "DJANGO_SETTINGS_MODULE";

/// The variable wins, as it does in Django; then the module that the server loads, since its
/// settings may be others than those of `manage.py`.
fn settings_module(question: &Question) -> Option<String> {
    let Question { directory, module, settings, .. } = question;
    let named = settings.as_ref().map(|name| name.to_string_lossy().into_owned());
    let loaded = || {
        let path = format!("{}.py", module.as_ref()?.replace('.', "/"));
        settings_module_in(&directory.join(path))
    };
    let managed = || settings_module_in(&directory.join("manage.py"));
    named.filter(|name| !name.is_empty()).or_else(loaded).or_else(managed)
}

/// The Python that the site runs on.
fn python(question: &Question) -> PathBuf {
    let in_environment = |folder: &Path| {
        let python = folder.join("bin/python");
        python.exists().then_some(python)
    };
    let named = question.program.as_deref().and_then(python_of);
    let active = || question.virtual_environment.as_deref().and_then(in_environment);
    let beside = || {
        let names = ["antenv", ".venv", "venv"].into_iter();
        names.map(|name| question.directory.join(name)).find_map(|folder| in_environment(&folder))
    };
    named.or_else(active).or_else(beside).unwrap_or_else(|| "python3".into())
}

/// The Python that a program is, or that its first line names.
fn python_of(program: &Path) -> Option<PathBuf> {
    let is_python =
        |path: &Path| path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"python"));
    if is_python(program) {
        return Some(program.to_owned());
    }
    let start = child::start_of(program)?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    // `#!/usr/bin/env python3` names a program, `#!/site/antenv/bin/python` a path.
    let word = line.split(|byte| *byte == b' ').rfind(|word| !word.is_empty())?;
    let path = PathBuf::from(OsStr::from_bytes(word.trim_ascii()));
    is_python(&path).then_some(path)
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
        let mut question = Question {
            directory: folder.path().to_owned(),
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

    #[test]
    fn the_python_is_the_one_that_runs_the_site() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["antenv/bin", "active/bin"] {
            fs::create_dir_all(at(name)).unwrap();
            fs::write(at(name).join("python"), "").unwrap();
        }
        let mut question = Question { directory: folder.path().to_owned(), ..Question::default() };
        assert_eq!(python(&question), at("antenv/bin/python"));
        question.virtual_environment = Some(at("active"));
        assert_eq!(python(&question), at("active/bin/python"));
        for (line, found) in [
            ("#!/site/bin/python3.11\n", "/site/bin/python3.11"),
            ("#!/usr/bin/env python3\n", "python3"),
        ] {
            fs::write(at("gunicorn"), line).unwrap();
            question.program = Some(at("gunicorn"));
            assert_eq!(python(&question), PathBuf::from(found));
        }
        fs::write(at("gunicorn"), "#!/bin/sh\n").unwrap();
        assert_eq!(python(&question), at("active/bin/python"));
        question.program = Some("python3.12".into());
        assert_eq!(python(&question), PathBuf::from("python3.12"));
    }
}
