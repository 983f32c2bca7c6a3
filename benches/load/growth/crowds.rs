//! Connections, and requests that wait: CPU of a request.

use super::{Growth, askers, roomy};
use crate::fitted::{self, Fitted, Turn};
use crate::stage::Stage;
use crate::support::Failure;
use crate::support::chart::curves::Curve;
use crate::support::front::Front;
use crate::support::numbers::{median, number};
use crate::support::upstream::Upstream;

/// What there is more and more of where a request's CPU has to stay flat.
pub(super) const ACROSS: &str = "connections";

/// How many connections there are.
const CONNECTIONS: [usize; 7] = [1, 16, 64, 256, 1024, 4096, 10_000];

/// How many requests forebay gives the application at once.
const AT_ONCE: usize = 128;

/// How many of them ask at once where most are idle.
const BUSY: usize = 64;

/// How many requests wait.
const WAITING: [usize; 4] = [1, 10, 100, 1000];

/// How many requests the application is given at once meanwhile.
const PLACES: usize = 16;

/// How many connections ask and how many are idle.
type Split<'a> = &'a dyn Fn(usize) -> (usize, usize);

/// Measures more and more connections, most of them idle and then none.
pub(super) fn connections(stage: &Stage, here: &[Front]) -> Result<Vec<Growth>, Failure> {
    let files = stage.place.files;
    // Each connection has one to the application, and nginx closes idle ones when of all that it may
    // have fewer than a sixteenth are left.
    let most = files * 9 / 20;
    if let Some(wanted) = CONNECTIONS.into_iter().find(|count| *count > most) {
        println!(
            "\nlimit: {most} connections in place of {wanted}: each has one to the application, and \
             `ulimit -Hn` allows {files} open files"
        );
    }
    let quick = stage.options.choice.quick;
    let counts: Vec<_> = CONNECTIONS.into_iter().map(|count| count.min(most)).collect();
    let counts: Vec<_> = if quick { counts.into_iter().step_by(3).collect() } else { counts };
    let fitted = |concurrency| {
        let concurrency = format!("--concurrency={concurrency}");
        roomy("connections", &["--connection-limit=20000", "--queue-limit=20000", &concurrency])
    };
    let mostly_idle: Split<'_> = &|count| (count.min(BUSY), count.saturating_sub(BUSY));
    let all_ask: Split<'_> = &|count| (count, 0);
    let growth = |title: String, curves| Growth {
        title,
        across: ACROSS,
        up: "CPU µs a request",
        is_cost: true,
        curves,
    };
    let idle = curves(stage, &fitted(AT_ONCE), here, (&counts, mostly_idle))?;
    let mut busy = curves(stage, &fitted(AT_ONCE), here, (&counts, all_ask))?;
    // As nginx and HAProxy do it: whatever comes goes to the application at once.
    for mut curve in curves(stage, &fitted(files), &[Front::Forebay], (&counts, all_ask))? {
        curve.name.push_str(", no queue");
        busy.push(curve);
    }
    Ok(vec![
        growth(format!("Connections, of which {BUSY} ask, 200 B"), idle),
        growth(format!("Connections which all ask, 200 B; forebay --concurrency={AT_ONCE}"), busy),
    ])
}

/// Measures more and more requests that wait for a place.
pub(super) fn queued(stage: &Stage, here: &[Front]) -> Result<Vec<Growth>, Failure> {
    let concurrency = format!("--concurrency={PLACES}");
    let fitted = Fitted {
        haproxy: include_str!("queued.cfg"),
        ..roomy("queued", &[&concurrency, "--queue-limit=2000"])
    };
    let split: Split<'_> = &|waiting| (PLACES + waiting, 0);
    // nginx has no queue.
    let fronts: Vec<_> = here.iter().copied().filter(|front| *front != Front::Nginx).collect();
    Ok(vec![Growth {
        title: format!("Requests that wait while the application is given {PLACES} at once, 200 B"),
        across: "waiting",
        up: "CPU µs a request",
        is_cost: true,
        curves: curves(stage, &fitted, &fronts, (&WAITING, split))?,
    }])
}

/// A curve for each front.
fn curves(
    stage: &Stage,
    fitted: &Fitted,
    fronts: &[Front],
    (counts, split): (&[usize], Split<'_>),
) -> Result<Vec<Curve>, Failure> {
    let place = &stage.place;
    let application = Upstream::start(place.load_cpu, place.files)?;
    let turns = fitted::all(place, fitted, fronts, application.port)?;
    let curve = |turn: &Turn| Curve { name: turn.front.name().to_owned(), points: Vec::new() };
    let mut curves: Vec<Curve> = turns.iter().map(curve).collect();
    for count in counts {
        let (busy, idle) = split(*count);
        // So that each of many asks more than once.
        let seconds = stage.options.seconds + busy as u64 / 3000;
        let numbers = [busy as u64, idle as u64, seconds * 1000];
        let take = |turn: &Turn| fitted::played(place, turn, askers::ROLE, &numbers);
        let samples = fitted::rounds(&turns, 1, take)
            .map_err(|why| Failure::new(format!("{count} connections: {why}")))?;
        for (curve, samples) in curves.iter_mut().zip(&samples) {
            let cpu_us =
                samples.iter().map(|(told, cpu_ns)| number(*cpu_ns) / 1e3 / number(told.good));
            curve.points.push((number(*count as u64), median(&cpu_us.collect::<Vec<_>>())));
        }
    }
    Ok(curves)
}
