//! Programs that end with the test that started them, however it ends.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{LazyLock, Mutex};
use std::thread;

use super::{eventually, fresh_number};

/// A program and whatever it starts, in a process group of their own.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// A command with an empty environment, whose process gets SIGTERM when this one is gone.
    pub(crate) fn command(program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--", program]);
        command.env_clear().env("PATH", "/usr/bin:/bin").process_group(0);
        command
    }

    /// Starts the command; what it writes goes to a file below `target/e2e/logs`.
    pub(crate) fn start(name: &str, mut command: Command) -> Self {
        let logs = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/e2e/logs"));
        fs::create_dir_all(&logs).unwrap();
        let log = logs.join(format!("{:03}-{name}.log", fresh_number()));
        let file = File::create(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: spawn(command).unwrap(), log }
    }

    /// What it has written so far.
    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Fails when it has ended by itself.
    pub(crate) fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("ended with {status}:\n{}", self.written());
        }
    }

    /// Sends a signal to the process itself.
    pub(crate) fn signal(&self, signal: &str) {
        kill(signal, &self.child.id().to_string());
    }

    /// Whether it has a handler for the signal of this number.
    pub(crate) fn catches(&self, number: u32) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() >> (number - 1) & 1 == 1
    }

    /// Sends a signal to one of the processes that it started, if there are any.
    pub(crate) fn signal_child(&self, signal: &str, choice: u64) {
        let id = self.child.id();
        let list = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let children: Vec<&str> = list.split_whitespace().collect();
        if let Ok(count) = u64::try_from(children.len())
            && let Some(place) = choice.checked_rem(count)
        {
            kill(signal, children[usize::try_from(place).unwrap()]);
        }
    }

    /// Kills it with all that it started.
    pub(crate) fn kill(&mut self) {
        kill("KILL", &format!("-{}", self.child.id()));
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the process has ended", || self.child.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.kill();
        }
        if thread::panicking() {
            // Its end only: what failed is said before it, and may be cut off where all is long.
            let written = self.written();
            let begin = written.floor_char_boundary(written.len().saturating_sub(2000));
            let (_, end) = written.split_at(begin);
            eprintln!("--- the end of {}\n{end}", self.log.display());
        }
    }
}

/// Starts the command from a thread that lives as long as this process, because the kernel's
/// parent-death signal goes by the thread that started the child.
fn spawn(command: Command) -> io::Result<Child> {
    static KEEPER: LazyLock<Mutex<SyncSender<Order>>> = LazyLock::new(|| {
        let (orders, inbox) = sync_channel::<Order>(0);
        thread::spawn(move || {
            for mut order in inbox {
                order.reply.send(order.command.spawn()).unwrap();
            }
        });
        Mutex::new(orders)
    });
    let (reply, answer) = sync_channel(1);
    KEEPER.lock().unwrap().send(Order { command, reply }).unwrap();
    answer.recv().unwrap()
}

struct Order {
    command: Command,
    reply: SyncSender<io::Result<Child>>,
}

/// The shell's own `kill`, because the program of that name is not in every image.
fn kill(signal: &str, target: &str) {
    let script = r#"kill -s "$1" -- "$2" 2>/dev/null"#;
    Command::new("sh").args(["-c", script, "sh", signal, target]).status().unwrap();
}
