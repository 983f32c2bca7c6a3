//! Threads: requests a second and CPU of a request with one and with two, on all CPUs.

use std::process::{Command, Stdio};

use super::{Growth, askers, roomy};
use crate::fitted::{Fitted, Turn};
use crate::player::Player;
use crate::stage::Stage;
use crate::support::chart::curves::Curve;
use crate::support::front::Front;
use crate::support::numbers::{median, number};
use crate::support::{Failure, Tried as _, upstream};

/// How many connections ask.
const BUSY: u64 = 64;

/// Measures each front with one thread and with two, or as many workers.
pub(super) fn run(stage: &Stage, here: &[Front]) -> Result<Vec<Growth>, Failure> {
    let (place, machine) = (&stage.place, &stage.machine);
    if machine.load_cpu == machine.proxy_cpu {
        println!("not measured: two threads, for there is one CPU");
        return Ok(Vec::new());
    }
    let cpus = format!("{},{}", machine.load_cpu, machine.proxy_cpu);
    let mut application = Player::start(place, upstream::ROLE, &[])?;
    let port = application.line()?.parse().tried("read the application's port")?;
    roam(application.id(), &cpus)?;
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for front in here.iter().copied() {
        let (mut rate, mut cost) = (Vec::new(), Vec::new());
        for threads in [1_u8, 2] {
            let turn = Turn { front, running: fitted(threads).start(place, front, port)? };
            let process = turn.running.process.as_ref();
            for id in process.map(|process| process.family()).unwrap_or_default() {
                roam(id, &cpus)?;
            }
            let (mut per_second, mut cpu_us) = (Vec::new(), Vec::new());
            for _ in 0..2 * stage.options.rounds {
                let numbers = [u64::from(turn.running.port), BUSY, 0, stage.options.seconds * 1000];
                let numbers = numbers.map(|number| number.to_string());
                let mut clients = Player::start(place, askers::ROLE, &numbers)?;
                clients.line()?;
                roam(clients.id(), &cpus)?;
                let before = turn.cpu_time()?;
                let told = clients.play()?;
                let spent = turn.cpu_time()?.since(before);
                per_second.push(number(told.good) * 1e6 / number(told.elapsed_us));
                cpu_us.push(number(spent.nanoseconds) / 1e3 / number(told.good));
            }
            rate.push((f64::from(threads), median(&per_second)));
            cost.push((f64::from(threads), median(&cpu_us)));
        }
        rates.push(Curve { name: front.name().to_owned(), points: rate });
        costs.push(Curve { name: front.name().to_owned(), points: cost });
    }
    let title = format!(
        "Threads, {BUSY} connections, 200 B; application and load share both CPUs with the front"
    );
    Ok(vec![
        Growth {
            title: title.clone(),
            across: "threads",
            up: "requests/s",
            is_cost: false,
            curves: rates,
        },
        Growth { title, across: "threads", up: "CPU µs a request", is_cost: true, curves: costs },
    ])
}

fn fitted(threads: u8) -> Fitted {
    let mut fitted = roomy("threads", &[&format!("--threads={threads}")]);
    fitted.set("THREADS", threads.to_string());
    fitted
}

/// Lets a program that runs use these CPUs.
fn roam(id: u32, cpus: &str) -> Result<(), Failure> {
    let status = Command::new("taskset")
        .args(["--all-tasks", "--pid", "--cpu-list", cpus, &id.to_string()])
        .stdout(Stdio::null())
        .status()
        .tried("let a program use all CPUs")?;
    if status.success() { Ok(()) } else { Err(Failure::new("taskset failed; its words are above")) }
}
