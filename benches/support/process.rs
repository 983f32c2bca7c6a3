//! Programs that are measured and that end with the benchmark, however it ends.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::wire::{self, Answer};
use super::{Failure, Tried as _, eventually};

/// A program with a CPU and a limit on open files of its own.
#[derive(Debug)]
pub(crate) struct Process(Child);

/// CPU time that was spent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTime {
    /// Exact, of user and system together; of the threads that are there.
    pub(crate) nanoseconds: u64,
    /// In hundredths of a second: only sums over many samples say anything.
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
}

impl CpuTime {
    /// What was spent since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            nanoseconds: self.nanoseconds.saturating_sub(earlier.nanoseconds),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
        }
    }
}

impl Process {
    /// A command that runs on one CPU, may open so many files and has an empty environment.
    pub(crate) fn command(program: &Path, cpu: usize, files: usize) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -n \"$1\"; shift; exec \"$@\"", "sh", &files.to_string()])
            .args(["setpriv", "--pdeathsig", "TERM", "--"])
            .args(["taskset", "--cpu-list", &cpu.to_string()])
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null());
        command
    }

    /// The program of a command made here, run by a tool with these arguments.
    pub(crate) fn under(tool: &[&str], command: &Command) -> Command {
        let mut under = Command::new(command.get_program());
        let (launcher, program): (Vec<_>, Vec<_>) =
            command.get_args().enumerate().partition(|(place, _)| *place < LAUNCHER);
        let arguments = |arguments: Vec<(usize, _)>| arguments.into_iter().map(|(_, text)| text);
        under.args(arguments(launcher)).args(tool).args(arguments(program)).env_clear();
        under.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(directory) = command.get_current_dir() {
            under.current_dir(directory);
        }
        under.stdin(Stdio::null());
        under
    }

    /// Starts a command; what it writes goes to a file.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self, Failure> {
        let file = File::create(log).tried("make a log file")?;
        command.stdout(file.try_clone().tried("share a log file")?).stderr(file);
        Ok(Self(command.spawn().tried("start a program")?))
    }

    /// Starts a command; what it writes to standard error goes to a file, the rest nowhere.
    pub(crate) fn start_without_output(mut command: Command, log: &Path) -> Result<Self, Failure> {
        let file = File::create(log).tried("make a log file")?;
        command.stdout(Stdio::null()).stderr(file);
        Ok(Self(command.spawn().tried("start a program")?))
    }

    /// Starts a command and asks every so often until it answers; its first answer comes with it.
    pub(crate) fn answering(
        command: Command,
        log: &Path,
        pause: Duration,
        port: u16,
        request: &[u8],
    ) -> Result<(Self, Answer), Failure> {
        Self::start(command, log)?.answered(log, pause, port, request)
    }

    /// Asks every so often until it answers; its first answer comes with it.
    pub(crate) fn answered(
        mut self,
        log: &Path,
        pause: Duration,
        port: u16,
        request: &[u8],
    ) -> Result<(Self, Answer), Failure> {
        let answer = eventually(pause, || {
            if self.has_ended() {
                return Some(Err(Failure::new("it ended by itself")));
            }
            let mut stream = wire::connect(port).ok()?;
            wire::exchange(&mut stream, request).ok().map(Ok)
        });
        match answer.and_then(|answer| answer) {
            Ok(answer) => Ok((self, answer)),
            Err(why) => {
                let words = fs::read_to_string(log).unwrap_or_default();
                Err(Failure::new(format!("no answer: {why}\n{words}")))
            }
        }
    }

    /// Its number in the system.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// Asks it to end and waits until it has; fails where it does not end well.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        self.ask_to_end();
        match self.0.try_wait().tried("see how a program ended")? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(Failure::new(format!("it did not end well: {status}"))),
            None => Err(Failure::new("it does not end")),
        }
    }

    /// Asks it to end, so that it ends its children, and gives it two seconds.
    fn ask_to_end(&mut self) {
        let id = self.0.id().to_string();
        let asked = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &id]).status();
        let mut looks = 0;
        // Whether it has ended is asked afterwards.
        drop(eventually(Duration::from_millis(5), || {
            looks += 1;
            (self.has_ended() || looks > 400 || asked.is_err()).then_some(())
        }));
    }

    /// The CPU time of the process and its children.
    pub(crate) fn cpu_time(&self) -> Result<CpuTime, Failure> {
        let mut sum = CpuTime::default();
        for id in self.family() {
            // Fields 14 and 15 of the line; the name in front may hold spaces, so count behind it.
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).tried("read /proc")?;
            let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
            let mut ticks = fields.split_whitespace().skip(11).map_while(|text| text.parse().ok());
            sum.user_ticks += ticks.next().unwrap_or(0);
            sum.system_ticks += ticks.next().unwrap_or(0);
            for task in fs::read_dir(format!("/proc/{id}/task")).tried("read /proc")?.flatten() {
                let schedule = match fs::read_to_string(task.path().join("schedstat")) {
                    // It has ended since it was listed.
                    Err(why) if is_gone(&why) => continue,
                    schedule => schedule.tried("read /proc/PID/task/TID/schedstat")?,
                };
                let spent = schedule.split_whitespace().next().unwrap_or_default();
                sum.nanoseconds += spent.parse::<u64>().tried("read CPU time")?;
            }
        }
        Ok(sum)
    }

    /// Memory of the process and its children, with what they share counted once, in KiB.
    pub(crate) fn memory_kib(&self) -> Result<u64, Failure> {
        self.sum("smaps_rollup", "Pss:")
    }

    /// Memory of the process without its children, in KiB.
    pub(crate) fn own_memory_kib(&self) -> Result<u64, Failure> {
        value(self.0.id(), "smaps_rollup", "Pss:")
    }

    /// The most resident memory that it ever had, in KiB; what children share counts for each.
    pub(crate) fn peak_kib(&self) -> Result<u64, Failure> {
        self.sum("status", "VmHWM:")
    }

    fn sum(&self, file: &str, name: &str) -> Result<u64, Failure> {
        let mut sum = 0;
        for id in self.family() {
            sum += value(id, file, name)?;
        }
        Ok(sum)
    }

    /// The process and its children. What starts it replaces itself, so that the id stays.
    pub(crate) fn family(&self) -> Vec<u32> {
        let parent = self.0.id();
        let mut family = vec![parent];
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        family.extend(all.filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (_, fields) = stat.rsplit_once(')')?;
            let parent_id: u32 = fields.split_whitespace().nth(1)?.parse().ok()?;
            (parent_id == parent).then_some(id)
        }));
        family
    }
}

/// A number of a file in /proc.
fn value(id: u32, file: &str, name: &str) -> Result<u64, Failure> {
    let text = fs::read_to_string(format!("/proc/{id}/{file}")).tried("read memory from /proc")?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let kib = value.split_whitespace().next().unwrap_or_default();
    kib.parse::<u64>().tried("read memory from /proc")
}

/// How many arguments of [`Process::command`] stand before the program.
const LAUNCHER: usize = 11;

impl Drop for Process {
    /// Asks it to end, and kills it if it does not.
    fn drop(&mut self) {
        if !self.has_ended() {
            self.ask_to_end();
        }
        if !self.has_ended() {
            // Both results only say that it is gone.
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }
}

/// Whether `/proc` says that a process or thread has ended, before its file was opened or after.
fn is_gone(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::NotFound || why.raw_os_error() == Some(libc::ESRCH)
}
