//! Slow clients in great number, held by a process of their own.

use std::io::{BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::crowd::read_line;
use super::process::Process;
use super::{Failure, Tried as _, leash};

/// The argument that makes the benchmark's program the attackers.
pub(crate) const ROLE: &str = "as-attackers";

/// What a slow client does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Attack {
    /// A field every few seconds, and never the end of the header section.
    Header,
    /// A byte of content every few seconds.
    Body,
    /// Asks for 100 KiB and takes some bytes every few seconds.
    Read,
    /// Sends content of so many bytes but for the last one, and waits.
    Upload(usize),
}

impl Attack {
    /// The name in the tables.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Header => "slow header".to_owned(),
            Self::Body => "slow body".to_owned(),
            Self::Read => "slow read".to_owned(),
            Self::Upload(size) => format!("upload {} KiB", size >> 10),
        }
    }

    fn argument(self) -> String {
        match self {
            Self::Header => "header".to_owned(),
            Self::Body => "body".to_owned(),
            Self::Read => "read".to_owned(),
            Self::Upload(size) => size.to_string(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "header" => Self::Header,
            "body" => Self::Body,
            "read" => Self::Read,
            size => Self::Upload(size.parse().ok()?),
        })
    }
}

/// The attackers, connected; their connections end with their standard input.
#[derive(Debug)]
pub(crate) struct Attackers {
    child: Child,
    input: Option<ChildStdin>,
    _output: BufReader<ChildStdout>,
    /// Those that had got as far as the attack goes when the wait for them ended.
    pub(crate) count: usize,
}

impl Attackers {
    /// Starts so many, and waits until each has sent what it sends at once.
    pub(crate) fn start(
        attack: Attack,
        count: usize,
        port: u16,
        (cpu, files): (usize, usize),
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe().tried("find this program")?;
        let mut command = Process::command(&program, cpu, files);
        command.args([ROLE, &attack.argument(), &count.to_string(), &port.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().tried("start the attackers")?;
        let output = child.stdout.take();
        let output = output.ok_or_else(|| Failure::new("the attackers have no output"))?;
        let (input, mut output) = (child.stdin.take(), BufReader::new(output));
        let count = read_line(&mut output)?.parse().tried("read the number of attackers")?;
        Ok(Self { child, input, _output: output, count })
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        drop(self.input.take());
        // They have nothing to finish.
        drop(self.child.wait());
    }
}

/// Attacks until standard input is closed. The first line of output is the number of attackers.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let [_, attack, count, port, ..] = arguments else {
        return Err(Failure::new("the attackers need an attack, a number and a port"));
    };
    let attack = Attack::parse(attack).ok_or_else(|| Failure::new("no such attack"))?;
    let count: usize = count.parse().tried("read the number of attackers")?;
    let port: u16 = port.parse().tried("read a port")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .tried("have a runtime")?;
    let mut leash = leash();
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async move {
        let crowd = Rc::new(Crowd::default());
        for place in 0..count {
            let crowd = Rc::clone(&crowd);
            tokio::task::spawn_local(async move { attacker(attack, port, &crowd).await });
            if place % AT_ONCE == 0 {
                // Lets these connect before the next come.
                sleep(Duration::from_millis(5)).await;
            }
        }
        let everybody = async {
            while crowd.begun.load(Ordering::Relaxed) < count {
                crowd.more.notified().await;
            }
        };
        // Whoever is kept out is missing in the number that is told.
        let waited = timeout(LONGEST_START, everybody).await;
        let begun = crowd.begun.load(Ordering::Relaxed);
        if waited.is_err() {
            let mut words = std::io::stderr().lock();
            writeln!(words, "only {begun} of {count} attackers got through").tried("tell")?;
        }
        let mut output = std::io::stdout();
        writeln!(output, "{begun}").and_then(|()| output.flush()).tried("tell the number")?;
        leash.recv().await;
        Ok(())
    })
}

/// What attackers share.
#[derive(Debug, Default)]
struct Crowd {
    begun: AtomicUsize,
    more: Notify,
}

/// Attacks again and again; whoever is shut out comes back.
async fn attacker(attack: Attack, port: u16, crowd: &Crowd) {
    let mut has_begun = false;
    loop {
        // A connection that breaks has ended: that is how a front defends itself.
        drop(
            once(attack, port, || {
                if !std::mem::replace(&mut has_begun, true) {
                    crowd.begun.fetch_add(1, Ordering::Relaxed);
                    crowd.more.notify_one();
                }
            })
            .await,
        );
        sleep(PAUSE / 5).await;
    }
}

async fn once(attack: Attack, port: u16, begun: impl FnOnce()) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    if attack == Attack::Read {
        socket.set_recv_buffer_size(4096)?;
    }
    let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await?;
    let host = "Host: www.example.com";
    let head = match attack {
        Attack::Header => format!("GET / HTTP/1.1\r\n{host}\r\n"),
        Attack::Body => format!("POST /b200 HTTP/1.1\r\n{host}\r\nContent-Length: 100000\r\n\r\n"),
        Attack::Read => format!("GET /b100k HTTP/1.1\r\n{host}\r\n\r\n"),
        Attack::Upload(size) => {
            format!("POST /b200 HTTP/1.1\r\n{host}\r\nContent-Length: {size}\r\n\r\n")
        }
    };
    stream.write_all(head.as_bytes()).await?;
    if let Attack::Upload(size) = attack {
        stream.write_all(&vec![b'x'; size.saturating_sub(1)]).await?;
    } else if attack == Attack::Read {
        stream.read_exact(&mut [0]).await?;
    }
    begun();
    let mut piece = [0; 64];
    loop {
        match attack {
            Attack::Header => send_slowly(&mut stream, b"X-Slow: 1\r\n").await?,
            Attack::Body => send_slowly(&mut stream, b"x").await?,
            Attack::Read => sleep(PAUSE).await,
            Attack::Upload(_) => {}
        }
        if matches!(attack, Attack::Read | Attack::Upload(_)) && stream.read(&mut piece).await? == 0
        {
            return Ok(());
        }
    }
}

/// Waits, unless the other side closes or answers meanwhile, and sends.
async fn send_slowly(stream: &mut tokio::net::TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    if timeout(PAUSE, stream.readable()).await.is_ok() {
        return Err(std::io::ErrorKind::ConnectionAborted.into());
    }
    stream.write_all(bytes).await
}

/// Between two signs of life.
const PAUSE: Duration = Duration::from_secs(5);

/// So many connect before others are let on.
const AT_ONCE: usize = 50;

/// The longest that all of them may take to begin.
const LONGEST_START: Duration = Duration::from_secs(25);
