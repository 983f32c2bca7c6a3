//! Chromium without a screen.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::fresh_number;

/// A profile that goes away with it.
pub(crate) struct Profile(PathBuf);

impl Profile {
    pub(crate) fn fresh() -> Self {
        let name = format!("forebay-e2e-browser-{}-{}", std::process::id(), fresh_number());
        Self(std::env::temp_dir().join(name))
    }

    /// The browser, quiet, with this profile; a command that another program made may go before.
    pub(crate) fn browser(&self, mut command: impl FnMut(&str) -> Command) -> Command {
        let name = ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find(|name| Command::new(name).arg("--version").output().is_ok())
            .unwrap_or_else(|| {
                panic!("there is no Chromium\nmend: run tests/run, which installs it")
            });
        let mut command = command(name);
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", self.path().display()));
        command
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // A browser that is being killed may still write into it.
        drop(std::fs::remove_dir_all(self.path()));
    }
}

/// The page as it stands in the browser once its scripts have run.
pub(crate) fn browse(url: &str) -> String {
    let profile = Profile::fresh();
    let output = profile
        .browser(|name| Command::new(name))
        // Less than the five seconds after which a page of forebay loads itself anew.
        .args(["--virtual-time-budget=4000", "--dump-dom"])
        .arg(url)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
