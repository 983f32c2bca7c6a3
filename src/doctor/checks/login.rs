//! FD-61: the database does not let the site in.
//!
//! Owns: this rule.
//! Must not know: how it is tried.

use super::super::database::{Reached, Stage};
use super::super::{Finding, NotLooked, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-61",
    title: "The database refuses the login",
    why: "every page that needs the database is a 500; on Azure often a password that was cut at a `$`, \
          a user with `@server` of the retired Single Server, or a token that has expired",
    mend: "correct user, password and database; the user of a Flexible Server has no `@server` behind it",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let reached = patient.database.as_ref().map_err(Clone::clone)?;
    let mut found = other_password(patient, reached);
    let evidence = format!("{}, named by {}", reached.target, reached.named_by);
    let Err(trouble) = &reached.outcome else { return Ok(found) };
    match trouble.stage {
        Stage::Login => {
            let finding = Finding::new(Severity::Error, &trouble.what, evidence);
            found.insert(0, finding.mended_by(&trouble.mend));
            Ok(found)
        }
        Stage::Way => Err(NotLooked::because("the database cannot be reached (FD-60)")),
        Stage::NoPassword => Err(NotLooked::because(
            "it answers, but its password is not in a variable that forebay reads, such as DATABASE_URL",
        )),
    }
}

/// Django and the variable that names the same database have other passwords.
fn other_password(patient: &Patient, reached: &Reached) -> Vec<Finding> {
    let details = patient.details().ok();
    let default = details.and_then(|it| it.databases.iter().find(|it| it.alias == "default"));
    let of_django = default.and_then(|it| it.password_length).filter(|length| *length > 0);
    let (Some(django), Some(named)) = (of_django, reached.password_length) else { return vec![] };
    if django == named {
        return vec![];
    }
    let what = "Django's password for the database is not the one of the variable";
    let evidence =
        format!("Django's has {django} characters, that of {} has {named}", reached.named_by);
    let mend = "look at how settings.py takes it: `%`, `@`, `/` in a URL's password are to be escaped, and \
                a `$` survives no shell";
    vec![Finding::new(Severity::Warning, what, evidence).mended_by(mend)]
}

#[cfg(test)]
mod tests {
    use super::super::super::database::Trouble;
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn a_refusal_is_found_and_a_missing_password_is_not_looked_at() {
        for (stage, expected) in
            [(Stage::Login, &[("FD-61", Severity::Error)][..]), (Stage::NoPassword, &[])]
        {
            let mut patient = fixture::healthy();
            let (what, mend) = ("28P01".to_owned(), "correct it".to_owned());
            let outcome = Err(Trouble { stage, what, mend });
            patient.database.as_mut().unwrap().outcome = outcome;
            assert_eq!(fixture::found(&patient), expected);
            assert_eq!(check(&patient).is_err(), expected.is_empty());
        }
    }

    #[test]
    fn two_passwords_for_one_database_are_found() {
        let mut patient = fixture::healthy();
        fixture::default_database(&mut patient).password_length = Some(19);
        assert_eq!(fixture::found(&patient), [("FD-61", Severity::Warning)]);
        patient.database.as_mut().unwrap().password_length = None;
        assert_eq!(fixture::found(&patient), []);
    }
}
