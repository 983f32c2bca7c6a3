//! What was found, for people and for machines.
//!
//! Owns: the form of both, the exit code.
//! Must not know: how anything was found.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::secrets::Secrets;
use super::{Finding, NotLooked, Rule, Severity, Verdict};

/// What the rules said, without secrets.
#[derive(Clone, Debug)]
pub struct Report {
    found: Vec<(&'static Rule, Finding)>,
    not_looked: Vec<(&'static Rule, String)>,
    in_order: usize,
}

impl Report {
    /// From what every rule said; the worst comes first.
    pub(super) fn new(verdicts: Vec<(&'static Rule, Verdict)>, secrets: &Secrets) -> Self {
        let mut report = Self { found: Vec::new(), not_looked: Vec::new(), in_order: 0 };
        for (rule, verdict) in verdicts {
            match verdict {
                Ok(findings) if findings.is_empty() => report.in_order += 1,
                Ok(findings) => {
                    let clean = findings.into_iter().map(|finding| Finding {
                        severity: finding.severity,
                        what: secrets.hide(&finding.what),
                        evidence: secrets.hide(&finding.evidence),
                        mend: finding.mend.map(|mend| secrets.hide(&mend)),
                    });
                    report.found.extend(clean.map(|finding| (rule, finding)));
                }
                Err(NotLooked(why)) => report.not_looked.push((rule, secrets.hide(&why))),
            }
        }
        report.found.sort_by_key(|(_, finding)| finding.severity);
        report
    }

    /// 1 where something must be mended, else 0: notes and what was not looked at do not count.
    pub fn code(&self) -> u8 {
        u8::from(self.found.iter().any(|(_, finding)| finding.severity != Severity::Note))
    }

    fn count(&self, severity: Severity) -> usize {
        self.found.iter().filter(|(_, finding)| finding.severity == severity).count()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (rule, finding) in &self.found {
            let Finding { severity, what, evidence, mend } = finding;
            paragraph(&mut text, &format!("{:7} {}", severity.as_str(), rule.id), what);
            paragraph(&mut text, "        found", evidence);
            paragraph(&mut text, "        why", rule.why);
            paragraph(&mut text, "        mend", mend.as_deref().unwrap_or(rule.mend));
            text.push('\n');
        }
        for (rule, why) in &self.not_looked {
            paragraph(
                &mut text,
                &format!("unknown {}", rule.id),
                &format!("{}: {why}", rule.title),
            );
        }
        if !self.not_looked.is_empty() {
            text.push('\n');
        }
        let [errors, warnings, notes] = [Severity::Error, Severity::Warning, Severity::Note]
            .map(|severity| counted(self.count(severity), severity.as_str()));
        let (blind, order) = (self.not_looked.len(), counted(self.in_order, "rule"));
        // Writing to a string cannot fail.
        writeln!(text, "{errors}, {warnings}, {notes}; {blind} not looked at; {order} in order")
            .unwrap_or_default();
        text
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let found = self.found.iter().map(|(rule, finding)| {
            json!({
                "rule": rule.id,
                "severity": finding.severity.as_str(),
                "what": finding.what,
                "evidence": finding.evidence,
                "why": rule.why,
                "mend": finding.mend.as_deref().unwrap_or(rule.mend),
            })
        });
        let not_looked = self
            .not_looked
            .iter()
            .map(|(rule, why)| json!({ "rule": rule.id, "title": rule.title, "why": why }));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "notes": self.count(Severity::Note),
            "in_order": self.in_order,
            "findings": found.collect::<Vec<_>>(),
            "not_looked": not_looked.collect::<Vec<_>>(),
        })
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A text behind a label, in lines of at most [`WIDTH`] letters.
fn paragraph(out: &mut String, label: &str, text: &str) {
    let mut line = format!("{label:14}");
    for (place, word) in text.split_whitespace().enumerate() {
        if place > 0 && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(out, "{}", line.trim_end()).unwrap_or_default();
            line = format!("{:14}", "");
        } else if place > 0 {
            line.push(' ');
        }
        // Nothing that it says steers a terminal.
        line.extend(word.chars().map(|it| if it.is_control() { '?' } else { it }));
    }
    writeln!(out, "{}", line.trim_end()).unwrap_or_default();
}

const WIDTH: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    static RULE: Rule = Rule {
        id: "FD-00",
        title: "a title",
        why: "because",
        mend: "do it",
        check: |_| Ok(vec![]),
    };

    fn report(verdict: Verdict) -> Report {
        Report::new(vec![(&RULE, verdict)], &Secrets::default())
    }

    #[test]
    fn only_notes_and_what_was_not_looked_at_are_exit_code_0() {
        for (severity, code) in [(Severity::Error, 1), (Severity::Warning, 1), (Severity::Note, 0)]
        {
            assert_eq!(report(Ok(vec![Finding::new(severity, "a", "b")])).code(), code);
        }
        assert_eq!(report(Err(NotLooked::because("dark"))).code(), 0);
        assert_eq!(report(Ok(vec![])).code(), 0);
    }

    #[test]
    fn a_finding_says_what_where_why_and_how_in_lines_that_fit() {
        let long = "word ".repeat(60) + "\x1b[31m";
        let finding = Finding::new(Severity::Error, "it is wrong", long);
        let text = report(Ok(vec![finding.clone()])).text();
        for part in
            ["error   FD-00 it is wrong\n", "        found ", "why   because", "mend  do it"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.lines().all(|line| line.len() <= WIDTH) && !text.contains('\x1b'), "{text}");
        assert!(
            text.ends_with("1 error, 0 warnings, 0 notes; 0 not looked at; 0 rules in order\n")
        );
        let json = report(Ok(vec![finding.mended_by("so")])).json();
        assert_eq!(json["findings"][0]["mend"], "so");
        assert_eq!((&json["errors"], &json["findings"][0]["rule"]), (&1.into(), &"FD-00".into()));
    }

    #[test]
    fn the_worst_comes_first() {
        let found = [Severity::Note, Severity::Error, Severity::Warning]
            .map(|severity| Finding::new(severity, severity.as_str(), ""));
        let json = report(Ok(found.to_vec())).json();
        let order: Vec<_> =
            (0..3).map(|place| json["findings"][place]["what"].as_str().unwrap()).collect();
        assert_eq!(order, ["error", "warning", "note"]);
    }
}
