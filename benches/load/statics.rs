//! Static files, as `cargo bench --bench statics` measures them.

use std::fs;

use crate::goals::Goal;
use crate::stage::{Findings, Stage};
use crate::support::chart::bars::Bars;
use crate::support::front::Place;
use crate::support::rounds::{Measured, Plan, Sample};
use crate::support::statics::measure;
use crate::support::{Failure, Tried as _, report};

/// The cases of a quick run, by their places: 1 KiB and 100 KiB.
const QUICK: [usize; 2] = [0, 3];

/// Rounds at most: the differences here are large.
const ROUNDS: usize = 2;

/// Measures all sizes.
pub(crate) fn run(stage: &Stage, findings: &mut Findings) -> Result<(), Failure> {
    let quick = stage.options.choice.quick;
    let place = Place::prepare(&stage.machine, &stage.options.choice, "load-static")?;
    let application = stage.application()?;
    let plan = stage.plan();
    let rounds = plan.rounds.min(ROUNDS);
    let plan = Plan { directory: place.directory.clone(), rounds, ..plan };
    let is_wanted = |place: usize| !quick || QUICK.contains(&place);
    let results = measure::run_all(&place, &plan, &application, is_wanted)?;
    let bars = Bars {
        title: "CPU time of a static file".to_owned(),
        axis: "µs a request in the server, median of the samples; less is better".to_owned(),
        groups: results.with_log.iter().map(report::case_bars).collect(),
    };
    bars.apart().into_iter().for_each(|bars| findings.draw(bars));
    // Up to 1 MiB.
    let is_meant = |measured: &&Measured| measured.case.name != "20 MiB";
    let ratio = |measured: &Measured| {
        let ratio = measured.ratio("forebay", "nginx", Sample::cpu_us)?;
        Some((measured.case.text(), ratio))
    };
    let ratios = results.with_log.iter().filter(is_meant).filter_map(ratio).collect();
    findings.goal(Goal::worst(
        "CPU of static files up to 1 MiB ÷ nginx, both with log",
        1.0,
        ratios,
    ));
    findings.keep("static", results.value());
    // The logs have a line for each of some millions of requests.
    fs::remove_dir_all(&place.directory).tried("remove the files")
}
