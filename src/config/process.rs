//! The table `[processes]` of the configuration file.
//!
//! Owns: its form.
//! Must not know: what a command means.

/// A process of `forebay run`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Process {
    /// Its name.
    pub name: String,
    /// Its command.
    pub command: Command,
}

/// A command as it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// A line as in a Procfile.
    Line(String),
    /// Words that are taken as they are.
    Words(Vec<String>),
}

/// Reads `name = "line"` and `name = ["word", "word"]`; what is wrong comes with its mend.
pub(super) fn read(written: toml::Value) -> Result<Vec<Process>, (String, String)> {
    let toml::Value::Table(table) = written else {
        let mend = "write a table: `[processes]` and below it `web = \"gunicorn mysite.wsgi\"`";
        return Err((written.to_string(), mend.to_owned()));
    };
    let read = |(name, value): (String, toml::Value)| {
        let Some(command) = command(&value) else {
            let mend = format!(
                "write `{name} = \"a line\"` as in a Procfile, or `{name} = [\"program\", \"argument\"]`"
            );
            return Err((format!("{name} = {value}"), mend));
        };
        Ok(Process { name, command })
    };
    table.into_iter().map(read).collect()
}

/// A command that is not empty.
fn command(value: &toml::Value) -> Option<Command> {
    if let Some(line) = value.as_str() {
        return (!line.trim().is_empty()).then(|| Command::Line(line.to_owned()));
    }
    let words = value.as_array()?.iter().map(|word| word.as_str().map(str::to_owned));
    let words = words.collect::<Option<Vec<_>>>()?;
    words.first().is_some_and(|program| !program.is_empty()).then_some(Command::Words(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<Process>, (String, String)> {
        let mut table: toml::Table = text.parse().unwrap();
        read(table.remove("processes").unwrap())
    }

    #[test]
    fn a_process_is_a_line_or_a_list_of_words() {
        let processes =
            of("[processes]\nweb = 'gunicorn a.wsgi'\nworker = ['celery', '-A', 'a b']");
        let words = ["celery", "-A", "a b"].map(str::to_owned).to_vec();
        assert_eq!(
            processes.unwrap(),
            [
                Process {
                    name: "web".to_owned(),
                    command: Command::Line("gunicorn a.wsgi".to_owned())
                },
                Process { name: "worker".to_owned(), command: Command::Words(words) },
            ]
        );
    }

    #[test]
    fn what_is_neither_is_told_with_its_mend() {
        for text in [
            "processes = 'web'",
            "[processes]\nweb = 1",
            "[processes]\nweb = ''",
            "[processes]\nweb = []",
            "[processes]\nweb = ['', 'a']",
            "[processes]\nweb = ['a', 1]",
        ] {
            let (trouble, mend) = of(text).unwrap_err();
            assert!(!trouble.is_empty() && mend.starts_with("write "), "{text}");
        }
    }
}
