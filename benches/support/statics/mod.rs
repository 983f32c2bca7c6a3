//! Files, and those who serve them.

pub(crate) mod instructions;
pub(crate) mod measure;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::front::{Place, configuration, free_port};
use super::machine;
use super::process::Process;
use super::rounds::Target;
use super::site::gunicorn;
use super::upstream::Upstream;
use super::wire::{self, Answer};
use super::{Failure, Tried as _};

/// Who serves files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Server {
    Nginx,
    Caddy,
    /// gunicorn with one worker.
    WhiteNoise,
    Forebay,
    /// forebay that keeps no content in memory.
    FromDisk,
}

impl Server {
    /// The name in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::WhiteNoise => "whitenoise",
            Self::Forebay => "forebay",
            Self::FromDisk => "forebay, disk",
        }
    }

    /// Those of `wanted` that can be measured here; says so of those that cannot.
    pub(crate) fn installed(wanted: &[Self]) -> Vec<Self> {
        let (here, missing): (Vec<_>, Vec<_>) =
            wanted.iter().copied().partition(|server| match server {
                Self::Nginx => machine::program("nginx").is_some() && has_brotli(),
                Self::Caddy => machine::program("caddy").is_some(),
                Self::WhiteNoise | Self::Forebay | Self::FromDisk => true,
            });
        for server in missing {
            let package = if server == Self::Nginx { BROTLI_PACKAGE } else { server.name() };
            println!("not measured: {} (install Debian's package `{package}`)", server.name());
        }
        here
    }
}

/// Debian's package with the module, which brings nginx along.
const BROTLI_PACKAGE: &str = "libnginx-mod-http-brotli-static";
const BROTLI_MODULE: &str = "/usr/lib/nginx/modules/ngx_http_brotli_static_module.so";

/// Without it nginx would send other bytes than the others.
fn has_brotli() -> bool {
    Path::new(BROTLI_MODULE).exists()
}

/// The files, each with variants in gzip and in brotli, which is the smallest.
#[derive(Debug)]
pub(crate) struct Files(PathBuf);

impl Files {
    /// Writes them: for each name so many bytes that do not shrink, and blanks that do.
    pub(crate) fn write(place: &Place, files: &[(&str, usize)]) -> Result<Self, Failure> {
        let root = place.directory.join("tree");
        let folder = root.join("static");
        fs::create_dir_all(&folder).tried("make a folder for files")?;
        for (name, size) in files {
            let mut content = noise(*size);
            content.resize(size + 4096, b' ');
            let mut brotli = Vec::new();
            // The highest quality for what is large would take minutes, and gain nothing.
            let quality = if *size < 1 << 20 { 11 } else { 1 };
            brotli::CompressorWriter::new(&mut brotli, 1 << 16, quality, 22)
                .write_all(&content)
                .tried("compress by brotli")?;
            let mut gzip =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            gzip.write_all(&content).tried("compress by gzip")?;
            let gzip = gzip.finish().tried("compress by gzip")?;
            if content.len().min(gzip.len()) <= brotli.len() {
                let sizes = [content.len(), gzip.len(), brotli.len()];
                return Err(Failure::new(format!("brotli makes {name} too large: {sizes:?}")));
            }
            for (ending, bytes) in [("", &content), (".br", &brotli), (".gz", &gzip)] {
                let path = folder.join(format!("{name}{ending}"));
                fs::write(path, bytes).tried("write a file")?;
            }
        }
        Ok(Self(root))
    }

    /// What tells forebay to serve them.
    pub(crate) fn flag(&self) -> String {
        format!("/static/={}", self.0.join("static").display())
    }

    /// What everybody has to send for a name.
    fn content(&self, name: &str) -> Result<Vec<u8>, Failure> {
        fs::read(self.0.join(format!("static/{name}.br"))).tried("read a file")
    }
}

/// Bytes that no coding shrinks, the same each time.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// A server, running.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) server: Server,
    port: u16,
    process: Process,
}

impl Serving {
    /// Starts a server and waits for its first answer. It writes a line for each request to a file,
    /// if that is wanted.
    pub(crate) fn start(
        place: &Place,
        files: &Files,
        server: Server,
        behind: &Upstream,
        has_log: bool,
    ) -> Result<Self, Failure> {
        let port = free_port()?;
        let command = command(place, files, server, (port, behind.port), has_log)?;
        let log = place.directory.join(format!("{}-{port}.log", server.name()));
        let request = wire::request("/static/1k.js");
        let started = Process::answering(command, &log, Duration::from_millis(10), port, &request);
        let (process, _) =
            started.map_err(|why| Failure::new(format!("{}: {why}", server.name())))?;
        Ok(Self { server, port, process })
    }

    /// The server as a target of load, for a request.
    pub(crate) fn target(&self, request: Vec<u8>) -> Target<'_> {
        let name = self.server.name();
        Target { name, port: self.port, process: Some(&self.process), request }
    }

    /// The process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Asks once for a file. Fails where the answer is not the one that everybody has to give.
    pub(crate) fn ask(&self, files: &Files, name: &str) -> Result<Answer, Failure> {
        ask(self.server, self.port, files, name)
    }
}

/// As [`Serving::ask`], on a port.
fn ask(server: Server, port: u16, files: &Files, name: &str) -> Result<Answer, Failure> {
    let wrong = |what: &str, answer: &Answer| {
        let Answer { status_line, fields, .. } = answer;
        let server = server.name();
        Failure::new(format!("{server}, {name}: {what}: `{status_line}` {fields:?}"))
    };
    let exchange = |request: &[u8]| {
        let mut stream = wire::connect(port).tried("connect to a server")?;
        wire::exchange(&mut stream, request)
    };
    let answer = exchange(&wire::request(&path(name)))?;
    if !answer.status_line.contains(" 200 ") || answer.field("content-encoding") != Some("br") {
        return Err(wrong("not the variant in brotli", &answer));
    }
    if answer.content != files.content(name)? {
        return Err(wrong("not the bytes of the file", &answer));
    }
    let again = exchange(&known(name, &answer)?)?;
    if !again.status_line.contains(" 304 ") {
        return Err(wrong("sent what the client has", &again));
    }
    Ok(answer)
}

/// Where a file is.
pub(crate) fn path(name: &str) -> String {
    format!("/static/{name}")
}

/// The request of a client that has what it was answered.
pub(crate) fn known(name: &str, answer: &Answer) -> Result<Vec<u8>, Failure> {
    let tag = answer.field("etag").ok_or_else(|| Failure::new("an answer without a validator"))?;
    let mut request = wire::request(&path(name));
    request.truncate(request.len() - 2);
    request.extend_from_slice(format!("If-None-Match: {tag}\r\n\r\n").as_bytes());
    Ok(request)
}

fn command(
    place: &Place,
    files: &Files,
    server: Server,
    (port, behind): (u16, u16),
    has_log: bool,
) -> Result<Command, Failure> {
    let tree = files.0.display().to_string();
    let log = place.directory.join(format!("{}-access-{port}", server.name()));
    let log = log.display();
    let configure = |name: &str, template: &str, log: String| {
        let modules =
            if has_brotli() { format!("load_module {BROTLI_MODULE};") } else { String::new() };
        let values = [
            ("DIRECTORY", place.directory.display().to_string()),
            ("LISTEN", port.to_string()),
            ("FILES", place.files.to_string()),
            ("TREE", tree.clone()),
            ("MODULES", modules),
            ("LOG", log),
        ];
        configuration(&place.directory.join(name), template, &values)
    };
    let of = |name: &str| {
        machine::program(name).ok_or_else(|| Failure::new(format!("{name} is not installed")))
    };
    let mut command = match server {
        Server::Nginx => {
            let log = if has_log { log.to_string() } else { "off".to_owned() };
            let path = configure("nginx.conf", include_str!("nginx.conf"), log)?;
            let mut command = Process::command(&of("nginx")?, place.proxy_cpu, place.files);
            command.arg("-e").arg(place.directory.join("nginx.log")).arg("-c").arg(path);
            command
        }
        Server::Caddy => {
            let log = if has_log { format!("file {log}") } else { "discard".to_owned() };
            let path = configure("Caddyfile", include_str!("Caddyfile"), log)?;
            let mut command = Process::command(&of("caddy")?, place.proxy_cpu, place.files);
            command.env("HOME", &place.directory);
            command.args(["run", "--adapter", "caddyfile", "--config"]).arg(path);
            command
        }
        Server::WhiteNoise => {
            let mut command = gunicorn(place.proxy_cpu, place.files, port)?;
            command
                .args(["-k", "gthread", "-w", "1", "--threads", "4", "--keep-alive", "60"])
                .arg("mysite.assets:with_whitenoise()")
                .env("WHITENOISE", format!(r#"{{"trees": [["{tree}/static", "static"]]}}"#));
            if has_log {
                command.args(["--access-logfile", &log.to_string()]);
            }
            return Ok(command);
        }
        Server::Forebay | Server::FromDisk => {
            let mut command = place.forebay(port, behind);
            command
                .args(["--static", &files.flag()])
                .args(["--static-variants", "off"])
                .args(["--asset-memory", if server == Server::Forebay { "256MiB" } else { "0B" }])
                .args(["--access-log", if has_log { "on" } else { "off" }]);
            command
        }
    };
    command.current_dir(&place.directory);
    Ok(command)
}
