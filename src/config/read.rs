//! Reads the settings of each part of forebay.
//!
//! Owns: which settings a part has, and what they must be together.
//! Must not know: where a text comes from.

use std::time::Duration;

use super::source::{Environment, Sources};
use super::{Need, value};
use crate::admin;
use crate::postgres::Choice;
use crate::proxy::assets::{self, Links, Missing, Rules};
use crate::proxy::fields::Name;
use crate::proxy::guard::{Deadlines, Limits};
use crate::proxy::intake::{self, Buffering};
use crate::proxy::normalise::{self, CanonicalHost, Edges, Forwarded, Platform, Scheme};
use crate::proxy::route::{self, AlwaysOn};
use crate::proxy::status::{self, Token};
use crate::proxy::upstream::{self, Address, queue};
use crate::proxy::{compress, connection, proxy_protocol, send_file, spool, tunnel};
use crate::release;
use crate::supervise;
use crate::telemetry::{self, Format};

pub(super) fn connection(sources: &mut Sources) -> Option<connection::Settings> {
    let header_bytes = sources.read("header-bytes-limit", value::bytes::<1024, 1_048_576>);
    let header_count = sources.read("header-count-limit", value::count::<10, 1000>);
    let field_bytes = sources.read("field-bytes-limit", value::bytes::<256, 1_048_576>);
    let request_line_bytes = sources.read("request-line-limit", value::bytes::<256, 65_536>);
    let header = sources.read("header-deadline", value::deadline);
    let idle = sources.read("idle-deadline", value::deadline);
    let body_idle = sources.read("body-idle-deadline", value::deadline);
    let accepts_proxy_protocol = sources.read("accept-proxy-protocol", value::switch);
    let tunnel_limit = sources.read("tunnel-limit", value::count::<1, 1_000_000>);
    let tunnel_idle = sources.read("tunnel-idle-deadline", value::deadline);
    let limits = Limits {
        header_bytes: header_bytes?,
        header_count: header_count?,
        field_bytes: field_bytes?,
        request_line_bytes: request_line_bytes?,
    };
    let deadlines = Deadlines { header: header?, idle: idle?, body_idle: body_idle? };
    let accepts_proxy_protocol = accepts_proxy_protocol?;
    let tunnel = tunnel::Settings { limit: tunnel_limit? as u64, idle: tunnel_idle? };
    Some(connection::Settings { limits, deadlines, tunnel, accepts_proxy_protocol })
}

pub(super) fn normalise(
    sources: &mut Sources,
    platform: Platform,
    canonical_host: Option<CanonicalHost>,
) -> Option<normalise::Settings> {
    let ids = sources.read_all("front-door-id", value::front_door_id);
    let id = ids.into_iter().flatten().next_back();
    let edges = sources.read("edges", |text| value::edges(text, id.clone()));
    if let (Some(_), Some(edges)) = (&id, &edges)
        && !matches!(edges, Edges::FrontDoor(_))
    {
        sources.fault("front-door-id", "it has no effect without `--edges front-door`");
    }
    let trusted = sources.read_all("trusted", value::network);
    let forwarded = sources.read("forwarded", |text| match text {
        "client" => Ok(Forwarded::Client),
        "chain" => Ok(Forwarded::Chain),
        _ => Err("write `client` or `chain`".to_owned()),
    });
    let scheme = sources.read("scheme", |text| match text {
        "auto" => Ok(None),
        "http" => Ok(Some(Scheme::Http)),
        "https" => Ok(Some(Scheme::Https)),
        _ => Err("write `auto`, `http` or `https`".to_owned()),
    });
    let easy_auth = sources.read("easy-auth", value::switch);
    let kept: Option<Vec<Name>> = sources.read_all("keep", value::kept_field);
    Some(normalise::Settings {
        platform,
        edges: edges?,
        trusted: trusted?,
        forwarded: forwarded?,
        scheme: scheme?,
        canonical_host,
        easy_auth: easy_auth?,
        kept: kept?,
    })
}

/// Where forebay tells about itself, and to whom.
pub(super) fn status(
    sources: &mut Sources,
    environment: &Environment,
) -> Option<(admin::Settings, status::Settings)> {
    let address = sources.read("admin", |text| match text {
        "auto" => Ok(Some(admin::Wish::Auto)),
        "off" => Ok(None),
        _ => match value::upstream(text) {
            Ok(Address::Unix(path)) => Ok(Some(admin::Wish::Unix(path))),
            _ => value::listen(text).map(|address| Some(admin::Wish::Tcp(address))).map_err(|_| {
                "write `127.0.0.1:9100`, `unix:/path/to/socket`, `auto` or `off`".to_owned()
            }),
        },
    });
    let token = sources.read_all("status-token", Token::parse);
    let admin = admin::Settings { wish: address?, folder: admin::folder(environment) };
    Some((admin, status::Settings { token: token?.into_iter().next_back() }))
}

pub(super) fn routes(sources: &mut Sources, platform: Platform) -> Option<route::Settings> {
    let health_path = sources.read("health-path", value::path);
    let warm_up_path = sources.read("warm-up-path", value::path);
    let always_on = sources.read("always-on", |text| match text {
        "application" => Ok(AlwaysOn::Application),
        "answer" => Ok(AlwaysOn::Forebay),
        _ => Err("write `application` or `answer`".to_owned()),
    });
    Some(route::Settings {
        platform,
        health_path: health_path?,
        warm_up_path: warm_up_path?,
        always_on: always_on?,
        has_status: false,
    })
}

pub(super) fn upstream(
    sources: &mut Sources,
    need: Need,
    client_idle: Option<Duration>,
) -> Option<upstream::Settings> {
    let address = sources.read_all("upstream", value::upstream);
    let connect = sources.read("upstream-connect-deadline", value::deadline);
    let response = sources.read("upstream-response-deadline", value::deadline);
    let idle = sources.read("upstream-idle-deadline", value::deadline);
    let keep_alive = sources.read("upstream-keep-alive", value::deadline_or_off);
    let reuses_for_effects = sources.read("upstream-reuse", |text| match text {
        "safe" => Ok(false),
        "all" => Ok(true),
        _ => Err("write `safe` or `all`".to_owned()),
    });
    let proxy_protocol = sources.read("proxy-protocol", |text| match text {
        "off" => Ok(None),
        "v1" => Ok(Some(proxy_protocol::Version::V1)),
        "v2" => Ok(Some(proxy_protocol::Version::V2)),
        _ => Err("write `off`, `v1` or `v2`".to_owned()),
    });
    let address = match address?.into_iter().next_back() {
        Some(address) => address,
        None if need == Need::NoUpstream => Address::Tcp { host: "127.0.0.1".to_owned(), port: 1 },
        None => {
            let why = "name where the application listens, such as `--upstream 127.0.0.1:8001` or \
                       `--upstream unix:/tmp/gunicorn.sock`";
            sources.fault("upstream", why);
            return None;
        }
    };
    if reuses_for_effects == Some(true) && !address.is_here() {
        let why = "`all` needs an application on this machine, since of another nobody knows whether \
                   it has read a request: leave it out, or name the application by localhost or a \
                   unix socket";
        sources.fault("upstream-reuse", why);
    }
    Some(upstream::Settings {
        address,
        deadlines: upstream::Deadlines {
            connect: connect?,
            response: response?,
            idle: idle?,
            client_idle: client_idle?,
        },
        keep_alive: keep_alive?,
        reuses_for_effects: reuses_for_effects?,
        proxy_protocol: proxy_protocol?,
    })
}

pub(super) fn supervise(sources: &mut Sources) -> Option<supervise::Settings> {
    let crash_limit = sources.read("crash-limit", value::count::<1, 1000>);
    let crash_window = sources.read("crash-window", value::deadline);
    let release_deadline = sources.read("release-deadline", value::deadline);
    Some(supervise::Settings {
        crash_limit: u32::try_from(crash_limit?).ok()?,
        crash_window: crash_window?,
        release_deadline: release_deadline?,
    })
}

pub(super) fn release(sources: &mut Sources) -> Option<release::Settings> {
    let choice = sources.read("release-lock", |text| {
        Choice::parse(text).map_err(|why| {
            format!("{why}: write `auto`, `off` or `postgres://user:password@host:5432/database`")
        })
    });
    let deadline = sources.read("release-lock-deadline", value::deadline);
    let id = sources.read_all("release-id", |text| {
        let is_sound = !text.is_empty() && text.len() <= 200 && !text.contains(char::is_control);
        if is_sound { Ok(text.to_owned()) } else { Err("write 1 to 200 characters".to_owned()) }
    });
    Some(release::Settings {
        choice: choice?,
        id: id?.into_iter().next_back(),
        deadline: deadline?,
    })
}

pub(super) fn log(sources: &mut Sources) -> Option<telemetry::Settings> {
    let format = sources.read("log", |text| match text {
        "json" => Ok(Format::Json),
        "text" => Ok(Format::Text),
        _ => Err("write `json` or `text`".to_owned()),
    });
    let level = sources.read("log-level", |text| {
        let levels = ["error", "warn", "info", "debug"];
        let level = if levels.contains(&text) { text.parse().ok() } else { None };
        level.ok_or_else(|| "write `error`, `warn`, `info` or `debug`".to_owned())
    });
    let has_access_log = sources.read("access-log", value::switch);
    Some(telemetry::Settings { format: format?, level: level?, has_access_log: has_access_log? })
}

pub(super) fn queue(sources: &mut Sources) -> Option<queue::Settings> {
    let concurrency = sources.read("concurrency", value::count::<1, 100_000>);
    let queue_limit = sources.read("queue-limit", value::count::<0, 100_000>);
    let queue_deadline = sources.read("queue-deadline", value::patience);
    let hold_deadline = sources.read("hold-deadline", value::patience);
    let page_after = sources.read("page-after", value::patience);
    Some(queue::Settings {
        concurrency: concurrency?,
        queue_limit: queue_limit?,
        queue_deadline: queue_deadline?,
        hold_deadline: hold_deadline?,
        page_after: page_after?,
    })
}

/// The most that a setting of sizes may be: 1 TiB.
const MOST: usize = 1024 * 1024 * 1024 * 1024;

pub(super) fn spool(sources: &mut Sources) -> Option<spool::Settings> {
    let memory = sources.read("spool-memory", value::bytes::<0, MOST>);
    let disk = sources.read("spool-disk", value::bytes::<0, MOST>);
    let answer_disk = sources.read("answer-spool-disk", value::bytes::<0, MOST>);
    let directory = sources.read("spool-dir", value::directory);
    Some(spool::Settings {
        memory: memory? as u64,
        disk: disk? as u64,
        answer_disk: answer_disk? as u64,
        directory: directory?,
    })
}

pub(super) fn intake(
    sources: &mut Sources,
    client_idle: Option<Duration>,
) -> Option<intake::Settings> {
    let max_body = sources.read("max-body", value::bytes::<0, MOST>);
    let rules = sources.read_all("request-buffering", value::buffering)?;
    let mut buffering = Buffering { otherwise: true, prefixes: Vec::new() };
    for (prefix, is_on) in rules {
        match prefix {
            Some(prefix) => buffering.prefixes.push((prefix, is_on)),
            None => buffering.otherwise = is_on,
        }
    }
    buffering.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    Some(intake::Settings { max_body: max_body? as u64, client_idle: client_idle?, buffering })
}

pub(super) fn send_file(sources: &mut Sources) -> Option<send_file::Settings> {
    let places = sources.read_all("send-file", value::send_file)?;
    let mut prefixes: Vec<_> = places.iter().map(|place| &place.prefix).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    if prefixes.len() < places.len() {
        sources.fault("send-file", "give each prefix once");
    }
    Some(send_file::Settings { places })
}

pub(super) fn assets(
    sources: &mut Sources,
    routes: Option<&route::Settings>,
) -> Option<assets::Settings> {
    let places = sources.read_all("static", value::static_files);
    let root = sources.read_all("static-root", value::static_root);
    let rules = asset_rules(sources);
    let missing = sources.read("static-missing", |text| match text {
        "application" => Ok(Missing::Application),
        "404" => Ok(Missing::NotFound),
        _ => Err("write `application` or `404`".to_owned()),
    });
    let index = sources.read("static-index", value::index);
    let links = sources.read("static-links", |text| match text {
        "inside" => Ok(Links::Inside),
        "anywhere" => Ok(Links::Anywhere),
        _ => Err("write `inside` or `anywhere`".to_owned()),
    });
    let makes_variants = sources.read("static-variants", |text| match text {
        "auto" => Ok(std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)),
        _ => value::switch(text).map_err(|_| "write `auto`, `on` or `off`".to_owned()),
    });
    let memory = sources.read("asset-memory", value::bytes::<0, MOST>);
    // A file at `/` that has the same path as one under a prefix gives way to it.
    let places = [root?, places?].concat();
    Some(assets::Settings {
        places,
        rules: rules?,
        missing: missing?,
        index: index?,
        links: links?,
        memory: memory? as u64,
        makes_variants: makes_variants?,
        reserved: routes?.reserved(),
    })
}

fn asset_rules(sources: &mut Sources) -> Option<Rules> {
    let max_age = sources.read("static-max-age", value::max_age);
    let immutable = sources.read_all("static-immutable", value::pattern);
    let fields = sources.read_all("static-field", value::static_field);
    let types = sources.read_all("static-type", value::static_type);
    let charset = sources.read("static-charset", value::charset);
    let allows_all_origins = sources.read("static-cors", value::switch);
    Some(Rules {
        max_age: max_age?,
        immutable: immutable?,
        fields: fields?,
        types: types?,
        charset: charset?,
        allows_all_origins: allows_all_origins?,
    })
}

pub(super) fn compress(sources: &mut Sources) -> Option<compress::Settings> {
    let is_on = sources.read("compress", value::switch);
    let least = sources.read("compress-min", value::bytes::<1, 16_777_216>);
    let compresses_personal = sources.read("compress-personal", value::switch);
    let limit = sources.read("compress-limit", value::count::<1, 10_000>);
    Some(compress::Settings {
        is_on: is_on?,
        least: least? as u64,
        compresses_personal: compresses_personal?,
        limit: limit?,
    })
}
