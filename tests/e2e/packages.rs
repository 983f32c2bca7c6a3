//! What is handed out beside the source: the wheel, completions, the manual.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::packages::{environment_with_wheel, ran, tool, wheel};
use crate::support::process::Process;
use crate::support::tree::Tree;
use crate::support::wire::Wire;
use crate::support::{eventually, free_port};

fn forebay(arguments: &[&str]) -> String {
    let (done, text) = ran(Command::new(env!("CARGO_BIN_EXE_forebay")).args(arguments));
    assert!(done, "{arguments:?}: {text}");
    text
}

#[test]
fn the_wheel_puts_one_program_into_a_clean_environment_and_it_serves() {
    let tree = Tree::fresh();
    let folder = tree.path("clean");
    environment_with_wheel(Path::new(&folder));
    let program = format!("{folder}/bin/forebay");
    let (done, version) = ran(Command::new(&program).arg("--version").env_clear());
    assert!(done && version == format!("forebay {}\n", env!("CARGO_PKG_VERSION")), "{version}");

    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Process::command(&program);
    command.args(["demo", "--listen", &address]);
    let mut process = Process::start("wheel", command);
    let mut wire = eventually("it listens", || {
        process.assert_running();
        Wire::connect(&address).ok()
    });
    assert_eq!(wire.exchange("GET / HTTP/1.1\nHost: localhost").status, 200);
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn the_wheel_runs_on_the_glibc_of_2014_and_carries_its_licence() {
    let name = wheel().file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.contains("-py3-none-manylinux") && name.contains("manylinux2014_"), "{name}");
    let tree = Tree::fresh();
    let (done, text) =
        ran(tool("python").args(["-m", "zipfile", "-e"]).arg(wheel()).arg(tree.path("")));
    assert!(done, "{text}");
    let inside = format!("forebay-{}", env!("CARGO_PKG_VERSION"));
    let metadata = fs::read_to_string(tree.path(&format!("{inside}.dist-info/METADATA"))).unwrap();
    assert!(metadata.contains("\nLicense-Expression: MIT OR Apache-2.0\n"), "{metadata}");
    assert!(metadata.contains("\n# forebay\n"), "no description");
    let program = tree.path(&format!("{inside}.data/scripts/forebay"));
    let (done, symbols) = ran(Command::new("objdump").args(["-T", &program]));
    assert!(done, "{symbols}");
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let minor: String =
            rest.strip_prefix("2.")?.chars().take_while(char::is_ascii_digit).collect();
        minor.parse::<u32>().ok()
    });
    let newest = versions.max().unwrap();
    assert!(newest <= 17, "it wants glibc 2.{newest}");
}

#[test]
fn bash_completes_commands_and_flags() {
    let script = forebay(&["completions", "bash"]);
    let complete = |words: &[&str]| {
        let bash = r#"source /dev/stdin; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            _forebay forebay "${@: -1}" "${@: -2:1}"; printf '%s\n' "${COMPREPLY[@]}""#;
        let mut bash_with_words = Command::new("bash");
        bash_with_words.args(["--norc", "-c", bash, "bash", "forebay"]).args(words);
        let tree = Tree::fresh();
        tree.put("script", &script);
        bash_with_words.stdin(fs::File::open(tree.path("script")).unwrap());
        let (done, text) = ran(&mut bash_with_words);
        assert!(done, "{text}");
        text
    };
    assert_eq!(complete(&["comp"]), "compress\ncompletions\n");
    let settings = complete(&["run", "--upstream-k"]);
    assert_eq!(settings, "--upstream-keep-alive\n");
    assert_eq!(complete(&["completions", "z"]), "zsh\n");
}

#[test]
fn other_shells_take_their_completions() {
    let tree = Tree::fresh();
    for (shell, check) in [("zsh", "-n"), ("fish", "-n")] {
        let script = forebay(&["completions", shell]);
        assert!(script.contains("upstream-keep-alive") && script.contains("compress"), "{shell}");
        tree.put(shell, &script);
        // They are in few images.
        if Path::new("/usr/bin").join(shell).exists() {
            let (done, text) = ran(Command::new(shell).args([check, &tree.path(shell)]));
            assert!(done, "{shell}: {text}");
        }
    }
    let (done, text) =
        ran(Command::new(env!("CARGO_BIN_EXE_forebay")).args(["completions", "cmd"]));
    assert!(!done && text.contains("possible values: bash"), "{text}");
}

#[test]
fn the_manual_has_a_page_for_every_command_without_mistakes_in_it() {
    let tree = Tree::fresh();
    let folder = tree.path("man1");
    let said = forebay(&["man", &folder]);
    assert!(said.contains(&folder), "{said}");
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in ["forebay.1", "forebay-run.1", "forebay-compress.1", "forebay-man.1"] {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
    let run = fs::read_to_string(format!("{folder}/forebay-run.1")).unwrap();
    assert!(run.contains(r"\-\-upstream\-keep\-alive"), "no settings");
    // The formatter, where it is installed, complains of what it does not understand.
    for name in names.iter().filter(|_| Path::new("/usr/bin/groff").exists()) {
        let mut groff = Command::new("groff");
        groff.args(["-Kutf8", "-man", "-Tutf8", "-ww", "-z"]).arg(format!("{folder}/{name}"));
        assert_eq!(ran(&mut groff), (true, String::new()), "{name}");
    }

    let (done, text) = ran(Command::new(env!("CARGO_BIN_EXE_forebay")).args(["man", "/proc/man"]));
    assert!(!done && text.contains("cannot make the directory /proc/man"), "{text}");
    assert!(text.contains("mend:  name a directory"), "{text}");
}
