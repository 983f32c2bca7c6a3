//! The machine, its tools and its limits.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Failure, Tried as _};

/// What the numbers depend on.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) commit: String,
    pub(crate) command: String,
    pub(crate) load: String,
    /// The CPU of the load generator and the application.
    pub(crate) load_cpu: usize,
    /// The CPU of the proxy that is measured.
    pub(crate) proxy_cpu: usize,
    /// The most open files that a process may have.
    pub(crate) files: usize,
}

impl Machine {
    /// Looks around; fails when a tool, named with its Debian package, is missing.
    pub(crate) fn look(command: &str, tools: &[(&str, &str)]) -> Result<Self, Failure> {
        for (tool, package) in tools.iter().chain(&TOOLS) {
            if !has(tool) {
                return Err(Failure::new(format!(
                    "`{tool}` is missing; Debian's package `{package}` has it"
                )));
            }
        }
        let cpus = allowed_cpus()?;
        let load_cpu = *cpus.first().ok_or_else(|| Failure::new("no CPU is allowed"))?;
        Ok(Self {
            processor: line_of("/proc/cpuinfo", "model name").unwrap_or_default(),
            cores: cpus.len(),
            commit: commit(),
            command: command.to_owned(),
            load: load(),
            load_cpu,
            proxy_cpu: cpus.get(1).copied().unwrap_or(load_cpu),
            files: hard_limit_on_files()?,
        })
    }

    /// The lines above the tables.
    pub(crate) fn text(&self) -> String {
        let Self { processor, cores, commit, command, load, load_cpu, proxy_cpu, .. } = self;
        let pinning = if load_cpu == proxy_cpu {
            format!("everything on CPU {load_cpu}: there is no other")
        } else {
            format!("proxy on CPU {proxy_cpu}; load and application on CPU {load_cpu}")
        };
        format!(
            "machine: {processor}, {cores} cores, load {load}\ncommit:  {commit}\n\
             command: {command}\npinning: {pinning}"
        )
    }
}

/// What every benchmark starts programs with.
const TOOLS: [(&str, &str); 2] = [("taskset", "util-linux"), ("setpriv", "util-linux")];

/// Where Debian's packages put a program: not every user has these folders in the path.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"]
        .iter()
        .map(|folder| PathBuf::from(folder).join(name))
        .find(|path| path.is_file())
}

/// Whether the system has a program.
pub(crate) fn has(program: &str) -> bool {
    first_line("sh", &["-c", "command -v \"$1\"", "sh", program]).is_some()
}

/// The first line that a program writes, if it ends well.
pub(crate) fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    // nginx tells its version on standard error.
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
}

/// How much there was to do in the last 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn commit() -> String {
    let Some(commit) = first_line("git", &["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changed = first_line("git", &["status", "--porcelain", "--", "src", "Cargo.toml"]);
    if changed.is_some() { format!("{commit}, with changes") } else { commit }
}

/// The value behind a name in a file of `/proc`.
fn line_of(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start_matches([':', ' ', '\t']).trim().to_owned())
}

/// The CPUs that this process may use, from a list such as `0-3,8`.
fn allowed_cpus() -> Result<Vec<usize>, Failure> {
    let list = line_of("/proc/self/status", "Cpus_allowed_list").unwrap_or_default();
    let mut cpus = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let first: usize = first.parse().tried("read the list of CPUs")?;
        let last: usize = last.parse().tried("read the list of CPUs")?;
        cpus.extend(first..=last);
    }
    Ok(cpus)
}

fn hard_limit_on_files() -> Result<usize, Failure> {
    let line = line_of("/proc/self/limits", "Max open files").unwrap_or_default();
    match line.split_whitespace().nth(1) {
        Some("unlimited") => Ok(1 << 20),
        limit => limit.unwrap_or_default().parse().tried("read the limit on open files"),
    }
}
