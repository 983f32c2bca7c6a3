//! The report as a page that renews itself, with nothing from elsewhere.
//!
//! Owns: its layout, its policy of content.
//! Must not know: how it is served.
//!
//! The script asks for the page again and takes what is in its `main`; without scripts a browser loads
//! it anew. So there is one place that lays it out.

use std::fmt::Write as _;

use serde_json::Value;

use super::text::{list, number, size, span, word};

/// The policy for the page (Content Security Policy, level 3): the one style, the one script, and
/// questions to where it came from. A test keeps the hashes true.
pub const POLICY: &str = concat!(
    "default-src 'none'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; ",
    "frame-ancestors 'none'; ",
    "style-src 'sha256-to95fbBC8hHlBRQAQ/i5NfwqxtTalztBdqrcoRJo0Ho='; ",
    "script-src 'sha256-94Cug6TqwGUc8j8qgJEj3R3Q1NJDXINBNkEM23ka4FY='"
);

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page for the report that [`super::json()`] made.
pub fn page(report: &Value) -> String {
    let phase = word(&report["phase"]);
    let instance = escaped(&word(&report["instance"]));
    let mut main = String::new();
    for part in [
        header(report),
        tiles(report),
        timeline(report),
        processes(report),
        latency(report),
        errors(report),
    ] {
        main.push_str(&part);
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"robots\" content=\"noindex\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{phase} – {instance} – forebay</title>\n\
         <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<p id=\"lost\" class=\"bad\" role=\"status\"></p>\n\
         <main>\n{main}</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
    )
}

/// The class of a phase or a state.
fn mood(word: &str) -> &'static str {
    match word {
        "ready" | "running" => "good",
        "failed" => "bad",
        "starting" | "waiting" | "restarting" | "draining" => "wait",
        _ => "quiet",
    }
}

fn header(report: &Value) -> String {
    let phase = word(&report["phase"]);
    let title = match phase.as_str() {
        "ready" => "Ready",
        "starting" => "Starting",
        "failed" => "Does not answer",
        "draining" => "Stopping",
        _ => "Unknown",
    };
    let mut about = format!("for {}", span(number(&report["phase_seconds"])));
    if let Some(reason) = report["reason"].as_str() {
        write!(about, ": {}", escaped(reason)).unwrap_or_default();
    }
    let release = report["release"]
        .as_str()
        .map_or_else(String::new, |release| format!("release <b>{}</b> · ", escaped(release)));
    format!(
        "<header class=\"{}\"><h1>{title}</h1><p>{about}</p><p class=\"quiet\">{release}instance \
         {} · forebay {} · process {} · up {}</p></header>\n",
        mood(&phase),
        escaped(&word(&report["instance"])),
        escaped(&word(&report["forebay"])),
        word(&report["pid"]),
        span(number(&report["uptime_seconds"])),
    )
}

fn tiles(report: &Value) -> String {
    let requests = &report["requests"];
    let connections = &report["connections"];
    let of = |part: &Value, name: &str, limit: &str| {
        format!("{} <small>of {}</small>", number(&part[name]), number(&part[limit]))
    };
    let spool = &report["spool"];
    let mut tiles = vec![
        ("in the application", of(requests, "in_application", "concurrency")),
        ("waiting", of(requests, "waiting", "queue_limit")),
        ("in flight", number(&requests["in_flight"]).to_string()),
        ("answered", number(&requests["total"]).to_string()),
        ("connections", of(connections, "open", "limit")),
        ("tunnels", of(connections, "tunnels", "tunnel_limit")),
        ("to the application", number(&connections["application_open"]).to_string()),
        ("content in memory", size(number(&spool["memory_bytes"]))),
        ("content in files", size(number(&spool["disk_bytes"]))),
        ("waited for a place", number(&requests["queued_total"]).to_string()),
        ("held during starts", number(&requests["held_total"]).to_string()),
        ("forebay's memory", size(number(&report["memory_bytes"]))),
    ];
    let assets = &report["assets"];
    if let Some(files) = assets["files"].as_f64() {
        let bytes = size(number(&assets["bytes"]));
        tiles.push(("static files", format!("{files} <small>{bytes}</small>")));
    }
    let mut html = "<div class=\"tiles\">".to_owned();
    for (name, value) in tiles {
        write!(html, "<div class=\"tile\"><b>{value}</b><small>{name}</small></div>")
            .unwrap_or_default();
    }
    html + "</div>\n"
}

fn timeline(report: &Value) -> String {
    let steps = list(&report["timeline"]);
    let mut html = "<h2>Phases</h2>\n".to_owned();
    let start = &report["start"];
    if let Some((share, limit)) = start["share"].as_f64().zip(start["limit_seconds"].as_f64()) {
        let verb = if start["ready_after_seconds"].is_number() { "used" } else { "has used" };
        writeln!(
            html,
            "<p class=\"quiet\">The start {verb} {:.0} % of the {} that the platform waits.</p>",
            share * 100.0,
            span(limit)
        )
        .unwrap_or_default();
    }
    html.push_str(&bar(steps));
    html.push_str("<div class=\"wide\"><table class=\"stack\"><tbody>\n");
    // The last one first: that is what is asked for.
    for step in steps.iter().rev().take(STEPS_SHOWN) {
        let phase = word(&step["phase"]);
        writeln!(
            html,
            "<tr><td class=\"short {}\">{phase}</td><td class=\"number\">{}</td><td class=\"long\">{}\
             </td><td class=\"short quiet\">{}</td></tr>",
            mood(&phase),
            span(number(&step["seconds"])),
            escaped(&word(&step["reason"])),
            escaped(&second(&step["at"])),
        )
        .unwrap_or_default();
    }
    html + "</tbody></table></div>\n"
}

/// The phases as a bar. The root of their times is drawn, so that a start of seconds is seen beside
/// days of service.
fn bar(steps: &[Value]) -> String {
    let widths = steps.iter().map(|step| number(&step["seconds"]).max(0.0).sqrt());
    let all: f64 = widths.clone().sum();
    let mut html = "<svg class=\"bar\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" \
                    role=\"img\" aria-label=\"The phases in their order\">"
        .to_owned();
    let mut x = 0.0;
    for (step, width) in steps.iter().zip(widths) {
        let width = if all > 0.0 { width / all * 1000.0 } else { 0.0 };
        write!(
            html,
            "<rect class=\"{}\" x=\"{x:.1}\" y=\"0\" width=\"{:.1}\" height=\"10\"><title>{}</title></rect>",
            escaped(&word(&step["phase"])),
            (width - 2.0).max(1.0),
            span(number(&step["seconds"])),
        )
        .unwrap_or_default();
        x += width;
    }
    html + "</svg>\n"
}

fn processes(report: &Value) -> String {
    let processes = list(&report["processes"]);
    if processes.is_empty() {
        return String::new();
    }
    let mut html =
        "<h2>Processes</h2>\n<div class=\"wide\"><table class=\"stack\"><thead><tr><th>Name</th>\
                    <th>Role</th><th>State</th><th class=\"number\">Since</th><th class=\"number\">\
                    Process</th><th class=\"number\">Memory</th><th class=\"number\">Restarts</th>\
                    <th>Last exit</th></tr></thead><tbody>\n"
            .to_owned();
    for process in processes {
        let state = word(&process["state"]);
        writeln!(
            html,
            "<tr><td class=\"short\"><b>{}</b></td><td class=\"short quiet\">{}</td>\
             <td class=\"short {}\">{state}</td><td class=\"number\">{}</td>\
             <td class=\"number\" data-name=\"pid\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\" data-name=\"restarts\">{}</td>\
             <td class=\"short\" data-name=\"last\">{}</td></tr>",
            escaped(&word(&process["name"])),
            escaped(&word(&process["role"])),
            mood(&state),
            span(number(&process["state_seconds"])),
            word(&process["pid"]),
            process["memory_bytes"].as_f64().map_or_else(String::new, size),
            number(&process["restarts"]),
            escaped(&word(&process["last_exit"])),
        )
        .unwrap_or_default();
    }
    html + "</tbody></table></div>\n"
}

fn latency(report: &Value) -> String {
    let latency = &report["latency"];
    let (total, first_byte) = (&latency["total"], &latency["first_byte"]);
    let longest = number(&total["p90_seconds"]).max(number(&first_byte["p90_seconds"]));
    if longest <= 0.0 {
        return String::new();
    }
    let mut html = "<h2>Where the time goes</h2>\n<div class=\"wide\"><table><thead><tr><th></th>\
                    <th class=\"number\">half</th><th class=\"number\">90 %</th>\
                    <th class=\"number\">99 %</th><th class=\"hidden\"></th></tr></thead><tbody>\n"
        .to_owned();
    for (name, shown) in [
        ("queue", "in line"),
        ("connect", "connect"),
        ("first_byte", "first byte"),
        ("total", "total"),
    ] {
        let part = &latency[name];
        let at = |name: &str| part[name].as_f64().map_or_else(|| "–".to_owned(), span);
        let width = (number(&part["p90_seconds"]) / longest * 1000.0).clamp(0.0, 1000.0);
        writeln!(
            html,
            "<tr><td class=\"short\">{shown}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"hidden\"><svg class=\"bar small\" \
             viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect \
             class=\"part\" width=\"{width:.1}\" height=\"10\"/></svg></td></tr>",
            at("p50_seconds"),
            at("p90_seconds"),
            at("p99_seconds"),
        )
        .unwrap_or_default();
    }
    html + "</tbody></table></div>\n"
}

fn errors(report: &Value) -> String {
    let errors = list(&report["errors"]);
    let mut html = "<h2>Last errors</h2>\n".to_owned();
    if errors.is_empty() {
        return html + "<p class=\"quiet\">None since the start.</p>\n";
    }
    html.push_str("<div class=\"wide\"><table class=\"stack\"><tbody>\n");
    for error in errors {
        writeln!(
            html,
            "<tr><td class=\"short quiet\">{}</td><td class=\"short\"><b>{}</b></td>\
             <td class=\"short\">{}</td><td class=\"long\">{} {}</td>\
             <td class=\"long quiet\">{}</td></tr>",
            escaped(&second(&error["at"])),
            word(&error["status"]),
            escaped(&word(&error["code"])),
            escaped(&word(&error["method"])),
            escaped(&word(&error["path"])),
            escaped(error["title"].as_str().unwrap_or("the application's own answer")),
        )
        .unwrap_or_default();
    }
    html + "</tbody></table></div>\n"
}

/// A time to its second, for people: `2026-11-28 09:32:34`.
fn second(at: &Value) -> String {
    word(at).chars().take(19).map(|letter| if letter == 'T' { ' ' } else { letter }).collect()
}

/// So many phases stand in the table; the bar and JSON have all.
const STEPS_SHOWN: usize = 12;

/// Text that cannot be taken for markup.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(letter),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::super::tests::report;
    use super::*;

    /// The hash as a policy has it.
    fn hash(text: &str) -> String {
        use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap();
        let digest = suite.common.hash_provider.hash(text.as_bytes());
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut base64 = String::new();
        for three in digest.as_ref().chunks(3) {
            let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
            let bits = bits << (8 * (3 - three.len()));
            for place in 0..=three.len() {
                base64.push(char::from(letters[(bits >> (18 - 6 * place) & 63) as usize]));
            }
        }
        while !base64.len().is_multiple_of(4) {
            base64.push('=');
        }
        base64
    }

    #[test]
    fn the_policy_allows_this_style_and_this_script() {
        assert_eq!(hash("abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
        for (name, text) in [("style", STYLE), ("script", SCRIPT)] {
            let wanted = format!("{name}-src 'sha256-{}'", hash(text));
            assert!(POLICY.contains(&wanted), "write this into POLICY: {wanted}");
        }
    }

    #[test]
    fn nothing_that_a_stranger_sent_becomes_markup() {
        let page = page(&json(&report()));
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert_eq!(page.matches("<script>").count(), 1, "its own");
        assert!(!page.contains(" style="), "the policy forbids styles in attributes");
        for part in ["Ready", "worker", "FB-30", "the application's own answer", "abc123"] {
            assert!(page.contains(&escaped(part)), "{part}");
        }
    }
}
