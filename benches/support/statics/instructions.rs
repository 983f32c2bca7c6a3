//! How many instructions a request for a file takes in nginx and in forebay.

use std::time::Duration;

use super::{Files, Server, ask, command, known, path};
use crate::support::count::{Subject, per_request};
use crate::support::front::Place;
use crate::support::numbers::number;
use crate::support::upstream::Upstream;
use crate::support::{Failure, eventually, report, wire};

/// The table, without a log of requests.
pub(crate) fn table(place: &Place, files: &Files, behind: &Upstream) -> Result<String, Failure> {
    let mut rows = vec![["", "nginx", "forebay", "÷ nginx"].map(str::to_owned).to_vec()];
    for (name, file, is_known) in
        [("1 KiB", "1k.js", false), ("304", "1k.js", true), ("10 KiB", "10k.js", false)]
    {
        let mut counts = Vec::new();
        for server in [Server::Nginx, Server::Forebay] {
            let first = wire::request(&path(file));
            let subject = Subject {
                command: &|port| command(place, files, server, (port, behind.port), false),
                first: first.clone(),
                request: &|port| {
                    // The table of forebay's files may come a moment after its first answer.
                    let pause = Duration::from_millis(50);
                    let asked = || ask(server, port, files, file).ok();
                    let answer = eventually(pause, asked)?;
                    if is_known { known(file, &answer) } else { Ok(first.clone()) }
                },
                connects: false,
            };
            counts.push(per_request(place, &subject)?);
        }
        let [nginx, forebay] = *counts.as_slice() else { continue };
        let ratio = number(forebay) / number(nginx);
        let cells = [nginx.to_string(), forebay.to_string(), format!("{ratio:.2}")];
        rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
    }
    Ok(format!("\nInstructions a request in user space, by callgrind\n{}", report::table(&rows)))
}
