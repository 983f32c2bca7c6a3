//! The application: a stub that answers as cheaply as it can, in a process of its own.
//!
//! `/b200`, `/b10k` and `/b100k` give so many bytes behind the fields of a Django page, whatever
//! content a request has; `/chunks` gives 10 KiB in chunks, and `/seen` the request's header section.
//! It listens on a port and, where it is given a folder, on two sockets: on one it keeps
//! connections, on the other it ends each with its first answer, as gunicorn's sync workers do.

use std::io::{BufReader, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};

use super::crowd::read_line;
use super::process::Process;
use super::{Failure, Tried as _, leash};

/// The argument that makes the benchmark's program the application.
pub(crate) const ROLE: &str = "as-application";

/// The stub, running; it ends when its standard input is closed.
#[derive(Debug)]
pub(crate) struct Upstream {
    child: Child,
    leash: Option<ChildStdin>,
    pub(crate) port: u16,
}

impl Upstream {
    /// Starts it on one CPU.
    pub(crate) fn start(cpu: usize, files: usize) -> Result<Self, Failure> {
        Self::start_with(cpu, files, None)
    }

    /// Starts it on one CPU; its sockets are in a folder.
    pub(crate) fn start_in(cpu: usize, files: usize, folder: &Path) -> Result<Self, Failure> {
        Self::start_with(cpu, files, Some(folder))
    }

    fn start_with(cpu: usize, files: usize, folder: Option<&Path>) -> Result<Self, Failure> {
        let program = std::env::current_exe().tried("find this program")?;
        let mut command = Process::command(Path::new(&program), cpu, files);
        command.arg(ROLE).args(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().tried("start the application")?;
        let leash = child.stdin.take();
        let output =
            child.stdout.take().ok_or_else(|| Failure::new("the application has no output"))?;
        let port = read_line(&mut BufReader::new(output))?;
        Ok(Self { child, leash, port: port.parse().tried("read the application's port")? })
    }
}

/// Its socket in a folder, on which it keeps connections or ends each with its first answer.
pub(crate) fn socket(folder: &Path, ends: bool) -> PathBuf {
    folder.join(if ends { "ends.sock" } else { "keeps.sock" })
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.leash.take());
        // It has nothing to finish.
        drop(self.child.wait());
    }
}

/// Answers until standard input is closed. The first line of output is the port.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .tried("have a runtime")?;
    let mut leash = leash();
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().tried("have a socket")?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).tried("bind the application's port")?;
        let listener = socket.listen(4096).tried("listen as the application")?;
        let port = listener.local_addr().tried("know the application's port")?.port();
        let pages = Arc::new(Pages::new());
        if let Some(folder) = arguments.get(1) {
            for ends in [false, true] {
                let path = self::socket(Path::new(folder), ends);
                drop(std::fs::remove_file(&path)); // there may be none yet
                let listener = UnixListener::bind(path).tried("listen on a socket")?;
                tokio::spawn(accept_local(listener, Arc::clone(&pages), ends));
            }
        }
        let mut output = std::io::stdout().lock();
        writeln!(output, "{port}").and_then(|()| output.flush()).tried("tell the port")?;
        tokio::select! {
            () = accept(&listener, &pages) => {}
            _ = leash.recv() => {}
        }
        Ok(())
    })
}

async fn accept(listener: &TcpListener, pages: &Arc<Pages>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await
            && stream.set_nodelay(true).is_ok()
        {
            let pages = Arc::clone(pages);
            tokio::spawn(async move {
                // A connection that breaks has ended; whoever broke it tells.
                drop(serve(stream, &pages, false).await);
            });
        }
    }
}

async fn accept_local(listener: UnixListener, pages: Arc<Pages>, ends: bool) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let pages = Arc::clone(&pages);
            tokio::spawn(async move {
                drop(serve(stream, &pages, ends).await);
            });
        }
    }
}

/// Answers made beforehand, each with its path: those of connections that go on, and of others.
struct Pages([Vec<(&'static [u8], Vec<u8>)>; 2]);

impl Pages {
    fn new() -> Self {
        let pages = |ends: bool| {
            let pages = [(&b"/b200 "[..], 200), (b"/b10k ", 10 * 1024), (b"/b100k ", 100 * 1024)];
            let pages = pages.map(|(path, length)| (path, answer(&content(length), ends)));
            pages.into_iter().chain([(&b"/chunks "[..], chunks(ends))]).collect()
        };
        Self([pages(false), pages(true)])
    }

    fn of(&self, path: &[u8], ends: bool) -> Option<&[u8]> {
        let pages = self.0.get(usize::from(ends))?;
        let page = pages.iter().find(|(known, _)| path.starts_with(known));
        page.map(|(_, page)| page.as_slice())
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    pages: &Pages,
    ends: bool,
) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(64 * 1024);
    while stream.read_buf(&mut bytes).await? > 0 {
        // Nobody here sends a second request before the answer.
        let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n").map(|end| end + 4) else {
            continue;
        };
        let content = bytes.split_off(end);
        let mut left = length(&bytes).saturating_sub(content.len());
        let mut content = content;
        while left > 0 {
            content.clear();
            content.reserve(64 * 1024);
            let count = stream.read_buf(&mut content).await?;
            if count == 0 {
                return Ok(());
            }
            left = left.saturating_sub(count);
        }
        let path = memchr::memchr(b' ', &bytes).and_then(|space| bytes.get(space + 1..));
        match pages.of(path.unwrap_or_default(), ends) {
            Some(page) => stream.write_all(page).await?,
            None => stream.write_all(&answer(&bytes, ends)).await?,
        }
        if ends {
            return stream.shutdown().await;
        }
        bytes.clear();
    }
    Ok(())
}

/// The length of a request's content, by its header section; only those with content tell one.
fn length(head: &[u8]) -> usize {
    if head.starts_with(b"GET ") {
        return 0;
    }
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn content(length: usize) -> Vec<u8> {
    b"<p>forebay</p>\n".iter().copied().cycle().take(length).collect()
}

/// Five chunks of 2 KiB, as an application sends a page that it makes bit by bit.
fn chunks(ends: bool) -> Vec<u8> {
    let head = String::from_utf8_lossy(&answer(b"", ends)).into_owned();
    let head = head.replacen("Content-Length: 0", "Transfer-Encoding: chunked", 1);
    let chunks = [b"800\r\n", content(2 << 10).as_slice(), b"\r\n"].concat().repeat(5);
    [head.as_bytes(), &chunks, b"0\r\n\r\n"].concat()
}

fn answer(content: &[u8], ends: bool) -> Vec<u8> {
    let connection = if ends { "Connection: close\r\n" } else { "" };
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\n\
         Server: gunicorn\r\n\
         Date: Mon, 23 Nov 2026 08:00:00 GMT\r\n\
         Content-Type: text/html; charset=utf-8\r\n\
         X-Frame-Options: DENY\r\n\
         Content-Length: {}\r\n\
         Vary: Cookie, Accept-Language\r\n\
         Content-Language: en-gb\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Referrer-Policy: same-origin\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\n{connection}\
         Set-Cookie: csrftoken=Jw8mQ3xVb0sT6yKd2RfLh9ZpNcE4uAgX; expires=Mon, 22 Nov 2027 08:00:00 \
         GMT; Max-Age=31449600; Path=/; SameSite=Lax; Secure\r\n\r\n",
        content.len()
    )
    .into_bytes();
    bytes.extend_from_slice(content);
    bytes
}
