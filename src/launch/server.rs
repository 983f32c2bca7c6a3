//! The application servers whose command lines are known: where they bind, how much they do at once.
//!
//! Owns: the options of gunicorn, uvicorn and granian.
//! Must not know: Procfiles, processes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Where the application is to listen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// A TCP address of this machine.
    Tcp {
        /// A name or an IP address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

/// A server that forebay knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Server {
    Gunicorn,
    Uvicorn,
    Granian,
}

impl Server {
    /// Finds the server that a command starts, and the place of its name among the words: also
    /// behind `python -m` or a wrapper such as `opentelemetry-instrument`.
    pub(super) fn find(words: &[OsString]) -> Option<(Self, usize)> {
        words.iter().enumerate().find_map(|(place, word)| {
            let server = match Path::new(word).file_name()?.as_bytes() {
                b"gunicorn" => Self::Gunicorn,
                b"uvicorn" => Self::Uvicorn,
                b"granian" => Self::Granian,
                _ => return None,
            };
            let before = place.checked_sub(1).and_then(|before| words.get(before));
            let is_value = before.is_some_and(|before| is_option(before) && before != "-m");
            (!is_value).then_some((server, place))
        })
    }

    /// Options that say where to bind: short ones, long ones.
    fn bind_options(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Gunicorn => (&["-b"], &["--bind"]),
            Self::Uvicorn => (&[], &["--host", "--port", "--uds", "--fd"]),
            Self::Granian => (&[], &["--host", "--port", "--uds"]),
        }
    }

    /// The options that make it listen at `place`.
    fn bound_to(self, place: &Place) -> Vec<OsString> {
        match (self, place) {
            (Self::Gunicorn, place) => vec!["--bind".into(), gunicorn_address(place)],
            (Self::Uvicorn | Self::Granian, Place::Tcp { host, port }) => {
                vec!["--host".into(), host.into(), "--port".into(), port.to_string().into()]
            }
            (Self::Uvicorn | Self::Granian, Place::Unix(path)) => {
                vec!["--uds".into(), path.clone().into()]
            }
        }
    }
}

/// Whether a command is one that loads the application anew at SIGHUP.
pub fn reloads_at_hang_up(words: &[OsString]) -> bool {
    matches!(Server::find(words), Some((Server::Gunicorn, _)))
}

/// Makes a known server listen at `place` and nowhere else; nothing where it is none.
pub(super) fn bind(words: &[OsString], place: &Place) -> Option<Vec<OsString>> {
    let (server, name) = Server::find(words)?;
    let (start, arguments) = words.split_at_checked(name + 1)?;
    let mut bound = start.to_vec();
    bound.extend(server.bound_to(place));
    let (short, long) = server.bind_options();
    bound.extend(without(arguments, short, long));
    Some(bound)
}

/// Puts an option behind the name of the server.
pub(super) fn insert(words: &mut Vec<OsString>, option: OsString) {
    if let Some((_, name)) = Server::find(words) {
        words.insert(name + 1, option);
    }
}

/// Variables that make a server listen at `place` where nobody can see how it is started.
///
/// gunicorn reads `GUNICORN_CMD_ARGS` before its command line, which therefore wins.
pub(super) fn bind_by_variables(
    place: &Place,
    gunicorn: Option<&OsStr>,
) -> Vec<(OsString, OsString)> {
    let mut variables = Vec::new();
    let mut arguments = gunicorn.map(OsStr::to_owned).unwrap_or_default();
    if let Some(text) = gunicorn.and_then(OsStr::to_str)
        && let Ok(super::line::Line::Simple { words, .. }) =
            super::line::split(&format!("gunicorn {text}"), |_| None)
    {
        let kept = without(words.get(1..).unwrap_or_default(), &["-b"], &["--bind"]);
        let kept = kept.iter().map(|word| super::line::quote(&word.to_string_lossy()));
        arguments = kept.collect::<Vec<_>>().join(" ").into();
    }
    if !arguments.is_empty() {
        arguments.push(" ");
    }
    arguments.push("--bind ");
    arguments.push(gunicorn_address(place));
    variables.push(("GUNICORN_CMD_ARGS".into(), arguments));
    if let Place::Tcp { host, port } = place {
        for server in ["UVICORN", "GRANIAN"] {
            variables.push((format!("{server}_HOST").into(), host.into()));
            variables.push((format!("{server}_PORT").into(), port.to_string().into()));
        }
    }
    variables
}

/// The most requests that gunicorn does at once, where its command line tells all of it.
///
/// `web_concurrency` is the variable that gunicorn takes the number of workers from. The caller
/// knows that there is neither a configuration file nor `GUNICORN_CMD_ARGS`.
pub(super) fn concurrency(words: &[OsString], web_concurrency: Option<&str>) -> Option<u32> {
    let (Server::Gunicorn, name) = Server::find(words)? else { return None };
    let arguments = words.get(name + 1..)?;
    if value_of(arguments, "-c", "--config").is_some() {
        return None;
    }
    let class = value_of(arguments, "-k", "--worker-class");
    if !matches!(class.as_deref(), None | Some("sync" | "gthread")) {
        return None;
    }
    let workers = match value_of(arguments, "-w", "--workers") {
        Some(workers) => workers.parse::<u32>().ok()?,
        None => web_concurrency.map_or(Some(1), |text| text.trim().parse().ok())?,
    };
    let threads = match value_of(arguments, "", "--threads") {
        Some(threads) => threads.parse::<u32>().ok()?,
        None => 1,
    };
    workers.checked_mul(threads).filter(|most| (1..=100_000).contains(most))
}

/// The directory that gunicorn or uvicorn changes to before it loads the application.
pub(super) fn directory(words: &[OsString]) -> Option<PathBuf> {
    let (server, name) = Server::find(words)?;
    let arguments = words.get(name + 1..)?;
    let option = match server {
        Server::Gunicorn => "--chdir",
        Server::Uvicorn => "--app-dir",
        Server::Granian => "--working-dir",
    };
    value_of(arguments, "", option).map(PathBuf::from)
}

/// The module of the application, as in `mysite.wsgi:application`.
pub(super) fn module(words: &[OsString]) -> Option<String> {
    let (_, name) = Server::find(words)?;
    let is_module = |word: &&str| {
        let module = word.split(':').next().unwrap_or_default();
        let is_part = |part: &str| {
            part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && part.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        };
        module.contains('.') && module.split('.').all(is_part)
    };
    let words: Vec<_> = words.get(name + 1..)?.iter().filter_map(|word| word.to_str()).collect();
    // `-k uvicorn.workers.UvicornWorker` looks like a module too.
    let values = words.windows(2).filter_map(|pair| match pair {
        ["-k" | "--worker-class" | "-c" | "--config" | "--logger-class", value] => Some(*value),
        _ => None,
    });
    let values: Vec<_> = values.collect();
    let module = words.iter().rev().find(|word| is_module(word) && !values.contains(word))?;
    module.split(':').next().map(str::to_owned)
}

fn gunicorn_address(place: &Place) -> OsString {
    match place {
        Place::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}").into(),
        Place::Tcp { host, port } => format!("{host}:{port}").into(),
        Place::Unix(path) => {
            let mut address = OsString::from("unix:");
            address.push(path);
            address
        }
    }
}

fn is_option(word: &OsString) -> bool {
    word.as_bytes().first() == Some(&b'-')
}

/// The arguments without some options and their values.
fn without(arguments: &[OsString], short: &[&str], long: &[&str]) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let bytes = word.as_bytes();
        let is_whole = short.iter().chain(long).any(|option| option.as_bytes() == bytes);
        let is_joined = long.iter().any(|option| {
            bytes.strip_prefix(option.as_bytes()).is_some_and(|value| value.first() == Some(&b'='))
        }) || short.iter().any(|option| bytes.starts_with(option.as_bytes()));
        if is_whole {
            rest.next();
        } else if !is_joined {
            kept.push(word.clone());
        }
    }
    kept
}

/// The last value of an option.
pub(super) fn value_of(arguments: &[OsString], short: &str, long: &str) -> Option<String> {
    let mut value = None;
    let mut rest = arguments.iter().map(|word| word.to_string_lossy());
    while let Some(word) = rest.next() {
        if word == long || (!short.is_empty() && word == short) {
            value = rest.next().map(|word| word.into_owned());
        } else if let Some(joined) = word.strip_prefix(long).and_then(|it| it.strip_prefix('=')) {
            value = Some(joined.to_owned());
        } else if !short.is_empty()
            && let Some(joined) = word.strip_prefix(short).filter(|_| !word.starts_with("--"))
        {
            value = Some(joined.to_owned());
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn tcp() -> Place {
        Place::Tcp { host: "127.0.0.1".to_owned(), port: 8001 }
    }

    #[test]
    fn a_server_listens_where_forebay_says_and_nowhere_else() {
        const G: &str = "--bind 127.0.0.1:8001";
        const U: &str = "--host 127.0.0.1 --port 8001";
        for (given, bound) in [
            ("gunicorn a.wsgi", format!("gunicorn {G} a.wsgi")),
            ("gunicorn --bind 0.0.0.0:8000 a.wsgi", format!("gunicorn {G} a.wsgi")),
            ("gunicorn a.wsgi -b :80 --bind=:81 -b:82 -w 2", format!("gunicorn {G} a.wsgi -w 2")),
            (
                "/x/bin/gunicorn --backlog 5 a.wsgi",
                format!("/x/bin/gunicorn {G} --backlog 5 a.wsgi"),
            ),
            ("python3 -m gunicorn a.wsgi", format!("python3 -m gunicorn {G} a.wsgi")),
            (
                "otel --x gunicorn_x gunicorn a.wsgi",
                format!("otel --x gunicorn_x gunicorn {G} a.wsgi"),
            ),
            (
                "uvicorn a.asgi:app --port 8000 --host=:: --workers 2",
                format!("uvicorn {U} a.asgi:app --workers 2"),
            ),
            ("python -m uvicorn --uds /a a.asgi", format!("python -m uvicorn {U} a.asgi")),
            ("granian --interface asgi a:b --port=9", format!("granian {U} --interface asgi a:b")),
        ] {
            assert_eq!(bind(&words(given), &tcp()), Some(words(&bound)), "{given}");
        }
        let unix = Place::Unix("/tmp/a.sock".into());
        for (given, bound) in [
            ("gunicorn a.wsgi -b :80", "gunicorn --bind unix:/tmp/a.sock a.wsgi"),
            ("uvicorn a.asgi", "uvicorn --uds /tmp/a.sock a.asgi"),
        ] {
            assert_eq!(bind(&words(given), &unix), Some(words(bound)), "{given}");
        }
        for other in ["./start.sh", "python manage.py runserver", "waitress --user gunicorn"] {
            assert_eq!(bind(&words(other), &tcp()), None, "{other}");
        }
    }

    #[test]
    fn a_server_that_is_started_out_of_sight_is_bound_by_variables() {
        for (given, arguments) in [
            (None, "--bind 127.0.0.1:8001"),
            (Some(""), "--bind 127.0.0.1:8001"),
            (Some("--timeout 600 --bind=0.0.0.0:8000"), "--timeout 600 --bind 127.0.0.1:8001"),
            (Some("-b :8000 -e 'A=x y'"), "-e 'A=x y' --bind 127.0.0.1:8001"),
            // What nobody understands stays as it is.
            (Some("-w 'x"), "-w 'x --bind 127.0.0.1:8001"),
        ] {
            let variables = bind_by_variables(&tcp(), given.map(OsStr::new));
            let (name, value) = &variables[0];
            assert_eq!(
                (name.to_str(), value.to_str()),
                (Some("GUNICORN_CMD_ARGS"), Some(arguments))
            );
            assert_eq!(variables.len(), 5);
        }
    }

    #[test]
    fn what_gunicorn_does_at_once_is_told_by_its_command_line_or_not_at_all() {
        for (line, web_concurrency, most) in [
            ("gunicorn a.wsgi", None, Some(1)),
            ("gunicorn a.wsgi", Some("3"), Some(3)),
            ("gunicorn -w 4 a.wsgi", Some("3"), Some(4)),
            ("gunicorn -w4 a.wsgi", None, Some(4)),
            ("gunicorn --workers=2 --threads 8 -k gthread a.wsgi", None, Some(16)),
            ("gunicorn -k gevent -w 2 a.wsgi", None, None),
            ("gunicorn -c conf.py -w 2 a.wsgi", None, None),
            ("gunicorn -w many a.wsgi", None, None),
            ("gunicorn -w 0 a.wsgi", None, None),
            ("gunicorn a.wsgi", Some("auto"), None),
            ("uvicorn a.asgi", Some("3"), None),
        ] {
            assert_eq!(concurrency(&words(line), web_concurrency), most, "{line}");
        }
    }

    #[test]
    fn the_applications_module_and_directory_are_found() {
        for (line, found, at) in [
            ("gunicorn --bind :1 a.wsgi:application", Some("a.wsgi"), None),
            ("gunicorn a.wsgi -k uvicorn.workers.UvicornWorker", Some("a.wsgi"), None),
            ("gunicorn --chdir src a.b.wsgi -w 2", Some("a.b.wsgi"), Some("src")),
            ("uvicorn a.asgi:application --app-dir=x", Some("a.asgi"), Some("x")),
            ("gunicorn", None, None),
            ("./start.sh a.wsgi", None, None),
        ] {
            assert_eq!(module(&words(line)).as_deref(), found, "{line}");
            assert_eq!(directory(&words(line)), at.map(PathBuf::from), "{line}");
        }
    }

    proptest! {
        #[test]
        fn binding_twice_is_binding_once(rest in "( -b :1| -b:2| --bind=:3| --bind| -w 2| a.wsgi| =){0,6}") {
            let once = bind(&words(&format!("gunicorn{rest}")), &tcp()).unwrap();
            prop_assert_eq!(bind(&once, &tcp()).unwrap(), once.clone());
            let binds = once.iter().filter(|word| word.as_bytes().starts_with(b"--bind"));
            prop_assert_eq!(binds.count(), 1);
        }
    }
}
