//! The machine: memory, disks, who listens, the clock.
//!
//! Owns: how Linux tells these (proc(5), cgroup v2 and v1).
//! Must not know: what is enough.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::statvfs;

use super::Known;

/// What the machine has.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The most memory that may be used, in bytes: of the container, else of the machine.
    pub memory_bytes: Option<u64>,
    /// Disks that matter.
    pub disks: Vec<Disk>,
    /// Who listens for TCP connections.
    pub listeners: Known<Vec<Listener>>,
    /// The time.
    pub now: SystemTime,
    /// The newest file of the site.
    pub newest: Option<(PathBuf, SystemTime)>,
}

/// A directory and the room behind it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Disk {
    /// What it is for.
    pub purpose: &'static str,
    /// The directory.
    pub path: PathBuf,
    /// What may still be written, in bytes; nothing where it cannot be told.
    pub free_bytes: Option<u64>,
}

/// Somebody who listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// The program, where it can be seen.
    pub program: Option<String>,
}

impl Disk {
    /// Looks at a directory.
    pub(super) fn of(purpose: &'static str, path: &Path) -> Self {
        let free_bytes = statvfs(path).ok().map(|it| it.f_bavail.saturating_mul(it.f_frsize));
        Self { purpose, path: path.to_owned(), free_bytes }
    }
}

/// The memory that may be used, in bytes.
pub(super) fn memory_bytes() -> Option<u64> {
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = limits.into_iter().filter_map(|path| fs::read_to_string(path).ok());
    let limit = limits.filter_map(|text| text.trim().parse::<u64>().ok()).min();
    let whole = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    // Without a limit version 1 gives a number near 2^63.
    limit.into_iter().chain(whole).min()
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Who listens at which port; programs of other users have no name.
pub(super) fn listeners() -> Known<Vec<Listener>> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    if tables.iter().all(Result::is_err) {
        return Err(super::NotLooked("/proc/net/tcp cannot be read".to_owned()));
    }
    let sockets: BTreeMap<u64, u16> =
        tables.iter().flatten().flat_map(|table| listening(table)).collect();
    let mut programs: BTreeMap<u16, String> = BTreeMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(entries) = fs::read_dir(process.path().join("fd")) else { continue };
        for entry in entries.flatten() {
            // The number of an open socket is that of its inode.
            let inode = fs::metadata(entry.path()).map(|it| it.ino()).unwrap_or_default();
            if let Some(port) = sockets.get(&inode) {
                programs.entry(*port).or_insert_with(|| program(&process.path()));
            }
        }
    }
    let mut ports: Vec<_> = sockets.into_values().collect();
    ports.sort_unstable();
    ports.dedup();
    let named = |port| Listener { port, program: programs.get(&port).cloned() };
    Ok(ports.into_iter().map(named).collect())
}

/// The listening sockets of a table: inode and port (proc(5), `/proc/net/tcp`).
fn listening(table: &str) -> Vec<(u64, u16)> {
    let lines = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let (_, port) = local.rsplit_once(':')?;
        let is_listening = *state == "0A";
        is_listening.then_some((inode.parse().ok()?, u16::from_str_radix(port, 16).ok()?))
    });
    lines.collect()
}

/// What a process runs: the script where an interpreter runs one.
fn program(process: &Path) -> String {
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let names: Vec<_> = words
        .take(3)
        .filter_map(|word| Some(Path::new(&*word).file_name()?.to_str()?.to_owned()))
        .collect();
    let is_interpreter = names.first().is_some_and(|name| name.starts_with("python"));
    let second = names.iter().skip(1).find(|name| !name.starts_with('-'));
    let chosen = if is_interpreter { second.or(names.first()) } else { names.first() };
    // gunicorn can call itself `gunicorn: master [mysite]`.
    let name = chosen.cloned().unwrap_or_default();
    name.split([':', ' ']).next().unwrap_or_default().to_owned()
}

/// The newest of the site's own files near the top.
pub(super) fn newest(directory: &Path) -> Option<(PathBuf, SystemTime)> {
    let mut newest: Option<(PathBuf, SystemTime)> = None;
    let mut folders = vec![directory.to_owned()];
    for entry in fs::read_dir(directory).ok()?.flatten().take(MOST) {
        if entry.path().join("__init__.py").is_file() {
            folders.push(entry.path());
        }
    }
    for folder in folders {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten().take(MOST) {
            let Ok(about) = entry.metadata() else { continue };
            let Ok(modified) = about.modified() else { continue };
            if about.is_file() && newest.as_ref().is_none_or(|(_, best)| *best < modified) {
                newest = Some((entry.path(), modified));
            }
        }
    }
    newest
}

/// So many entries of a directory are looked at.
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_are_read_from_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0\n   \
             1: 0100007F:1F41 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 12346 1 0\nshort\n";
        assert_eq!(listening(table), [(12345, 8000)]);
    }

    #[test]
    fn who_listens_here_is_found_with_its_program() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let found = listeners().unwrap().into_iter().find(|it| it.port == port).unwrap();
        assert!(found.program.unwrap().starts_with("forebay"));
    }

    #[test]
    fn memory_is_told_in_bytes() {
        assert_eq!(total("MemTotal:        2048 kB\nMemFree: 1 kB\n"), Some(2_097_152));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert!(memory_bytes().unwrap() > 1 << 20);
    }

    #[test]
    fn the_newest_file_is_that_of_a_package_too() {
        let folder = tempfile::tempdir().unwrap();
        let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        fs::create_dir(folder.path().join("mysite")).unwrap();
        for name in ["manage.py", "mysite/__init__.py"] {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            file.set_modified(old).unwrap();
        }
        let path = folder.path().join("mysite/urls.py");
        fs::write(&path, "").unwrap();
        assert_eq!(newest(folder.path()).unwrap().0, path);
    }
}
