//! The report as JSON: what the command, the page and other programs read.
//!
//! Owns: the names, and the units in them.
//! Must not know: who reads it.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::{Process, Report, Step};
use crate::telemetry::{CLASSES, Mishap, Spread};

/// The whole report. What is not known is `null`.
pub fn json(report: &Report) -> Value {
    let now = report.steps.last();
    let ready = report.start.ready_after;
    let traffic = &report.traffic;
    let assets = report.assets.map(|assets| {
        json!({
            "files": assets.files,
            "bytes": assets.bytes,
            "memory_bytes": assets.memory,
            "age_seconds": seconds(assets.age),
        })
    });
    let codes = report.codes.iter().map(|(code, count)| (code.id().to_owned(), json!(count)));
    json!({
        "forebay": report.version,
        "instance": report.instance,
        "release": report.release,
        "pid": report.own.pid,
        "started": stamp(report.own.started),
        "uptime_seconds": seconds(report.own.uptime),
        "memory_bytes": report.own.memory,
        "phase": now.map(|step| step.phase),
        "reason": now.and_then(|step| step.reason.as_deref()),
        "since": now.map(|step| stamp(step.at)),
        "phase_seconds": now.map(|step| seconds(step.lasted)),
        "start": {
            "limit_seconds": report.start.limit.map(seconds),
            "ready_after_seconds": ready.map(seconds),
            "share": report.start.share(ready.unwrap_or(report.own.uptime)).map(rounded),
        },
        "timeline": report.steps.iter().map(|it| step(report, it)).collect::<Vec<_>>(),
        "processes": report.processes.iter().map(process).collect::<Vec<_>>(),
        "requests": {
            "total": traffic.requests,
            "in_flight": traffic.in_flight,
            "waiting": traffic.waiting,
            "queue_limit": traffic.waiting_limit,
            "in_application": traffic.inside,
            "concurrency": traffic.concurrency,
            "queued_total": traffic.queued,
            "held_total": traffic.held,
            "repeated_total": traffic.repeated,
            "by_route": by_route(report),
        },
        "latency": latency(report),
        "connections": {
            "open": traffic.connections,
            "limit": traffic.connection_limit,
            "tunnels": traffic.tunnels,
            "tunnel_limit": traffic.tunnel_limit,
            "application_open": traffic.upstream_open,
            "application_idle": traffic.upstream_idle,
        },
        "spool": {
            "memory_bytes": report.spool.memory,
            "memory_limit_bytes": report.spool.memory_limit,
            "disk_bytes": report.spool.disk,
            "disk_limit_bytes": report.spool.disk_limit,
        },
        "assets": assets,
        "codes": codes.collect::<Map<_, _>>(),
        "errors": report.tallied.mishaps.iter().rev().map(mishap).collect::<Vec<_>>(),
        "log_lines_lost": report.lost_lines,
    })
}

fn step(report: &Report, step: &Step) -> Value {
    let share = (step.phase == "starting")
        .then(|| report.start.share(step.begun_after + step.lasted))
        .flatten();
    json!({
        "phase": step.phase,
        "reason": step.reason,
        "at": stamp(step.at),
        "seconds": seconds(step.lasted),
        "start_share": share.map(rounded),
    })
}

fn process(process: &Process) -> Value {
    json!({
        "name": process.name,
        "role": process.role,
        "state": process.state,
        "pid": process.pid,
        "state_seconds": seconds(process.lasted),
        "restarts": process.restarts,
        "last_exit": process.last_exit,
        "memory_bytes": process.memory,
    })
}

fn mishap(mishap: &Mishap) -> Value {
    json!({
        "at": stamp(mishap.at),
        "code": mishap.code.map(|code| code.id()),
        "title": mishap.code.map(|code| code.meaning().title),
        "status": mishap.status,
        "method": mishap.method,
        "path": mishap.path,
    })
}

/// For each way the answers of each class.
fn by_route(report: &Report) -> Value {
    let ways = report.tallied.ways.iter().map(|of_way| {
        let classes = (1..=CLASSES).zip(of_way.classes);
        let classes = classes.map(|(class, count)| (format!("{class}xx"), json!(count)));
        (of_way.way.name().to_owned(), Value::Object(classes.collect()))
    });
    Value::Object(ways.collect())
}

/// The split of the time of requests that the application answered.
fn latency(report: &Report) -> Value {
    let of = |spread: &Spread| {
        let at = |share| spread.quantile(share).map(seconds);
        json!({
            "count": spread.count(),
            "p50_seconds": at(0.5),
            "p90_seconds": at(0.9),
            "p99_seconds": at(0.99),
        })
    };
    let tallied = &report.tallied;
    let total = tallied.ways.first().map(|of_way| of(&of_way.total));
    json!({
        "queue": of(&tallied.queued),
        "connect": of(&tallied.connect),
        "first_byte": of(&tallied.first_byte),
        "total": total,
    })
}

/// With microseconds.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

fn stamp(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn the_present_phase_and_the_used_share_are_told() {
        let value = json(&report());
        assert_eq!(value["phase"], "ready");
        assert_eq!(value["phase_seconds"], 3992.0);
        assert_eq!(value["start"]["share"], 0.0348);
        assert_eq!(value["timeline"][0]["start_share"], 0.0348);
        assert!(value["timeline"][1]["start_share"].is_null(), "it is no start any more");
        assert_eq!(value["errors"][0]["path"], "/b", "the last one first");
        assert_eq!(value["requests"]["by_route"]["upstream"]["5xx"], 0);
    }
}
