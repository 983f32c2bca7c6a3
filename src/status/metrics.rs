//! The report as metrics: Prometheus text format 0.0.4.
//!
//! Owns: the names of the metrics, their types and texts.
//! Must not know: who scrapes them.

use std::fmt::{Display, Write as _};
use std::time::{Duration, SystemTime};

use super::Report;
use crate::code::Code;
use crate::telemetry::{CLASSES, Spread};

/// All metrics.
pub fn metrics(report: &Report) -> String {
    let mut page = Page::default();
    requests(&mut page, report);
    waiting(&mut page, report);
    content(&mut page, report);
    children(&mut page, report);
    own(&mut page, report);
    page.0
}

/// What became of requests.
fn requests(page: &mut Page, report: &Report) {
    let Report { tallied, codes, .. } = report;
    page.begin("forebay_requests_total", COUNTER, "Requests by who answered and class of status.");
    for of_way in &tallied.ways {
        for (class, count) in (1..=CLASSES).zip(of_way.classes) {
            let class = format!("{class}xx");
            page.line(&[("route", of_way.way.name()), ("class", &class)], count);
        }
    }
    let help = "From the request's last byte to the answer's, by who answered.";
    page.begin("forebay_request_duration_seconds", HISTOGRAM, help);
    for of_way in &tallied.ways {
        page.spread(&[("route", of_way.way.name())], &of_way.total);
    }
    let help = "Until the application's answer began, waiting and connecting included.";
    page.begin("forebay_upstream_first_byte_seconds", HISTOGRAM, help);
    page.spread(&[], &tallied.first_byte);
    let help = "Waiting for the application and for a place in it.";
    page.begin("forebay_queue_wait_seconds", HISTOGRAM, help);
    page.spread(&[], &tallied.queued);
    let help = "Connecting to the application, where no connection was used again.";
    page.begin("forebay_upstream_connect_seconds", HISTOGRAM, help);
    page.spread(&[], &tallied.connect);
    page.begin("forebay_codes_total", COUNTER, "Answers by the code that forebay gave them.");
    for code in Code::ALL {
        let count = codes.iter().find(|(it, _)| it == code).map_or(0, |(_, count)| *count);
        page.line(&[("code", code.id()), ("reason", code.meaning().reason)], count);
    }
}

/// Who waits, and what is open.
fn waiting(page: &mut Page, report: &Report) {
    let traffic = &report.traffic;
    page.gauge(
        "forebay_requests_in_flight",
        "Requests not answered to the end.",
        traffic.in_flight,
    );
    page.gauge("forebay_queue_length", "Requests that wait.", traffic.waiting);
    page.gauge("forebay_queue_limit", "The most requests that wait.", traffic.waiting_limit);
    page.gauge("forebay_application_requests", "Requests in the application.", traffic.inside);
    page.gauge("forebay_concurrency_limit", "The most requests in it.", traffic.concurrency);
    page.counter("forebay_queued_total", "Requests that waited for a place.", traffic.queued);
    let help = "Requests that waited for an application that did not listen.";
    page.counter("forebay_held_total", help, traffic.held);
    page.counter("forebay_repeated_total", "Requests that were sent again.", traffic.repeated);
    page.gauge("forebay_connections", "Open connections of clients.", traffic.connections);
    page.gauge("forebay_connections_limit", "The most of them.", traffic.connection_limit);
    page.gauge("forebay_tunnels", "Connections that changed their protocol.", traffic.tunnels);
    page.gauge("forebay_tunnels_limit", "The most of them.", traffic.tunnel_limit);
    let help = "Connections to the application.";
    page.gauge("forebay_upstream_connections", help, traffic.upstream_open);
    let help = "Those of them that wait to be used again.";
    page.gauge("forebay_upstream_connections_idle", help, traffic.upstream_idle);
}

/// What lies in memory and in files.
fn content(page: &mut Page, report: &Report) {
    let spool = &report.spool;
    let places =
        [("memory", spool.memory, spool.memory_limit), ("disk", spool.disk, spool.disk_limit)];
    page.begin("forebay_spool_bytes", GAUGE, "Content that waits for a slow client or a worker.");
    for (place, used, _) in places {
        page.line(&[("place", place)], used);
    }
    page.begin("forebay_spool_limit_bytes", GAUGE, "The most of it.");
    for (place, _, limit) in places {
        page.line(&[("place", place)], limit);
    }
    if let Some(assets) = &report.assets {
        page.gauge("forebay_assets_files", "Static files that are served.", assets.files);
        page.gauge("forebay_assets_bytes", "Their bytes, with all variants.", assets.bytes);
        page.gauge("forebay_assets_memory_bytes", "Those of them in memory.", assets.memory);
        let help = "How long ago the static files were last taken into the table.";
        page.gauge("forebay_assets_age_seconds", help, seconds(assets.age));
    }
}

/// The site and its processes.
fn children(page: &mut Page, report: &Report) {
    let now = report.steps.last().map(|step| step.phase);
    page.begin("forebay_phase", GAUGE, "1 for the phase that the site is in.");
    for phase in ["starting", "ready", "failed", "draining"] {
        page.line(&[("phase", phase)], u8::from(now == Some(phase)));
    }
    if let Some(time) = report.start.ready_after {
        let help = "From forebay's start until the application was ready.";
        page.gauge("forebay_start_duration_seconds", help, seconds(time));
    }
    if let Some(limit) = report.start.limit {
        let help = "How long the platform waits for a start.";
        page.gauge("forebay_start_limit_seconds", help, seconds(limit));
    }
    if report.processes.is_empty() {
        return;
    }
    page.begin("forebay_child_up", GAUGE, "Whether a process runs.");
    for process in &report.processes {
        let labels = [("process", process.name.as_str()), ("role", process.role)];
        page.line(&labels, u8::from(process.is_up));
    }
    page.begin("forebay_child_restarts_total", COUNTER, "How often it was started again.");
    for process in &report.processes {
        page.line(&[("process", &process.name)], process.restarts);
    }
    let help = "Memory of it and of whatever it started; what is shared counts for each.";
    page.begin("forebay_child_resident_memory_bytes", GAUGE, help);
    for process in &report.processes {
        page.line(&[("process", &process.name)], process.memory.unwrap_or(0));
    }
}

/// forebay itself.
fn own(page: &mut Page, report: &Report) {
    let own = &report.own;
    let help = "Log lines that standard output did not take.";
    page.counter("forebay_log_lines_lost_total", help, report.lost_lines);
    page.begin("forebay_build_info", GAUGE, "The version, the instance and its release.");
    let release = report.release.as_deref().unwrap_or_default();
    let labels =
        [("version", report.version), ("instance_id", &report.instance), ("release", release)];
    page.line(&labels, 1);
    page.counter("process_cpu_seconds_total", "Processor time of forebay.", seconds(own.cpu));
    page.gauge("process_resident_memory_bytes", "Memory of forebay.", own.memory);
    page.gauge("process_virtual_memory_bytes", "Its address space.", own.address_space);
    page.gauge("process_threads", "Its threads.", own.threads);
    page.gauge("process_open_fds", "Its open files.", own.open_files);
    if let Some(limit) = own.open_files_limit {
        page.gauge("process_max_fds", "The most that it may have open.", limit);
    }
    let started = own.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    page.gauge("process_start_time_seconds", "When it started.", seconds(started));
}

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";
const HISTOGRAM: &str = "histogram";

/// The text so far. Writing to it cannot fail.
#[derive(Default)]
struct Page(String, &'static str);

impl Page {
    fn begin(&mut self, name: &'static str, kind: &str, help: &str) {
        self.1 = name;
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").unwrap_or_default();
    }

    fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.begin(name, GAUGE, help);
        self.line(&[], value);
    }

    fn counter(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.begin(name, COUNTER, help);
        self.line(&[], value);
    }

    fn line(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.write("", labels, value);
    }

    fn write(&mut self, ending: &str, labels: &[(&str, &str)], value: impl Display) {
        write!(self.0, "{}{ending}", self.1).unwrap_or_default();
        for (place, (name, text)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            write!(self.0, "{before}{name}=\"{}\"", escaped(text)).unwrap_or_default();
        }
        let after = if labels.is_empty() { "" } else { "}" };
        writeln!(self.0, "{after} {value}").unwrap_or_default();
    }

    fn spread(&mut self, labels: &[(&str, &str)], spread: &Spread) {
        for (bound, count) in spread.cumulated() {
            #[expect(clippy::cast_precision_loss, reason = "bounds are small")]
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |us| (us as f64 / 1e6).to_string());
            let labels = [labels, &[("le", bound.as_str())]].concat();
            self.write("_bucket", &labels, count);
        }
        self.write("_sum", labels, seconds(Duration::from_micros(spread.sum_us())));
        self.write("_count", labels, spread.count());
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// A label's text: what would end it, or its line, is escaped.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn every_metric_has_its_help_and_its_type_once_and_every_line_a_number() {
        let mut report = report();
        report.instance = "a\"b\\c\nd".to_owned();
        let text = metrics(&report);
        let mut seen = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let name = rest.split(' ').next().unwrap();
                assert!(!seen.contains(&name), "{name}");
                seen.push(name);
            } else if !line.starts_with("# TYPE ") {
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(name.starts_with(seen.last().unwrap()), "{line}");
                let (_, value) = line.rsplit_once(' ').unwrap();
                value.parse::<f64>().unwrap();
            }
        }
        assert!(seen.len() > 35, "{seen:?}");
        assert!(text.contains("instance_id=\"a\\\"b\\\\c\\nd\""), "{text}");
        assert!(text.contains("forebay_phase{phase=\"ready\"} 1\n"));
        assert!(text.contains("forebay_child_up{process=\"worker\",role=\"other\"} 0\n"));
        assert!(text.contains("le=\"0.000025\"} 0\n") && text.contains("le=\"+Inf\"} 0\n"));
    }
}
