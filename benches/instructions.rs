//! How many instructions a request takes: `cargo bench --bench instructions`.
//!
//! Unlike time it does not depend on what else the machine does, so that a change that makes forebay
//! slower is seen by its commit: `.ci/run` compares with what is on record.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "telling is what a benchmark does")]
#![expect(clippy::disallowed_types, reason = "what is measured runs on the real clock")]

#[expect(dead_code, reason = "the benchmarks share one set of parts")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Map, Value};

use support::count::{Subject, per_request};
use support::front::{Front, Place};
use support::machine::Machine;
use support::numbers::number;
use support::options::{self, Choice};
use support::upstream::{self, Upstream};
use support::{Failure, Tried as _, eventually, play, report, wire};

fn main() -> ExitCode {
    let roles = [(upstream::ROLE, upstream::run as fn(&_) -> _)];
    play("instructions", &roles, |arguments| measure(&Choice::read("instructions", arguments)?))
}

/// A case, with everything that is on by default.
struct Case {
    name: &'static str,
    path: &'static str,
    /// Whether the client has the file already.
    is_known: bool,
    connects: bool,
    /// Added to forebay's flags.
    flags: &'static [&'static str],
}

const PLAIN: Case = Case { name: "", path: "", is_known: false, connects: false, flags: &[] };

const CASES: [Case; 7] = [
    Case { name: "proxied, 200 B", path: "/b200", ..PLAIN },
    Case { name: "proxied, 10 KiB", path: "/b10k", ..PLAIN },
    Case { name: "proxied, 100 KiB", path: "/b100k", ..PLAIN },
    Case { name: "proxied, 200 B, connection", path: "/b200", connects: true, ..PLAIN },
    Case { name: "proxied, 200 B, no log", path: "/b200", flags: NO_LOG, ..PLAIN },
    Case { name: "file, 1 KiB", path: FILE, ..PLAIN },
    Case { name: "file, 304", path: FILE, is_known: true, ..PLAIN },
];

const NO_LOG: &[&str] = &["--access-log=off"];
const FILE: &str = "/static/1k.js";

/// By how much a count may differ from its record: what the system hands over in one piece or in two
/// is not the same each time.
const MARGIN: f64 = 0.03;

fn measure(choice: &Choice) -> Result<(), Failure> {
    let machine = Machine::look(&choice.command, &[("valgrind", "valgrind")])?;
    println!("{}", machine.text());
    let place = Place::prepare(&machine, choice, "instructions")?;
    let folder = place.directory.join("static");
    fs::create_dir_all(&folder).tried("make a folder for files")?;
    fs::write(folder.join("1k.js"), "1234567\n".repeat(128)).tried("write a file")?;
    let application = Upstream::start(place.load_cpu, place.files)?;
    // Who only compares needs no others.
    let is_check = choice.record == options::Record::Check;
    let peers: &[Front] = if is_check { &[] } else { &[Front::Nginx, Front::Haproxy] };
    let peers = Front::installed(peers);

    let old = Record::read()?;
    let mut new = Record(Map::new());
    let head = ["", "forebay", "on record"].into_iter();
    let ratios = peers.iter().flat_map(|peer| [peer.name().to_owned(), "÷".to_owned()]);
    let mut rows = vec![head.map(str::to_owned).chain(ratios).collect::<Vec<_>>()];
    for case in &CASES {
        let count = |front| counted(&place, front, case, (application.port, &folder));
        let own = count(Front::Forebay)?;
        new.0.insert(case.name.to_owned(), own.into());
        let recorded = old.of(case.name);
        let recorded = recorded.map_or("-".to_owned(), |count| count.to_string());
        let mut row = vec![case.name.to_owned(), own.to_string(), recorded];
        let is_for_all = case.path != FILE && case.flags.is_empty();
        for peer in peers.iter().filter(|_| is_for_all) {
            let theirs = count(*peer)?;
            row.extend([theirs.to_string(), format!("{:.2}", number(own) / number(theirs))]);
        }
        row.resize(3 + 2 * peers.len(), "-".to_owned());
        rows.push(row);
    }
    print!("\nInstructions a request in user space, by callgrind\n{}", report::table(&rows));
    fs::remove_dir_all(&place.directory).tried("remove the files")?;
    if let Some(path) = &choice.json {
        report::write_value(path, &Value::Object(new.0.clone()))?;
    }
    match choice.record {
        options::Record::Show => Ok(()),
        options::Record::Check => compare(&old, &new),
        options::Record::Replace => new.write(),
    }
}

fn counted(
    place: &Place,
    front: Front,
    case: &Case,
    (upstream, folder): (u16, &Path),
) -> Result<u64, Failure> {
    let first = wire::request(case.path);
    let subject = Subject {
        command: &|port| {
            let mut command = place.command(front, (port, upstream))?;
            if front == Front::Forebay {
                command.args(["--static", &format!("/static/={}", folder.display())]);
                command.args(["--static-variants", "off"]).args(case.flags);
            }
            Ok(command)
        },
        first: first.clone(),
        request: &|port| {
            let answer = eventually(Duration::from_millis(50), || {
                let mut stream = wire::connect(port).ok()?;
                let answer = wire::exchange(&mut stream, &first).ok()?;
                // A file that was written just now has a weak validator, and another one soon.
                let validator = answer.field("etag").unwrap_or_default();
                (answer.status_line.contains(" 200 ") && !validator.starts_with("W/"))
                    .then_some(answer)
            })?;
            let mut request = first.clone();
            if case.is_known {
                let tag = answer.field("etag");
                let tag = tag.ok_or_else(|| Failure::new("an answer without a validator"))?;
                request.truncate(request.len() - 2);
                request.extend_from_slice(format!("If-None-Match: {tag}\r\n\r\n").as_bytes());
            }
            Ok(request)
        },
        connects: case.connects,
    };
    let name = front.name();
    per_request(place, &subject)
        .map_err(|why| Failure::new(format!("{name}, {}: {why}", case.name)))
}

/// What was counted before, by case.
struct Record(Map<String, Value>);

impl Record {
    fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/support/instructions.json")
    }

    fn read() -> Result<Self, Failure> {
        let text = fs::read_to_string(Self::path()).tried("read what is on record")?;
        serde_json::from_str(&text).map(Self).tried("read what is on record")
    }

    fn of(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    fn write(self) -> Result<(), Failure> {
        report::write_value(&Self::path(), &Value::Object(self.0))
    }
}

/// Fails where a count has left its margin: one that fell has to go on record too, or it would hide
/// the next one that rises.
fn compare(old: &Record, new: &Record) -> Result<(), Failure> {
    let mut far = Vec::new();
    for case in &CASES {
        let count = new.of(case.name).unwrap_or_default();
        let recorded = old.of(case.name).unwrap_or_default();
        if (number(count) / number(recorded) - 1.0).abs() > MARGIN {
            far.push(format!("  {}: {count}, on record are {recorded}", case.name));
        }
    }
    if far.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "instructions a request are more than {:.0} % from what is on record:\n{}\n\
         mend: look at what the change costs, or put it on record and say why in the commit:\n\
         cargo bench --bench instructions -- --record",
        MARGIN * 100.0,
        far.join("\n")
    )))
}
