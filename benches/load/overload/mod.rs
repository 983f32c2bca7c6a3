//! Three times what the application can do: how much good work is left, and what becomes of the rest.

mod places;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fitted::{Fitted, allow_files};
use crate::player::{Player, micros};
use crate::stage::{Findings, Stage};
use crate::support::front::{Front, Place};
use crate::support::numbers::{median, number};
use crate::support::openloop::{OpenLoop, Outcome, percentile};
use crate::support::rounds::{self, Case, Target};
use crate::support::{Failure, Role, Tried as _, report, wire};

/// The parts that the benchmark's own program plays here.
pub(crate) const ROLES: [Role<'_>; 1] = [(places::ROLE, places::run)];

/// What the application does at once, and how long it takes for each, in milliseconds.
const PLACES: usize = 8;
const WORK_MS: usize = 10;

/// How many times the application's capacity is asked for.
const TIMES: u64 = 3;

/// How long a visitor waits: an answer that comes later is none.
const PATIENCE: Duration = Duration::from_secs(2);

/// What comes before the time that counts: until then queues fill.
const BEFORE: Duration = Duration::from_secs(2);

/// What became of the requests that came to an end in the time that counts.
#[derive(Clone, Debug)]
struct Sample {
    seconds: f64,
    /// Of answers with 200, sorted.
    good_us: Vec<u64>,
    /// Of answers with another status, sorted.
    refused_us: Vec<u64>,
    /// These statuses.
    statuses: BTreeSet<u16>,
    /// Visitors whose patience ended.
    gave_up: usize,
    /// Connections that ended without an answer.
    broken: usize,
}

impl Sample {
    fn of(outcomes: &[Outcome], length: Duration) -> Self {
        let (first, last) = (micros(BEFORE), micros(BEFORE + length));
        let mut sample = Self {
            seconds: length.as_secs_f64(),
            good_us: Vec::new(),
            refused_us: Vec::new(),
            statuses: BTreeSet::new(),
            gave_up: 0,
            broken: 0,
        };
        for Outcome { status, due_us, latency_us } in outcomes {
            if !(first..last).contains(&(due_us + latency_us)) {
                continue;
            }
            match status {
                200 => sample.good_us.push(*latency_us),
                0 if *latency_us >= micros(PATIENCE) => sample.gave_up += 1,
                0 => sample.broken += 1,
                _ => {
                    sample.refused_us.push(*latency_us);
                    sample.statuses.insert(*status);
                }
            }
        }
        sample.good_us.sort_unstable();
        sample.refused_us.sort_unstable();
        sample
    }

    fn value(&self) -> Value {
        let percentiles = |all: &[u64]| [500, 990].map(|part| percentile(all, part));
        json!({
            "seconds": self.seconds,
            "good": self.good_us.len(),
            "good_p50_p99_us": percentiles(&self.good_us),
            "refused": self.refused_us.len(),
            "refused_p50_p99_us": percentiles(&self.refused_us),
            "statuses": self.statuses,
            "gave_up": self.gave_up,
            "broken": self.broken,
        })
    }
}

/// A front and what it was told about the application.
struct Manner {
    name: &'static str,
    front: Front,
    nginx: &'static str,
    haproxy: &'static str,
    forebay: &'static [&'static str],
}

const UNTOLD: Manner =
    Manner { name: "direct", front: Front::Direct, nginx: "", haproxy: "", forebay: &[] };

/// The number of [`PLACES`] stands in what each is told.
const MANNERS: [Manner; 8] = [
    UNTOLD,
    Manner { name: "nginx", front: Front::Nginx, ..UNTOLD },
    Manner { name: "nginx, max_conns=8", front: Front::Nginx, nginx: " max_conns=8", ..UNTOLD },
    Manner { name: "haproxy", front: Front::Haproxy, ..UNTOLD },
    Manner {
        name: "haproxy, maxconn 8, timeout queue 1s",
        front: Front::Haproxy,
        haproxy: " maxconn 8",
        ..UNTOLD
    },
    Manner { name: "forebay", front: Front::Forebay, ..UNTOLD },
    Manner {
        name: "forebay --concurrency=8",
        front: Front::Forebay,
        forebay: &["--concurrency=8"],
        ..UNTOLD
    },
    Manner {
        name: "forebay --concurrency=8 --queue-deadline=1s",
        front: Front::Forebay,
        forebay: &["--concurrency=8", "--queue-deadline=1s"],
        ..UNTOLD
    },
];

/// Measures each front with and without knowledge of the application's places.
pub(crate) fn run(stage: &Stage, findings: &mut Findings) -> Result<(), Failure> {
    allow_files(&stage.place)?;
    let here = stage.fronts(&[Front::Direct, Front::Nginx, Front::Haproxy, Front::Forebay]);
    let manners: Vec<_> = MANNERS.iter().filter(|it| here.contains(&it.front)).collect();
    let capacity = capacity(stage)?;
    let rate = capacity * TIMES;
    let quick = stage.options.choice.quick;
    let mut samples = vec![Vec::new(); manners.len()];
    let once = 0..manners.len();
    // Each takes seconds, and has an application of its own: what one leaves waiting meets no other.
    let order: Vec<_> =
        if quick { once.collect() } else { once.clone().chain(once.rev()).collect() };
    for place in order {
        if let (Some(manner), Some(samples)) = (manners.get(place), samples.get_mut(place)) {
            let length = Duration::from_secs(if quick { 3 } else { 6 });
            let sample = sample(&stage.place, manner, rate, length);
            samples.push(sample.map_err(|why| Failure::new(format!("{}: {why}", manner.name)))?);
        }
    }
    println!(
        "\nOverload: an application with {PLACES} places and {WORK_MS} ms a request does {capacity} a \
         second; {rate} a second come, each from a visitor who waits {} s. Good is an answer with 200 \
         in that time; times are from when a request was to be sent\n{}",
        PATIENCE.as_secs(),
        table(&manners, &samples, capacity)
    );
    let fronts = manners.iter().zip(&samples).map(|(manner, samples)| {
        let samples: Vec<_> = samples.iter().map(Sample::value).collect();
        (manner.name.to_owned(), Value::from(samples))
    });
    let fronts = Value::Object(fronts.collect());
    findings.keep(
        "overload",
        json!({ "capacity_per_s": capacity, "offered_per_s": rate, "fronts": fronts }),
    );
    Ok(())
}

/// What the application does in a second for as many as it has places for.
fn capacity(stage: &Stage) -> Result<u64, Failure> {
    let mut application = application(&stage.place)?;
    let port = port(&mut application)?;
    let case = Case { name: "", path: "/b200", connections: PLACES };
    let request = wire::request(case.path);
    let target = Target { name: "direct", port, process: None, request };
    let plan = stage.plan();
    let mut samples = (0..3).map(|_| rounds::sample(&plan, &target, case, 1));
    // The best of some: whatever else the machine does only takes from it.
    samples.try_fold(0, |best, sample| {
        let sample = sample?;
        Ok(best.max(sample.requests * 1_000_000 / sample.elapsed_us))
    })
}

fn application(place: &Place) -> Result<Player, Failure> {
    Player::start(place, places::ROLE, &[PLACES, WORK_MS].map(|number| number.to_string()))
}

fn port(application: &mut Player) -> Result<u16, Failure> {
    let line = application.line()?;
    line.parse().map_err(|_| Failure::new(format!("`{line}` is no port of an application")))
}

/// One front before a new application, for so long behind a time that does not count.
fn sample(place: &Place, manner: &Manner, rate: u64, length: Duration) -> Result<Sample, Failure> {
    let mut application = application(place)?;
    let port = port(&mut application)?;
    let fitted = Fitted {
        name: "overload",
        nginx: include_str!("nginx.conf"),
        haproxy: include_str!("haproxy.cfg"),
        values: vec![
            ("MAX_CONNS", manner.nginx.to_owned()),
            ("MAXCONN", manner.haproxy.to_owned()),
        ],
        forebay: manner.forebay.iter().map(|flag| (*flag).to_owned()).collect(),
        is_http2: false,
    };
    let running = fitted.start(place, manner.front, port)?;
    let visitors = OpenLoop {
        rate: u32::try_from(rate).tried("have that many visitors")?,
        length: BEFORE + length,
        connections: 0,
        // Before the end of all that a visitor's patience lasts for, none waits for a connection.
        most: place.files.saturating_sub(1000),
        deadline: PATIENCE,
    };
    let load = (place.load_cpu, place.files);
    let outcomes = visitors.run(load, running.port, &wire::request("/b200"))?;
    Ok(Sample::of(&outcomes, length))
}

/// Medians over all samples.
fn table(manners: &[&Manner], samples: &[Vec<Sample>], capacity: u64) -> String {
    let head =
        "|good/s|of capacity|p50 ms|p99 ms|refused/s|p50 ms|p99 ms|gave up/s|broken/s|refused with";
    let mut rows = vec![head.split('|').map(str::to_owned).collect::<Vec<_>>()];
    for (manner, samples) in manners.iter().zip(samples) {
        let all =
            |value: &dyn Fn(&Sample) -> f64| median(&samples.iter().map(value).collect::<Vec<_>>());
        let rate = |count: &dyn Fn(&Sample) -> usize| {
            all(&|sample| number(count(sample) as u64) / sample.seconds)
        };
        let milliseconds = |values: &dyn Fn(&Sample) -> &[u64], part| {
            all(&|sample| number(percentile(values(sample), part)) / 1e3)
        };
        let good = rate(&|sample| sample.good_us.len());
        let statuses: BTreeSet<_> = samples.iter().flat_map(|sample| &sample.statuses).collect();
        let statuses: Vec<_> = statuses.iter().map(|status| status.to_string()).collect();
        rows.push(vec![
            manner.name.to_owned(),
            format!("{good:.0}"),
            format!("{:.0} %", good * 100.0 / number(capacity)),
            format!("{:.0}", milliseconds(&|sample| &sample.good_us, 500)),
            format!("{:.0}", milliseconds(&|sample| &sample.good_us, 990)),
            format!("{:.0}", rate(&|sample| sample.refused_us.len())),
            format!("{:.1}", milliseconds(&|sample| &sample.refused_us, 500)),
            format!("{:.1}", milliseconds(&|sample| &sample.refused_us, 990)),
            format!("{:.0}", rate(&|sample| sample.gave_up)),
            format!("{:.0}", rate(&|sample| sample.broken)),
            statuses.join(" "),
        ]);
    }
    report::table(&rows)
}
