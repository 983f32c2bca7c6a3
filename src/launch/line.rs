//! Splits a line of a Procfile into a command, as a POSIX shell would.
//!
//! Owns: quotes, escapes, variables, and which lines only a shell understands.
//! Must not know: which programs there are, what a word means to one.

use std::ffi::{OsStr, OsString};
use std::iter::Peekable;
use std::os::unix::ffi::OsStrExt as _;
use std::str::Chars;

/// What a line is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Line {
    /// A program with its arguments, and variables that are set for it alone.
    Simple {
        /// `NAME=value` before the program.
        variables: Vec<(OsString, OsString)>,
        /// The program and its arguments. Never empty.
        words: Vec<OsString>,
    },
    /// It has a list, a pipe, a pattern, a builtin or another thing of the shell's own.
    NeedsShell,
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum BadLine {
    /// It ends within quotes, or behind a backslash.
    #[error("it ends within quotes or behind a `\\`")]
    Unclosed,
    /// No program is named.
    #[error("it names no program")]
    Empty,
}

/// Splits `line`; `$NAME`, `${NAME}` and `${NAME:-text}` are looked up with `variable`.
///
/// A value is split at its blanks where it stands outside quotes, as POSIX has it; unlike there it
/// is never taken for a pattern (POSIX.1-2024, XCU 2.2 and 2.6).
///
/// # Errors
///
/// [`BadLine`].
pub(super) fn split(
    line: &str,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Line, BadLine> {
    let mut splitter = Splitter::new(line.trim(), variable);
    match splitter.run() {
        Ok(()) => splitter.into_line(),
        Err(Stop::Shell) => Ok(Line::NeedsShell),
        Err(Stop::Bad(why)) => Err(why),
    }
}

/// Writes a word so that [`split`], or a shell, reads it as it is.
pub(super) fn quote(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:=,@%+".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

struct Splitter<'a, V> {
    rest: Peekable<Chars<'a>>,
    variable: V,
    words: Vec<Word>,
    word: Option<Word>,
}

#[derive(Default)]
struct Word {
    bytes: Vec<u8>,
    /// Whether everything so far stood outside quotes.
    is_bare: bool,
    /// The length of the name, where it is an assignment.
    name: Option<usize>,
}

enum Stop {
    Shell,
    Bad(BadLine),
}

impl<'a, V: Fn(&str) -> Option<OsString>> Splitter<'a, V> {
    fn new(line: &'a str, variable: V) -> Self {
        Self { rest: line.chars().peekable(), variable, words: Vec::new(), word: None }
    }

    fn run(&mut self) -> Result<(), Stop> {
        while let Some(letter) = self.rest.next() {
            match letter {
                ' ' | '\t' => self.end_word(),
                '\'' => self.single_quotes()?,
                '"' => self.double_quotes()?,
                '\\' => {
                    let next = self.rest.next().ok_or(Stop::Bad(BadLine::Unclosed))?;
                    self.push_quoted(next);
                }
                '$' => self.dollar(false)?,
                '#' if self.word.is_none() => return Ok(()),
                '~' if self.word.is_none() => return Err(Stop::Shell),
                '|' | '&' | ';' | '<' | '>' | '(' | ')' | '`' | '*' | '?' | '[' | '\n' => {
                    return Err(Stop::Shell);
                }
                '=' => self.equals(),
                _ => self.push(letter),
            }
        }
        Ok(())
    }

    fn into_line(mut self) -> Result<Line, BadLine> {
        self.end_word();
        let mut words = self.words.into_iter().peekable();
        let mut variables = Vec::new();
        while let Some(word) = words.next_if(|word| word.name.is_some()) {
            let name = word.name.unwrap_or_default();
            let (name, value) = word.bytes.split_at_checked(name).unwrap_or((&word.bytes, &[]));
            let value = value.strip_prefix(b"=").unwrap_or(value);
            variables.push((os(name), os(value)));
        }
        // The program takes the place of a shell in any case.
        words.next_if(|word| word.is_bare && word.bytes == b"exec");
        let first = words.peek().ok_or(BadLine::Empty)?;
        let is_option = first.bytes.first() == Some(&b'-');
        if is_option
            || (first.is_bare && SHELLS_OWN.iter().any(|own| own.as_bytes() == first.bytes))
        {
            return Ok(Line::NeedsShell);
        }
        Ok(Line::Simple { variables, words: words.map(|word| os(&word.bytes)).collect() })
    }

    fn word(&mut self) -> &mut Word {
        self.word.get_or_insert_with(|| Word { is_bare: true, ..Word::default() })
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn push(&mut self, letter: char) {
        let mut buffer = [0; 4];
        self.word().bytes.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
    }

    fn push_quoted(&mut self, letter: char) {
        self.word().is_bare = false;
        self.push(letter);
    }

    /// Makes the word an assignment where it can be one.
    fn equals(&mut self) {
        let may_assign = self.words.iter().all(|word| word.name.is_some());
        let word = self.word();
        let is_name = word.is_bare && std::str::from_utf8(&word.bytes).is_ok_and(is_name);
        if may_assign && is_name && word.name.is_none() {
            word.name = Some(word.bytes.len());
        }
        self.push('=');
    }

    fn single_quotes(&mut self) -> Result<(), Stop> {
        self.word().is_bare = false;
        loop {
            match self.rest.next().ok_or(Stop::Bad(BadLine::Unclosed))? {
                '\'' => return Ok(()),
                letter => self.push(letter),
            }
        }
    }

    fn double_quotes(&mut self) -> Result<(), Stop> {
        self.word().is_bare = false;
        loop {
            match self.rest.next().ok_or(Stop::Bad(BadLine::Unclosed))? {
                '"' => return Ok(()),
                '`' => return Err(Stop::Shell),
                '$' => self.dollar(true)?,
                '\\' => {
                    let next = self.rest.next().ok_or(Stop::Bad(BadLine::Unclosed))?;
                    if !"$`\"\\".contains(next) {
                        self.push('\\');
                    }
                    self.push(next);
                }
                letter => self.push(letter),
            }
        }
    }

    fn dollar(&mut self, is_quoted: bool) -> Result<(), Stop> {
        let value = match self.rest.peek() {
            Some('{') => {
                self.rest.next();
                self.braces()?
            }
            Some(letter) if letter.is_ascii_alphabetic() || *letter == '_' => {
                let name = self.name();
                (self.variable)(&name)
            }
            // A parameter of the shell's own, or a command.
            Some(letter) if letter.is_ascii_digit() || "(@*#?-$!'\"".contains(*letter) => {
                return Err(Stop::Shell);
            }
            _ => {
                self.push('$');
                return Ok(());
            }
        };
        let value = value.unwrap_or_default();
        if is_quoted || self.word.as_ref().is_some_and(|word| word.name.is_some()) {
            self.word().bytes.extend_from_slice(value.as_bytes());
        } else {
            self.push_fields(value.as_bytes());
        }
        Ok(())
    }

    /// `NAME}`, `NAME-text}` or `NAME:-text}`.
    fn braces(&mut self) -> Result<Option<OsString>, Stop> {
        let name = self.name();
        let mut text = String::new();
        loop {
            match self.rest.next().ok_or(Stop::Bad(BadLine::Unclosed))? {
                '}' => break,
                '$' | '`' | '\\' | '\'' | '"' | '{' => return Err(Stop::Shell),
                letter => text.push(letter),
            }
        }
        let value = (self.variable)(&name);
        if !is_name(&name) {
            Err(Stop::Shell)
        } else if text.is_empty() {
            Ok(value)
        } else if let Some(default) = text.strip_prefix(":-") {
            Ok(value.filter(|value| !value.is_empty()).or_else(|| Some(default.into())))
        } else if let Some(default) = text.strip_prefix('-') {
            Ok(value.or_else(|| Some(default.into())))
        } else {
            Err(Stop::Shell)
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(letter) =
            self.rest.next_if(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
        {
            name.push(letter);
        }
        name
    }

    /// Adds a value whose blanks divide words.
    fn push_fields(&mut self, value: &[u8]) {
        let mut fields = value.split(|byte| b" \t\n".contains(byte)).peekable();
        while let Some(field) = fields.next() {
            if !field.is_empty() {
                let word = self.word();
                word.is_bare = false;
                word.bytes.extend_from_slice(field);
            }
            if fields.peek().is_some() {
                self.end_word();
            }
        }
    }
}

fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(is_part) && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

fn os(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_owned()
}

/// Builtins without a program of the same name and effect, and reserved words (POSIX.1-2024, XCU
/// 2.4 and 2.15).
const SHELLS_OWN: &[&str] = &[
    "!", "{", ".", ":", "case", "cd", "eval", "exit", "export", "for", "if", "set", "shift",
    "source", "time", "times", "trap", "ulimit", "umask", "unset", "until", "wait", "while",
];

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use proptest::prelude::*;

    use super::*;

    fn variable(name: &str) -> Option<OsString> {
        match name {
            "PORT" => Some("8001".into()),
            "OPTIONS" => Some(" --a  'b' * ".into()),
            "EMPTY" => Some("".into()),
            "RAW" => Some(OsString::from_vec(b"x$y\xff".to_vec())),
            _ => None,
        }
    }

    fn words(line: &str) -> Vec<String> {
        match split(line, variable) {
            Ok(Line::Simple { words, .. }) => {
                words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    /// Lines that are split here; the shell must agree, but where a value could be a pattern.
    const SIMPLE: &[&str] = &[
        "gunicorn mysite.wsgi",
        "  printf\t a   b ",
        r#"a "b c" 'd e' f\ g h"i"'j'k"#,
        r#"a "x\"y\\z\n" 'x\y' '' """#,
        "a --bind 0.0.0.0:$PORT x${PORT}y ${PORT:-1} ${NONE:-9} ${EMPTY:-7} ${EMPTY-7} ${NONE-8}",
        r#"a $NONE "$NONE" ${NONE} x$NONE"y" $EMPTY"#,
        r#"a "$PORT b" '$PORT' \$PORT $ 5$"#,
        "a b # c 'd",
        "a b#c x=1 --y=2 a~b {} } ] ^",
        "exec a b",
    ];

    #[test]
    fn a_line_is_split_as_the_shell_splits_it() {
        for line in SIMPLE {
            let shells = std::process::Command::new("/bin/sh")
                .args([
                    "-c",
                    &format!("printf '%s\\n' {}", line.trim().trim_start_matches("exec ")),
                ])
                .env_clear()
                .envs([("PORT", "8001"), ("EMPTY", "")])
                .output()
                .unwrap();
            let shells = String::from_utf8(shells.stdout).unwrap();
            assert_eq!(words(line), shells.lines().collect::<Vec<_>>(), "{line}");
        }
    }

    #[test]
    fn a_value_is_split_at_blanks_and_is_neither_a_pattern_nor_a_quote() {
        assert_eq!(words("a x$OPTIONS-y"), ["a", "x", "--a", "'b'", "*", "-y"]);
        assert_eq!(words("a \"$OPTIONS\""), ["a", " --a  'b' * "]);
    }

    #[test]
    fn a_dollar_in_a_value_and_bytes_that_are_no_text_survive() {
        let Ok(Line::Simple { words, .. }) = split("a $RAW", variable) else { panic!() };
        assert_eq!(words[1].as_bytes(), b"x$y\xff");
    }

    #[test]
    fn assignments_before_the_program_are_its_variables() {
        let line = "A=1 B='x y' C=$OPTIONS exec python D=2";
        let Ok(Line::Simple { variables, words }) = split(line, variable) else { panic!() };
        let expected = [("A", "1"), ("B", "x y"), ("C", " --a  'b' * ")];
        assert_eq!(variables, expected.map(|(name, value)| (name.into(), value.into())));
        assert_eq!(words, ["python", "D=2"].map(OsString::from));
    }

    #[test]
    fn what_only_a_shell_understands_goes_to_one() {
        for line in [
            "cd src && gunicorn x",
            "a | b",
            "a; b",
            "a > b",
            "a &",
            "a $(date)",
            "a `date`",
            "a \"`date`\"",
            "a *.py",
            "~/bin/a",
            "a ~",
            "a $1 $$",
            "a ${B#c}",
            "a ${B:-$C}",
            "export A=1",
            ". ./env",
            "if true",
            "exec -a b c",
            "{ a",
        ] {
            assert_eq!(split(line, variable), Ok(Line::NeedsShell), "{line}");
        }
        assert_eq!(words("'cd' a"), ["cd", "a"]);
    }

    #[test]
    fn a_line_without_a_program_or_with_an_open_end_is_refused() {
        for line in ["", "  ", "# a", "A=1", "exec", "$NONE"] {
            assert_eq!(split(line, variable), Err(BadLine::Empty), "{line}");
        }
        for line in ["a 'b", "a \"b", "a \\", "a ${B"] {
            assert_eq!(split(line, variable), Err(BadLine::Unclosed), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in r#"[a-z$'"\\{}:=#~ \-|é]{0,40}"#) {
            drop(split(&line, variable));
        }

        #[test]
        fn a_quoted_word_is_read_as_it_is(words in prop::collection::vec("[^\0]{0,12}", 1..5)) {
            let line = words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
            let line = format!("a {line}");
            let Ok(Line::Simple { words: read, .. }) = split(&line, variable) else { panic!() };
            let expected: Vec<_> = words.iter().map(OsString::from).collect();
            prop_assert_eq!(&read[1..], &expected[..]);
        }
    }
}
