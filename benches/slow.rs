//! What slow clients cost: how long a worker is busy with one, what ten thousand do to a fast client,
//! and what their uploads take in memory: `cargo bench --bench slow`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "telling is what a benchmark does")]
#![expect(clippy::disallowed_types, reason = "what is measured runs on the real clock")]

#[expect(dead_code, reason = "the benchmarks share one set of parts")]
mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::attackers::{self, Attack, Attackers};
use support::front::{Front, Place};
use support::machine::Machine;
use support::options::Choice;
use support::site::Site;
use support::upstream::{self, Upstream};
use support::{Failure, Tried as _, play, report, wait, wire};

fn main() -> ExitCode {
    let roles = [(upstream::ROLE, upstream::run as fn(&_) -> _), (attackers::ROLE, attackers::run)];
    play("slow", &roles, |arguments| measure(&Choice::read("slow", arguments)?))
}

fn measure(choice: &Choice) -> Result<(), Failure> {
    let machine = Machine::look(&choice.command, &[])?;
    println!("{}", machine.text());
    let place = Place::prepare(&machine, choice, "slow")?;
    let all = Front::installed(&[Front::Direct, Front::Nginx, Front::Haproxy, Front::Forebay]);
    let attacked: Vec<_> =
        all.iter().copied().filter(|it| matches!(it, Front::Nginx | Front::Forebay)).collect();
    let result = json!({
        "command": machine.command,
        "commit": machine.commit,
        "processor": machine.processor,
        "busy_workers": busy_workers(&place, &all, choice.quick)?,
        "attacks": attacks(&place, &attacked, choice.quick)?,
        "uploads": uploads(&place, &attacked, choice.quick)?,
    });
    println!("\nload of the machine afterwards: {}", support::machine::load());
    if let Some(path) = &choice.json {
        report::write_value(path, &result)?;
    }
    Ok(())
}

/// What a slow client does to the only worker.
#[derive(Clone, Copy, Debug)]
enum Slow {
    /// Takes an answer of 5 MiB.
    Reader,
    /// Sends content of 2 MiB.
    Sender,
}

/// Measures how long the only worker is busy with a slow client.
fn busy_workers(place: &Place, fronts: &[Front], quick: bool) -> Result<Value, Failure> {
    let longest = Duration::from_secs(if quick { 3 } else { 15 });
    let mut rows = vec![["", "answer of 5 MiB", "content of 2 MiB"].map(str::to_owned).to_vec()];
    let mut values = Vec::new();
    for front in fronts {
        let mut row = vec![front.name().to_owned()];
        let mut seconds = Vec::new();
        for slow in [Slow::Reader, Slow::Sender] {
            // A worker that its master takes for dead would be free by that.
            let site = Site::start(place, &["-k", "sync", "-w", "1", "--timeout", "300"])?;
            let running = place.start(*front, site.port)?;
            let busy = busy(slow, running.port, longest)?;
            row.push(busy.map_or_else(
                || format!("> {} s", longest.as_secs()),
                |busy| format!("{:.3} s", busy.as_secs_f64()),
            ));
            seconds.push(busy.map(|busy| busy.as_secs_f64()));
        }
        rows.push(row);
        values.push(json!({ "front": front.name(), "answer_and_content_s": seconds }));
    }
    println!(
        "\nHow long a second client waits for gunicorn's only worker, sync, while a first one takes \
         or sends 20 KB/s\n{}",
        report::table(&rows)
    );
    Ok(Value::Array(values))
}

/// The time from a slow client's request to the answer to another; nothing when it takes too long.
fn busy(slow: Slow, port: u16, longest: Duration) -> Result<Option<Duration>, Failure> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (told, begun) = std::sync::mpsc::sync_channel(1);
        let client =
            scope.spawn(|| slow_client(slow, port, &stop, move || told.try_send(()).is_ok()));
        // It ends without a word when it fails, and tells why at its end.
        let has_begun = begun.recv_timeout(support::DEADLINE).is_ok();
        if !has_begun {
            stop.store(true, Ordering::Relaxed);
            client.join().map_err(|_| Failure::new("the slow client panicked"))??;
            return Err(Failure::new("the slow client did not get on"));
        }
        let since = Instant::now();
        let mut second = wire::connect(port).tried("connect as the second client")?;
        second.set_read_timeout(Some(longest)).tried("set a deadline")?;
        let request = "GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n";
        second.write_all(request.as_bytes()).tried("ask as the second client")?;
        let mut start = [0; 12];
        let answered = second.read_exact(&mut start).map(|()| since.elapsed());
        stop.store(true, Ordering::Relaxed);
        client.join().map_err(|_| Failure::new("the slow client panicked"))??;
        match answered {
            Ok(time) if start.ends_with(b" 200") => Ok(Some(time)),
            Ok(_) => Err(Failure::new("the second client got another answer than 200")),
            Err(_) => Ok(None),
        }
    })
}

/// Takes or sends 2 KB every tenth of a second until it is told to stop.
fn slow_client(
    slow: Slow,
    port: u16,
    stop: &AtomicBool,
    begun: impl FnOnce() -> bool,
) -> Result<(), Failure> {
    let mut stream = narrow(port)?;
    let fields = "HTTP/1.1\r\nHost: www.example.com";
    let head = match slow {
        Slow::Reader => format!("GET /large/{}/ {fields}\r\n\r\n", 5 << 20),
        Slow::Sender => {
            format!("POST /length/ {fields}\r\nContent-Length: {}\r\n\r\n", 2 << 20)
        }
    };
    stream.write_all(head.as_bytes()).tried("begin a slow request")?;
    let mut piece = [0; 2000];
    match slow {
        // The worker is at it when the answer begins.
        Slow::Reader => stream.read_exact(&mut piece).tried("read slowly")?,
        Slow::Sender => {
            // Until more has come than HAProxy's buffer holds, which waits that long.
            for _ in 0..15 {
                stream.write_all(&piece).tried("send slowly")?;
                wait(Duration::from_millis(100));
            }
        }
    }
    if !begun() {
        return Err(Failure::new("nobody waits for the slow client"));
    }
    while !stop.load(Ordering::Relaxed) {
        wait(Duration::from_millis(100));
        match slow {
            Slow::Reader => stream.read_exact(&mut piece).tried("read slowly")?,
            Slow::Sender => stream.write_all(&piece).tried("send slowly")?,
        }
    }
    Ok(())
}

/// A connection that takes little at a time.
fn narrow(port: u16) -> Result<TcpStream, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .tried("have a runtime")?;
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(8192)?;
        socket.connect(([127, 0, 0, 1], port).into()).await?.into_std()
    });
    let stream = stream.tried("connect as a slow client")?;
    stream.set_nonblocking(false).tried("make a connection wait")?;
    stream.set_read_timeout(Some(support::DEADLINE)).tried("set a deadline")?;
    Ok(stream)
}

/// What a fast client met.
#[derive(Clone, Copy, Debug)]
struct Fast {
    p50_ms: f64,
    p99_ms: f64,
    failed: usize,
}

/// Measures a fast client before and during each attack.
fn attacks(place: &Place, fronts: &[Front], quick: bool) -> Result<Value, Failure> {
    let wanted = if quick { 1000 } else { 10_000 };
    let head = "|attack|attackers|p50 before|during|p99 before|during ms|failed|MiB before|during";
    let mut rows = vec![head.split('|').map(str::to_owned).collect()];
    let mut values = Vec::new();
    for front in fronts {
        for attack in [Attack::Header, Attack::Body, Attack::Read] {
            // A front may need a file or a connection to the application for each reader.
            let share = if attack == Attack::Read { 2 } else { 1 };
            let count = wanted.min(place.files.saturating_sub(1000) / share);
            let application = Upstream::start(place.load_cpu, place.files)?;
            let running = place.start(*front, application.port)?;
            let process = running.process.as_ref().ok_or_else(|| Failure::new("nobody"))?;
            let length = Duration::from_secs(if quick { 1 } else { 4 });
            let before = (fast(running.port, length)?, process.memory_kib()?);
            let cpu = (place.load_cpu, place.files);
            let attackers = Attackers::start(attack, count, running.port, cpu)?;
            let during = (fast(running.port, length * 2)?, process.memory_kib()?);
            let mut row = vec![front.name().to_owned(), attack.name()];
            row.push(attackers.count.to_string());
            row.extend(
                [before.0.p50_ms, during.0.p50_ms, before.0.p99_ms, during.0.p99_ms]
                    .map(|milliseconds| format!("{milliseconds:.2}")),
            );
            row.push((before.0.failed + during.0.failed).to_string());
            row.extend([before.1, during.1].map(|kib| report::mib(kib * 1024)));
            rows.push(row);
            values.push(json!({
                "front": front.name(),
                "attack": attack.name(),
                "attackers": attackers.count,
                "before": fast_json(before.0),
                "during": fast_json(during.0),
                "memory_kib": [before.1, during.1],
            }));
        }
    }
    println!(
        "\nA fast client, 200 requests a second, while slow ones attack\n{}",
        report::table(&rows)
    );
    Ok(Value::Array(values))
}

fn fast_json(fast: Fast) -> Value {
    json!({ "p50_ms": fast.p50_ms, "p99_ms": fast.p99_ms, "failed": fast.failed })
}

/// Asks 200 times a second, with a new connection for every twentieth request.
fn fast(port: u16, length: Duration) -> Result<Fast, Failure> {
    let request = wire::request("/b200");
    let begun = Instant::now();
    let mut stream = None;
    let (mut all, mut failed) = (Vec::new(), 0);
    while begun.elapsed() < length {
        if all.len() % 20 == 0 {
            stream = None;
        }
        let asked = Instant::now();
        let open = stream.take().map_or_else(|| wire::connect(port), Ok);
        let answer = open.tried("connect").and_then(|mut open| {
            let answer = wire::exchange(&mut open, &request)?;
            stream = Some(open);
            Ok(answer)
        });
        if !answer.is_ok_and(|answer| answer.status_line.contains(" 200 ")) {
            failed += 1;
        }
        all.push(asked.elapsed().as_secs_f64() * 1000.0);
        wait(Duration::from_millis(5).saturating_sub(asked.elapsed()));
    }
    all.sort_by(f64::total_cmp);
    let at = |hundredth: usize| all.get(all.len() * hundredth / 100).copied();
    let slowest = || Failure::new("the fast client asked for nothing");
    Ok(Fast { p50_ms: at(50).ok_or_else(slowest)?, p99_ms: at(99).ok_or_else(slowest)?, failed })
}

/// Measures memory with uploads that lack their last byte.
fn uploads(place: &Place, fronts: &[Front], quick: bool) -> Result<Value, Failure> {
    let count = if quick { 100 } else { 1000 };
    let head = ["", "uploads", "of", "MiB before", "with them", "KiB each"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut values = Vec::new();
    for front in fronts {
        for attack in [Attack::Upload(64 << 10), Attack::Upload(1 << 20)] {
            let application = Upstream::start(place.load_cpu, place.files)?;
            let running = place.start(*front, application.port)?;
            let process = running.process.as_ref().ok_or_else(|| Failure::new("nobody"))?;
            let before = process.memory_kib()?;
            let cpu = (place.load_cpu, place.files);
            let attackers = Attackers::start(attack, count, running.port, cpu)?;
            wait(Duration::from_secs(1));
            let with_them = process.memory_kib()?;
            let each = with_them.saturating_sub(before) / attackers.count.max(1) as u64;
            let mut row = vec![front.name().to_owned(), attackers.count.to_string(), attack.name()];
            row.extend([before, with_them].map(|kib| report::mib(kib * 1024)));
            row.push(each.to_string());
            rows.push(row);
            values.push(json!({
                "front": front.name(),
                "upload": attack.name(),
                "count": attackers.count,
                "memory_kib": [before, with_them],
            }));
        }
    }
    println!("\nMemory (PSS) with uploads that lack their last byte\n{}", report::table(&rows));
    Ok(Value::Array(values))
}
