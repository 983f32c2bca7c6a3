//! How many instructions a request takes, which does not depend on what else the machine does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{Files, Server, Serving, command, known, path};
use crate::support::front::Place;
use crate::support::numbers::number;
use crate::support::peer::free_port;
use crate::support::process::Process;
use crate::support::upstream::Upstream;
use crate::support::{Failure, Tried as _, eventually, report, wire};

/// Two counts of requests: what start and end take is in both, and goes out of the difference.
const FEW: u64 = 200;
const MANY: u64 = 1700;

/// The table, without a log of requests.
pub(crate) fn table(place: &Place, files: &Files, behind: &Upstream) -> Result<String, Failure> {
    let mut rows = vec![["", "nginx", "forebay", "÷ nginx"].map(str::to_owned).to_vec()];
    for (name, file, is_known) in
        [("1 KiB", "1k.js", false), ("304", "1k.js", true), ("10 KiB", "10k.js", false)]
    {
        let mut counts = Vec::new();
        for server in [Server::Nginx, Server::Forebay] {
            let run = |count| run(place, files, (server, behind.port), (file, is_known), count);
            counts.push(run(MANY)?.saturating_sub(run(FEW)?) / (MANY - FEW));
        }
        let [nginx, forebay] = *counts.as_slice() else { continue };
        let ratio = number(forebay) / number(nginx);
        let cells = [nginx.to_string(), forebay.to_string(), format!("{ratio:.2}")];
        rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
    }
    Ok(format!("\nInstructions a request in user space, by callgrind\n{}", report::table(&rows)))
}

/// All instructions of a server that starts, answers so many requests and ends.
fn run(
    place: &Place,
    files: &Files,
    (server, behind): (Server, u16),
    (name, is_known): (&str, bool),
    requests: u64,
) -> Result<u64, Failure> {
    let port = free_port()?;
    let folder = place.directory.join("callgrind");
    drop(fs::remove_dir_all(&folder)); // there may be none yet
    fs::create_dir_all(&folder).tried("make a folder for counts")?;
    let log = format!("--log-file={}/%p", folder.display());
    let tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", &log];
    let plain = command(place, files, server, (port, behind), false)?;
    let command = Process::under(&tool, &plain);
    let (words, pause) = (place.directory.join("callgrind.log"), Duration::from_millis(50));
    let first = wire::request(&path(name));
    let (process, _) = Process::answering(command, &words, pause, port, &first)?;
    let serving = Serving { server, port, process };
    // The table of forebay's files may come a moment after its first answer.
    let answer = eventually(pause, || serving.ask(files, name).ok())?;
    let request = if is_known { known(name, &answer)? } else { first };
    let mut stream = wire::connect(port).tried("connect to a server")?;
    for _ in 0..requests {
        wire::exchange(&mut stream, &request)?;
    }
    drop(stream);
    drop(serving);
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
