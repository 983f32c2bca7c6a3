//! Everything that was found out, in one file for whoever is asked for help.
//!
//! Owns: what goes in; a secret never does.
//! Must not know: how anything was found out.

use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;

use super::patient::{Patient, Start};
use super::report::Report;
use super::secrets::Secrets;
use crate::python::details::Details;
use crate::python::django;

/// The bundle as JSON, every text of it without secrets.
pub(super) fn text(patient: &Patient, report: &Report, secrets: &Secrets) -> String {
    let listeners = patient.machine.listeners.as_ref().map(|found| {
        let shown = found.iter().map(|it| json!({ "port": it.port, "program": it.program }));
        shown.collect::<Vec<_>>()
    });
    let disks = patient.machine.disks.iter().map(
        |disk| json!({ "for": disk.purpose, "path": disk.path, "free_bytes": disk.free_bytes }),
    );
    let mut bundle = json!({
        "forebay": env!("CARGO_PKG_VERSION"),
        "made": humantime::format_rfc3339_seconds(patient.machine.now).to_string(),
        "directory": patient.directory,
        "report": report.json(),
        "settings": patient.config.json(),
        "start": match &patient.start {
            Ok(start) => of_start(start),
            Err(why) => json!({ "fault": why.what }),
        },
        "django": match &patient.django {
            Ok(site) => of_django(site),
            Err(why) => json!({ "unknown": why.0 }),
        },
        "loaded": match &patient.loaded {
            Ok(Ok(it)) => json!({ "seconds": it.time.as_secs_f64(), "peak_bytes": it.peak_bytes }),
            Ok(Err(why)) => json!({ "fault": why }),
            Err(why) => json!({ "unknown": why.0 }),
        },
        "variables": variables(patient),
        "scripts": patient.scripts.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(),
        "memory_bytes": patient.machine.memory_bytes,
        "disks": disks.collect::<Vec<_>>(),
        "listeners": listeners.unwrap_or_default(),
        "database": match &patient.database {
            Ok(reached) => json!({
                "named_by": reached.named_by,
                "session": reached.outcome.as_ref().map(|it| it.is_encrypted).ok(),
                "trouble": reached.outcome.as_ref().err().map(|it| it.what.clone()),
            }),
            Err(why) => json!({ "unknown": why.0 }),
        },
        "live": match &patient.live {
            Ok(live) => json!({
                "at": live.at,
                "answers": live.answers.iter().map(|(host, answer)| {
                    json!({ "host": host, "answer": format!("{answer:?}") })
                }).collect::<Vec<_>>(),
            }),
            Err(why) => json!({ "unknown": why.0 }),
        },
    });
    hide(&mut bundle, secrets);
    format!("{bundle:#}\n")
}

/// Writes it to a file that nobody else may read.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // A new file, for this user alone, in the place of whatever has the name.
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map(drop).map_err(|why| why.error)
}

fn of_start(start: &Start) -> Value {
    json!({
        "found_in": start.found,
        "web": start.web,
        "module": start.module,
        "server": start.traits.server,
        "class": start.traits.class,
        "workers": start.workers,
        "concurrency": start.traits.concurrency,
    })
}

fn of_django(site: &django::Site) -> Value {
    let mut shown = json!({
        "settings": site.settings,
        "DEBUG": site.debug,
        "ALLOWED_HOSTS": site.allowed_hosts,
        "STATIC_URL": site.static_prefix,
        "STATIC_ROOT": site.static_root,
        "staticfiles": site.storage,
    });
    if let (Ok(details), Value::Object(shown)) = (&site.details, &mut shown) {
        shown.extend(of_details(details));
    }
    shown
}

fn of_details(details: &Details) -> Map<String, Value> {
    let databases = details.databases.iter().map(|it| {
        json!({
            "alias": it.alias, "engine": it.engine, "host": it.host, "port": it.port,
            "name": it.name, "options": it.options, "sslmode": it.sslmode,
            "sslrootcert": it.sslrootcert, "CONN_MAX_AGE": it.max_age,
            "has_password": it.password_length.is_some_and(|length| length > 0),
        })
    });
    let shown = json!({
        "python": details.python,
        "django": details.django,
        "CSRF_TRUSTED_ORIGINS": details.csrf_trusted_origins,
        "SECURE_PROXY_SSL_HEADER": details.proxy_ssl_header,
        "SECURE_SSL_REDIRECT": details.ssl_redirect,
        "SECURE_REDIRECT_EXEMPT": details.redirect_exempt,
        "USE_X_FORWARDED_HOST": details.uses_forwarded_host,
        "MIDDLEWARE": details.middleware,
        "INSTALLED_APPS": details.apps,
        "SESSION_COOKIE_SECURE": details.session_cookie_secure,
        "CSRF_COOKIE_SECURE": details.csrf_cookie_secure,
        "SESSION_ENGINE": details.session_engine,
        "CACHES": details.caches.iter().map(|(_, backend)| backend).collect::<Vec<_>>(),
        "DATABASES": databases.collect::<Vec<_>>(),
    });
    match shown {
        Value::Object(shown) => shown,
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)) => Map::from_iter([("details".to_owned(), other)]),
    }
}

/// Every variable by its name; only of some the value is told.
fn variables(patient: &Patient) -> Map<String, Value> {
    let shown = patient.environment.iter().map(|(name, value)| {
        let is_told = TOLD.contains(&name.as_str());
        (name.clone(), if is_told { value.clone() } else { "[not shown]".to_owned() }.into())
    });
    shown.collect()
}

/// Variables of the platform that are no secrets (facts, 5.1).
const TOLD: &[&str] = &[
    "PORT",
    "WEBSITES_PORT",
    "WEBSITE_SITE_NAME",
    "WEBSITE_HOSTNAME",
    "WEBSITE_SKU",
    "REGION_NAME",
    "WEBSITE_AUTH_ENABLED",
    "WEBSITE_WARMUP_PATH",
    "WEBSITES_CONTAINER_START_TIME_LIMIT",
    "WEBSITES_CONTAINER_STOP_TIME_LIMIT",
    "WEBSITES_ENABLE_APP_SERVICE_STORAGE",
    "CONTAINER_APP_NAME",
    "CONTAINER_APP_HOSTNAME",
    "CONTAINER_APP_PORT",
    "DJANGO_SETTINGS_MODULE",
    "NUM_CORES",
    "WEB_CONCURRENCY",
];

/// Takes the secrets out of every text.
fn hide(value: &mut Value, secrets: &Secrets) {
    match value {
        Value::String(text) => *text = secrets.hide(text),
        Value::Array(values) => values.iter_mut().for_each(|value| hide(value, secrets)),
        Value::Object(values) => values.values_mut().for_each(|value| hide(value, secrets)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
