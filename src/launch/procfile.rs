//! Reads a Procfile.
//!
//! Owns: its grammar.
//! Must not know: what a command means.

/// One process of a Procfile.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    /// Its name.
    pub(super) name: String,
    /// Its command as written.
    pub(super) line: String,
}

/// Why a text is no Procfile.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadProcfile {
    /// A line is neither a process, nor a comment, nor empty.
    #[error("line {number} is `{text}`")]
    Line {
        /// Its number, from 1.
        number: usize,
        /// What is written there.
        text: String,
    },
    /// Two processes have one name.
    #[error("line {number} names `{name}` again")]
    Twice {
        /// The number of the second, from 1.
        number: usize,
        /// The name.
        name: String,
    },
    /// A process has a name that is none.
    #[error("`{name}` is no name for a process")]
    Name {
        /// The name.
        name: String,
    },
    /// No process is called `web`.
    #[error("it has no process `web`")]
    NoWeb,
}

/// Reads `name: command` lines, comments and empty lines.
///
/// # Errors
///
/// [`BadProcfile`].
pub(super) fn read(text: &str) -> Result<Vec<Entry>, BadProcfile> {
    let mut entries: Vec<Entry> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let bad = || BadProcfile::Line { number, text: line.to_owned() };
        let (name, command) = line.split_once(':').ok_or_else(bad)?;
        let (name, command) = (name.trim_end(), command.trim());
        if command.is_empty() || !is_name(name) {
            return Err(bad());
        }
        if entries.iter().any(|entry| entry.name == name) {
            return Err(BadProcfile::Twice { number, name: name.to_owned() });
        }
        entries.push(Entry { name: name.to_owned(), line: command.to_owned() });
    }
    check(entries.iter().map(|entry| entry.name.as_str()))?;
    Ok(entries)
}

/// Checks the names of all processes.
///
/// # Errors
///
/// [`BadProcfile::Name`] and [`BadProcfile::NoWeb`].
pub(super) fn check<'a>(
    mut names: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), BadProcfile> {
    if let Some(name) = names.clone().find(|name| !is_name(name)) {
        return Err(BadProcfile::Name { name: name.to_owned() });
    }
    if names.any(|name| name == super::WEB) { Ok(()) } else { Err(BadProcfile::NoWeb) }
}

fn is_name(name: &str) -> bool {
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    !name.is_empty() && name.bytes().all(is_sound)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn processes_come_in_their_order() {
        let text = "# all of it\r\nrelease: python manage.py migrate\n\n  web : gunicorn a:b # c\r\n\
                    worker:celery -A a worker\n";
        let entries = read(text).unwrap();
        let pairs: Vec<_> =
            entries.iter().map(|entry| (entry.name.as_str(), entry.line.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("release", "python manage.py migrate"),
                ("web", "gunicorn a:b # c"),
                ("worker", "celery -A a worker"),
            ]
        );
    }

    #[test]
    fn what_is_no_process_is_told_with_its_line() {
        for (text, number) in [("web: a\nworker", 2), ("we b: a", 1), ("web:", 1), (": a", 1)] {
            let why = read(text).unwrap_err();
            assert!(matches!(why, BadProcfile::Line { number: n, .. } if n == number), "{text}");
        }
        assert_eq!(
            read("web: a\nweb: b").unwrap_err(),
            BadProcfile::Twice { number: 2, name: "web".to_owned() }
        );
        assert_eq!(read("worker: a").unwrap_err(), BadProcfile::NoWeb);
        assert_eq!(read("").unwrap_err(), BadProcfile::NoWeb);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z:# \\r\\n_-]{0,60}") {
            drop(read(&text));
        }

        #[test]
        fn what_was_written_is_read(name in "[a-z0-9_-]{1,8}", line in "[!-~]{1,20}") {
            prop_assume!(name != "web");
            let entries = read(&format!("web: a\n{name}: {line}")).unwrap();
            prop_assert_eq!(&entries[1], &Entry { name, line });
        }
    }
}
