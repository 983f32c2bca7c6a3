//! What is no plain request: HTTP/2 from the client, `WebSocket`s, and events to many listeners.

mod live;
mod chat;
mod listeners;
mod http2;

use serde_json::{Value, json};

use crate::fitted::{self, Fitted, Turn, allow_files};
use crate::player::{Player, Told};
use crate::stage::{Findings, Stage};
use crate::support::front::{Front, Place};
use crate::support::machine::Machine;
use crate::support::numbers::{median, number};
use crate::support::upstream::Upstream;
use crate::support::{Failure, Role, report};
use http2::Load;

/// The parts that the benchmark's own program plays here.
pub(crate) const ROLES: [Role<'_>; 3] =
    [(live::ROLE, live::run), (chat::ROLE, chat::run), (listeners::ROLE, listeners::run)];

/// Measures all three and prints a table of each.
pub(crate) fn run(stage: &Stage, findings: &mut Findings) -> Result<(), Failure> {
    Machine::look(&stage.machine.command, &[("h2load", "nghttp2-client")])?;
    allow_files(&stage.place)?;
    let all = stage.fronts(&[Front::Direct, Front::Nginx, Front::Haproxy, Front::Forebay]);
    let quick = stage.options.choice.quick;
    let value = json!({
        "http2": http2(stage, &all)?,
        "websocket": websocket(stage, &all)?,
        "events": events(&stage.place, &all, quick)?,
    });
    findings.keep("streams", value);
    Ok(())
}

/// What one sample of a front gave.
type Sample = (Told, u64);

/// Requests by HTTP/2 to those that speak it.
fn http2(stage: &Stage, all: &[Front]) -> Result<Value, Failure> {
    let place = &stage.place;
    let fronts: Vec<_> = all.iter().copied().filter(|front| *front != Front::Direct).collect();
    let application = Upstream::start(place.load_cpu, place.files)?;
    let mut fitted = Fitted { name: "http2", is_http2: true, ..fitted() };
    fitted.set("NGINX_HTTP2", " http2");
    fitted.set("HAPROXY_HTTP2", " proto h2");
    let turns = fitted::all(place, &fitted, &fronts, application.port)?;
    let mut values = Vec::new();
    for (connections, streams) in [(1, 10), (16, 10)] {
        let load = Load { connections, streams, seconds: stage.options.seconds };
        for turn in &turns {
            // What comes first meets cold caches and no connections to the application.
            http2::sample(place, turn, Load { seconds: 1, ..load })?;
        }
        let take = |turn: &Turn| http2::sample(place, turn, load);
        let samples = fitted::rounds(&turns, stage.options.rounds, take)?;
        let title = format!(
            "HTTP/2, 200 B; connections: {connections}, requests at once on each: {streams}"
        );
        println!("\n{title}\n{}", table("requests/s", "a request", &turns, &samples));
        values.push(value(&title, &turns, &samples));
    }
    Ok(values.into())
}

/// Messages that come back.
fn websocket(stage: &Stage, fronts: &[Front]) -> Result<Value, Failure> {
    let place = &stage.place;
    let mut application = Player::start(place, live::ROLE, &[])?;
    let port = port(&mut application)?;
    let turns = fitted::all(place, &Fitted { name: "websocket", ..fitted() }, fronts, port)?;
    let mut values = Vec::new();
    for connections in [1, 64, 512] {
        let take = |turn: &Turn| {
            fitted::played(place, turn, chat::ROLE, &[connections, stage.options.seconds * 1000])
        };
        let samples = fitted::rounds(&turns, stage.options.rounds, take)?;
        let title = format!(
            "WebSocket, connections: {connections}; each says {} B and waits for the echo",
            live::MESSAGE
        );
        println!("\n{title}\n{}", table("echoes/s", "an echo", &turns, &samples));
        values.push(value(&title, &turns, &samples));
    }
    Ok(values.into())
}

/// Events that many clients wait for.
fn events(place: &Place, fronts: &[Front], quick: bool) -> Result<Value, Failure> {
    let (clients, seconds) = if quick { (200, 2) } else { (1000, 5) };
    let mut application = Player::start(place, live::ROLE, &[])?;
    let port = port(&mut application)?;
    // Each stream takes a place in the application.
    let forebay = vec![format!("--concurrency={}", clients * 2)];
    let mut fitted = Fitted { name: "events", forebay, ..fitted() };
    // Without it HAProxy keeps the beginning of an answer for a fifth of a second.
    fitted.set("HAPROXY_OPTION", "option http-no-delay");
    let turns = fitted::all(place, &fitted, fronts, port)?;
    // From the middle between two events.
    let take = |turn: &Turn| {
        fitted::played(place, turn, listeners::ROLE, &[clients, seconds * 1000 + 100])
    };
    let samples = fitted::rounds(&turns, 1, take)?;
    for (turn, samples) in turns.iter().zip(&samples) {
        for (told, _) in samples {
            let fewest = told.more.get("fewest_to_one_client").and_then(Value::as_u64);
            if fewest.is_none_or(|fewest| fewest < seconds - 1) {
                let name = turn.front.name();
                let more = &told.more;
                return Err(Failure::new(format!("{name}: events are missing: {more}")));
            }
        }
    }
    let title = format!(
        "Server-Sent Events: {clients} clients, one event a second to each at the same time; p50 and \
         p99 are from the application's writing to the client's reading"
    );
    println!("\n{title}\n{}", table("events/s", "an event", &turns, &samples));
    Ok(value(&title, &turns, &samples))
}

/// The port that an application tells first.
fn port(application: &mut Player) -> Result<u16, Failure> {
    let line = application.line()?;
    line.parse().map_err(|_| Failure::new(format!("`{line}` is no port of an application")))
}

/// Fronts for what keeps connections, by HTTP/1.1.
pub(crate) fn fitted() -> Fitted {
    Fitted {
        nginx: include_str!("nginx.conf"),
        haproxy: include_str!("haproxy.cfg"),
        values: vec![
            ("NGINX_HTTP2", String::new()),
            ("HAPROXY_HTTP2", String::new()),
            ("HAPROXY_OPTION", String::new()),
            ("KEPT", "1024".to_owned()),
            ("THREADS", "1".to_owned()),
        ],
        ..Fitted::default()
    }
}

/// Medians over all samples.
fn table(rate: &str, unit: &str, turns: &[Turn], samples: &[Vec<Sample>]) -> String {
    let (user, of_nginx) = (format!("CPU µs {unit}"), "÷ nginx");
    let head = ["", rate, &user, of_nginx, "÷ haproxy", "p50 ms", "p99 ms"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let cpu = |front: Front| {
        let own = turns.iter().zip(samples).find(|(turn, _)| turn.front == front);
        own.map(|(_, samples)| middle(samples, cpu_us))
    };
    for (turn, samples) in turns.iter().zip(samples) {
        let mut row = vec![turn.front.name().to_owned()];
        row.push(format!(
            "{:.0}",
            middle(samples, |(told, _)| { number(told.good) * 1e6 / number(told.elapsed_us) })
        ));
        let own = middle(samples, cpu_us);
        if turn.front == Front::Direct {
            row.extend(["-", "-", "-"].map(str::to_owned));
        } else {
            row.push(format!("{own:.1}"));
            row.extend([Front::Nginx, Front::Haproxy].map(|other| {
                cpu(other).map_or("-".to_owned(), |other| format!("{:.2}", own / other))
            }));
        }
        row.push(format!("{:.2}", middle(samples, |(told, _)| number(told.p50_us) / 1e3)));
        row.push(format!("{:.2}", middle(samples, |(told, _)| number(told.p99_us) / 1e3)));
        rows.push(row);
    }
    report::table(&rows)
}

fn cpu_us((told, cpu_ns): &Sample) -> f64 {
    number(*cpu_ns) / 1e3 / number(told.good)
}

fn middle(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> f64 {
    median(&samples.iter().map(value).collect::<Vec<_>>())
}

fn value(title: &str, turns: &[Turn], samples: &[Vec<Sample>]) -> Value {
    let fronts = turns.iter().zip(samples).map(|(turn, samples)| {
        let samples: Vec<_> = samples
            .iter()
            .map(|(told, cpu_ns)| json!({ "told": told.value(), "cpu_ns": cpu_ns }))
            .collect();
        (turn.front.name().to_owned(), Value::from(samples))
    });
    json!({ "name": title, "fronts": Value::Object(fronts.collect()) })
}
