//! forebay in front of a site.

use std::io;
use std::process::ExitStatus;

use super::process::Process;
use super::wire::{Response, Wire};
use super::{eventually, free_port};

/// What App Service sets for its containers.
pub(crate) const APP_SERVICE: &[(&str, &str)] = &[("WEBSITE_SITE_NAME", "example-app")];

/// forebay, running; with `--host www.example.com` and nothing of our environment.
pub(crate) struct Forebay {
    process: Process,
    address: String,
}

impl Forebay {
    /// On App Service, ready to pass requests on.
    pub(crate) fn before(upstream: &str) -> Self {
        Self::with(upstream, &[])
    }

    /// On App Service with more flags, ready to pass requests on.
    pub(crate) fn with(upstream: &str, flags: &[&str]) -> Self {
        Self::started(upstream, flags, APP_SERVICE).ready()
    }

    /// With flags and variables, listening; the application may still be missing.
    pub(crate) fn started(upstream: &str, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Process::command(env!("CARGO_BIN_EXE_forebay"));
        command.args(["proxy", "--listen", &address, "--upstream", upstream]);
        command.args(["--host", "www.example.com"]).args(flags);
        command.envs(variables.iter().copied());
        let mut process = Process::start("forebay", command);
        eventually("forebay listens", || {
            process.assert_running();
            Wire::connect(&address).ok()
        });
        Self { process, address }
    }

    /// Waits until the health path says that the application answers.
    pub(crate) fn ready(self) -> Self {
        eventually("the health check is content", || (self.health().status == 200).then_some(()));
        self
    }

    /// What the platform's health check gets now.
    pub(crate) fn health(&self) -> Response {
        self.exchange(
            "GET /healthz HTTP/1.1
             Host: 169.254.130.4:8000
             User-Agent: HealthCheck/1.0",
        )
    }

    /// How many requests it sent to the application more than once, by its log.
    pub(crate) fn repeated(&self) -> usize {
        self.process.written().lines().filter(|line| line.contains(r#","repeats":"#)).count()
    }

    /// How many GETs it gave up after three attempts, by its log.
    pub(crate) fn given_up(&self) -> usize {
        let parts = [r#""method":"GET""#, r#""code":"FB-32""#, r#""repeats":2,"#];
        let has_all = |line: &&str| parts.iter().all(|part| line.contains(part));
        self.process.written().lines().filter(has_all).count()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A new connection to it.
    pub(crate) fn connect(&self) -> Wire {
        self.try_connect().unwrap()
    }

    /// A new connection to it, if it takes any.
    pub(crate) fn try_connect(&self) -> io::Result<Wire> {
        Wire::connect(&self.address)
    }

    /// One request on a connection of its own.
    pub(crate) fn exchange(&self, head: &str) -> Response {
        self.connect().exchange(head)
    }

    /// One request with a body, on a connection of its own.
    pub(crate) fn exchange_with_body(&self, head: &str, body: &[u8]) -> Response {
        let mut wire = self.connect();
        wire.send_with_body(head, body);
        wire.response()
    }

    /// Where a path of it is.
    pub(crate) fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.address)
    }

    /// What it has written so far.
    pub(crate) fn written(&self) -> String {
        self.process.written()
    }

    /// Asks for an orderly end.
    pub(crate) fn terminate(&self) {
        self.process.signal("TERM");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }
}
