//! Static files: instructions of a request for one of them, and what a start and rest take.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use super::Growth;
use crate::stage::Stage;
use crate::support::chart::curves::Curve;
use crate::support::count::{Subject, per_request_when_ready};
use crate::support::front::{Front, Place, free_port};
use crate::support::numbers::{median, number};
use crate::support::process::Process;
use crate::support::upstream::Upstream;
use crate::support::{Failure, Tried as _, wait, wire};

/// How many files there are; in a folder are so many of them.
const COUNTS: [u32; 4] = [10, 1_000, 10_000, 100_000];
const IN_A_FOLDER: u32 = 1_000;

/// The longest that a table of files may take, also under callgrind.
const LONGEST: Duration = Duration::from_mins(2);

/// How long a start may have something left to do.
const LATER: Duration = Duration::from_secs(3);

/// How long CPU time at rest is measured: forebay looks at the files every second, or where that
/// takes long after fifty times as long.
const REST: Duration = Duration::from_secs(20);

/// What one number of files costs, but for requests.
struct Standing {
    start_ms: f64,
    start_cpu_ms: f64,
    memory_kib: u64,
}

/// Measures forebay with more and more files.
pub(super) fn run(stage: &Stage, _: &[Front]) -> Result<Vec<Growth>, Failure> {
    let place = &stage.place;
    let quick = stage.options.choice.quick;
    let application = Upstream::start(place.load_cpu, place.files)?;
    let files = Files(place.directory.join("growth-files"));
    drop(fs::remove_dir_all(&files.0)); // an earlier run may have been ended
    let counts: Vec<u32> =
        if quick { COUNTS.into_iter().step_by(2).collect() } else { COUNTS.to_vec() };
    let mut points: [Vec<(f64, f64)>; 5] = Default::default();
    let mut have = 0;
    for count in counts {
        files.grow(have, count)?;
        have = count;
        let mut starts = Vec::new();
        for _ in 1..if quick { 1 } else { 3 } {
            starts.push(start(place, &files.0, application.port)?.0);
        }
        let (last, process) = start(place, &files.0, application.port)?;
        starts.push(last);
        let rest_cpu_us = rest(&process)?;
        drop(process);
        let middle =
            |value: fn(&Standing) -> f64| median(&starts.iter().map(value).collect::<Vec<_>>());
        let each = [
            number(instructions(place, &files.0, application.port)?),
            middle(|it| it.start_ms),
            middle(|it| it.start_cpu_ms),
            middle(|it| number(it.memory_kib) / 1024.0),
            rest_cpu_us,
        ];
        for (points, value) in points.iter_mut().zip(each) {
            points.push((f64::from(count), value));
        }
    }
    let titles = [
        ("A request for one of many static files", "instructions a request"),
        ("Start with many static files, until one is served", "ms"),
        ("CPU time of that start", "ms"),
        ("Memory (PSS) with many static files of 100 B", "MiB"),
        ("CPU time at rest with many static files", "µs a second"),
    ];
    let growth = titles.into_iter().zip(points).map(|((title, up), points)| Growth {
        title: title.to_owned(),
        across: "files",
        up,
        is_cost: true,
        curves: vec![Curve { name: "forebay".to_owned(), points }],
    });
    Ok(growth.collect())
}

/// Files that go with this.
struct Files(PathBuf);

impl Files {
    /// Adds files until there are so many; they look as old as those of a release.
    fn grow(&self, from: u32, to: u32) -> Result<(), Failure> {
        let yesterday = SystemTime::now() - Duration::from_hours(24);
        for number in from..to {
            let folder = self.0.join((number / IN_A_FOLDER).to_string());
            if number % IN_A_FOLDER == 0 || number == from {
                fs::create_dir_all(&folder).tried("make a folder for files")?;
            }
            let path = folder.join(format!("{number}.js"));
            fs::write(&path, content(number)).tried("write a file")?;
            let file = File::options().write(true).open(&path).tried("make a file older")?;
            file.set_modified(yesterday).tried("make a file older")?;
        }
        Ok(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // They lie in the folder for such files either way.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// 100 bytes, which say what file it is.
fn content(number: u32) -> Vec<u8> {
    format!("{:<99}\n", format!("// the file number {number}")).into_bytes()
}

/// The file that is asked for: all tables have it.
const ASKED: u32 = 7;

fn path() -> String {
    format!("/static/{}/{ASKED}.js", ASKED / IN_A_FOLDER)
}

fn command(place: &Place, files: &Path, (port, upstream): (u16, u16)) -> Command {
    let mut command = place.forebay(port, upstream);
    command.args(["--static", &format!("/static/={}", files.display())]);
    command.args(["--static-variants", "off"]);
    command
}

/// Whether the file is served.
fn is_served(port: u16) -> bool {
    let answer = wire::connect(port)
        .tried("connect")
        .and_then(|mut stream| wire::exchange(&mut stream, &wire::request(&path())));
    answer.is_ok_and(|answer| answer.content == content(ASKED))
}

fn until_served(port: u16) -> Result<(), Failure> {
    let begun = Instant::now();
    while begun.elapsed() < LONGEST {
        if is_served(port) {
            return Ok(());
        }
        wait(Duration::from_millis(2));
    }
    Err(Failure::new(format!("a file was not served within {} s", LONGEST.as_secs())))
}

/// One start.
fn start(place: &Place, files: &Path, upstream: u16) -> Result<(Standing, Process), Failure> {
    let port = free_port()?;
    let command = command(place, files, (port, upstream));
    let begun = Instant::now();
    let process = Process::start(command, &place.directory.join("growth-files.log"))?;
    until_served(port)?;
    let start = begun.elapsed();
    let start_cpu = process.cpu_time()?;
    // What a start leaves to do later belongs to neither.
    wait(LATER);
    let standing = Standing {
        start_ms: start.as_secs_f64() * 1e3,
        start_cpu_ms: number(start_cpu.nanoseconds) / 1e6,
        memory_kib: process.memory_kib()?,
    };
    Ok((standing, process))
}

/// CPU microseconds a second where nobody asks for anything.
fn rest(process: &Process) -> Result<f64, Failure> {
    let before = process.cpu_time()?;
    wait(REST);
    let spent = process.cpu_time()?.since(before);
    // The exact account of a thread goes with it, and the one that looks may end before the next look.
    let ticks_ns = (spent.user_ticks + spent.system_ticks) * TICK_NS;
    let spent_ns = if ticks_ns > 10 * TICK_NS { ticks_ns } else { spent.nanoseconds };
    Ok(number(spent_ns) / 1e3 / REST.as_secs_f64())
}

/// `USER_HZ` is 100 on every Linux.
const TICK_NS: u64 = 10_000_000;

/// Instructions of a request for the file, once the table is complete.
fn instructions(place: &Place, files: &Path, upstream: u16) -> Result<u64, Failure> {
    let subject = Subject {
        command: &|port| Ok(command(place, files, (port, upstream))),
        first: wire::request("/b200"),
        request: &|port| {
            until_served(port)?;
            // What a start leaves to do later is not a request's.
            wait(LATER);
            Ok(wire::request(&path()))
        },
        connects: false,
    };
    per_request_when_ready(place, &subject)
}
