//! How many instructions a request takes, which does not depend on what else the machine does.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::front::{Place, free_port};
use super::process::Process;
use super::{Failure, Tried as _, wire};

/// Two counts of requests: what start and end take is in both, and goes out of the difference.
const FEW: u64 = 200;
const MANY: u64 = 1700;

/// nginx ends a connection after 1,000 requests.
const KEPT_FOR: u64 = 500;

/// What is counted.
pub(crate) struct Subject<'a> {
    /// The server, on a port.
    pub(crate) command: &'a dyn Fn(u16) -> Result<Command, Failure>,
    /// What it is asked until it answers.
    pub(crate) first: Vec<u8>,
    /// The request that is repeated, once the server is as it should be.
    pub(crate) request: &'a dyn Fn(u16) -> Result<Vec<u8>, Failure>,
    /// Whether each request comes on a connection of its own.
    pub(crate) connects: bool,
}

/// The instructions in user space that one request takes, by callgrind.
pub(crate) fn per_request(place: &Place, subject: &Subject<'_>) -> Result<u64, Failure> {
    let count = |requests| run(place, subject, (requests, &[]), |_, _| Ok(()));
    let (few, many) = (count(FEW)?, count(MANY)?);
    Ok(many.saturating_sub(few) / (MANY - FEW))
}

/// As [`per_request`], without what a server does before its request is known: also where that is
/// much, and not the same each time.
pub(crate) fn per_request_when_ready(place: &Place, subject: &Subject<'_>) -> Result<u64, Failure> {
    let count = |requests| {
        let prefix = format!("--vgdb-prefix={}", place.directory.join("vgdb").display());
        let flags = ["--instr-atstart=no", prefix.as_str()];
        run(place, subject, (requests, &flags), |process, switch| {
            let (switch, id) = (format!("--instr={switch}"), process.id().to_string());
            let arguments = [switch.as_str(), prefix.as_str(), id.as_str()];
            let output = Command::new("callgrind_control").args(arguments).output();
            let output = output.tried("begin or end to count")?;
            if output.status.success() {
                return Ok(());
            }
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(Failure::new(format!("callgrind_control failed: {words}")))
        })
    };
    Ok(count(MANY)?.saturating_sub(count(FEW)?) / (MANY - FEW))
}

/// All instructions of a server that starts, answers so many requests and ends; `switch` is told
/// `on` when its request is known, and `off` when all are answered.
fn run(
    place: &Place,
    subject: &Subject<'_>,
    (requests, flags): (u64, &[&str]),
    switch: impl Fn(&Process, &str) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let port = free_port()?;
    let folder = place.directory.join("callgrind");
    drop(fs::remove_dir_all(&folder)); // there may be none yet
    fs::create_dir_all(&folder).tried("make a folder for counts")?;
    let log = format!("--log-file={}/%p", folder.display());
    let mut tool = vec!["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", &log];
    tool.extend(flags);
    let command = Process::under(&tool, &(subject.command)(port)?);
    let (words, pause) = (place.directory.join("callgrind.log"), Duration::from_millis(50));
    let (process, _) = Process::answering(command, &words, pause, port, &subject.first)?;
    let request = (subject.request)(port)?;
    switch(&process, "on")?;
    let connect = || wire::connect(port).tried("connect to a server");
    let mut stream = connect()?;
    for number in 1..=requests {
        if subject.connects || number % KEPT_FOR == 0 {
            stream = connect()?;
        }
        wire::exchange(&mut stream, &request)?;
    }
    drop(stream);
    switch(&process, "off")?;
    drop(process);
    collected(&folder)
}

/// What all processes of a server counted.
fn collected(folder: &Path) -> Result<u64, Failure> {
    let mut sum = 0;
    for entry in fs::read_dir(folder).tried("read counts")?.flatten() {
        let text = fs::read_to_string(entry.path()).tried("read a count")?;
        let line = text.lines().find_map(|line| line.split_once("Collected : "));
        sum += line.and_then(|(_, count)| count.parse::<u64>().ok()).unwrap_or(0);
    }
    if sum == 0 { Err(Failure::new("callgrind counted nothing")) } else { Ok(sum) }
}
