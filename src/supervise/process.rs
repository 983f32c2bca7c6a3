//! One process and the group that it leads.
//!
//! Owns: how it is started, how its group is told to end.
//! Must not know: why, and what follows.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

use super::Program;
use crate::telemetry::OWN_SECRETS;

/// A process group. Its leader is a child of ours, whether it has ended or not.
#[derive(Debug)]
pub(super) struct Group {
    leader: Pid,
    told: HashSet<Pid>,
}

/// Starts a program as the leader of a group of its own; what it writes comes out of the pipes.
///
/// It inherits the environment byte for byte, but for forebay's own secrets.
///
/// # Errors
///
/// What the system says when there is no such program, no right to run it, or no room.
pub(super) fn spawn(program: &Program) -> io::Result<(Group, (OwnedFd, OwnedFd))> {
    let (first, arguments) = program.words.split_first().ok_or(io::ErrorKind::NotFound)?;
    let mut command = Command::new(first);
    command.args(arguments);
    for name in OWN_SECRETS {
        command.env_remove(name);
    }
    command.envs(program.variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let group = Group { leader: Pid::from_child(&child), told: HashSet::new() };
    match (child.stdout.take(), child.stderr.take()) {
        (Some(stdout), Some(stderr)) => Ok((group, (stdout.into(), stderr.into()))),
        // Both were asked for.
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

impl Group {
    /// The process that was started.
    pub(super) fn leader(&self) -> Pid {
        self.leader
    }

    /// Tells every process of the group to end whose parent is not in the group, each once.
    ///
    /// A second SIGTERM makes celery drop its tasks, and its pool must not be told at all; gunicorn
    /// tells its workers itself. So it is the leader that is told, and when that was a shell and
    /// has ended, those that it has left.
    pub(super) fn terminate(&mut self) {
        for process in tops(self.leader) {
            if self.told.insert(process) {
                // It may have ended just now.
                let _ = kill_process(process, Signal::TERM);
            }
        }
    }

    /// Kills every process of the group.
    pub(super) fn kill(&self) {
        // It may be empty already.
        let _ = kill_process_group(self.leader, Signal::KILL);
    }

    /// Whether no process of the group is left.
    pub(super) fn is_gone(&self) -> bool {
        test_kill_process_group(self.leader).is_err()
    }
}

/// Sends SIGHUP to a process.
///
/// # Errors
///
/// When there is none.
pub(super) fn hang_up(process: Pid) -> io::Result<()> {
    Ok(kill_process(process, Signal::HUP)?)
}

/// The words by which a process was started.
pub(super) fn words_of(process: Pid) -> Vec<OsString> {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect()
}

/// How many bytes of memory the processes of each leader have: those of its group, and all that
/// descend from them.
pub(super) fn resident(leaders: &[Pid]) -> Vec<u64> {
    let mut all = list();
    all.truncate(PROCESS_LIMIT);
    let page = rustix::param::page_size() as u64;
    let of = |leader: Pid| {
        let (mut members, mut others): (Vec<_>, Vec<_>) =
            all.iter().partition(|it| it.id == leader || it.group == Some(leader));
        // Each round finds the children of those found before.
        while let Some(more) = Some(children(&members, &mut others)).filter(|it| !it.is_empty()) {
            members.extend(more);
        }
        members.iter().map(|it| pages(it.id).saturating_mul(page)).sum()
    };
    leaders.iter().copied().map(of).collect()
}

/// Takes those out of `others` whose parent is among `parents`.
fn children<'a>(parents: &[&Listed], others: &mut Vec<&'a Listed>) -> Vec<&'a Listed> {
    let parents: HashSet<_> = parents.iter().map(|it| it.id).collect();
    let is_child = |it: &Listed| it.parent.is_some_and(|parent| parents.contains(&parent));
    let (found, left) = others.iter().partition(|it| is_child(it));
    *others = left;
    found
}

/// The resident pages of a process (proc(5), `statm`); zero when it has ended.
fn pages(process: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0)
}

/// So many processes are looked at.
const PROCESS_LIMIT: usize = 4096;

/// Processes that were left to us by their parents, and live.
pub(super) fn strays() -> Vec<Pid> {
    let this = rustix::process::getpid();
    let is_ours = |it: &Listed| it.parent == Some(this) && !it.is_zombie;
    list().into_iter().filter(is_ours).map(|it| it.id).collect()
}

/// Ends a process that leads no group of ours.
pub(super) fn end_stray(process: Pid, signal: Signal) {
    // It may have ended just now.
    let _ = kill_process(process, signal);
}

/// The processes of a group whose parents are not in it.
fn tops(group: Pid) -> Vec<Pid> {
    let members: Vec<_> =
        list().into_iter().filter(|it| it.group == Some(group) && !it.is_zombie).collect();
    let is_member = |id: Option<Pid>| members.iter().any(|it| Some(it.id) == id);
    members.iter().filter(|it| !is_member(it.parent)).map(|it| it.id).collect()
}

/// A process as `/proc` lists it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Listed {
    id: Pid,
    parent: Option<Pid>,
    group: Option<Pid>,
    is_zombie: bool,
}

fn list() -> Vec<Listed> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let ids = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    ids.filter_map(|id| read_stat(&fs::read(format!("/proc/{id}/stat")).ok()?)).collect()
}

/// Reads `/proc/PID/stat` (proc(5)); the name in brackets may hold anything.
fn read_stat(stat: &[u8]) -> Option<Listed> {
    let stat = String::from_utf8_lossy(stat);
    let (id, _) = stat.split_once(' ')?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    // Of a process that is just ending the kernel says -1.
    let known = |id: i32| Pid::from_raw(id.max(0));
    let mut id_in_next = || fields.next()?.parse().ok().map(known);
    let (parent, group) = (id_in_next()?, id_in_next()?);
    let id = known(id.parse().ok()?)?;
    Some(Listed { id, parent, group, is_zombie: matches!(state, "Z" | "X") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_confuse_the_list() {
        let stat = b"42 (a) S 9 (b\xff) Z 7 41 41 0 -1 4194560";
        let listed = read_stat(stat).unwrap();
        assert_eq!(listed.id.as_raw_nonzero().get(), 42);
        assert_eq!(listed.parent, Pid::from_raw(7));
        assert_eq!(listed.group, Pid::from_raw(41));
        assert!(listed.is_zombie);
        let ending = read_stat(b"42 (a) X 0 -1 -1 0 -1 4194560").unwrap();
        assert_eq!((ending.parent, ending.group), (None, None));
        for broken in [&b""[..], b"42", b"42 (a) S", b"x (a) S 1 2"] {
            assert_eq!(read_stat(broken), None);
        }
    }

    #[test]
    fn this_process_is_listed() {
        let this = rustix::process::getpid();
        assert!(list().iter().any(|it| it.id == this && it.group.is_some()));
    }
}
