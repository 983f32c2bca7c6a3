//! What `forebay compress` costs and brings beside `python -m whitenoise.compress`, on the static
//! files of a site: `cargo bench --bench precompress`. The first time it fetches the site's packages
//! with pip and npm, into `target/precompress`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "telling is what a benchmark does")]
#![expect(clippy::disallowed_types, reason = "the shared parts measure on the real clock")]

#[expect(dead_code, reason = "the benchmarks share one set of parts")]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde_json::{Value, json};

use support::machine::Machine;
use support::numbers::{median, number};
use support::options::Choice;
use support::{Failure, Tried as _, play, report};

fn main() -> ExitCode {
    play("precompress", &[], |arguments| measure(&Choice::read("precompress", arguments)?))
}

fn measure(choice: &Choice) -> Result<(), Failure> {
    let machine = Machine::look(&choice.command, &[("python3", "python3"), ("npm", "npm")])?;
    println!("{}", machine.text());
    let site = Site::prepare()?;
    let files = sizes(&site.collected)?;
    println!("\n{} files, {} MiB", files.1, report::mib(files.0.values().sum()));
    let mut samples: BTreeMap<Contestant, Vec<Sample>> = BTreeMap::new();
    for _ in 0..if choice.quick { 1 } else { 3 } {
        for contestant in CONTESTANTS {
            let sample = site.sample(contestant, choice)?;
            println!("{}: {:.2} s, {:.2} s of CPU", contestant.name(), sample.wall, sample.cpu);
            samples.entry(contestant).or_default().push(sample);
        }
    }
    println!(
        "\nMedians of {} runs\n{}",
        samples.values().map(Vec::len).max().unwrap_or(0),
        table(&samples)
    );
    println!("load of the machine afterwards: {}", support::machine::load());
    if let Some(path) = &choice.json {
        let all = samples.iter().map(|(contestant, samples)| {
            let samples: Vec<_> = samples.iter().map(Sample::json).collect();
            (contestant.name().to_owned(), json!(samples))
        });
        let all = Value::Object(all.collect());
        let (commit, command) = (&machine.commit, &machine.command);
        report::write_value(path, &json!({ "commit": commit, "command": command, "runs": all }))?;
    }
    Ok(())
}

/// Who compresses.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Contestant {
    WhiteNoise,
    Forebay,
    /// forebay again, where nothing changed.
    Again,
    Fast,
}

const CONTESTANTS: [Contestant; 4] =
    [Contestant::WhiteNoise, Contestant::Forebay, Contestant::Again, Contestant::Fast];

impl Contestant {
    fn name(self) -> &'static str {
        match self {
            Self::WhiteNoise => "whitenoise.compress",
            Self::Forebay => "forebay compress",
            Self::Again => "forebay compress, again",
            Self::Fast => "forebay compress --fast",
        }
    }
}

/// One run.
#[derive(Debug)]
struct Sample {
    wall: f64,
    cpu: f64,
    peak_kib: f64,
    /// By the ending of the file.
    bytes: BTreeMap<String, u64>,
}

impl Sample {
    fn of(&self, ending: &str) -> f64 {
        number(self.bytes.get(ending).copied().unwrap_or(0))
    }

    fn json(&self) -> Value {
        let Self { wall, cpu, peak_kib, bytes } = self;
        let variants: BTreeMap<_, _> = ENDINGS.map(|it| (it, bytes.get(it))).into();
        json!({ "wall_s": wall, "cpu_s": cpu, "peak_kib": peak_kib, "bytes": variants })
    }
}

const ENDINGS: [&str; 3] = ["br", "gz", "zst"];

fn table(samples: &BTreeMap<Contestant, Vec<Sample>>) -> String {
    let head = ["", "wall s", "CPU s", "max RSS MiB", ".br", ".gz", ".zst"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (contestant, samples) in samples {
        let middle =
            |value: &dyn Fn(&Sample) -> f64| median(&samples.iter().map(value).collect::<Vec<_>>());
        let mut row = vec![contestant.name().to_owned()];
        row.push(format!("{:.2}", middle(&|it| it.wall)));
        row.push(format!("{:.2}", middle(&|it| it.cpu)));
        row.push(format!("{:.0}", middle(&|it| it.peak_kib) / 1024.0));
        row.extend(ENDINGS.map(|ending| format!("{:.0}", middle(&|it| it.of(ending)))));
        rows.push(row);
    }
    report::table(&rows)
}

/// A Django site with its files collected.
#[derive(Debug)]
struct Site {
    python: PathBuf,
    collected: PathBuf,
    /// Where a copy of them is compressed.
    copy: PathBuf,
}

impl Site {
    /// Fetches what is missing and collects the files anew.
    fn prepare() -> Result<Self, Failure> {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/precompress");
        fs::create_dir_all(place.join("packages")).tried("make a directory")?;
        let python = place.join("venv/bin/python");
        if !place.join("venv/bin/django-admin").exists() {
            finish(Command::new("python3").args(["-m", "venv"]).arg(place.join("venv")))?;
            let mut install = Command::new(&python);
            install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
            finish(install.args(PIP))?;
        }
        for (name, version) in NPM {
            let folder = place.join("packages").join(name);
            if folder.exists() {
                continue;
            }
            let mut pack = Command::new("npm");
            pack.args(["pack", "--silent", &format!("{name}@{version}")]).current_dir(&place);
            finish(&mut pack)?;
            let archive = place.join(format!("{name}-{version}.tgz"));
            let unpacked = place.join("unpacked");
            fs::create_dir_all(&unpacked).tried("make a directory")?;
            finish(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&unpacked))?;
            fs::rename(unpacked.join("package"), folder).tried("move a package")?;
        }
        // A script of monaco-editor's names a map that is not in the package; Django insists on it.
        let maps = place.join("maps/min-maps/vs");
        fs::create_dir_all(&maps).tried("make a directory")?;
        fs::write(maps.join("loader.js.map"), "{}\n").tried("write a file")?;
        fs::write(place.join("bench_settings.py"), SETTINGS).tried("write a file")?;
        let collected = place.join("collected");
        let mut collect = Command::new(place.join("venv/bin/django-admin"));
        collect.args(["collectstatic", "--noinput", "--clear"]).current_dir(&place);
        collect.env("DJANGO_SETTINGS_MODULE", "bench_settings").env("PYTHONPATH", &place);
        finish(&mut collect)?;
        Ok(Self { python, collected, copy: place.join("copy") })
    }

    /// Lets one compress a fresh copy, or the copy of the one before again.
    fn sample(&self, contestant: Contestant, choice: &Choice) -> Result<Sample, Failure> {
        if contestant != Contestant::Again {
            finish(Command::new("rm").arg("-rf").arg(&self.copy))?;
            finish(Command::new("cp").arg("-a").arg(&self.collected).arg(&self.copy))?;
        }
        let python = self.python.as_os_str();
        let forebay = choice.forebay.as_os_str();
        let compress = "compress".as_ref();
        let mut command = Command::new(python);
        command.args(["-c", RUN]);
        match contestant {
            Contestant::WhiteNoise => {
                command.args([python, "-m".as_ref(), "whitenoise.compress".as_ref(), "-q".as_ref()])
            }
            Contestant::Forebay | Contestant::Again => {
                command.args([forebay, compress, "--quiet".as_ref()])
            }
            Contestant::Fast => {
                command.args([forebay, compress, "--quiet".as_ref(), "--fast".as_ref()])
            }
        };
        let output = finish(command.arg(&self.copy))?;
        let mut numbers = output.split_whitespace().map(str::parse::<f64>);
        let mut next = || numbers.next().and_then(Result::ok).unwrap_or(f64::NAN);
        let (wall, cpu, peak_kib) = (next(), next(), next());
        Ok(Sample { wall, cpu, peak_kib, bytes: sizes(&self.copy)?.0 })
    }
}

/// Runs a program to its good end; what it wrote.
fn finish(command: &mut Command) -> Result<String, Failure> {
    let name = command.get_program().display().to_string();
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .tried(&format!("start {name}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Failure::new(format!("{name} failed: {}", output.status)))
    }
}

/// The bytes of all files by their endings, and how many files there are.
fn sizes(directory: &Path) -> Result<(BTreeMap<String, u64>, usize), Failure> {
    let (mut sizes, mut count) = (BTreeMap::new(), 0);
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).tried("list a directory")? {
            let path = entry.tried("list a directory")?.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
                let bytes = path.metadata().tried("look at a file")?.len();
                *sizes.entry(ending).or_default() += bytes;
                count += 1;
            }
        }
    }
    Ok((sizes, count))
}

/// Runs a command and tells its seconds, its CPU seconds and the most memory that it had, in KiB.
const RUN: &str = "
import os, sys, time
began = time.monotonic()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(child, 0)
print(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
";

const PIP: [&str; 3] = ["Django==5.2.19", "whitenoise==6.12.0", "Brotli==1.2.1"];

const NPM: [(&str, &str); 3] =
    [("plotly.js-dist-min", "4.1.2"), ("monaco-editor", "0.57.0"), ("bootstrap", "5.3.9")];

const SETTINGS: &str = r#"
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECRET_KEY = "none"
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
    "django.contrib.messages", "django.contrib.sessions", "django.contrib.staticfiles",
]
STATIC_URL = "/static/"
STATIC_ROOT = HERE / "collected"
STATICFILES_DIRS = [
    HERE / "maps",
    ("bootstrap", HERE / "packages/bootstrap/dist"),
    ("monaco", HERE / "packages/monaco-editor/min"),
    ("plotly", HERE / "packages/plotly.js-dist-min"),
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}
"#;
