//! What every part of the report is given, and where it leaves what it found.

use std::fs;

use serde_json::{Map, Value, json};

use crate::goals::{self, Goal};
use crate::overview::Overview;
use crate::support::chart::{self, Chart};
use crate::support::front::{Front, Place};
use crate::support::machine::Machine;
use crate::support::options::Options;
use crate::support::peer::{Behind, Peer, Started};
use crate::support::rounds::Plan;
use crate::support::upstream::Upstream;
use crate::support::{Failure, Tried as _, report};

/// A part of the report.
#[derive(Debug)]
pub(crate) struct Part {
    /// As `--only` names it.
    pub(crate) name: &'static str,
    /// What it measures, in the words of `--list`.
    pub(crate) about: &'static str,
    /// Measures, prints tables and leaves numbers.
    pub(crate) run: fn(&Stage, &mut Findings) -> Result<(), Failure>,
}

/// What every part is given.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) machine: Machine,
    pub(crate) options: Options,
    /// What fronts are started with.
    pub(crate) place: Place,
    /// Those that can be started here.
    fronts: Vec<Front>,
}

impl Stage {
    /// Looks at the machine and makes a place for files.
    pub(crate) fn prepare(options: Options) -> Result<Self, Failure> {
        let machine = Machine::look(&options.choice.command, &[("wrk", "wrk")])?;
        println!("{}", machine.text());
        let place = Place::prepare(&machine, &options.choice, "load")?;
        let fronts =
            Front::installed(&[Front::Nginx, Front::Haproxy, Front::Caddy, Front::Forebay]);
        Ok(Self { machine, options, place, fronts })
    }

    /// Those of `wanted` that can be started here; nobody in front always can.
    pub(crate) fn fronts(&self, wanted: &[Front]) -> Vec<Front> {
        let is_here = |front: &Front| *front == Front::Direct || self.fronts.contains(front);
        wanted.iter().copied().filter(is_here).collect()
    }

    /// Those of `wanted` that can be started here.
    pub(crate) fn peers(&self, wanted: &[Peer]) -> Vec<Peer> {
        let is_here = |peer: &Peer| peer.front().is_none_or(|front| self.fronts.contains(&front));
        wanted.iter().copied().filter(is_here).collect()
    }

    /// Starts those of `wanted` that can be started here, before an application.
    pub(crate) fn start(&self, wanted: &[Peer], behind: &Behind) -> Result<Vec<Started>, Failure> {
        self.peers(wanted).into_iter().map(|peer| peer.start(&self.place, behind)).collect()
    }

    /// Starts the application, with sockets in the folder of the benchmark.
    pub(crate) fn application(&self) -> Result<Upstream, Failure> {
        Upstream::start_in(self.place.load_cpu, self.place.files, &self.place.directory)
    }

    /// How load is made where rounds go through peers.
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            load_cpu: self.place.load_cpu,
            directory: self.place.directory.clone(),
            rounds: self.options.rounds,
            seconds: self.options.seconds,
        }
    }
}

/// What the parts have found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    values: Map<String, Value>,
    charts: Vec<Chart>,
    goals: Vec<Goal>,
    /// One table over all parts.
    pub(crate) overview: Overview,
}

impl Findings {
    /// Keeps the numbers of a part for `--json`.
    pub(crate) fn keep(&mut self, part: &str, value: Value) {
        self.values.insert(part.to_owned(), value);
    }

    /// Keeps a chart for `--svg`; they come in the order of the parts.
    pub(crate) fn draw(&mut self, chart: impl Into<Chart>) {
        self.charts.push(chart.into());
    }

    /// Keeps a goal for the summary.
    pub(crate) fn goal(&mut self, goal: Goal) {
        self.goals.push(goal);
    }

    /// The table of all goals, where there are some.
    pub(crate) fn summary(&self) -> Option<String> {
        (!self.goals.is_empty()).then(|| goals::summary(&self.goals))
    }

    /// Writes the files that were asked for.
    pub(crate) fn write(self, stage: &Stage) -> Result<(), Failure> {
        let machine = &stage.machine;
        if let Some(path) = &stage.options.choice.json {
            let all = json!({
                "processor": machine.processor,
                "cores": machine.cores,
                "commit": machine.commit,
                "command": machine.command,
                "load_before": machine.load,
                "parts": Value::Object(self.values),
                "goals": goals::values(&self.goals),
            });
            report::write_value(path, &all)?;
            println!("all numbers: {}", path.display());
        }
        if let Some(path) = &stage.options.svg {
            let Machine { processor, cores, commit, .. } = machine;
            let note = format!("{processor}, {cores} cores, commit {commit}");
            fs::write(path, chart::sheet(&self.charts, &note)).tried("write the charts")?;
            println!("charts: {}", path.display());
        }
        Ok(())
    }
}
