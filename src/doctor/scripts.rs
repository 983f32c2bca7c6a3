//! Texts that start something: a Procfile, shell scripts, a Dockerfile, what Oryx reads.
//!
//! Owns: which files are looked at, and which of their lines run when an instance starts.
//! Must not know: what a line should say.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use crate::config::Environment;
use crate::telemetry::redacted;

/// A text that starts something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Script {
    /// Its path below the site's directory, or the variable that has it.
    pub name: String,
    /// Its lines, without comments; continued ones are one.
    pub lines: Vec<Line>,
}

/// A line of a script.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// Its number, from 1.
    pub number: usize,
    /// What is written there.
    pub text: String,
    /// When it runs.
    pub when: When,
}

/// When a line runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum When {
    /// At every start of every instance.
    Start,
    /// In the release phase.
    Release,
    /// When the image or the package is built.
    Build,
}

impl Script {
    /// Reads a text; its name says what it is.
    pub fn new(name: &str, text: &str) -> Self {
        let mut lines: Vec<Line> = Vec::new();
        let mut is_continued = false;
        for (text, number) in text.lines().zip(1..) {
            let text = text.trim();
            let continues = text.ends_with('\\');
            let part = text.trim_end_matches('\\').trim_end();
            match lines.last_mut().filter(|_| is_continued) {
                Some(line) => {
                    line.text.push(' ');
                    line.text.push_str(part);
                }
                None if part.is_empty() || part.starts_with('#') => {}
                None => {
                    let when = when(name, part);
                    lines.push(Line { number, text: part.to_owned(), when });
                }
            }
            is_continued = continues && !text.starts_with('#');
        }
        Self { name: name.to_owned(), lines }
    }

    /// A line as evidence: where it is and what it says, without passwords.
    pub fn cite(&self, line: &Line) -> String {
        let text: String = redacted(&line.text).chars().take(160).collect();
        format!("{}:{}: {text}", self.name, line.number)
    }
}

fn when(name: &str, line: &str) -> When {
    let is_docker = name.rsplit('/').next().is_some_and(|file| file.starts_with("Dockerfile"));
    let first = line.split_whitespace().next().unwrap_or_default();
    let is_release =
        ["Procfile", "forebay.toml"].contains(&name) && line.trim_start().starts_with("release");
    if is_release {
        When::Release
    } else if (is_docker && !["CMD", "ENTRYPOINT"].contains(&first)) || name.contains("_BUILD_") {
        When::Build
    } else {
        When::Start
    }
}

/// Reads what is there.
pub(super) fn read(directory: &Path, environment: &Environment) -> Vec<Script> {
    let mut names: Vec<String> = FILES.iter().map(|name| (*name).to_owned()).collect();
    for folder in ["", "bin", "deploy", "docker", "scripts"] {
        let entries = fs::read_dir(directory.join(folder)).into_iter().flatten().flatten();
        let found = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let found = found.filter(|name| has_ending(name, "sh") || name.starts_with("Dockerfile"));
        let path = |name| if folder.is_empty() { name } else { format!("{folder}/{name}") };
        names.extend(found.map(path));
    }
    names.sort_unstable();
    names.dedup();
    let files = names.into_iter().take(MOST_FILES).filter_map(|name| {
        let mut text = Vec::new();
        let file = fs::File::open(directory.join(&name)).ok()?;
        file.take(MOST_BYTES).read_to_end(&mut text).ok()?;
        Some(Script::new(&name, &String::from_utf8_lossy(&text)))
    });
    let variables = VARIABLES
        .iter()
        .filter_map(|name| environment.get(*name).map(|text| Script::new(name, text)));
    files.chain(variables).collect()
}

fn has_ending(name: &str, ending: &str) -> bool {
    Path::new(name).extension().is_some_and(|it| it == ending)
}

/// Files by their names, beside shell scripts and Dockerfiles.
const FILES: &[&str] = &["Procfile", "forebay.toml", "appsvc.yaml", "startup.txt"];

/// What Oryx runs (facts, 5.3).
const VARIABLES: &[&str] =
    &["PRE_RUN_COMMAND", "PRE_BUILD_COMMAND", "POST_BUILD_COMMAND", "STARTUP_COMMAND"];

const MOST_FILES: usize = 50;
const MOST_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_by_when_they_run() {
        for (name, text, when) in [
            ("Procfile", "release: python manage.py migrate", When::Release),
            ("Procfile", "web: gunicorn a.wsgi", When::Start),
            ("forebay.toml", "release = \"python manage.py migrate\"", When::Release),
            ("startup.sh", "release", When::Start),
            ("Dockerfile", "RUN python manage.py collectstatic", When::Build),
            ("docker/Dockerfile.web", "CMD [\"gunicorn\"]", When::Start),
            ("POST_BUILD_COMMAND", "python manage.py migrate", When::Build),
            ("PRE_RUN_COMMAND", "python manage.py migrate", When::Start),
        ] {
            assert_eq!(Script::new(name, text).lines[0].when, when, "{name}");
        }
    }

    #[test]
    fn comments_are_left_out_and_continued_lines_are_one() {
        let script =
            Script::new("a.sh", "# not \\\n\ngunicorn \\\n  --bind :80 \\\n a.wsgi\nend\n");
        let lines: Vec<_> = script.lines.iter().map(|it| (it.number, it.text.as_str())).collect();
        assert_eq!(lines, [(3, "gunicorn --bind :80 a.wsgi"), (6, "end")]);
    }

    #[test]
    fn files_and_variables_are_found_and_evidence_has_no_password() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::write(folder.path().join("bin/run.sh"), "x postgres://me:pw@host/db").unwrap();
        fs::write(folder.path().join("Procfile"), "web: a").unwrap();
        let environment = [("PRE_RUN_COMMAND".to_owned(), "b".to_owned())].into();
        let scripts = read(folder.path(), &environment);
        let names: Vec<_> = scripts.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["Procfile", "bin/run.sh", "PRE_RUN_COMMAND"]);
        let cited = scripts[1].cite(&scripts[1].lines[0]);
        assert_eq!(cited, "bin/run.sh:1: x postgres://[redacted]@host/db");
    }
}
