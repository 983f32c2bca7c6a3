//! What follows for the settings from what is known of the site (decisions 11 and 12).
//!
//! Owns: which setting follows from what.
//! Must not know: who was asked, and how.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::config::{Config, Derived, Origin};
use crate::launch::{ProxyProtocol, Traits};
use crate::python::django::Site;

/// Whether the application is to listen at a unix socket and to hear its clients by the PROXY
/// protocol.
///
/// Where each request comes on a connection of its own that is 70 µs cheaper than TCP, and
/// `REMOTE_ADDR` is the client.
pub(super) fn wants_socket(config: &Config, traits: &Traits) -> bool {
    let is_free = ["upstream", "proxy-protocol"].iter().all(|name| !config.is_chosen(name));
    traits.connects_for_each && traits.proxy_protocol.is_some() && is_free
}

/// A directory that nobody else enters; nothing where there can be none, or its name is too long for
/// the address of a socket (108 bytes on Linux).
pub(super) fn folder() -> Option<TempDir> {
    let folder = tempfile::Builder::new().prefix("forebay-").tempdir().ok()?;
    (socket_path(folder.path()).len() < 100).then_some(folder)
}

fn socket_path(folder: &Path) -> String {
    folder.join("web.sock").display().to_string()
}

/// The socket as a setting.
pub(super) fn socket(folder: &Path) -> Derived {
    let text = format!("unix:{}", socket_path(folder));
    Derived { name: "upstream", text, origin: Origin::Server }
}

/// What follows from how the application server takes requests.
pub(super) fn of_traits(traits: &Traits, has_socket: bool) -> Vec<Derived> {
    let derived = |name, text| Derived { name, text, origin: Origin::Server };
    let proxy_protocol = match traits.proxy_protocol {
        Some(ProxyProtocol::V1) => Some("v1"),
        Some(ProxyProtocol::V2) => Some("v2"),
        Some(ProxyProtocol::Off) if has_socket => Some("v2"),
        Some(ProxyProtocol::OffAndOld) if has_socket => Some("v1"),
        Some(ProxyProtocol::Off | ProxyProtocol::OffAndOld) | None => None,
    };
    let keep_alive = traits.keep_alive.filter(|_| !traits.connects_for_each).map(|theirs| {
        match theirs.saturating_sub(MARGIN) {
            Duration::ZERO => "off".to_owned(),
            ours => format!("{}ms", ours.as_millis()),
        }
    });
    [
        traits.concurrency.map(|most| derived("concurrency", most.to_string())),
        keep_alive.map(|text| derived("upstream-keep-alive", text)),
        // It reads a request when it begins with it; others have a loop that reads what comes, and may
        // end the connection before they look at it.
        (traits.class.as_deref() == Some("gthread"))
            .then(|| derived("upstream-reuse", "all".to_owned())),
        proxy_protocol.map(|version| derived("proxy-protocol", version.to_owned())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// So much earlier than the application closes an idle connection, forebay does not use it any more.
const MARGIN: Duration = Duration::from_millis(500);

/// The files that forebay serves because Django's settings name them.
///
/// # Errors
///
/// Why there are none.
pub(super) fn static_files(site: &Site) -> Result<Derived, &'static str> {
    let root = site.static_root.as_ref().ok_or("STATIC_ROOT is not set")?;
    let root = root.to_str().ok_or("STATIC_ROOT is not Unicode")?;
    let prefix = site.static_prefix.trim_start_matches('/');
    if prefix.is_empty() || prefix.contains('%') || prefix.contains("//") {
        return Err("STATIC_URL has no path, or one with escapes");
    }
    // It may come later, from the release command.
    if Path::new(root).exists() && !Path::new(root).is_dir() {
        return Err("STATIC_ROOT is no directory");
    }
    let text = format!("{}={root}", site.static_prefix);
    Ok(Derived { name: "static", text, origin: Origin::Django })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_files_come_from_djangos_settings_only_where_they_say_all() {
        let site = |prefix: &str, root: Option<&str>| Site {
            settings: "a.settings".to_owned(),
            static_prefix: prefix.to_owned(),
            static_root: root.map(Into::into),
            storage: None,
            has_whitenoise: false,
            whitenoise_root: None,
            whitenoise_max_age: None,
            whitenoise_index_file: None,
            allowed_hosts: Vec::new(),
            debug: false,
            details: Err(String::new()),
        };
        for (prefix, root, text) in [
            ("/static/", Some("/srv/static"), Some("/static/=/srv/static")),
            ("/a/b/", Some("/"), Some("/a/b/=/")),
            ("/", Some("/srv/static"), None),
            ("/a%20b/", Some("/srv/static"), None),
            ("/static/", None, None),
            ("/static/", Some("/etc/passwd"), None),
        ] {
            let derived = static_files(&site(prefix, root)).ok();
            assert_eq!(derived.map(|it| it.text).as_deref(), text, "{prefix} {root:?}");
        }
    }

    #[test]
    fn settings_follow_from_how_the_server_takes_requests() {
        let texts = |traits: &Traits, has_socket| {
            let derived = of_traits(traits, has_socket).into_iter();
            derived.map(|it| format!("{}={}", it.name, it.text)).collect::<Vec<_>>().join(" ")
        };
        let seconds = |count| Some(Duration::from_secs(count));
        let mut traits = Traits {
            concurrency: Some(8),
            keep_alive: seconds(5),
            proxy_protocol: Some(ProxyProtocol::Off),
            ..Traits::default()
        };
        assert_eq!(texts(&traits, false), "concurrency=8 upstream-keep-alive=4500ms");
        traits.class = Some("gthread".to_owned());
        let expected = "concurrency=8 upstream-keep-alive=4500ms upstream-reuse=all";
        assert_eq!(texts(&traits, false), expected);
        traits.class = None;
        traits.keep_alive = seconds(0);
        traits.proxy_protocol = Some(ProxyProtocol::V1);
        let expected = "concurrency=8 upstream-keep-alive=off proxy-protocol=v1";
        assert_eq!(texts(&traits, false), expected, "it expects it in any case");
        traits.connects_for_each = true;
        for (expects, version) in [
            (ProxyProtocol::Off, "v2"),
            (ProxyProtocol::OffAndOld, "v1"),
            (ProxyProtocol::V1, "v1"),
            (ProxyProtocol::V2, "v2"),
        ] {
            traits.proxy_protocol = Some(expects);
            let expected = format!("concurrency=8 proxy-protocol={version}");
            assert_eq!(texts(&traits, true), expected, "{expects:?}");
        }
        assert_eq!(texts(&Traits::default(), false), "");
    }
}
