//! FD-71: the running site redirects in a circle.
//!
//! Owns: this rule.
//! Must not know: how the site is asked.

use super::super::{Finding, NotLooked, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-71",
    title: "The running site redirects https to itself",
    why: "the visitor came over https and is sent to the same address again: the browser says \"too many \
          redirects\"",
    mend: "set SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\"), leave --scheme out, and \
           say --platform where it is not detected",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let live = patient.live.as_ref().map_err(Clone::clone)?;
    if !live.believes_scheme {
        return Err(NotLooked::because(
            "without a platform the running forebay believes no scheme",
        ));
    }
    let circles = live.answers.iter().filter_map(|(host, answer)| {
        let answer = answer.as_ref().ok().filter(|it| (300..400).contains(&it.status))?;
        let location = answer.location.as_deref()?;
        let is_same = [format!("https://{host}/"), format!("https://{host}")]
            .iter()
            .any(|same| location.eq_ignore_ascii_case(same));
        is_same.then(|| {
            let evidence = format!(
                "GET / over https with Host {host} at {}: {} to {location}",
                live.at, answer.status
            );
            Finding::new(Severity::Error, RULE.title, evidence)
        })
    });
    Ok(circles.collect())
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::super::super::live::Answer;
    use super::*;

    #[test]
    fn only_a_redirect_to_itself_is_a_circle() {
        for (location, expected) in [
            ("https://www.example.com/", &[("FD-71", Severity::Error)][..]),
            ("https://www.example.com/en/", &[]),
            ("https://example.com/", &[]),
        ] {
            let mut patient = fixture::healthy();
            let live = patient.live.as_mut().unwrap();
            let location = Some(location.to_owned());
            live.answers[0].1 = Ok(Answer { status: 301, location, code: None });
            assert_eq!(fixture::found(&patient), expected);
            patient.live.as_mut().unwrap().believes_scheme = false;
            assert!(check(&patient).is_err());
        }
    }
}
