//! FD-60: the database cannot be reached.
//!
//! Owns: this rule.
//! Must not know: how it is tried.

use super::super::database::Stage;
use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-60",
    title: "The database cannot be reached",
    why: "`migrate` fails or every page is a 500; mostly the server's firewall does not let the app in, or \
          the app is not in the network of a private server",
    mend: "allow the app's outbound addresses in the server's firewall (Networking), or join its network \
           by VNet integration with the private DNS zone",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let reached = patient.database.as_ref().map_err(Clone::clone)?;
    let Err(trouble) = &reached.outcome else { return Ok(vec![]) };
    Ok(match trouble.stage {
        Stage::Way => {
            let evidence = format!("{}, named by {}", reached.target, reached.named_by);
            vec![Finding::new(Severity::Error, &trouble.what, evidence).mended_by(&trouble.mend)]
        }
        Stage::Login | Stage::NoPassword => vec![],
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::database::Trouble;
    use super::super::super::{NotLooked, fixture};
    use super::*;

    #[test]
    fn a_way_that_is_closed_is_found() {
        let mut patient = fixture::healthy();
        let (what, mend) = ("cannot connect".to_owned(), "open the firewall".to_owned());
        let trouble = Trouble { stage: Stage::Way, what, mend };
        patient.database.as_mut().unwrap().outcome = Err(trouble);
        let found = fixture::found(&patient);
        assert_eq!(found, [("FD-60", Severity::Error)], "FD-61 cannot know");
        assert!(fixture::words(&patient, "FD-60").contains("open the firewall"));
        patient.database = Err(NotLooked::because("--offline"));
        assert!(check(&patient).is_err());
    }
}
