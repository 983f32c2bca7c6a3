//! FD-70: the running site refuses its own host, or does not answer.
//!
//! Owns: this rule.
//! Must not know: how the site is asked.

use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-70",
    title: "The running site does not answer for its own host",
    why: "this is what visitors get now, whatever the settings here say: the site that runs may have \
          been started with others",
    mend: "400: add the host to ALLOWED_HOSTS and start the site again; else look into its log for the \
           code",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let live = patient.live.as_ref().map_err(Clone::clone)?;
    let mut found = Vec::new();
    for (host, answer) in &live.answers {
        let evidence = |said: &str| format!("GET / with Host {host} at {}: {said}", live.at);
        match answer {
            Err(why) => {
                let what = format!("no answer for {host}");
                found.push(Finding::new(Severity::Error, what, evidence(why)));
            }
            Ok(answer) if answer.status == 400 => {
                let what = format!("the running site refuses the host {host}");
                found.push(Finding::new(Severity::Error, what, evidence("400")));
            }
            Ok(answer) if answer.status >= 500 => {
                let code = answer.code.as_deref().unwrap_or("no code of forebay");
                let what = format!("the running site answers {} for {host}", answer.status);
                let said = format!("{}, {code}", answer.status);
                found.push(Finding::new(Severity::Error, what, evidence(&said)));
            }
            Ok(_) => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::super::live::Answer;
    use super::super::super::{NotLooked, fixture};
    use super::*;

    #[test]
    fn what_the_site_answers_counts() {
        let answer = |status, code: Option<&str>| {
            Ok(Answer { status, location: None, code: code.map(str::to_owned) })
        };
        for (answer, part) in [
            (answer(400, None), Some("refuses the host www.example.com")),
            (answer(503, Some("FB-20")), Some("503, FB-20")),
            (Err("refused".to_owned()), Some("no answer")),
            (answer(404, None), None),
            (answer(302, None), None),
        ] {
            let mut patient = fixture::healthy();
            patient.live.as_mut().unwrap().answers[0].1 = answer;
            let found = fixture::found(&patient);
            match part {
                Some(part) => {
                    assert_eq!(found, [("FD-70", Severity::Error)]);
                    assert!(fixture::words(&patient, "FD-70").contains(part), "{part}");
                }
                None => assert_eq!(found, []),
            }
        }
        let mut patient = fixture::healthy();
        patient.live = Err(NotLooked::because("nobody"));
        assert!(check(&patient).is_err());
    }
}
