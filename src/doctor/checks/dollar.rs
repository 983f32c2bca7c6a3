//! FD-30: a setting that lost what stood behind a `$`.
//!
//! Owns: this rule, and what a shell makes of a value in double quotes.
//! Must not know: what a setting is for. It never shows a value.

use super::super::secrets::is_secret;
use super::super::{Finding, Patient, Rule, Severity, Verdict};
use crate::config::Environment;

pub(super) const RULE: Rule = Rule {
    id: "FD-30",
    title: "A setting looks cut at a `$`",
    why: "shells between the platform and the program expand `$word` in a password to nothing, so that \
          the database or the mail server refuses it; an SSH session on App Service reads settings \
          through a shell",
    mend: "choose a value without `$`, quotes and line breaks; have nothing in the start script `eval`, \
           `source` or export settings: forebay hands them on byte for byte",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let present = &patient.environment;
    let mut found = Vec::new();
    let first = patient.first.iter().flatten();
    let first = first.map(|(name, given)| (name.as_str(), given, FIRST));
    // On App Service every setting is there twice.
    let twins = present.iter().filter_map(|(name, given)| {
        Some((name.strip_prefix("APPSETTING_")?, given, name.as_str()))
    });
    let mut told = Vec::new();
    let mut has_twins = false;
    for (name, given, whence) in first.chain(twins) {
        has_twins |= whence != FIRST;
        let Some(now) = present.get(name).filter(|now| *now != given) else { continue };
        if !given.contains('$') || told.contains(&name) {
            continue;
        }
        told.push(name);
        let (severity, what) = if *now == expanded(given, present) {
            (Severity::Error, format!("{name} has lost what stands behind its `$`"))
        } else {
            (Severity::Warning, format!("{name} has a `$` and is not what the platform set"))
        };
        let (now, before) = (now.chars().count(), given.chars().count());
        let evidence = format!("{name} has {now} characters here and {before} in {whence}");
        found.push(Finding::new(severity, what, evidence));
    }
    found.extend(short(patient, &told));
    match &patient.first {
        Err(why) if found.is_empty() && !has_twins => Err(why.clone()),
        Ok(_) | Err(_) => Ok(found),
    }
}

/// Where the first process shows what it was given (proc(5)).
const FIRST: &str = "/proc/1/environ";

/// Secrets that are too short to be whole, and not told yet.
fn short(patient: &Patient, told: &[&str]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut tell = |name: String, length: u64| {
        let what = format!("{name} has only {length} characters: was it cut at a `$`?");
        found.push(Finding::new(Severity::Warning, what, format!("the length of {name}")));
    };
    for (name, value) in &patient.environment {
        let length = value.chars().count();
        let is_known = told.iter().any(|told| name.ends_with(told));
        if !is_known
            && is_secret(name)
            && name.contains("PASSWORD")
            && (1..SHORT_PASSWORD).contains(&length)
        {
            tell(name.clone(), length as u64);
        }
    }
    if let Ok(details) = patient.details() {
        if (1..SHORT_KEY).contains(&details.secret_key_length) {
            tell("SECRET_KEY".to_owned(), details.secret_key_length);
        }
        for database in &details.databases {
            let length = database.password_length.unwrap_or_default();
            if (1..SHORT_PASSWORD as u64).contains(&length) {
                tell(format!("the password of DATABASES[{:?}]", database.alias), length);
            }
        }
    }
    found
}

/// Azure demands eight characters of a database's password; Django makes keys of fifty.
const SHORT_PASSWORD: usize = 4;
const SHORT_KEY: u64 = 20;

/// What a shell makes of a text in double quotes: variables are replaced (POSIX, XCU 2.6.2).
fn expanded(text: &str, variables: &Environment) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_str(before);
        let (name, after) = name(behind);
        match name {
            Some(name) => out.push_str(variables.get(name).map(String::as_str).unwrap_or_default()),
            None => out.push('$'),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The name of the variable that a `$` begins, and what follows it.
fn name(behind: &str) -> (Option<&str>, &str) {
    if let Some((name, after)) = behind.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        return (Some(name), after);
    }
    let is_digit = behind.starts_with(|letter: char| letter.is_ascii_digit());
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let length = if is_digit { 1 } else { behind.find(|it| !is_part(it)).unwrap_or(behind.len()) };
    match behind.split_at_checked(length) {
        Some((name, after)) if !name.is_empty() => (Some(name), after),
        Some(_) | None => (None, behind),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{NotLooked, fixture};
    use super::*;

    const GIVEN: &str = "hunter$mCyu&tail";

    #[test]
    fn a_value_is_expanded_as_in_double_quotes() {
        let variables = [("HOME".to_owned(), "/root".to_owned())].into();
        for (text, expected) in [
            ("x$mCyu&", "x&"),
            ("a$HOME-b", "a/root-b"),
            ("a${HOME}b${NOTHING}", "a/rootb"),
            ("a$1234", "a234"),
            ("a$", "a$"),
            ("a$$b$-", "a$$-"),
            ("a$&", "a$&"),
        ] {
            // `$$` is a process's number in a shell; here it stays, which is told as another change.
            let expanded = expanded(text, &variables);
            assert_eq!(expanded, if text == "a$$b$-" { "a$$-" } else { expected }, "{text}");
        }
    }

    #[test]
    fn a_cut_value_is_found_by_the_first_process_and_never_shown() {
        let mut patient = fixture::with(&[], &[("EMAIL_HOST_PASSWORD", "hunter&tail")]);
        let first = patient.first.as_mut().unwrap();
        first.insert("EMAIL_HOST_PASSWORD".to_owned(), GIVEN.to_owned());
        assert_eq!(fixture::found(&patient), [("FD-30", Severity::Error)]);
        let words = fixture::words(&patient, "FD-30");
        assert!(words.contains("EMAIL_HOST_PASSWORD has 11 characters here and 16 in"), "{words}");
        assert!(!words.contains("hunter") && !words.contains("mCyu"), "{words}");
        patient.environment.insert("EMAIL_HOST_PASSWORD".to_owned(), "other".to_owned());
        assert_eq!(fixture::found(&patient), [("FD-30", Severity::Warning)]);
    }

    #[test]
    fn a_cut_value_is_found_by_its_twin() {
        let variables = [("MAIL_PASSWORD", "hunter&tail"), ("APPSETTING_MAIL_PASSWORD", GIVEN)];
        let mut patient = fixture::with(&[], &variables);
        patient.first = Err(NotLooked::because("denied"));
        assert_eq!(fixture::found(&patient), [("FD-30", Severity::Error)]);
        patient.environment.remove("APPSETTING_MAIL_PASSWORD");
        assert_eq!(check(&patient), Err(NotLooked::because("denied")));
    }

    #[test]
    fn what_is_too_short_is_found() {
        let patient = fixture::with(&[], &[("DB_PASSWORD", "x&")]);
        assert_eq!(fixture::found(&patient), [("FD-30", Severity::Warning)]);
        let mut patient = fixture::healthy();
        fixture::details(&mut patient).secret_key_length = 7;
        assert_eq!(fixture::found(&patient), [("FD-30", Severity::Warning)]);
        let mut patient = fixture::healthy();
        fixture::default_database(&mut patient).password_length = Some(2);
        patient.database.as_mut().unwrap().password_length = Some(2);
        assert_eq!(fixture::found(&patient), [("FD-30", Severity::Warning)]);
    }
}
