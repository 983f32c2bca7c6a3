//! `forebay compress`: what is in the directory afterwards, and what is said.

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::support::{eventually, fresh_directory, run, text};

/// What ran, in words.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    complaints: String,
}

/// A directory like Django's `STATIC_ROOT`.
struct Static(PathBuf);

const RECORD: &str = ".forebay-compress.json";

impl Static {
    /// With a style sheet, a script and an image.
    fn new() -> Self {
        let site = Self::empty();
        site.write("css/app.css", style(1));
        site.write("js/app.js", style(2));
        site.write("img/logo.png", style(3));
        site
    }

    fn empty() -> Self {
        Self(fresh_directory().canonicalize().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
        command.arg("compress").arg(&self.0).args(flags).env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn compress(&self, flags: &[&str]) -> Said {
        said(self.command(flags).spawn().unwrap())
    }

    /// Compresses, and all must go well.
    fn compressed(&self, flags: &[&str]) -> Said {
        let said = self.compress(flags);
        assert_eq!((said.code, said.complaints.as_str()), (Some(0), ""), "{said:?}");
        said
    }

    /// The names of all files but the record, with their directories.
    fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut waiting = vec![self.0.clone()];
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.symlink_metadata().unwrap().is_dir() {
                    waiting.push(path);
                } else {
                    names.insert(path.strip_prefix(&self.0).unwrap().display().to_string());
                }
            }
        }
        names.remove(RECORD);
        names
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// Every variant that there is must hold what its file holds. How many there are.
    fn variants(&self) -> usize {
        let names = self.names();
        let mut count = 0;
        for name in &names {
            let Some((source, ending)) = name.rsplit_once('.') else { continue };
            if ["br", "gz", "zst"].contains(&ending) && names.contains(source) {
                let content = fs::read(self.path(source)).unwrap();
                assert_eq!(text(&decode(&self.path(name))), text(&content), "{name}");
                count += 1;
            }
        }
        count
    }
}

/// By decoders that have nothing to do with what compresses.
fn decode(variant: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    let file = File::open(variant).unwrap();
    match variant.extension().unwrap().to_str().unwrap() {
        "gz" => {
            let output = Command::new("gzip").arg("-dc").arg(variant).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            return output.stdout;
        }
        "br" => brotli::Decompressor::new(file, 4096).read_to_end(&mut content),
        _ => zstd::Decoder::new(file).unwrap().read_to_end(&mut content),
    }
    .unwrap();
    content
}

fn said(child: Child) -> Said {
    let output = child.wait_with_output().unwrap();
    Said { code: output.status.code(), out: text(&output.stdout), complaints: text(&output.stderr) }
}

/// Some rules of CSS, others for each number.
fn style(number: usize) -> String {
    let rule = |rule| format!(".c{number}-{rule} {{ margin: {}px; }}\n", rule * number);
    (0..60).map(rule).collect::<Vec<_>>().concat()
}

/// Makes a file look as if it had been there for a while.
fn age(path: &Path) {
    let time = SystemTime::now() - Duration::from_hours(1);
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

#[test]
fn each_file_gets_variants_that_hold_the_same() {
    let site = Static::new();
    age(&site.path("css/app.css"));
    fs::set_permissions(site.path("css/app.css"), Permissions::from_mode(0o604)).unwrap();
    site.write("empty.css", "");
    site.write("tiny.txt", "a");
    site.write(".hidden.css", style(4));
    let said = site.compressed(&[]);
    assert_eq!(site.variants(), 6);
    for name in ["img/logo.png", "empty.css", "tiny.txt", ".hidden.css"] {
        for ending in ["br", "gz", "zst"] {
            assert!(!site.has(&format!("{name}.{ending}")), "{name}");
        }
    }
    let of = |name: &str| site.path(name).metadata().unwrap();
    for variant in ["css/app.css.br", "css/app.css.gz", "css/app.css.zst"] {
        assert_eq!(of(variant).modified().unwrap(), of("css/app.css").modified().unwrap());
        assert_eq!(of(variant).mode() & 0o7777, 0o604);
        assert!(said.out.contains(&format!("{variant}: 1.")), "{}", said.out);
    }
    assert!(said.out.contains("\nbr "), "{}", said.out);
    assert!(said.out.contains("files in "), "{}", said.out);
}

#[test]
fn a_second_run_writes_nothing_and_a_change_is_noticed() {
    let site = Static::new();
    site.compressed(&[]);
    let inode = |name: &str| site.path(name).metadata().unwrap().ino();
    let (css, js) = (inode("css/app.css.br"), inode("js/app.js.br"));
    let said = site.compressed(&[]);
    assert!(!said.out.contains("app.css.br"), "{}", said.out);
    assert_eq!((inode("css/app.css.br"), inode("js/app.js.br")), (css, js));
    // A change of the same size, at the same time of modification, as archives make it.
    let times = site.path("css/app.css").metadata().unwrap().modified().unwrap();
    site.write("css/app.css", style(1).replace("margin", "border"));
    let file = File::open(site.path("css/app.css")).unwrap();
    file.set_times(FileTimes::new().set_modified(times)).unwrap();
    let before = fs::read(site.path("css/app.css.br")).unwrap();
    site.compressed(&[]);
    assert_ne!(fs::read(site.path("css/app.css.br")).unwrap(), before);
    assert_eq!(inode("js/app.js.br"), js);
    assert_eq!(site.variants(), 6);
    // Other times and the same content.
    age(&site.path("js/app.js"));
    site.compressed(&[]);
    assert_eq!(inode("js/app.js.br"), js);
}

#[test]
fn a_variant_that_somebody_removed_or_altered_is_written_again() {
    let site = Static::new();
    site.compressed(&[]);
    site.remove("css/app.css.gz");
    site.write("css/app.css.br", "altered");
    site.remove("js/app.js.zst");
    symlink("/etc/hostname", site.path("js/app.js.zst")).unwrap();
    site.compressed(&[]);
    assert_eq!(site.variants(), 6);
    assert!(site.path("js/app.js.zst").symlink_metadata().unwrap().is_file());
}

#[test]
fn the_same_content_is_compressed_once() {
    let site = Static::new();
    site.write("css/app.0123456789ab.css", style(1));
    site.compressed(&[]);
    assert_eq!(site.variants(), 9);
    // A third copy takes the variants of the others: there is nothing to compress.
    site.write("moved.css", style(1));
    site.remove("css/app.css");
    site.compressed(&[]);
    assert_eq!(site.variants(), 9);
    assert!(!site.has("css/app.css.br"));
    let bytes = |name: &str| fs::read(site.path(name)).unwrap();
    assert_eq!(bytes("moved.css.br"), bytes("css/app.0123456789ab.css.br"));
}

#[test]
fn a_check_tells_what_is_wrong_and_writes_nothing() {
    let site = Static::new();
    let said = site.compress(&["--check"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("css/app.css.br: missing\n"), "{}", said.out);
    assert_eq!(site.names().len(), 3);
    assert!(!site.has(RECORD));
    site.compressed(&[]);
    site.compressed(&["--check"]);
    site.compressed(&["--check", "--fast"]);
    site.write("css/app.css", style(7));
    site.remove("js/app.js");
    site.write("js/.forebay-compress.x.tmp", "");
    let before = site.names();
    let said = site.compress(&["--check"]);
    assert_eq!((said.code, said.complaints.as_str()), (Some(1), ""), "{said:?}");
    for line in [
        "css/app.css.br: stale\n",
        "css/app.css.gz: stale\n",
        "js/app.js.zst: left over\n",
        "js/.forebay-compress.x.tmp: left over\n",
    ] {
        assert!(said.out.contains(line), "{line} is not in {}", said.out);
    }
    assert_eq!(site.names(), before);
}

#[test]
fn what_was_made_fast_is_made_better_and_not_the_other_way_round() {
    let site = Static::new();
    site.compressed(&["--fast"]);
    assert_eq!(site.variants(), 6);
    let said = site.compress(&["--check"]);
    assert!(said.out.contains("app.css.br: made with --fast\n"), "{said:?}");
    let said = site.compressed(&[]);
    assert!(said.out.contains("app.css.br: "), "{}", said.out);
    let said = site.compressed(&["--fast"]);
    assert!(!said.out.contains("app.css.br: "), "{}", said.out);
    site.compressed(&["--check"]);
}

#[test]
fn stale_variants_go_and_foreign_ones_stay() {
    let site = Static::new();
    site.write("orphan.txt.gz", "not forebay's");
    site.write("css/app.css.gz", "WhiteNoise's");
    site.write("tiny.txt", "a");
    site.write("tiny.txt.gz", "not forebay's");
    let said = site.compressed(&[]);
    assert!(said.out.contains("tiny.txt.gz: left alone"), "{}", said.out);
    assert_eq!(decode(&site.path("css/app.css.gz")), style(1).as_bytes());
    site.remove("css/app.css");
    // Somebody's own by now.
    site.write("css/app.css.br", "altered");
    site.write("js/app.js", "a");
    site.compressed(&[]);
    for name in ["css/app.css.gz", "css/app.css.zst", "js/app.js.br", "js/app.js.gz"] {
        assert!(!site.has(name), "{name}");
    }
    for name in ["css/app.css.br", "orphan.txt.gz", "tiny.txt.gz"] {
        assert!(site.has(name), "{name}");
    }
}

#[test]
fn codings_and_endings_can_be_chosen() {
    let site = Static::new();
    site.write("js/app.js.map", style(5));
    site.compressed(&["--only", "br,gzip", "--skip", ".MAP", "--skip", "css", "--jobs", "3"]);
    let variants: Vec<_> = site.names().into_iter().filter(|it| it.starts_with("js")).collect();
    assert_eq!(variants, ["js/app.js", "js/app.js.br", "js/app.js.gz", "js/app.js.map"]);
    assert!(!site.has("css/app.css.br"));
    site.compressed(&["--only", "gz", "--no-default-skips"]);
    assert!(!site.has("js/app.js.br"), "it is not wanted any more");
    assert!(site.has("img/logo.png.gz") && site.has("js/app.js.map.gz"));
    assert!(!site.has("js/app.js.gz.gz"));
}

#[test]
fn a_record_that_is_not_forebays_counts_for_nothing() {
    for record in ["", "{", "[1]", r#"{"format":9,"files":{}}"#] {
        let site = Static::new();
        site.compressed(&[]);
        site.write(RECORD, record);
        let said = site.compressed(&[]);
        assert!(said.out.contains("does not count"), "{}", said.out);
        assert_eq!(site.variants(), 6);
        site.compressed(&["--check"]);
    }
    // Nobody writes or removes anything outside through it.
    let site = Static::new();
    let outside = Static::new();
    outside.compressed(&[]);
    let record = fs::read_to_string(outside.path(RECORD)).unwrap();
    let name = outside.0.file_name().unwrap().to_str().unwrap();
    site.write(RECORD, record.replace("css/", &format!("../{name}/css/")));
    site.compressed(&[]);
    assert_eq!(outside.variants(), 6);
}

#[test]
fn links_lead_nowhere_else() {
    let outside = Static::new();
    let site = Static::new();
    symlink(&outside.0, site.path("out")).unwrap();
    symlink(outside.path("js/app.js"), site.path("out.js")).unwrap();
    symlink("css/app.css", site.path("within.css")).unwrap();
    symlink("..", site.path("css/up")).unwrap();
    let said = site.compressed(&[]);
    assert!(said.out.contains("out.js: left out, a link that leads out"), "{}", said.out);
    assert_eq!(outside.variants(), 0);
    assert!(!site.has("out.js.gz"));
    assert_eq!(site.variants(), 9, "{:?}", site.names());
    // A directory that moved out and is linked to: its variants are not forebay's to remove.
    fs::rename(site.path("css"), outside.path("moved")).unwrap();
    symlink(outside.path("moved"), site.path("css")).unwrap();
    site.compress(&[]);
    assert_eq!(outside.variants(), 3);
}

#[test]
fn pipes_odd_names_and_sockets_hold_nothing_up() {
    use std::os::unix::ffi::OsStrExt as _;

    let site = Static::new();
    let pipe = site.path("pipe.css");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let odd = site.0.join(std::ffi::OsStr::from_bytes(b"\xff.css"));
    fs::write(odd, style(1)).unwrap();
    site.write("new\nline.css", style(1));
    let said = site.compressed(&[]);
    assert!(said.out.contains("pipe.css: left out"), "{}", said.out);
    assert!(said.out.contains("not UTF-8"), "{}", said.out);
    assert!(site.has("new\nline.css.br"));
}

#[test]
fn what_cannot_be_written_is_named_and_the_rest_is_done() {
    let site = Static::new();
    fs::create_dir(site.path("css/app.css.gz")).unwrap();
    let said = site.compress(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.complaints.contains("error: cannot write `"), "{}", said.complaints);
    assert!(said.complaints.contains("css/app.css.gz`\ncause: "), "{}", said.complaints);
    assert!(said.complaints.contains("\nmend:  "), "{}", said.complaints);
    assert_eq!(site.names().iter().filter(|name| name.contains(".tmp")).count(), 0);
    fs::remove_dir(site.path("css/app.css.gz")).unwrap();
    assert_eq!(site.variants(), 5);
    site.compressed(&[]);
    assert_eq!(site.variants(), 6);
}

#[test]
fn what_is_written_in_part_is_not_published() {
    let site = Static::empty();
    // Letters that hardly repeat: the variants are longer than the limit of 512 or 1024 bytes.
    let letters = crate::support::pattern(6000);
    site.write(
        "a.txt",
        letters.iter().map(|byte| char::from(b'a' + byte % 16)).collect::<String>(),
    );
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" compress \"$1\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_forebay")]).arg(&site.0);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let said = said(child);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.complaints.contains("error: cannot write `"), "{}", said.complaints);
    assert_eq!(site.names().into_iter().collect::<Vec<_>>(), ["a.txt"]);
    site.compressed(&[]);
    assert_eq!(site.variants(), 3);
}

#[test]
fn what_may_not_be_read_is_named_and_the_rest_is_done() {
    let site = Static::new();
    site.compressed(&[]);
    site.write("new.css", style(9));
    fs::set_permissions(site.path("css/app.css"), Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(site.path("js"), Permissions::from_mode(0o000)).unwrap();
    let mut command = site.command(&[]);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // As another user, who may do as little; the binary may lie where that one cannot look.
        let binary = fresh_directory().join("forebay");
        fs::copy(env!("CARGO_BIN_EXE_forebay"), &binary).unwrap();
        for path in site.names().iter().map(|name| site.path(name)).chain([
            site.0.clone(),
            site.path("css"),
            site.path("js"),
            site.path(RECORD),
        ]) {
            chown(path, Some(65534), Some(65534)).unwrap();
        }
        command = Command::new(binary);
        command.arg("compress").arg(&site.0).uid(65534).gid(65534).env_clear();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let said = said(command.spawn().unwrap());
    for (path, mode) in [("css/app.css", 0o644), ("js", 0o755)] {
        fs::set_permissions(site.path(path), Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.complaints.contains("css/app.css`\ncause: "), "{}", said.complaints);
    assert!(said.complaints.contains("cannot list the directory `"), "{}", said.complaints);
    // What could not be looked at keeps what it has.
    assert_eq!(site.variants(), 9);
    site.compressed(&["--check"]);
}

#[test]
fn a_run_that_is_killed_leaves_nothing_half_written() {
    let site = Static::empty();
    for number in 0..24 {
        site.write(
            &format!("{number}.css"),
            (0..6).map(|it| style(number * 7 + it)).collect::<String>(),
        );
    }
    for kept in [0, 2, 6] {
        let mut child = site.command(&["--jobs", "2"]).spawn().unwrap();
        eventually("it is at work", || {
            let files = site.names().len();
            (files > 24 + kept || child.try_wait().unwrap().is_some()).then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        site.variants();
    }
    site.compressed(&[]);
    assert_eq!(site.variants(), 72);
    assert_eq!(site.names().len(), 96, "{:?}", site.names());
    site.compressed(&["--check"]);
}

#[test]
fn two_runs_at_once_do_not_hinder_each_other() {
    let site = Static::new();
    let children = [(); 2].map(|()| site.command(&[]).spawn().unwrap());
    for child in children {
        let said = said(child);
        assert_eq!((said.code, said.complaints.as_str()), (Some(0), ""), "{said:?}");
    }
    assert_eq!(site.variants(), 6);
    site.compressed(&["--check"]);
}

#[test]
fn a_terminal_gets_a_bar_and_a_log_gets_lines() {
    let site = Static::new();
    let command = format!("{} compress {}", env!("CARGO_BIN_EXE_forebay"), site.0.display());
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]).env("TERM", "xterm").stdin(Stdio::null());
    let output = terminal.output().unwrap();
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains('\u{1b}') && shown.contains("files in "), "{shown:?}");
    assert!(!shown.contains("app.css.br: "), "{shown:?}");
    site.remove("css/app.css.br");
    let said = site.compressed(&[]);
    assert!(!said.out.contains('\u{1b}') && said.out.contains("app.css.br: "), "{}", said.out);
    site.remove("css/app.css.br");
    assert_eq!(site.compressed(&["--quiet"]).out, "");
    assert_eq!(site.variants(), 6);
}

#[test]
fn a_bad_command_line_ends_with_two() {
    let file = fresh_directory().join("file");
    fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [
        &["compress"] as &[_],
        &["compress", "/nowhere"],
        &["compress", file],
        &["compress", "/", "--only", "deflate"],
        &["compress", "/", "--jobs", "0"],
        &["compress", "/", "--skip", "."],
        &["compress", "/", "--host", "www.example.com"],
    ] {
        let ran = run(arguments).ran();
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{arguments:?} {ran:?}");
        assert!(ran.complaints.starts_with("error: "), "{ran:?}");
    }
    let ran = run(&["compress", "/nowhere"]).ran();
    assert!(ran.complaints.contains("`/nowhere` is no directory\ncause: "), "{ran:?}");
    assert!(ran.complaints.contains("\nmend:  name the directory"), "{ran:?}");
}
