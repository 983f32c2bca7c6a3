//! The shape of the source, as far as a machine can check it.

use std::fs;
use std::path::{Path, PathBuf};

/// Every source file below `folder`, without the tests that have a file of their own.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs")
                && path.file_name().is_some_and(|name| name != "tests.rs")
            {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    files
}

#[test]
fn every_module_says_what_it_owns_and_what_it_must_not_know() {
    for (path, text) in sources("src") {
        let head: Vec<_> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let head = head.join("\n");
        let is_map = path.ends_with("src/lib.rs");
        assert!(!head.is_empty(), "{} has no head", path.display());
        for part in ["Owns: ", "Must not know: "] {
            assert!(is_map || head.contains(part), "{} does not say `{part}`", path.display());
        }
    }
}

#[test]
fn no_file_is_longer_than_four_hundred_lines_without_its_tests() {
    for (path, text) in sources("src") {
        let length = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        assert!(length <= 400, "{} has {length} lines: a second decision?", path.display());
    }
}

/// Each module and what it may use; within `proxy`, and the two that all may use, go without.
const MAY_USE: &[(&str, &[&str])] = &[
    ("code", &[]),
    ("coding", &[]),
    ("decimal", &[]),
    ("scan", &[]),
    ("precompress", &["coding"]),
    ("readiness", &[]),
    ("telemetry", &["code", "decimal", "scan"]),
    ("tls", &[]),
    ("socket", &[]),
    ("postgres", &["tls"]),
    ("release", &["postgres", "telemetry"]),
    ("postgres_tls", &["socket", "tls"]),
    ("status", &["code", "telemetry"]),
    ("admin", &["status"]),
    ("follow", &["admin", "status", "tls"]),
    ("proxy", &["code", "coding", "decimal", "readiness", "scan", "socket", "status", "telemetry"]),
    ("supervise", &["readiness", "telemetry"]),
    ("python", &["telemetry"]),
    ("launch", &["python", "supervise", "telemetry"]),
    (
        "config",
        &["admin", "postgres", "postgres_tls", "proxy", "release", "supervise", "telemetry"],
    ),
    (
        "app",
        &[
            "admin",
            "config",
            "launch",
            "postgres",
            "postgres_tls",
            "proxy",
            "readiness",
            "release",
            "status",
            "supervise",
            "telemetry",
        ],
    ),
    ("site", &["app", "config", "launch", "postgres_tls", "proxy", "python", "supervise"]),
    ("explain", &["code", "config", "proxy", "readiness", "telemetry"]),
    ("demo", &["app", "config", "explain", "proxy"]),
    (
        "doctor",
        &[
            "config",
            "launch",
            "postgres",
            "proxy",
            "python",
            "site",
            "supervise",
            "telemetry",
            "tls",
        ],
    ),
];

#[test]
fn uses_point_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (path, text) in sources("src") {
        let place = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let module = place.split(['/', '.']).next().unwrap().to_owned();
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else { continue };
        let code = text.split("#[cfg(test)]").next().unwrap();
        for used in code.split("crate::").skip(1) {
            let used = used.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            let used = used.into_iter().next().unwrap();
            assert!(
                used == module || allowed.contains(&used),
                "{place} uses `{used}`, which points back"
            );
        }
    }
}

#[test]
fn nothing_is_left_for_later_without_an_issue() {
    for (path, text) in sources("src") {
        for (line, number) in text.lines().zip(1..) {
            let bare = line.contains("TODO") && !line.contains("TODO(#");
            assert!(!bare, "{}:{number}", path.display());
        }
    }
}
