//! What must never be shown, taken out of every text that leaves.
//!
//! Owns: which variables are secrets, and the last look at a text.
//! Must not know: who writes the text.

use std::collections::BTreeSet;
use std::fs;

use percent_encoding::percent_decode_str;

use super::Patient;
use crate::telemetry::redacted;

/// The secrets of a site: texts that are replaced wherever they stand.
#[derive(Default)]
pub(super) struct Secrets {
    /// The longest first, so that a part of one does not hide it.
    texts: Vec<String>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.texts.len())
    }
}

impl Secrets {
    /// All that are known: of both environments, and of a `.env` file.
    pub(super) fn of(patient: &Patient) -> Self {
        let file = fs::read_to_string(patient.directory.join(".env")).unwrap_or_default();
        let written = file.lines().filter_map(|line| {
            let (name, value) = line.trim().trim_start_matches("export ").split_once('=')?;
            Some((name.trim(), value.trim().trim_matches(['"', '\''])))
        });
        let first = patient.first.iter().flatten();
        let variables = patient.environment.iter().chain(first);
        let variables = variables.map(|(name, value)| (name.as_str(), value.as_str()));
        let settings = patient.config.shown().iter();
        let settings = settings.flat_map(|it| it.values.iter().map(|value| (it.name, &**value)));
        // Commands can have `NAME=value` and URLs in them.
        let words = patient.start.iter().flat_map(|start| &start.web).map(|word| ("", &**word));
        let lines = patient.scripts.iter().flat_map(|script| &script.lines);
        let lines = lines.map(|line| ("", &*line.text));
        Self::among(variables.chain(written).chain(settings).chain(words).chain(lines))
    }

    fn among<'a>(variables: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut texts = BTreeSet::new();
        for (name, value) in variables {
            if is_secret(name) {
                texts.insert(value.to_owned());
            }
            texts.extend(inside(value));
        }
        // Shorter ones would tear other words apart; no evidence shows a value of a variable anyway.
        let mut texts: Vec<_> = texts.into_iter().filter(|it| it.len() >= SHORTEST).collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Self { texts }
    }

    /// The text without them.
    pub(super) fn hide(&self, text: &str) -> String {
        let clean = self.texts.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret, "[redacted]") } else { text }
        });
        redacted(&clean)
    }
}

/// Whether a variable's name says that its value is one.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET.iter().any(|part| name.contains(part))
        && !HARMLESS.contains(&name.trim_start_matches("APPSETTING_"))
}

/// Passwords inside a value: of a URL, and of `key=value` lists.
fn inside(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Some((_, rest)) = value.split_once("://")
        && let Some((credentials, _)) = rest.rsplit_once('@')
        && let Some((_, password)) = credentials.split_once(':')
    {
        found.push(password.to_owned());
        found.push(percent_decode_str(password).decode_utf8_lossy().into_owned());
    }
    for part in value.split([';', ' ', '&', '?', ',']) {
        if let Some((key, secret)) = part.split_once('=')
            && (is_secret(key) || key.eq_ignore_ascii_case("sig"))
        {
            found.push(secret.trim_matches(['\'', '"']).to_owned());
        }
    }
    found
}

/// Parts of the names of secrets.
const SECRET: &[&str] = &[
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PASS",
    "PWD",
    "TOKEN",
    "KEY",
    "CONNSTR",
    "CONNECTIONSTRING",
    "CONNECTION_STRING",
    "DSN",
    "CREDENTIAL",
    "SIGNATURE",
    "PRIVATE",
    "WEBHOOK",
    "IDENTITY_HEADER",
    "SALT",
];

/// Names that only look so.
const HARMLESS: &[&str] = &["PWD", "OLDPWD", "PGPASSFILE", "UPSTREAM-KEEP-ALIVE", "KEEP"];

const SHORTEST: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_known_by_their_names_and_places() {
        let secrets = Secrets::among(
            [
                ("DJANGO_SECRET_KEY", "abcdef"),
                ("DATABASE_URL", "postgres://me:p%40ss@host/db"),
                ("AZURE_POSTGRESQL_CONNECTIONSTRING", "dbname=a password=hunter22 host=b"),
                ("STORAGE", "AccountName=x;AccountKey=Zm9vYmFy"),
                ("LANG", "english"),
                ("PWD", "/home/site"),
            ]
            .into_iter(),
        );
        for secret in ["abcdef", "p%40ss", "p@ss", "hunter22", "Zm9vYmFy"] {
            assert_eq!(secrets.hide(&format!("<{secret}>")), "<[redacted]>");
        }
        assert_eq!(secrets.hide("english at /home/site"), "english at /home/site");
    }

    proptest! {
        #[test]
        fn no_secret_is_left_in_any_text(
            secret in "[a-zA-Z0-9$&%@:/+=-]{6,20}",
            name in "[A-Z]{0,4}(SECRET|PASSWORD|TOKEN|API_KEY)[A-Z]{0,4}",
            before in "[ -~]{0,30}",
            after in "[ -~]{0,30}",
        ) {
            prop_assume!(!HARMLESS.contains(&name.as_str()));
            let secrets = Secrets::among([(name.as_str(), secret.as_str())].into_iter());
            let hidden = secrets.hide(&format!("{before}{secret}{after}"));
            prop_assert!(!hidden.contains(&secret), "{}", hidden);
        }
    }
}
