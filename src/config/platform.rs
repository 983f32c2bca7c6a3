//! The variables that platforms set, and what they mean for the settings.
//!
//! Owns: their names, each with the place that documents it (facts, 5.1, 4.1 and 5.4).
//! Must not know: requests.

use super::source::Environment;
use crate::proxy::normalise::Platform;

/// Finds the platform by the variable that only it sets: its name, and the variable.
pub(super) fn detect(environment: &Environment) -> Option<(&'static str, &'static str)> {
    [
        ("app-service", "WEBSITE_SITE_NAME"),
        ("container-apps", "CONTAINER_APP_NAME"),
        ("kubernetes", "KUBERNETES_SERVICE_HOST"),
    ]
    .into_iter()
    .find(|(_, variable)| environment.contains_key(*variable))
}

/// Reads `--platform`; `auto` looks for the variable that only one platform sets.
pub(super) fn choose(text: &str, environment: &Environment) -> Result<Platform, String> {
    match text {
        "app-service" => Ok(Platform::AppService),
        "container-apps" => Ok(Platform::ContainerApps),
        "kubernetes" => Ok(Platform::Kubernetes),
        "none" => Ok(Platform::None),
        "auto" => {
            detect(environment).map_or(Ok(Platform::None), |(name, _)| choose(name, environment))
        }
        _ => {
            Err("write `auto`, `app-service`, `container-apps`, `kubernetes` or `none`".to_owned())
        }
    }
}

/// What this instance is called among those of the site, short enough for a table: facts, 5.1, and
/// learn:container-apps/environment-variables. Nothing where nobody says.
pub(super) fn instance(environment: &Environment) -> Option<String> {
    let names = ["WEBSITE_INSTANCE_ID", "CONTAINER_APP_REPLICA_NAME", "HOSTNAME"];
    let set = |name| Some((name, environment.get(name).filter(|value| !value.is_empty())?));
    let (name, value) = names.into_iter().find_map(set)?;
    let short = if name == "WEBSITE_INSTANCE_ID" { 8 } else { 64 };
    Some(value.chars().filter(|letter| letter.is_ascii_graphic()).take(short).collect())
}

/// Defaults that the platform's variables give: setting, text, variable.
pub(super) fn defaults(
    platform: Platform,
    environment: &Environment,
) -> Vec<(&'static str, String, &'static str)> {
    let mut defaults = Vec::new();
    let mut take = |setting, variable: &'static str, text: fn(&str) -> String| {
        if let Some(value) = environment.get(variable).filter(|value| !value.is_empty()) {
            defaults.push((setting, text(value), variable));
        }
    };
    // The first that is set wins, so the order is from weak to strong.
    take("listen", "WEBSITES_PORT", |port| format!("0.0.0.0:{port}"));
    take("listen", "PORT", |port| format!("0.0.0.0:{port}"));
    take("spool-dir", "TMPDIR", str::to_owned);
    match platform {
        Platform::AppService => {
            // learn:app-service/reference-app-settings
            take("host", "WEBSITE_HOSTNAME", str::to_owned);
            take("warm-up-path", "WEBSITE_WARMUP_PATH", str::to_owned);
            take("easy-auth", "WEBSITE_AUTH_ENABLED", |value| {
                let is_on = value.eq_ignore_ascii_case("true");
                if is_on { "on" } else { "off" }.to_owned()
            });
            take("start-limit", "WEBSITES_CONTAINER_START_TIME_LIMIT", |value| format!("{value}s"));
            take("drain-deadline", "WEBSITE_SITE_NAME", |_| "4s".to_owned());
            take("drain-deadline", "WEBSITES_CONTAINER_STOP_TIME_LIMIT", |value| {
                value.parse::<u64>().map_or_else(
                    |_| format!("{value}s"),
                    |seconds| format!("{}ms", (seconds * 1000).saturating_sub(1000).max(500)),
                )
            });
        }
        // learn:container-apps/environment-variables
        Platform::ContainerApps => take("host", "CONTAINER_APP_HOSTNAME", str::to_owned),
        Platform::Kubernetes | Platform::None => {}
    }
    defaults.reverse();
    defaults
}
