//! What TLS to PostgreSQL costs by forebay's leg, beside libpq's own and stunnel:
//! `cargo bench --bench postgres`.
//!
//! pgbench and the server have one CPU, who is in the middle has another. Rounds go forth and back.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "telling is what a benchmark does")]
#![expect(clippy::disallowed_types, reason = "what is measured runs on the real clock")]

#[expect(dead_code, reason = "the benchmarks share one set of parts")]
mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::front::{Place, free_port};
use support::machine::{self, Machine};
use support::numbers::{median, number};
use support::options::Choice;
use support::process::{CpuTime, Process};
use support::{Failure, Tried as _, eventually, play, report};

fn main() -> ExitCode {
    play("postgres", &[], |arguments| measure(&Choice::read("postgres", arguments)?))
}

/// What is measured: its name, pgbench's own flags, the unit that is counted.
const CASES: [(&str, &[&str], &str); 3] = [
    ("one row a transaction, 8 clients", &["-S", "-c", "8"], "transactions"),
    ("TPC-B, 8 clients", &["-c", "8"], "transactions"),
    ("COPY to the client", &[], "MiB"),
];

/// `USER_HZ` is 100 on every Linux.
const TICK_NS: u64 = 10_000_000;

/// How much a sample of COPY has, in MiB.
const COPY_MIB: u64 = 512;

fn measure(choice: &Choice) -> Result<(), Failure> {
    let machine =
        Machine::look(&choice.command, &[("pgbench", "postgresql"), ("psql", "postgresql")])?;
    println!("{}", machine.text());
    let place = Place::prepare(&machine, choice, "postgres")?;
    let cluster = Cluster::start(&machine)?;
    let peers = [Kind::Libpq, Kind::Stunnel, Kind::Forebay]
        .into_iter()
        .map(|kind| Peer::start(kind, &cluster, &place, choice))
        .collect::<Result<Vec<_>, _>>()?;
    let (rounds, seconds) = if choice.quick { (1, 2) } else { (5, 4) };
    let mut values = Vec::new();
    for case in CASES {
        let mut samples = vec![Vec::new(); peers.len()];
        for _ in 0..rounds {
            for place in (0..peers.len()).chain((0..peers.len()).rev()) {
                if let (Some(peer), Some(samples)) = (peers.get(place), samples.get_mut(place)) {
                    samples.push(peer.sample(&cluster, case.1, seconds)?);
                }
            }
        }
        values.push(tell(case, &peers, &samples));
    }
    println!("\nload of the machine afterwards: {}", machine::load());
    if let Some(path) = &choice.json {
        let all = json!({
            "command": machine.command, "commit": machine.commit, "processor": machine.processor,
            "cases": values,
        });
        report::write_value(path, &all)?;
    }
    Ok(())
}

/// Prints one case; ratios are those of medians.
fn tell(case: (&str, &[&str], &str), peers: &[Peer], samples: &[Vec<Sample>]) -> Value {
    let (name, _, unit) = case;
    let rate = |samples: &[Sample]| median(&samples.iter().map(Sample::rate).collect::<Vec<_>>());
    let cpu = |samples: &[Sample]| median(&samples.iter().map(Sample::cpu_us).collect::<Vec<_>>());
    let of = |kind: Kind| {
        let found = peers.iter().zip(samples).find(|(peer, _)| peer.kind == kind);
        found.map_or(&[][..], |(_, samples)| samples)
    };
    let per_second = format!("{unit}/s");
    let head = [name, &per_second, "÷ libpq", "CPU µs each", "÷ stunnel"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (peer, samples) in peers.iter().zip(samples) {
        let mut row = vec![peer.kind.name().to_owned(), format!("{:.0}", rate(samples))];
        row.push(format!("{:.2}", rate(samples) / rate(of(Kind::Libpq))));
        if peer.kind == Kind::Libpq {
            row.extend(["-", "-"].map(str::to_owned));
        } else {
            row.push(format!("{:.1}", cpu(samples)));
            row.push(format!("{:.2}", cpu(samples) / cpu(of(Kind::Stunnel))));
        }
        rows.push(row);
    }
    println!("\n{}", report::table(&rows));
    let all = peers.iter().zip(samples).map(|(peer, samples)| {
        let samples = samples
            .iter()
            .map(|it| json!({ "count": it.count, "seconds": it.seconds, "cpu_ns": it.cpu_ns }));
        (peer.kind.name().to_owned(), Value::from(samples.collect::<Vec<_>>()))
    });
    json!({ "name": name, "unit": unit, "peers": Value::Object(all.collect()) })
}

/// What was done in how long, and the CPU time of who is in the middle.
#[derive(Clone, Copy, Debug)]
struct Sample {
    count: f64,
    seconds: f64,
    cpu_ns: u64,
}

impl Sample {
    fn rate(&self) -> f64 {
        self.count / self.seconds
    }

    fn cpu_us(&self) -> f64 {
        number(self.cpu_ns) / 1e3 / self.count
    }
}

/// Who speaks TLS with the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// The client itself.
    Libpq,
    Stunnel,
    Forebay,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Libpq => "libpq",
            Self::Stunnel => "stunnel",
            Self::Forebay => "forebay",
        }
    }
}

#[derive(Debug)]
struct Peer {
    kind: Kind,
    port: u16,
    process: Option<Process>,
}

impl Peer {
    fn start(
        kind: Kind,
        cluster: &Cluster,
        place: &Place,
        choice: &Choice,
    ) -> Result<Self, Failure> {
        let port = free_port()?;
        let (listen, server) = (format!("127.0.0.1:{port}"), format!("localhost:{}", cluster.port));
        let command = |program: &Path| Process::command(program, place.proxy_cpu, place.files);
        let command = match kind {
            Kind::Libpq => return Ok(Self { kind, port: cluster.port, process: None }),
            Kind::Stunnel => {
                let program = machine::program("stunnel4").ok_or_else(|| {
                    Failure::new("`stunnel4` is missing; Debian's package `stunnel4` has it")
                })?;
                let file = place.directory.join("stunnel.conf");
                let text = format!(
                    "foreground = yes\npid =\ndebug = err\n[postgres]\nclient = yes\naccept = {listen}\n\
                     connect = 127.0.0.1:{}\nprotocol = pgsql\nCAfile = {}\nverifyChain = yes\n\
                     checkHost = localhost\n",
                    cluster.port,
                    cluster.authority(),
                );
                fs::write(&file, text).tried("write stunnel's configuration")?;
                let mut command = command(&program);
                command.arg(file);
                command
            }
            Kind::Forebay => {
                let mut command = command(&choice.forebay);
                command.args(["tunnel", "--listen", &listen, "--to", &server]);
                command.args(["--postgres-ca", &cluster.authority(), "--log-level", "warn"]);
                command
            }
        };
        let log = place.directory.join(format!("{}.log", kind.name()));
        let process = Process::start(command, &log)?;
        eventually(Duration::from_millis(5), || TcpStream::connect(("127.0.0.1", port)).ok())?;
        Ok(Self { kind, port, process: Some(process) })
    }

    /// One run of pgbench with these flags, or of COPY where there are none.
    fn sample(&self, cluster: &Cluster, flags: &[&str], seconds: u64) -> Result<Sample, Failure> {
        // In hundredths of a second, for stunnel has a thread for each session, whose own account
        // goes when it ends.
        let ticks = |time: CpuTime| time.user_ticks + time.system_ticks;
        let cpu = || self.process.as_ref().map_or(Ok(0), |it| it.cpu_time().map(ticks));
        let tls = match self.kind {
            Kind::Libpq => format!("sslmode=verify-full sslrootcert={}", cluster.authority()),
            Kind::Stunnel | Kind::Forebay => "sslmode=disable".to_owned(),
        };
        let place =
            format!("host=localhost port={} user=postgres dbname=postgres {tls}", self.port);
        let before = cpu()?;
        let begun = Instant::now();
        let count = if flags.is_empty() {
            let lines = COPY_MIB * 1024;
            let sql = format!(
                "COPY (SELECT repeat('x', 1023) FROM generate_series(1, {lines})) TO STDOUT"
            );
            cluster.run("psql", &["-X", "-c", &sql, &place])?;
            number(COPY_MIB)
        } else {
            let time = seconds.to_string();
            let words = [flags, &["-n", "-j", "1", "-T", &time, &place]].concat();
            let output = cluster.run("pgbench", &words)?;
            let done = output
                .lines()
                .find_map(|line| line.strip_prefix("number of transactions actually processed: "));
            done.unwrap_or_default().parse().tried("read what pgbench has done")?
        };
        let seconds = begun.elapsed().as_secs_f64();
        Ok(Sample { count, seconds, cpu_ns: (cpu()? - before) * TICK_NS })
    }
}

/// PostgreSQL with TLS, on the CPU of the load.
#[derive(Debug)]
struct Cluster {
    directory: PathBuf,
    port: u16,
    cpu: usize,
    /// Its standard input closes with this, and that ends the cluster.
    _leash: Child,
}

impl Cluster {
    fn start(machine: &Machine) -> Result<Self, Failure> {
        let (port, cpu) = (free_port()?, machine.load_cpu);
        let mut leash = Command::new("taskset")
            .args(["--cpu-list", &cpu.to_string(), "sh"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/support/postgres_tls.sh"))
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .tried("start PostgreSQL")?;
        let output = leash.stdout.take().ok_or_else(|| Failure::new("no output"))?;
        let mut directory = String::new();
        BufReader::new(output).read_line(&mut directory).tried("start PostgreSQL")?;
        let cluster = Self { directory: directory.trim_end().into(), port, cpu, _leash: leash };
        if !cluster.directory.is_dir() {
            return Err(Failure::new("PostgreSQL did not start; its words are above"));
        }
        let place = format!("host={} port={port} user=postgres", cluster.directory.display());
        cluster.run("pgbench", &["-i", "-q", "-s", "10", &place])?;
        Ok(cluster)
    }

    fn authority(&self) -> String {
        self.directory.join("ca.pem").display().to_string()
    }

    /// Runs a client on the CPU of the load; returns what it says.
    fn run(&self, program: &str, words: &[&str]) -> Result<String, Failure> {
        let keeps = program == "pgbench";
        let output = Command::new("taskset")
            .args(["--cpu-list", &self.cpu.to_string(), program])
            .args(words)
            .stdin(Stdio::null())
            .stdout(if keeps { Stdio::piped() } else { Stdio::null() })
            .stderr(Stdio::piped())
            .output()
            .tried("start a client")?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::new(format!("{program} failed: {words}")));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
