//! What each guard of forebay costs: a request with everything on, and with one thing less.
//!
//! Instructions, by callgrind, are exact; CPU time is what they and the kernel's work come to.

use serde_json::{Value, json};

use crate::stage::{Findings, Stage};
use crate::support::count::{Subject, per_request};
use crate::support::numbers::{median, number};
use crate::support::peer::{Behind, FOREBAY, FOREBAY_NO_LOG, Peer, Started};
use crate::support::rounds::{self, Case, Sample};
use crate::support::{Failure, machine, report, wire};

/// A kind of request, and forebay without what weighs on it.
struct Weighed {
    case: Case,
    /// Bytes of the request's content; without any it is a GET.
    content: usize,
    is_quick: bool,
    without: &'static [Peer],
}

const WEIGHED: [Weighed; 4] = [
    Weighed {
        case: Case { name: "GET 200 B", path: "/b200", connections: 64 },
        content: 0,
        is_quick: true,
        without: &[FOREBAY_NO_LOG, TEXT],
    },
    Weighed {
        case: Case { name: "GET 100 KiB", path: "/b100k", connections: 16 },
        content: 0,
        is_quick: false,
        without: &[NO_ANSWER_FILES],
    },
    Weighed {
        case: Case { name: "POST 2 KiB", path: "/b200", connections: 64 },
        content: 2 << 10,
        is_quick: false,
        without: &[NO_BUFFERING],
    },
    Weighed {
        case: Case { name: "upload of 1 MiB", path: "/b200", connections: 8 },
        content: 1 << 20,
        is_quick: true,
        without: &[NO_BUFFERING],
    },
];

/// What has no switch, so that its cost is part of every number.
const ALWAYS_ON: &str = "  metrics, limits, deadlines, the queue and the check of fields have no \
                         switch: they are in every number\n";

const TEXT: Peer = Peer::forebay("forebay, log as text", &["--log=text"]);
const NO_ANSWER_FILES: Peer =
    Peer::forebay("forebay, answers not in files", &["--answer-spool-disk=0B"]);
const NO_BUFFERING: Peer =
    Peer::forebay("forebay, requests not buffered", &["--request-buffering=off"]);

/// Measures each kind of request with everything and with one thing less.
pub(crate) fn run(stage: &Stage, findings: &mut Findings) -> Result<(), Failure> {
    let application = stage.application()?;
    let behind = Behind::Port(application.port);
    let counts = !stage.options.choice.quick && machine::has("valgrind");
    if !counts {
        println!("instructions are not counted: with --quick, or without valgrind");
    }
    let mut rows =
        vec![["", "instructions", "less", "CPU µs/req", "less"].map(str::to_owned).to_vec()];
    let mut values = Vec::new();
    let is_wanted = |weighed: &&Weighed| weighed.is_quick || !stage.options.choice.quick;
    for weighed in WEIGHED.iter().filter(is_wanted) {
        let peers = [&[FOREBAY], weighed.without].concat();
        let started = stage.start(&peers, &behind)?;
        let target = |peer| Started::target(peer, request(weighed));
        let targets: Vec<_> = started.iter().map(target).collect();
        let measured = rounds::run(&stage.plan(), &targets, weighed.case)?;
        drop(targets);
        drop(started);
        let mut whole = (None, f64::NAN);
        for peer in peers {
            // A megabyte under callgrind would take minutes.
            let is_counted = counts && weighed.content < 1 << 20;
            let instructions =
                if is_counted { Some(instructions(stage, peer, weighed, &behind)?) } else { None };
            let cpu_us = median(&measured.all(peer.name, Sample::cpu_us));
            let name =
                if peer == FOREBAY { weighed.case.text() } else { format!("  {}", peer.name) };
            if peer == FOREBAY {
                whole = (instructions, cpu_us);
            }
            rows.push(row(name, (instructions, cpu_us), whole));
            values.push(json!({
                "case": weighed.case.text(), "peer": peer.name, "instructions": instructions,
                "cpu_us": measured.all(peer.name, Sample::cpu_us),
            }));
        }
    }
    print!("\nforebay with everything on, and with one thing less\n{}", report::table(&rows));
    print!("{ALWAYS_ON}");
    findings.keep("cost", Value::Array(values));
    Ok(())
}

/// A row of the table: what is left, and by how much that is less than the whole.
fn row(name: String, own: (Option<u64>, f64), whole: (Option<u64>, f64)) -> Vec<String> {
    let less = |whole: f64, own: f64| {
        if whole.total_cmp(&own).is_eq() {
            return "-".to_owned();
        }
        format!("{:.0} %", (1.0 - own / whole) * 100.0)
    };
    let instructions = own.0.map_or("-".to_owned(), |count| count.to_string());
    let fewer = own.0.zip(whole.0);
    let fewer = fewer.map_or("-".to_owned(), |(own, whole)| less(number(whole), number(own)));
    vec![name, instructions, fewer, format!("{:.1}", own.1), less(whole.1, own.1)]
}

fn request(weighed: &Weighed) -> Vec<u8> {
    match weighed.content {
        0 => wire::request(weighed.case.path),
        length => wire::post(weighed.case.path, &vec![b'x'; length]),
    }
}

fn instructions(
    stage: &Stage,
    peer: Peer,
    weighed: &Weighed,
    behind: &Behind,
) -> Result<u64, Failure> {
    let subject = Subject {
        command: &|port| peer.command(&stage.place, port, behind),
        first: wire::request(weighed.case.path),
        request: &|_| Ok(request(weighed)),
        connects: false,
    };
    let counted = per_request(&stage.place, &subject);
    counted.map_err(|why| Failure::new(format!("{}, {}: {why}", peer.name, weighed.case.name)))
}
