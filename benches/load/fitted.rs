//! Fronts with a configuration for one part of the report, and turns through them.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::player::{Player, Told};
use crate::support::front::{Front, Place, Running, configuration, free_port};
use crate::support::machine;
use crate::support::process::{CpuTime, Process};
use crate::support::{Failure, Tried as _, eventually, wire};

/// How fronts are set up for one part.
#[derive(Debug, Default)]
pub(crate) struct Fitted {
    /// Of files, so that fronts of different parts do not share them.
    pub(crate) name: &'static str,
    /// Templates: each name stands between two `@`.
    pub(crate) nginx: &'static str,
    pub(crate) haproxy: &'static str,
    /// For the templates, beside what all of them know.
    pub(crate) values: Vec<(&'static str, String)>,
    /// Added to forebay's flags. Its access log is on and goes to `/dev/null`.
    pub(crate) forebay: Vec<String>,
    /// Whether it speaks HTTP/2 alone, so that no plain request can tell that it is there.
    pub(crate) is_http2: bool,
}

impl Fitted {
    /// Sets a value of the templates in place of the one that it has.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.values.retain(|(known, _)| *known != name);
        self.values.push((name, value.into()));
    }

    /// Starts a front before a port and waits until it is there.
    pub(crate) fn start(
        &self,
        place: &Place,
        front: Front,
        upstream: u16,
    ) -> Result<Running, Failure> {
        if front == Front::Direct {
            return Ok(Running { port: upstream, process: None });
        }
        let port = free_port()?;
        let command = self.command(place, front, (port, upstream))?;
        let log = place.directory.join(format!("{}-{}.log", self.name, front.name()));
        let failed = |why| Failure::new(format!("{}: {why}", front.name()));
        let pause = Duration::from_millis(10);
        let process = Process::start_without_output(command, &log).map_err(failed)?;
        let process = if self.is_http2 {
            eventually(pause, || TcpStream::connect(("127.0.0.1", port)).ok()).map_err(failed)?;
            process
        } else {
            let request = wire::request("/");
            process.answered(&log, pause, port, &request).map_err(failed)?.0
        };
        Ok(Running { port, process: Some(process) })
    }

    /// A front on a port before another; not for [`Front::Direct`].
    pub(crate) fn command(
        &self,
        place: &Place,
        front: Front,
        (port, upstream): (u16, u16),
    ) -> Result<Command, Failure> {
        if front == Front::Forebay {
            let mut command = place.forebay(port, upstream);
            command.current_dir(&place.directory).args(&self.forebay);
            return Ok(command);
        }
        let program = machine::program(front.name());
        let program = program.ok_or_else(|| Failure::new("it is not installed"))?;
        let mut command = Process::command(&program, place.proxy_cpu, place.files);
        command.current_dir(&place.directory);
        // The first value of a name counts.
        let mut values = self.values.clone();
        values.extend([
            ("DIRECTORY", place.directory.display().to_string()),
            ("LISTEN", port.to_string()),
            ("UPSTREAM", upstream.to_string()),
            ("FILES", place.files.to_string()),
            ("CONNECTIONS", (place.files.saturating_sub(200) / 2).to_string()),
        ]);
        let file = |ending| place.directory.join(format!("{}-{}", self.name, ending));
        match front {
            Front::Nginx => {
                let path = configuration(&file("nginx.conf"), self.nginx, &values)?;
                command.arg("-e").arg(file("nginx.log")).arg("-c").arg(path);
            }
            Front::Haproxy => {
                let path = configuration(&file("haproxy.cfg"), self.haproxy, &values)?;
                command.arg("-db").arg("-f").arg(path);
            }
            Front::Direct | Front::Caddy | Front::Forebay => {
                return Err(Failure::new(format!("{} is not fitted for this", front.name())));
            }
        }
        Ok(command)
    }
}

/// A front that takes its turn.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) front: Front,
    pub(crate) running: Running,
}

impl Turn {
    /// The CPU time of the front so far; none where nobody is in front.
    pub(crate) fn cpu_time(&self) -> Result<CpuTime, Failure> {
        self.running.process.as_ref().map_or(Ok(CpuTime::default()), Process::cpu_time)
    }
}

/// Starts fronts before one application.
pub(crate) fn all(
    place: &Place,
    fitted: &Fitted,
    fronts: &[Front],
    upstream: u16,
) -> Result<Vec<Turn>, Failure> {
    let start =
        |front: &Front| Ok(Turn { front: *front, running: fitted.start(place, *front, upstream)? });
    fronts.iter().map(start).collect()
}

/// Takes samples in turns, forth and back: what drifts by and by meets all of them.
pub(crate) fn rounds<T>(
    turns: &[Turn],
    rounds: usize,
    mut take: impl FnMut(&Turn) -> Result<T, Failure>,
) -> Result<Vec<Vec<T>>, Failure> {
    let mut samples: Vec<Vec<T>> = turns.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        let order = (0..turns.len()).chain((0..turns.len()).rev());
        for (turn, place) in order.filter_map(|place| Some((turns.get(place)?, place))) {
            let sample =
                take(turn).map_err(|why| Failure::new(format!("{}: {why}", turn.front.name())))?;
            samples.get_mut(place).ok_or_else(|| Failure::new("no such turn"))?.push(sample);
        }
    }
    Ok(samples)
}

/// One run of a role of this program, told a front's port and more numbers; the front's CPU
/// nanoseconds come with it.
pub(crate) fn played(
    place: &Place,
    turn: &Turn,
    role: &str,
    numbers: &[u64],
) -> Result<(Told, u64), Failure> {
    let numbers = std::iter::once(u64::from(turn.running.port)).chain(numbers.iter().copied());
    let numbers: Vec<_> = numbers.map(|number| number.to_string()).collect();
    let mut clients = Player::start(place, role, &numbers)?;
    clients.line()?;
    let before = turn.cpu_time()?;
    let told = clients.play()?;
    Ok((told, turn.cpu_time()?.since(before).nanoseconds))
}

/// Raises this program's own limit on open files, and with it that of tools it starts.
pub(crate) fn allow_files(place: &Place) -> Result<(), Failure> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(place.files as u64);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).tried("raise the limit on open files")
}
