//! FD-51: disks that are nearly full.
//!
//! Owns: this rule.
//! Must not know: how the room is found out.

use super::super::{Finding, NotLooked, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-51",
    title: "A disk has too little room",
    why: "uploads and long answers that do not fit into memory wait in files; on a full disk they get \
          503 (FB-26), and Python cannot write either",
    mend: "remove old files, name another --spool-dir, or lower --spool-disk",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let mut found = Vec::new();
    let mut unknown = None;
    for disk in &patient.machine.disks {
        let Some(free) = disk.free_bytes else {
            unknown = Some(format!("{} cannot be looked at", disk.path.display()));
            continue;
        };
        let is_spool = disk.purpose.contains("--spool-dir");
        let wanted = if is_spool { patient.config.spool.disk } else { LEAST };
        let severity = if free < LEAST {
            Severity::Error
        } else if free < wanted {
            Severity::Warning
        } else {
            continue;
        };
        let evidence = format!(
            "{} has {} MiB free for {}, {} MiB may be needed",
            disk.path.display(),
            free >> 20,
            disk.purpose,
            wanted >> 20
        );
        found.push(Finding::new(severity, RULE.title, evidence));
    }
    match unknown {
        Some(why) if found.is_empty() => Err(NotLooked(why)),
        Some(_) | None => Ok(found),
    }
}

/// With less than this nothing works.
const LEAST: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn a_full_disk_is_found() {
        for (place, free, expected) in [
            (0, 2 << 30, &[][..]),
            (0, 512 << 20, &[("FD-51", Severity::Warning)]),
            (0, 1 << 20, &[("FD-51", Severity::Error)]),
            (1, 512 << 20, &[]),
            (1, 1 << 20, &[("FD-51", Severity::Error)]),
        ] {
            let mut patient = fixture::healthy();
            patient.machine.disks[place].free_bytes = Some(free);
            assert_eq!(fixture::found(&patient), expected, "{place} {free}");
        }
        let mut patient = fixture::healthy();
        patient.machine.disks[0].free_bytes = None;
        assert!(check(&patient).is_err());
    }
}
