//! The application: a stub that answers as cheaply as it can, in a process of its own.
//!
//! `/b200`, `/b10k` and `/b100k` give so many bytes behind the fields of a Django page; `/seen` gives back
//! the request's header section.

use std::io::{BufReader, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

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
        let program = std::env::current_exe().tried("find this program")?;
        let mut command = Process::command(Path::new(&program), cpu, files);
        command.arg(ROLE).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().tried("start the application")?;
        let leash = child.stdin.take();
        let output =
            child.stdout.take().ok_or_else(|| Failure::new("the application has no output"))?;
        let port = read_line(&mut BufReader::new(output))?;
        Ok(Self { child, leash, port: port.parse().tried("read the application's port")? })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.leash.take());
        // It has nothing to finish.
        drop(self.child.wait());
    }
}

/// Answers until standard input is closed. The first line of output is the port.
pub(crate) fn run(_: &[String]) -> Result<(), Failure> {
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
        let mut output = std::io::stdout().lock();
        writeln!(output, "{port}").and_then(|()| output.flush()).tried("tell the port")?;
        tokio::select! {
            () = accept(&listener) => {}
            _ = leash.recv() => {}
        }
        Ok(())
    })
}

async fn accept(listener: &TcpListener) {
    let pages = Arc::new(Pages { b200: page(200), b10k: page(10 * 1024), b100k: page(100 * 1024) });
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let pages = Arc::clone(&pages);
            tokio::spawn(async move {
                // A connection that breaks has ended; whoever broke it tells.
                drop(serve(stream, &pages).await);
            });
        }
    }
}

/// Answers made beforehand.
struct Pages {
    b200: Vec<u8>,
    b10k: Vec<u8>,
    b100k: Vec<u8>,
}

async fn serve(mut stream: TcpStream, pages: &Pages) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(16 * 1024);
    while stream.read_buf(&mut bytes).await? > 0 {
        // Nobody here sends content or a second request before the answer.
        if !bytes.ends_with(b"\r\n\r\n") {
            continue;
        }
        if bytes.starts_with(b"GET /b200 ") {
            stream.write_all(&pages.b200).await?;
        } else if bytes.starts_with(b"GET /b10k ") {
            stream.write_all(&pages.b10k).await?;
        } else if bytes.starts_with(b"GET /b100k ") {
            stream.write_all(&pages.b100k).await?;
        } else {
            stream.write_all(&answer(&bytes)).await?;
        }
        bytes.clear();
    }
    Ok(())
}

fn page(length: usize) -> Vec<u8> {
    let content: Vec<u8> = b"<p>forebay</p>\n".iter().copied().cycle().take(length).collect();
    answer(&content)
}

fn answer(content: &[u8]) -> Vec<u8> {
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
         Cross-Origin-Opener-Policy: same-origin\r\n\
         Set-Cookie: csrftoken=Jw8mQ3xVb0sT6yKd2RfLh9ZpNcE4uAgX; expires=Mon, 22 Nov 2027 08:00:00 \
         GMT; Max-Age=31449600; Path=/; SameSite=Lax; Secure\r\n\r\n",
        content.len()
    )
    .into_bytes();
    bytes.extend_from_slice(content);
    bytes
}
