//! System calls of a program under load, by strace.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::front::Place;
use super::machine;
use super::process::Process;
use super::{Failure, Tried as _, eventually};

/// How often each system call was made.
pub(crate) type Calls = BTreeMap<String, u64>;

/// Counts the system calls that a program makes while `load` runs; gives back what that gave.
pub(crate) fn count<T>(
    place: &Place,
    process: &Process,
    load: impl FnOnce() -> Result<T, Failure>,
) -> Result<(Calls, T), Failure> {
    let program = machine::program("strace")
        .ok_or_else(|| Failure::new("strace is missing; Debian's package `strace` has it"))?;
    let (counts, words) = (place.directory.join("calls"), place.directory.join("strace.log"));
    let family = process.family();
    let mut command = Process::command(&program, place.load_cpu, place.files);
    command.args(["-f", "-c", "-o"]).arg(&counts);
    for id in &family {
        command.args(["-p", &id.to_string()]);
    }
    let mut strace = Process::start(command, &words)?;
    let said = || fs::read_to_string(&words).unwrap_or_default();
    let attached = eventually(Duration::from_millis(10), || {
        let is_there = said().matches(" attached").count() >= family.len();
        (is_there || strace.has_ended()).then_some(is_there)
    });
    if !attached.is_ok_and(|is_there| is_there) {
        return Err(Failure::new(format!("strace may not look at the program: {}", said())));
    }
    let result = load()?;
    // It writes what it counted when it is told to end.
    drop(strace);
    let text = fs::read_to_string(&counts).tried("read what strace counted")?;
    Ok((parse(&text), result))
}

/// Reads strace's table: per cent, seconds, microseconds a call, calls, errors if any, the name.
fn parse(text: &str) -> Calls {
    let line = |line: &str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let (calls, name) = (columns.get(3)?.parse().ok()?, *columns.last()?);
        (name != "total").then(|| (name.to_owned(), calls))
    };
    text.lines().filter_map(line).collect()
}
