//! What a profiled build learns from: `cargo bench --bench training -- --forebay FILE`.
//!
//! forebay is asked for what sites ask it for, each for a second; nothing is measured. Each must end
//! in order, since an instrumented one writes its counts when it ends. `deploy/build.sh profiled`
//! runs this.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "telling is what a benchmark does")]
#![expect(clippy::disallowed_types, reason = "what is asked runs on the real clock")]

#[expect(dead_code, reason = "the benchmarks share one set of parts")]
mod support;

use std::fs;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use support::front::{Front, Place, forebay, free_port};
use support::machine::Machine;
use support::options::Choice;
use support::process::Process;
use support::rounds::{self, Case, Plan, Target};
use support::statics::{Files, known, path};
use support::upstream::{self, Upstream};
use support::{Failure, Tried as _, play, wire};

fn main() -> ExitCode {
    let roles = [(upstream::ROLE, upstream::run as fn(&_) -> _)];
    play("training", &roles, |arguments| run(&Choice::read("training", arguments)?))
}

/// Over TCP, then over both Unix sockets.
fn run(choice: &Choice) -> Result<(), Failure> {
    let tools = [("wrk", "wrk"), ("h2load", "nghttp2-client")];
    let machine = Machine::look(&choice.command, &tools)?;
    let place = Place::prepare(&machine, choice, "training")?;
    let application = Upstream::start_in(place.load_cpu, place.files, &place.directory)?;
    let files = Files::write(&place, &[("1k.js", 1 << 10), ("100k.js", 100 << 10)])?;

    let trained = Trained::start(&place, &files, &format!("127.0.0.1:{}", application.port))?;
    for (name, path, connections) in [
        ("200 B", "/b200", 1),
        ("200 B", "/b200", 64),
        ("10 KiB", "/b10k", 64),
        ("100 KiB", "/b100k", 16),
        ("10 KiB in chunks", "/chunks", 16),
    ] {
        trained.ask(name, connections, wire::request(path))?;
    }
    for (name, length) in [("POST of 2 KiB", 2 << 10), ("upload of 1 MiB", 1 << 20)] {
        trained.ask(name, 16, wire::post("/b200", &vec![b'x'; length]))?;
    }
    let request = String::from_utf8_lossy(&wire::request("/b200")).into_owned();
    let request = request.replacen("keep-alive", "close", 1).into_bytes();
    trained.ask("a connection each", 16, request)?;
    trained.ask_for_files()?;
    trained.ask_by_http2()?;
    trained.end()?;

    for ends in [false, true] {
        let socket = upstream::socket(&place.directory, ends);
        let trained = Trained::start(&place, &files, &format!("unix:{}", socket.display()))?;
        let name = if ends { "unix, a connection each" } else { "unix" };
        trained.ask(name, 16, wire::request("/b200"))?;
        trained.end()?;
    }
    drop(application);
    fs::remove_dir_all(&place.directory).tried("remove the files")
}

/// forebay as in production, but for where its access log goes.
struct Trained<'a> {
    place: &'a Place,
    port: u16,
    process: Process,
}

impl<'a> Trained<'a> {
    fn start(place: &'a Place, files: &Files, upstream: &str) -> Result<Self, Failure> {
        let port = free_port()?;
        let program = place.program(Front::Forebay)?;
        let mut command = Process::command(&program, place.proxy_cpu, place.files);
        command.args(forebay(port, upstream)).args(["--static", &files.flag()]);
        let log = place.directory.join("forebay.log");
        let (request, pause) = (wire::request("/b200"), Duration::from_millis(10));
        let process = Process::start_without_output(command, &log)?;
        let (process, _) = process.answered(&log, pause, port, &request)?;
        Ok(Self { place, port, process })
    }

    /// Sends a request for a second, on so many connections at once.
    fn ask(&self, name: &'static str, connections: usize, request: Vec<u8>) -> Result<(), Failure> {
        let plan = Plan {
            load_cpu: self.place.load_cpu,
            directory: self.place.directory.clone(),
            rounds: 1,
            seconds: 1,
        };
        let target = Target { name: "forebay", port: self.port, process: None, request };
        let case = Case { name, path: "", connections };
        let requests = rounds::sample(&plan, &target, case, plan.seconds)?.requests;
        println!("{}: {requests} requests", case.text());
        Ok(())
    }

    /// Variants by brotli and by gzip, and what the client has already.
    fn ask_for_files(&self) -> Result<(), Failure> {
        let brotli = wire::request(&path("1k.js"));
        let mut stream = wire::connect(self.port).tried("connect to forebay")?;
        let answer = wire::exchange(&mut stream, &brotli)?;
        let gzip = String::from_utf8_lossy(&brotli).replacen(", br, zstd", "", 1).into_bytes();
        self.ask("file of 1 KiB, brotli", 32, brotli)?;
        self.ask("file of 1 KiB, gzip", 32, gzip)?;
        self.ask("file of 100 KiB", 16, wire::request(&path("100k.js")))?;
        self.ask("304", 32, known("1k.js", &answer)?)
    }

    fn ask_by_http2(&self) -> Result<(), Failure> {
        let output = Command::new("taskset")
            .args(["--cpu-list", &self.place.load_cpu.to_string(), "h2load", "--threads", "1"])
            .args(["--clients", "16", "--max-concurrent-streams", "10", "--duration", "1"])
            .args(["--header", "X-Forwarded-Proto: https"])
            .arg(format!("http://127.0.0.1:{}/b200", self.port))
            .stdin(Stdio::null())
            .output()
            .tried("run h2load")?;
        let words = String::from_utf8_lossy(&output.stdout);
        let line = words.lines().find_map(|line| line.strip_prefix("requests: "));
        println!("HTTP/2: {}", line.unwrap_or("nothing"));
        match line {
            Some(line) if !line.contains(" 0 succeeded") && line.contains(" 0 failed") => Ok(()),
            _ => Err(Failure::new(format!("HTTP/2 failed: {words}"))),
        }
    }

    fn end(self) -> Result<(), Failure> {
        self.process.end()
    }
}
