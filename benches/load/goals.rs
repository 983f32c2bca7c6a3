//! What forebay is to reach, and whether it did: the summary at the end of the report.

use serde_json::{Value, json};

use crate::support::report::table;

/// One goal, held against what was measured. Less is always better.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    what: String,
    limit: f64,
    /// The number that counts; nothing where it could not be measured.
    measured: Option<f64>,
    /// Where that number comes from.
    note: String,
}

impl Goal {
    /// A goal that one number decides.
    pub(crate) fn one(what: &str, limit: f64, measured: Option<f64>, note: &str) -> Self {
        Self { what: what.to_owned(), limit, measured, note: note.to_owned() }
    }

    /// A goal that holds in every case, each with its name: the worst decides.
    pub(crate) fn worst(what: &str, limit: f64, cases: Vec<(String, f64)>) -> Self {
        let missed = cases.iter().filter(|(_, number)| *number > limit).count();
        let count = cases.len();
        let worst = cases.into_iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
        let note = match &worst {
            Some((case, _)) if count > 1 => format!("worst: {case}; {missed} of {count} miss it"),
            Some((case, _)) => case.clone(),
            None => String::new(),
        };
        Self::one(what, limit, worst.map(|(_, number)| number), &note)
    }

    fn row(&self) -> Vec<String> {
        let Self { what, limit, measured, note } = self;
        let verdict = match measured {
            None => "not measured".to_owned(),
            Some(number) if number <= limit => "met".to_owned(),
            Some(number) if *limit > 0.0 => {
                format!("missed by {:.0} %", (number / limit - 1.0) * 100.0)
            }
            Some(_) => "missed".to_owned(),
        };
        let number = measured.map_or("-".to_owned(), |number| format!("{number:.2}"));
        vec![what.clone(), format!("≤ {limit:.2}"), number, verdict, note.clone()]
    }

    fn value(&self) -> Value {
        let Self { what, limit, measured, note } = self;
        json!({ "goal": what, "limit": limit, "measured": measured, "note": note })
    }
}

/// The table of all goals.
pub(crate) fn summary(goals: &[Goal]) -> String {
    let mut rows = vec![["goal", "limit", "measured", "", ""].map(str::to_owned).to_vec()];
    rows.extend(goals.iter().map(Goal::row));
    table(&rows)
}

/// All goals for `--json`.
pub(crate) fn values(goals: &[Goal]) -> Value {
    goals.iter().map(Goal::value).collect()
}
