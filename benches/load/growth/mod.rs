//! What costs do as work grows: hops, files, connections, requests that wait, threads.
//!
//! Nothing may grow worse than in proportion, and a request's CPU not at all with the number of
//! connections.

mod fit;
mod askers;
mod hops;
mod assets;
mod crowds;
mod threads;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::fitted::{Fitted, allow_files};
use crate::goals::Goal;
use crate::stage::{Findings, Stage};
use crate::streams;
use crate::support::chart::axis::Scale;
use crate::support::chart::curves::{Curve, Curves};
use crate::support::front::Front;
use crate::support::machine::Machine;
use crate::support::{Failure, Role, report};
use fit::Fit;

/// The parts that the benchmark's own program plays here.
pub(crate) const ROLES: [Role<'_>; 1] = [(askers::ROLE, askers::run)];

/// How something grows with something else.
#[derive(Debug)]
struct Growth {
    title: String,
    /// What there is more and more of.
    across: &'static str,
    /// What is measured, with its unit.
    up: &'static str,
    /// Whether less is better; only then there is a verdict.
    is_cost: bool,
    curves: Vec<Curve>,
}

/// Measures each kind of growth; a table comes as soon as it is complete.
pub(crate) fn run(stage: &Stage, findings: &mut Findings) -> Result<(), Failure> {
    Machine::look(&stage.machine.command, &[("valgrind", "valgrind")])?;
    allow_files(&stage.place)?;
    let here = stage.fronts(&[Front::Nginx, Front::Haproxy, Front::Forebay]);
    let (mut values, mut all, mut by_connections) = (Vec::new(), Vec::new(), Vec::new());
    for measure in [hops::run, assets::run, crowds::connections, crowds::queued, threads::run] {
        for growth in measure(stage, &here)? {
            println!("\n{}\n{}", growth.title, growth.table());
            values.push(growth.value());
            findings.draw(growth.drawing());
            let exponents = growth.exponents();
            if growth.across == crowds::ACROSS {
                by_connections.extend(exponents.clone());
            }
            all.extend(exponents);
        }
    }
    findings.goal(Goal::worst("exponent by which a cost grows", fit::LINEAR, all));
    findings.goal(Goal::worst("that of CPU a request by connections", fit::FLAT, by_connections));
    findings.keep("growth", Value::Array(values));
    Ok(())
}

impl Growth {
    /// A line for each curve, a column for each amount of work.
    fn table(&self) -> String {
        // None is below zero, so that the order of the bits is that of the numbers.
        let all: BTreeSet<u64> = self.points().map(|(work, _)| work.to_bits()).collect();
        let all: Vec<f64> = all.into_iter().map(f64::from_bits).collect();
        let mut head = vec![format!("{} by {}", self.up, self.across)];
        head.extend(all.iter().map(|work| format!("{work}")));
        head.extend(["exponent", "at the end", "verdict"].map(str::to_owned));
        let mut rows = vec![head];
        for curve in &self.curves {
            let mut row = vec![curve.name.clone()];
            row.extend(all.iter().map(|work| {
                let point = curve.points.iter().find(|(own, _)| own.to_bits() == work.to_bits());
                point.map_or("-".to_owned(), |(_, cost)| figures(*cost))
            }));
            let fit = Fit::of(&curve.points);
            row.extend([fit.all, fit.end].map(|exponent| format!("{exponent:.2}")));
            row.push(self.verdict(fit).to_owned());
            rows.push(row);
        }
        report::table(&rows)
    }

    fn value(&self) -> Value {
        let curves = self.curves.iter().map(|curve| {
            let fit = Fit::of(&curve.points);
            json!({
                "name": curve.name, "points": curve.points, "exponent": fit.all,
                "exponent_at_the_end": fit.end, "verdict": self.verdict(fit),
            })
        });
        let curves: Vec<_> = curves.collect();
        json!({ "title": self.title, "across": self.across, "up": self.up, "curves": curves })
    }

    fn drawing(&self) -> Curves {
        let scale = |values: Vec<f64>| {
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let is_wide = values.into_iter().any(|value| value > least * 20.0);
            if is_wide { Scale::Logarithmic } else { Scale::Linear }
        };
        Curves {
            title: self.title.clone(),
            across: self.across.to_owned(),
            across_scale: scale(self.points().map(|(work, _)| work).collect()),
            up: self.up.to_owned(),
            up_scale: scale(self.points().map(|(_, cost)| cost).collect()),
            curves: self.curves.clone(),
        }
    }

    /// How forebay's costs grow, each with its name.
    fn exponents(&self) -> Vec<(String, f64)> {
        let is_own = |curve: &&Curve| self.is_cost && curve.name == Front::Forebay.name();
        let own = self.curves.iter().filter(is_own);
        own.map(|curve| (self.title.clone(), Fit::of(&curve.points).worse())).collect()
    }

    fn verdict(&self, fit: Fit) -> &'static str {
        if self.is_cost { fit.verdict().name() } else { "-" }
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.curves.iter().flat_map(|curve| curve.points.iter().copied())
    }
}

/// A number with as many places as say something.
fn figures(number: f64) -> String {
    if number >= 100.0 { format!("{number:.0}") } else { format!("{number:.1}") }
}

/// Fronts with room for all connections on both sides.
fn roomy(name: &'static str, forebay: &[&str]) -> Fitted {
    let mut fitted = Fitted { name, ..streams::fitted() };
    fitted.set("KEPT", "20000");
    fitted.forebay = forebay.iter().map(|flag| (*flag).to_owned()).collect();
    fitted
}
