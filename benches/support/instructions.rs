//! How many instructions a request takes in forebay as it stands, case by case, and in others.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use super::count::{Subject, per_request};
use super::front::{Front, Place};
use super::numbers::number;
use super::upstream::Upstream;
use super::{Failure, Tried as _, eventually, report, wire};

/// A case, with everything that is on by default.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    /// Whether the client has the file already.
    is_known: bool,
    connects: bool,
    /// Added to forebay's flags.
    flags: &'static [&'static str],
}

const PLAIN: Case = Case { name: "", path: "", is_known: false, connects: false, flags: &[] };

/// What is counted.
pub(crate) const CASES: [Case; 7] = [
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

/// Counts some of the cases in forebay, and in others where these do the same; gives the counts of
/// forebay and the table.
pub(crate) fn count(
    place: &Place,
    application: &Upstream,
    peers: &[Front],
    old: &Record,
    cases: &[&Case],
) -> Result<(Record, String), Failure> {
    let folder = place.directory.join("counted");
    fs::create_dir_all(&folder).tried("make a folder for files")?;
    fs::write(folder.join("1k.js"), "1234567\n".repeat(128)).tried("write a file")?;
    let mut new = Record(Map::new());
    let head = ["", "forebay", "on record"].into_iter();
    let ratios = peers.iter().flat_map(|peer| [peer.name().to_owned(), "÷".to_owned()]);
    let mut rows = vec![head.map(str::to_owned).chain(ratios).collect::<Vec<_>>()];
    for case in cases {
        let count = |front| counted(place, front, case, (application.port, &folder));
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
    let table = report::table(&rows);
    Ok((new, format!("\nInstructions a request in user space, by callgrind\n{table}")))
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

/// Counts, by case.
#[derive(Debug)]
pub(crate) struct Record(Map<String, Value>);

impl Record {
    fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/support/instructions.json")
    }

    /// Reads what was counted before.
    pub(crate) fn read() -> Result<Self, Failure> {
        let text = fs::read_to_string(Self::path()).tried("read what is on record")?;
        serde_json::from_str(&text).map(Self).tried("read what is on record")
    }

    /// The count of a case.
    pub(crate) fn of(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    /// All of them for a file.
    pub(crate) fn value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// Puts them in place of what was counted before.
    pub(crate) fn write(self) -> Result<(), Failure> {
        report::write_value(&Self::path(), &Value::Object(self.0))
    }
}
