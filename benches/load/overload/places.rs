//! An application with so many places: what is more waits for one, as in gunicorn's gthread workers,
//! and is served even when nobody waits for it any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::player::{argument, play_application};
use crate::support::Failure;

/// The argument that makes the benchmark's program this application: places, and the milliseconds
/// that a request keeps one.
pub(crate) const ROLE: &str = "as-places";

/// Answers until standard input is closed. The first line of output is the port.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let places = Arc::new(Semaphore::new(argument(arguments, 1)?));
    let work = Duration::from_millis(argument(arguments, 2)?);
    play_application(async |listener| accept(&listener, &places, work).await)
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>, work: Duration) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let places = Arc::clone(places);
            tokio::spawn(async move {
                // A connection that breaks has ended; whoever broke it tells.
                drop(serve(stream, &places, work).await);
            });
        }
    }
}

async fn serve(mut stream: TcpStream, places: &Semaphore, work: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(4096);
    while stream.read_buf(&mut bytes).await? > 0 {
        if !bytes.ends_with(b"\r\n\r\n") {
            continue;
        }
        let place = places.acquire().await.map_err(std::io::Error::other)?;
        tokio::time::sleep(work).await;
        drop(place);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n";
        stream.write_all(format!("{head}done\n").as_bytes()).await?;
        bytes.clear();
    }
    Ok(())
}
