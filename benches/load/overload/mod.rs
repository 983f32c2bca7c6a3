//! Three times what the application can do: how much good work is left, and what becomes of the rest.

mod places;

use serde_json::{Value, json};

use crate::fitted::{Fitted, allow_files};
use crate::openloop;
use crate::player::{Player, Told};
use crate::stage::{Findings, Stage};
use crate::support::front::{Front, Place};
use crate::support::numbers::{median, number};
use crate::support::rounds::{self, Case, Target};
use crate::support::{Failure, Role, report, wire};

/// The parts that the benchmark's own program plays here.
pub(crate) const ROLES: [Role<'_>; 2] =
    [(places::ROLE, places::run), (openloop::ROLE, openloop::run)];

/// What the application does at once, and how long it takes for each, in milliseconds.
const PLACES: usize = 8;
const WORK_MS: usize = 10;

/// How many times the application's capacity is asked for.
const TIMES: u64 = 3;

/// How long a visitor waits, in milliseconds: an answer that comes later is none.
const PATIENCE_MS: u64 = 2000;

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
    let here = Front::installed(&[Front::Direct, Front::Nginx, Front::Haproxy, Front::Forebay]);
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
            let told = sample(&stage.place, manner, rate, if quick { 3 } else { 6 });
            samples.push(told.map_err(|why| Failure::new(format!("{}: {why}", manner.name)))?);
        }
    }
    println!(
        "\nOverload: an application with {PLACES} places and {WORK_MS} ms a request does {capacity} a \
         second; {rate} a second come, each from a visitor who waits {} s. Good is an answer with 200 \
         in that time; times are from when a request was to be sent\n{}",
        PATIENCE_MS / 1000,
        table(&manners, &samples, capacity)
    );
    let fronts = manners.iter().zip(&samples).map(|(manner, samples)| {
        let samples: Vec<_> = samples.iter().map(Told::value).collect();
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
    let sample = rounds::sample(&stage.plan(), &target, case, 2)?;
    Ok(sample.requests * 1_000_000 / sample.elapsed_us)
}

fn application(place: &Place) -> Result<Player, Failure> {
    Player::start(place, places::ROLE, &[PLACES, WORK_MS].map(|number| number.to_string()))
}

fn port(application: &mut Player) -> Result<u16, Failure> {
    let line = application.line()?;
    line.parse().map_err(|_| Failure::new(format!("`{line}` is no port of an application")))
}

/// One front before a new application, for so many seconds behind two that do not count.
fn sample(place: &Place, manner: &Manner, rate: u64, seconds: u64) -> Result<Told, Failure> {
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
    let numbers = [u64::from(running.port), rate, 2000, seconds * 1000, PATIENCE_MS];
    let arguments = numbers.map(|number| number.to_string());
    let mut visitors = Player::start(place, openloop::ROLE, &arguments)?;
    visitors.line()?;
    visitors.play()
}

/// Medians over all samples.
fn table(manners: &[&Manner], samples: &[Vec<Told>], capacity: u64) -> String {
    let head =
        "|good/s|of capacity|p50 ms|p99 ms|refused/s|p50 ms|p99 ms|gave up/s|broken/s|refused with";
    let mut rows = vec![head.split('|').map(str::to_owned).collect::<Vec<_>>()];
    for (manner, samples) in manners.iter().zip(samples) {
        let all = |value: &dyn Fn(&Told) -> u64| {
            median(&samples.iter().map(|told| number(value(told))).collect::<Vec<_>>())
        };
        let rate = |value: &dyn Fn(&Told) -> u64| {
            let each =
                samples.iter().map(|told| number(value(told)) * 1e6 / number(told.elapsed_us));
            median(&each.collect::<Vec<_>>())
        };
        let of = |told: &Told, name: &str| told.more.get(name).and_then(Value::as_u64).unwrap_or(0);
        let how = |told: &Told, name: &str| {
            let how = told.more.get("failed").and_then(|how| how.get(name));
            how.and_then(Value::as_u64).unwrap_or(0)
        };
        let good = rate(&|told| told.good);
        rows.push(vec![
            manner.name.to_owned(),
            format!("{good:.0}"),
            format!("{:.0} %", good * 100.0 / number(capacity)),
            format!("{:.0}", all(&|told| told.p50_us) / 1e3),
            format!("{:.0}", all(&|told| told.p99_us) / 1e3),
            format!("{:.0}", rate(&|told| of(told, "refused"))),
            format!("{:.1}", all(&|told| of(told, "refused_p50_us")) / 1e3),
            format!("{:.1}", all(&|told| of(told, "refused_p99_us")) / 1e3),
            format!("{:.0}", rate(&|told| how(told, openloop::GAVE_UP))),
            format!("{:.0}", rate(&|told| how(told, openloop::BROKEN))),
            statuses(samples),
        ]);
    }
    report::table(&rows)
}

/// The statuses of those that were refused.
fn statuses(samples: &[Told]) -> String {
    let mut all: Vec<&str> = samples
        .iter()
        .filter_map(|told| told.more.get("failed").and_then(Value::as_object))
        .flat_map(|how| how.keys().map(String::as_str))
        .filter(|how| how.parse::<u16>().is_ok())
        .collect();
    all.sort_unstable();
    all.dedup();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}
