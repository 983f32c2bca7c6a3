//! The client of the open loop: one thread, a timer, and as many connections as it takes.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::answer::Receiving;
use super::{OpenLoop, Outcome};
use crate::support::{Failure, Tried as _};

/// The client.
#[derive(Debug)]
pub(super) struct Client {
    plan: OpenLoop,
    address: SocketAddrV4,
    request: Vec<u8>,
    epoll: OwnedFd,
    timer: OwnedFd,
    /// By the number that their events carry.
    lines: Vec<Option<Line>>,
    /// Numbers without a connection.
    free: Vec<usize>,
    /// Connections without a request; the one that waits longest is first.
    idle: VecDeque<usize>,
    /// Requests that no connection is free for, by when they were due.
    waiting: VecDeque<Instant>,
    outcomes: Vec<Outcome>,
    /// When the first request was still to come.
    begun: Instant,
    /// What is read goes through here.
    piece: Box<[u8]>,
}

/// One connection.
#[derive(Debug)]
struct Line {
    stream: TcpStream,
    /// When the request that it carries was due.
    due: Option<Instant>,
    /// How much of the request has been sent.
    sent: usize,
    receiving: Receiving,
    /// Whether it has carried a request before: then its end may have crossed with the next one.
    is_used: bool,
}

impl Client {
    /// Opens the connections that there are from the beginning.
    pub(super) fn prepare(plan: OpenLoop, port: u16, request: Vec<u8>) -> Result<Self, Failure> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer =
            rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags).tried("have a timer")?;
        let epoll = epoll::create(CreateFlags::CLOEXEC).tried("wait for connections")?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)
            .tried("wait for the timer")?;
        let mut client = Self {
            plan,
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
            request,
            epoll,
            timer,
            lines: Vec::new(),
            free: Vec::new(),
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
            outcomes: Vec::new(),
            begun: Instant::now(),
            piece: vec![0; 64 * 1024].into_boxed_slice(),
        };
        for _ in 0..plan.connections.min(plan.most) {
            let line = client.open()?;
            client.idle.push_back(line);
        }
        Ok(client)
    }

    /// Sends every request and waits for what becomes of each.
    pub(super) fn run(mut self) -> Result<Vec<Outcome>, Failure> {
        let pause = Duration::from_secs(1) / self.plan.rate;
        let total = self.plan.length.as_nanos() / pause.as_nanos().max(1);
        let total = usize::try_from(total).tried("count the requests")?;
        let begun = Instant::now();
        self.begun = begun;
        let seconds = i64::try_from(pause.as_secs()).tried("set the timer")?;
        let each = Timespec { tv_sec: seconds, tv_nsec: i64::from(pause.subsec_nanos()) };
        let timer = Itimerspec { it_interval: each, it_value: each };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &timer)
            .tried("set the timer")?;
        let mut events = Vec::with_capacity(1024);
        let (mut asked, mut looked) = (0, begun);
        while self.outcomes.len() < total {
            events.clear();
            let buffer = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, buffer, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(why) => return Err(Failure::new(format!("cannot wait for events: {why}"))),
            }
            for event in &events {
                match event.data.u64() {
                    // Level-triggered: it has to be read.
                    TIMER => drop(rustix::io::read(&self.timer, &mut [0; 8])),
                    line => self.advance(usize::try_from(line).tried("know a connection")?)?,
                }
            }
            let now = Instant::now();
            while asked < total && now >= begun + pause * u32::try_from(asked + 1).unwrap_or(0) {
                asked += 1;
                self.waiting.push_back(begun + pause * u32::try_from(asked).unwrap_or(0));
            }
            self.dispatch()?;
            if now.duration_since(looked) > Duration::from_millis(5) {
                looked = now;
                self.give_up(now);
            }
        }
        Ok(self.outcomes)
    }

    /// Gives requests that are due to connections that are free.
    fn dispatch(&mut self) -> Result<(), Failure> {
        while !self.waiting.is_empty() {
            let line = match self.idle.pop_front() {
                Some(line) => line,
                None if self.lines.len() - self.free.len() < self.plan.most => self.open()?,
                None => break,
            };
            let due = self.waiting.pop_front();
            if let Some(Some(line)) = self.lines.get_mut(line) {
                line.due = due;
                line.sent = 0;
            }
            self.advance(line)?;
        }
        Ok(())
    }

    /// Does what can be done on a connection without waiting.
    fn advance(&mut self, number: usize) -> Result<(), Failure> {
        loop {
            let Some(Some(line)) = self.lines.get_mut(number) else { return Ok(()) };
            match line.step(&self.request, &mut self.piece)? {
                Step::Wait => return Ok(()),
                Step::Answered { status, due, closes } => {
                    self.settle(status, due);
                    if closes {
                        self.close(number);
                        return Ok(());
                    }
                    self.idle.push_back(number);
                }
                Step::Ended => {
                    let (due, has_crossed) = (line.due, line.is_used && line.receiving.is_empty());
                    self.idle.retain(|idle| *idle != number);
                    self.close(number);
                    match due {
                        // As a browser would: it is sent again.
                        Some(due) if has_crossed => self.waiting.push_front(due),
                        Some(due) => self.settle(0, due),
                        None => {}
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Counts requests as lost whose deadline has passed.
    fn give_up(&mut self, now: Instant) {
        let deadline = self.plan.deadline;
        let is_late = |due: &Instant| now.duration_since(*due) > deadline;
        while let Some(due) = self.waiting.pop_front_if(|due| is_late(due)) {
            self.settle(0, due);
        }
        for number in 0..self.lines.len() {
            let due = self.lines.get(number).and_then(Option::as_ref).and_then(|line| line.due);
            if let Some(due) = due.filter(is_late) {
                self.settle(0, due);
                self.close(number);
            }
        }
    }

    /// Opens a connection without waiting until it stands.
    fn open(&mut self) -> Result<usize, Failure> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
            .tried("have a socket")?;
        match rustix::net::connect(&socket, &self.address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(why) => return Err(Failure::new(format!("cannot connect: {why}"))),
        }
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).tried("send at once")?;
        let number = self.free.pop().unwrap_or(self.lines.len());
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &stream, EventData::new_u64(number as u64), flags)
            .tried("wait for a connection")?;
        let line =
            Line { stream, due: None, sent: 0, receiving: Receiving::default(), is_used: false };
        if number == self.lines.len() {
            self.lines.push(None);
        }
        if let Some(place) = self.lines.get_mut(number) {
            *place = Some(line);
        }
        Ok(number)
    }

    /// Keeps what became of a request just now.
    fn settle(&mut self, status: u16, due: Instant) {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let due_us = us(due.duration_since(self.begun));
        self.outcomes.push(Outcome { status, due_us, latency_us: us(due.elapsed()) });
    }

    fn close(&mut self, number: usize) {
        if self.lines.get_mut(number).and_then(Option::take).is_some() {
            self.free.push(number);
        }
    }
}

/// What a connection came to.
enum Step {
    /// More has to happen first.
    Wait,
    Answered {
        status: u16,
        due: Instant,
        closes: bool,
    },
    /// The other side has ended it.
    Ended,
}

impl Line {
    fn step(&mut self, request: &[u8], piece: &mut [u8]) -> Result<Step, Failure> {
        while self.due.is_some() && self.sent < request.len() {
            match self.stream.write(request.get(self.sent..).unwrap_or_default()) {
                Ok(count) => self.sent += count,
                Err(why) if why.kind() == ErrorKind::WouldBlock => return Ok(Step::Wait),
                Err(_) => return Ok(Step::Ended),
            }
        }
        loop {
            let count = match self.stream.read(piece) {
                Ok(0) => return Ok(Step::Ended),
                Ok(count) => count,
                Err(why) if why.kind() == ErrorKind::WouldBlock => return Ok(Step::Wait),
                Err(why) if why.kind() == ErrorKind::NotConnected => return Ok(Step::Wait),
                Err(_) => return Ok(Step::Ended),
            };
            let complete = self.receiving.take(piece.get(..count).unwrap_or_default())?;
            if let (Some(complete), Some(due)) = (complete, self.due) {
                (self.due, self.is_used) = (None, true);
                let (status, closes) = (complete.status, complete.closes);
                return Ok(Step::Answered { status, due, closes });
            }
        }
    }
}

/// The number that the timer's events carry.
const TIMER: u64 = u64::MAX;
