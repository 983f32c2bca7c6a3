//! Idle connections, each having done one request, held by a process of its own.

use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::process::Process;
use super::wire;
use super::{Failure, Tried as _};

/// The argument that makes the benchmark's program the crowd.
pub(crate) const ROLE: &str = "as-crowd";

/// So many connections ask at once.
const AT_ONCE: usize = 64;

/// The crowd, running; its connections end with its standard input.
#[derive(Debug)]
pub(crate) struct Crowd {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Crowd {
    /// Starts it without connections.
    pub(crate) fn start(cpu: usize, files: usize, port: u16) -> Result<Self, Failure> {
        let program = std::env::current_exe().tried("find this program")?;
        let mut command = Process::command(&program, cpu, files);
        command.args([ROLE, &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().tried("start the crowd")?;
        let output = child.stdout.take().ok_or_else(|| Failure::new("the crowd has no output"))?;
        let input = child.stdin.take();
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Opens connections until there are `count`, each with one request answered.
    pub(crate) fn grow_to(&mut self, count: usize) -> Result<(), Failure> {
        let input = self.input.as_mut().ok_or_else(|| Failure::new("the crowd has gone"))?;
        writeln!(input, "{count}").tried("tell the crowd to grow")?;
        if read_line(&mut self.output)? == count.to_string() {
            return Ok(());
        }
        Err(Failure::new("the crowd did not grow; its words are above"))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.input.take());
        // It has nothing to finish.
        drop(self.child.wait());
    }
}

/// Grows as standard input says, a number a line, until that is closed.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let port = arguments.get(1).and_then(|text| text.parse().ok());
    let port = port.ok_or_else(|| Failure::new("the crowd needs a port"))?;
    let request = wire::request("/b200");
    let mut all: Vec<TcpStream> = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let count: usize = line.tried("read a number")?.parse().tried("read a number")?;
        while all.len() < count {
            let many = AT_ONCE.min(count - all.len());
            let fresh: Vec<_> = (0..many).map(|_| wire::connect(port)).collect();
            for stream in fresh {
                let mut stream = stream.tried("connect as one of the crowd")?;
                stream.write_all(&request).tried("ask as one of the crowd")?;
                all.push(stream);
            }
            for stream in all.iter_mut().rev().take(many) {
                let answer = wire::read(stream)?;
                if !answer.status_line.contains(" 200 ") {
                    let (line, before) = (answer.status_line, count - all.len());
                    return Err(Failure::new(format!("`{line}` with {before} connections to go")));
                }
            }
        }
        let mut output = std::io::stdout().lock();
        writeln!(output, "{count}").and_then(|()| output.flush()).tried("tell the number")?;
    }
    Ok(())
}

/// Reads a line, without its end, from a child.
pub(crate) fn read_line(output: &mut impl BufRead) -> Result<String, Failure> {
    let mut line = String::new();
    if output.read_line(&mut line).tried("read from a child")? == 0 {
        return Err(Failure::new("a child ended early; its words are above"));
    }
    Ok(line.trim_end().to_owned())
}
