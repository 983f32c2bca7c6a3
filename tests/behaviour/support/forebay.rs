//! The real binary, with nothing of our environment.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;

use serde_json::Value;

use super::wire::{Answer, Wire};
use super::{Application, Http2, Watched, fresh_directory};

/// What App Service sets for its containers.
pub(crate) const APP_SERVICE: &[(&str, &str)] = &[("WEBSITE_SITE_NAME", "example-app")];

/// Content is passed on as it comes.
pub(crate) const STREAMING: &[&str] = &["--request-buffering", "off"];

/// forebay, running until it is dropped.
pub(crate) struct Forebay {
    child: Child,
    address: SocketAddr,
    log: Arc<Watched<Log>>,
    complaints: Arc<Watched<String>>,
    directory: PathBuf,
    has_children: bool,
}

/// `forebay run`, to be started in a directory of its own.
#[derive(Clone, Copy, Default)]
pub(crate) struct Start<'a> {
    /// The files of the directory; [`WEB`] is there in any case, as `web.py`.
    pub files: &'a [(&'a str, &'a str)],
    /// Flags before `--`.
    pub flags: &'a [&'a str],
    /// The command behind `--`.
    pub command: &'a [&'a str],
    /// More variables than PATH.
    pub variables: &'a [(&'a str, &'a str)],
    /// A program that starts forebay.
    pub within: &'a [&'a str],
}

/// A web process that says `ok`, and what it is told.
const WEB: &str = r#"
import os, signal, sys
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass

def end(*_):
    print("web was told", flush=True)
    os._exit(0)

signal.signal(signal.SIGTERM, end)
ThreadingTCPServer.allow_reuse_address = True
ThreadingTCPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// What it wrote to standard output.
#[derive(Debug, Default)]
struct Log {
    lines: Vec<String>,
    is_over: bool,
}

impl Forebay {
    /// In front of an application, with `--host www.example.com`, without a platform.
    pub(crate) fn before(application: &Application) -> Self {
        Self::with(application, &[])
    }

    /// The same with more flags.
    pub(crate) fn with(application: &Application, flags: &[&str]) -> Self {
        Self::started(application.address(), flags, &[])
    }

    /// The same on App Service.
    pub(crate) fn on_app_service(application: &Application, flags: &[&str]) -> Self {
        Self::started(application.address(), flags, APP_SERVICE)
    }

    /// With flags and variables, in front of an address where nothing may listen yet.
    pub(crate) fn started(upstream: &str, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
        command.args(["proxy", "--upstream", upstream, "--host", "www.example.com"]).args(flags);
        Self::spawn(command, variables)
    }

    /// `forebay demo`.
    pub(crate) fn demo(flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
        command.arg("demo").args(flags);
        Self::spawn(command, &[])
    }

    /// As [`Forebay::started`], with a limit of open files.
    pub(crate) fn with_few_files(upstream: &str, most: u32) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")]);
        command.args([env!("CARGO_BIN_EXE_forebay"), "proxy", "--upstream", upstream]);
        command.args(["--host", "www.example.com"]);
        Self::spawn(command, &[])
    }

    /// `forebay run`.
    pub(crate) fn run(start: &Start<'_>) -> Self {
        let directory = fresh_directory();
        for (name, text) in start.files.iter().chain(&[("web.py", WEB)]) {
            std::fs::write(directory.join(name), text).unwrap();
        }
        let forebay = [env!("CARGO_BIN_EXE_forebay"), "run"];
        let words = start.within.iter().chain(&forebay).chain(start.flags);
        let mut words = words.copied();
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(["--ready-interval", "1h", "--listen", "127.0.0.1:0"]);
        if !start.command.is_empty() {
            command.arg("--").args(start.command);
        }
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.envs(start.variables.iter().copied());
        let mut forebay = Self::begin(command, directory, "address");
        forebay.has_children = true;
        forebay
    }

    fn spawn(mut command: Command, variables: &[(&str, &str)]) -> Self {
        // One question suffices: the tests that look at readiness set a shorter interval.
        if !command.get_args().any(|argument| argument == "--ready-interval") {
            command.args(["--ready-interval", "1h"]);
        }
        command.args(["--listen", "127.0.0.1:0"]);
        command.env_clear().envs(variables.iter().copied());
        Self::begin(command, fresh_directory(), "address")
    }

    /// `forebay tunnel` to a server, with more flags.
    pub(crate) fn tunnel(server: &str, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
        command.args(["tunnel", "--to", server]).args(flags);
        if !flags.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.env_clear();
        Self::begin(command, fresh_directory(), "listens")
    }

    /// Starts it and waits until its log says, under `field`, where it listens.
    fn begin(mut command: Command, directory: PathBuf, field: &str) -> Self {
        // Where its admin socket is put, so that it goes with the directory.
        command.current_dir(&directory).env("XDG_RUNTIME_DIR", &directory);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Watched::<Log>::default());
        let complaints = Arc::new(Watched::<String>::default());
        keep_lines(child.stdout.take().unwrap(), Arc::clone(&log));
        keep_text(child.stderr.take().unwrap(), Arc::clone(&complaints));
        let address = log.wait("forebay says where it listens", |log| {
            let says = |line: &&String| line.contains("listening") || field != "address";
            let line = log.lines.iter().filter(says).find(|line| line.contains(field))?;
            // `"address":"127.0.0.1:1"` or `address=127.0.0.1:1`.
            let (_, rest) = line.split_once(field)?;
            let start = rest.find(|letter: char| letter.is_ascii_digit())?;
            rest[start..].split(['"', ' ']).next()?.parse().ok()
        });
        Self { child, address, log, complaints, directory, has_children: false }
    }

    /// Waits until it knows that the application is ready.
    pub(crate) fn ready(self) -> Self {
        self.wait_for_line("ready", |line| line.contains("the application is ready"));
        self
    }

    /// One request to its admin socket, as raw bytes.
    pub(crate) fn ask_admin(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.admin_socket()).unwrap();
        stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Its report.
    pub(crate) fn report(&self) -> Value {
        let answer = self.ask_admin("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (_, content) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(content).unwrap()
    }

    /// Its default admin socket.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        let user = std::fs::metadata(&self.directory).unwrap().uid();
        self.directory.join(format!("forebay-{user}-{}.sock", self.address.port()))
    }

    /// The directory that it runs in.
    pub(crate) fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// The children that it started under a name, by its log, in order.
    pub(crate) fn children(&self, name: &str) -> Vec<i64> {
        let lines = self.lines();
        let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let started = lines.filter(|line| line["message"] == "started" && line["process"] == name);
        started.filter_map(|line| line["pid"].as_i64()).collect()
    }

    /// Waits until a child has been started so often; returns the last one.
    pub(crate) fn wait_for_child(&self, name: &str, count: usize) -> i64 {
        super::eventually(name, || self.children(name).get(count - 1).copied())
    }

    /// What a child said so far.
    pub(crate) fn said(&self, process: &str) -> Vec<Value> {
        let lines = self.lines();
        let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["process"] == process && line["stream"].is_string()).collect()
    }

    /// Waits until a child says something.
    pub(crate) fn wait_for_word(&self, process: &str, word: &str) {
        super::eventually(word, || {
            self.said(process).iter().any(|line| line["message"] == word).then_some(())
        });
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(self.address)
    }

    /// A new connection of HTTP/2.
    pub(crate) fn connect_http2(&self) -> Http2 {
        Http2::begin(self.connect())
    }

    /// One request on a connection of its own.
    pub(crate) fn exchange(&self, request: impl AsRef<[u8]>) -> Answer {
        self.connect().exchange(request)
    }

    /// `GET path` as a visitor asks, on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: www.example.com\r\n\r\n"))
    }

    /// The log so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.look().lines.clone()
    }

    /// The access lines so far.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.lines().iter().filter_map(|line| request(line)).collect()
    }

    /// Waits for a line.
    pub(crate) fn wait_for_line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.log.wait(what, |log| log.lines.iter().find(|line| wanted(line)).cloned())
    }

    /// Waits for an access line.
    pub(crate) fn wait_for_request(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.log.wait(what, |log| {
            log.lines.iter().filter_map(|line| request(line)).find(|line| wanted(line))
        })
    }

    /// Waits for the line that tells the end of the tunnel of a path.
    pub(crate) fn end_of_tunnel(&self, path: &str) -> Value {
        self.log.wait(path, |log| {
            let lines = log.lines.iter().filter_map(|line| serde_json::from_str(line).ok());
            lines
                .into_iter()
                .find(|line: &Value| line["message"] == "tunnel ended" && line["path"] == path)
        })
    }

    /// Waits for the access line of a path.
    pub(crate) fn line_of(&self, path: &str) -> Value {
        self.wait_for_request(path, |line| line["path"] == path)
    }

    /// What it wrote to standard error so far.
    pub(crate) fn complaints(&self) -> String {
        self.complaints.look().clone()
    }

    /// The most memory that it has had so far.
    pub(crate) fn peak_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let script = format!("kill -s {signal} {}", self.child.id());
        Command::new("/bin/sh").args(["-c", &script]).status().unwrap();
    }

    /// Tells it to stop and waits until it says that it drains.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
        self.wait_for_line("it drains", |line| line.contains("draining"));
    }

    /// Waits for its end; its whole log is there afterwards.
    pub(crate) fn end(&mut self) -> ExitStatus {
        self.log.wait("forebay ends", |log| log.is_over.then_some(()));
        self.child.wait().unwrap()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Forebay {
    fn drop(&mut self) {
        if self.has_children && self.is_running() {
            // The second one ends it and its children at once.
            self.signal("TERM");
            self.signal("INT");
            super::eventually("it ends", || (!self.is_running()).then_some(()));
        }
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            let (lines, complaints) = (self.lines().join("\n"), self.complaints());
            eprintln!("--- forebay wrote\n{lines}\n{complaints}");
        }
    }
}

fn request(line: &str) -> Option<Value> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == "request").then_some(line)
}

fn keep_lines(output: impl Read + Send + 'static, log: Arc<Watched<Log>>) {
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            log.change(|log| log.lines.push(String::from_utf8_lossy(&line).into_owned()));
        }
        log.change(|log| log.is_over = true);
    });
}

fn keep_text(output: impl Read + Send + 'static, kept: Arc<Watched<String>>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            kept.change(|kept| kept.extend([line.as_str(), "\n"]));
        }
    });
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub complaints: String,
}

/// A command that ends by itself, to be run.
pub(crate) struct Run {
    command: Command,
    input: Vec<u8>,
    directory: PathBuf,
}

/// Prepares a command.
pub(crate) fn run(arguments: &[&str]) -> Run {
    let directory = fresh_directory();
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    command.args(arguments).env_clear().current_dir(&directory);
    Run { command, input: Vec::new(), directory }
}

impl Run {
    /// Sets variables.
    pub(crate) fn variables(mut self, variables: &[(&str, &str)]) -> Self {
        self.command.envs(variables.iter().copied());
        self
    }

    /// Writes a file into the directory that it runs in.
    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.directory.join(name), content).unwrap();
        self
    }

    /// Sets its standard input.
    pub(crate) fn input(mut self, input: impl AsRef<[u8]>) -> Self {
        self.input = input.as_ref().to_vec();
        self
    }

    /// Runs it to its end.
    pub(crate) fn ran(mut self) -> Ran {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        // It may have ended without reading.
        drop(child.stdin.take().unwrap().write_all(&self.input));
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            complaints: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
