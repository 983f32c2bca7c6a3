//! What `forebay run` costs at a start and beside its children: `cargo bench --bench start`.
//!
//! Time from exec to each first, over gunicorn alone; memory with three children; how many lines of a
//! child that floods reach the log.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "telling is what a benchmark does")]
#![expect(clippy::disallowed_types, reason = "what is measured runs on the real clock")]

#[expect(dead_code, reason = "the benchmarks share one set of parts")]
mod support;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::front::{Place, free_port};
use support::machine::Machine;
use support::numbers::{least, median};
use support::options::Choice;
use support::process::Process;
use support::{Failure, Tried as _, eventually, play, report, wait, wire};

fn main() -> ExitCode {
    play("start", &[], |arguments| measure(&Choice::read("start", arguments)?))
}

fn measure(choice: &Choice) -> Result<(), Failure> {
    let machine = Machine::look(&choice.command, &[])?;
    println!("{}", machine.text());
    let bench = Bench {
        place: Place::prepare(&machine, choice, "start")?,
        forebay: choice.forebay.clone(),
        gunicorn: Path::new(env!("CARGO_MANIFEST_DIR")).join("target/e2e/venv/bin/gunicorn"),
    };
    if !bench.gunicorn.exists() {
        return Err(Failure::new(
            "gunicorn is missing: run `tests/run`, which puts it below target",
        ));
    }
    let result = json!({
        "command": machine.command,
        "commit": machine.commit,
        "processor": machine.processor,
        "starts": bench.starts(if choice.quick { 3 } else { 15 })?,
        "memory": bench.memory()?,
        "log": bench.log(if choice.quick { 100_000 } else { 2_000_000 })?,
    });
    println!("\nload of the machine afterwards: {}", support::machine::load());
    if let Some(path) = &choice.json {
        report::write_value(path, &result)?;
    }
    Ok(())
}

#[derive(Debug)]
struct Bench {
    place: Place,
    forebay: PathBuf,
    gunicorn: PathBuf,
}

/// What is started.
#[derive(Clone, Copy, Debug)]
enum Start {
    Gunicorn,
    Run,
    RunWithStatic,
}

impl Start {
    const ALL: [Self; 3] = [Self::Gunicorn, Self::Run, Self::RunWithStatic];

    fn name(self) -> &'static str {
        match self {
            Self::Gunicorn => "gunicorn alone",
            Self::Run => "forebay run",
            Self::RunWithStatic => "forebay run --static",
        }
    }
}

impl Bench {
    /// Measures starts, one after the other in turns.
    fn starts(&self, rounds: usize) -> Result<Value, Failure> {
        let mut samples = vec![(Vec::new(), Vec::new()); Start::ALL.len()];
        for _ in 0..rounds {
            for (start, (listens, answers)) in Start::ALL.into_iter().zip(&mut samples) {
                let (listening, answer) = self.start(start)?;
                listens.push(listening.as_secs_f64() * 1000.0);
                answers.push(answer.as_secs_f64() * 1000.0);
            }
        }
        let head = ["ms from exec to", "listening", "least", "the site's first answer", "least"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        let mut values = Vec::new();
        for (start, (listens, answers)) in Start::ALL.into_iter().zip(&samples) {
            let numbers = [median(listens), least(listens), median(answers), least(answers)];
            let mut row = vec![start.name().to_owned()];
            row.extend(numbers.map(|number| format!("{number:.1}")));
            rows.push(row);
            values.push(
                json!({ "start": start.name(), "listening_ms": listens, "answer_ms": answers }),
            );
        }
        println!("\n{rounds} starts each, medians\n{}", report::table(&rows));
        Ok(values.into())
    }

    /// One start: until it listens, and until the site answers.
    fn start(&self, start: Start) -> Result<(Duration, Duration), Failure> {
        let port = free_port()?;
        let program = if matches!(start, Start::Gunicorn) { &self.gunicorn } else { &self.forebay };
        let mut command = self.command(program);
        let application = ["--no-control-socket", "--workers", "2", "mysite.wsgi"];
        let address = format!("127.0.0.1:{port}");
        if let Start::Gunicorn = start {
            command.args(["--bind", &address]).args(application);
        } else {
            command.args(["run", "--listen", &address, "--host", "www.example.com"]);
            if let Start::RunWithStatic = start {
                command.args(["--static", "/static/=/usr/share/common-licenses"]);
            }
            command.arg("--").arg(&self.gunicorn).args(application);
        }
        let begun = Instant::now();
        let _process = Process::start(command, &self.place.directory.join("start.log"))?;
        eventually(Duration::from_micros(200), || TcpStream::connect(("127.0.0.1", port)).ok())?;
        let listening = begun.elapsed();
        let answer = eventually(Duration::from_millis(1), || {
            let mut stream = wire::connect(port).ok()?;
            wire::exchange(&mut stream, &wire::request("/")).ok()
        })?;
        if !answer.status_line.contains(" 200 ") {
            return Err(Failure::new(format!("the site answered `{}`", answer.status_line)));
        }
        Ok((listening, begun.elapsed()))
    }

    /// Measures forebay itself beside gunicorn with two workers and two other processes.
    fn memory(&self) -> Result<Value, Failure> {
        let port = free_port()?;
        let folder = self.place.directory.join("memory");
        fs::create_dir_all(&folder).tried("make a folder")?;
        let gunicorn = self.gunicorn.display();
        let site = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/site");
        let procfile = format!(
            "web: {gunicorn} --no-control-socket --chdir {site} --workers 2 mysite.wsgi\n\
             worker: sleep 1000\nclock: sleep 1000\n"
        );
        fs::write(folder.join("Procfile"), procfile).tried("write a Procfile")?;
        let mut command = self.command(&self.forebay);
        command.current_dir(&folder).args(["run", "--listen", &format!("127.0.0.1:{port}")]);
        command.args(["--host", "www.example.com"]);
        let log = self.place.directory.join("memory.log");
        let (process, _) =
            Process::answering(command, &log, Duration::from_millis(5), port, &wire::request("/"))?;
        wait(Duration::from_secs(1));
        let own = process.own_memory_kib()?;
        println!("\nforebay with three children: {:.1} MiB", mib(own));
        Ok(json!({ "forebay_kib": own }))
    }

    /// Measures how many lines of a child that floods reach the log, and how fast.
    fn log(&self, lines: u64) -> Result<Value, Failure> {
        let port = free_port()?;
        let log = self.place.directory.join("flood.log");
        let line =
            "2026-01-01 00:00:00,000 INFO mysite.views: a line as long as most lines are, or so";
        let flood =
            format!("yes '{line}' | head -n {lines}; while sleep 0.1; do echo the end; done");
        let mut command = self.command(&self.forebay);
        command.args(["run", "--listen", &format!("127.0.0.1:{port}"), "--", "sh", "-c", &flood]);
        let begun = Instant::now();
        let process = Process::start(command, &log)?;
        let mut reader = BufReader::new(File::open(&log).tried("open the log")?);
        let (mut arrived, mut lost, mut text) = (0_u64, 0_u64, String::new());
        let end = loop {
            text.clear();
            if reader.read_line(&mut text).tried("read the log")? == 0 {
                wait(Duration::from_millis(1));
            } else if text.contains("a line as long") && text.contains("mysite.views") {
                arrived += u64::from(text.contains("\"process\":\"web\""));
            } else if let Some(rest) = text.strip_prefix("forebay: ") {
                lost +=
                    rest.split(' ').next().and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
            } else if text.contains("the end") && arrived + lost > 0 {
                break begun.elapsed();
            }
            if begun.elapsed() > Duration::from_mins(2) {
                return Err(Failure::new("the flood does not end"));
            }
        };
        let cpu = process.cpu_time()?;
        let rate = f64::from(u32::try_from(arrived).unwrap_or(u32::MAX)) / end.as_secs_f64();
        println!(
            "\n{lines} lines of a child in {:.2} s: {arrived} in the log ({:.0} a second), {lost} lost and \
             counted; CPU of all {:.2} s",
            end.as_secs_f64(),
            rate,
            Duration::from_nanos(cpu.nanoseconds).as_secs_f64(),
        );
        drop(process);
        drop(fs::remove_file(&log));
        Ok(json!({
            "lines": lines, "arrived": arrived, "lost": lost, "seconds": end.as_secs_f64(),
        }))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Process::command(program, self.place.proxy_cpu, self.place.files);
        command
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/site"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("DJANGO_SETTINGS_MODULE", "mysite.small");
        command
    }
}

fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}
