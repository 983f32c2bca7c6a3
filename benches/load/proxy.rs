//! Requests that go to the application, over TCP on both sides: CPU time, rate, and latency when
//! there is no more to give.

use serde_json::Value;

use crate::goals::Goal;
use crate::stage::{Findings, Stage};
use crate::support::chart::bars::Bars;
use crate::support::numbers::median;
use crate::support::peer::{
    Behind, CADDY, DIRECT, FOREBAY, FOREBAY_NO_LOG, FOREBAY_REUSE, HAPROXY, HAPROXY_LOG, NGINX,
    NGINX_BUFFERS, NGINX_LOG, Peer, RELAY, Started,
};
use crate::support::rounds::{self, Case, Measured, Sample};
use crate::support::{Failure, check, report, wire};

/// A case, and who is measured in it beside the usual four.
struct Measure {
    case: Case,
    /// Bytes of the request's content; without any it is a GET.
    content: usize,
    is_quick: bool,
    others: &'static [Peer],
}

/// Who is measured in every case. forebay has its log on, the others have none: what a log costs
/// each of them stands in the case that has all forms.
const USUAL: [Peer; 4] = [RELAY, NGINX, HAPROXY, FOREBAY];

/// In the order of the tables.
const ALL: &[Peer] = &[
    DIRECT,
    RELAY,
    NGINX,
    NGINX_LOG,
    NGINX_BUFFERS,
    HAPROXY,
    HAPROXY_LOG,
    CADDY,
    FOREBAY_NO_LOG,
    FOREBAY_REUSE,
    FOREBAY,
];

const FORMS: &[Peer] = &[DIRECT, NGINX_LOG, HAPROXY_LOG, CADDY, FOREBAY_NO_LOG];

const CASES: [Measure; 10] = [
    plain("200 B", "/b200", 1),
    plain("200 B", "/b200", 16),
    Measure { is_quick: true, others: FORMS, ..plain("200 B", "/b200", 64) },
    plain("200 B", "/b200", 256),
    plain("10 KiB", "/b10k", 16),
    Measure { others: &[CADDY], ..plain("10 KiB", "/b10k", 64) },
    Measure { is_quick: true, others: &[NGINX_BUFFERS, CADDY], ..plain("100 KiB", "/b100k", 16) },
    Measure { content: 2 << 10, others: &[FOREBAY_REUSE], ..plain(POST, "/b200", 16) },
    Measure {
        content: 2 << 10,
        is_quick: true,
        others: &[FOREBAY_REUSE],
        ..plain(POST, "/b200", 64)
    },
    Measure { content: 1 << 20, is_quick: true, ..plain("upload of 1 MiB", "/b200", 8) },
];

const POST: &str = "POST 2 KiB";

const fn plain(name: &'static str, path: &'static str, connections: usize) -> Measure {
    let case = Case { name, path, connections };
    Measure { case, content: 0, is_quick: false, others: &[] }
}

/// Measures each case.
pub(crate) fn run(stage: &Stage, findings: &mut Findings) -> Result<(), Failure> {
    let application = stage.application()?;
    let behind = Behind::Port(application.port);
    let peers = stage.start(ALL, &behind)?;
    println!("{}", check::all_do_the_same(&peers, application.port)?);
    let plan = stage.plan();
    let (mut all, mut values, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    let mut failed = Vec::new();
    for measure in CASES.iter().filter(|measure| measure.is_quick || !stage.options.choice.quick) {
        let is_in =
            |peer: &&Started| USUAL.contains(&peer.peer) || measure.others.contains(&peer.peer);
        let target = |peer| Started::target(peer, request(measure));
        let targets: Vec<_> = peers.iter().filter(is_in).map(target).collect();
        let measured = match rounds::run(&plan, &targets, measure.case) {
            Ok(measured) => measured,
            Err(why) => {
                eprintln!("error: {why}");
                failed.push(measure.case.text());
                continue;
            }
        };
        print!("{}", report::case(&measured, &[NGINX.name, HAPROXY.name, RELAY.name]));
        if measure.others == FORMS {
            tell(&measured, findings);
        }
        groups.push(report::case_bars(&measured));
        values.push(report::case_json(&measured));
        all.push(measured);
    }
    let bars = Bars {
        title: "CPU time of a proxied request".to_owned(),
        axis: "µs a request in the proxy, median of the samples; less is better".to_owned(),
        groups,
    };
    bars.apart().into_iter().for_each(|bars| findings.draw(bars));
    findings.keep("proxy", Value::Array(values));
    goals(&all, findings);
    if failed.is_empty() {
        return Ok(());
    }
    let failed = failed.join("; ");
    Err(Failure::new(format!("these cases failed, for the reasons above: {failed}")))
}

/// Puts the case with all forms into the overview.
fn tell(measured: &Measured, findings: &mut Findings) {
    let overview = &mut findings.overview;
    for (name, _) in &measured.targets {
        if let Some(ratio) = measured.ratio(name, NGINX.name, Sample::rate) {
            overview.tell("req/s ÷ nginx", name, format!("{ratio:.2}"));
        }
        let cpu_us = median(&measured.all(name, Sample::cpu_us));
        if cpu_us > 0.0 {
            let (user, system) = measured.user_and_system_us(name);
            overview.tell("CPU µs", name, format!("{cpu_us:.1}"));
            overview.tell("user", name, format!("{user:.1}"));
            overview.tell("sys", name, format!("{system:.1}"));
        }
    }
}

fn request(measure: &Measure) -> Vec<u8> {
    match measure.content {
        0 => wire::request(measure.case.path),
        length => wire::post(measure.case.path, &vec![b'x'; length]),
    }
}

/// Holds what was measured against the goals.
fn goals(all: &[Measured], findings: &mut Findings) {
    let cpu = |is_in: fn(&Case) -> bool, other: Peer| -> Vec<(String, f64)> {
        let cases = all.iter().filter(|measured| is_in(&measured.case));
        let ratio = |measured: &Measured| {
            let ratio = measured.ratio(FOREBAY.name, other.name, Sample::cpu_us)?;
            Some((measured.case.text(), ratio))
        };
        cases.filter_map(ratio).collect()
    };
    let is_small = |case: &Case| matches!(case.name, "200 B" | "10 KiB" | POST);
    let is_large = |case: &Case| case.name == "100 KiB";
    let is_busy = |case: &Case| is_page(case) && case.connections == 64;
    let is_written = |case: &Case| case.name == "200 B" && case.connections == 64;
    let goal = |what: &str, limit, ratios| Goal::worst(what, limit, ratios);
    findings.goal(goal("CPU up to 10 KiB ÷ nginx without log", 0.75, cpu(is_small, NGINX)));
    findings.goal(goal("CPU up to 10 KiB ÷ haproxy without log", 0.9, cpu(is_small, HAPROXY)));
    findings.goal(goal("CPU at 200 B ÷ nginx with log", 0.75, cpu(is_written, NGINX_LOG)));
    findings.goal(goal("CPU at 200 B ÷ haproxy with log", 0.9, cpu(is_written, HAPROXY_LOG)));
    findings.goal(goal("CPU at 100 KiB ÷ nginx", 0.5, cpu(is_large, NGINX)));
    findings.goal(goal("CPU at 64 connections ÷ relay", 1.45, cpu(is_busy, RELAY)));
}

fn is_page(case: &Case) -> bool {
    matches!(case.name, "200 B" | "10 KiB")
}
