//! The settings of where forebay runs, whom it believes, what probes are told.
//!
//! Owns: their names, help texts and defaults.
//! Must not know: what a setting does.

use super::{Setting, many, one};

const PLACE: &str = "Where";
const TRUST: &str = "Whom to believe";
const PROBES: &str = "Probes";

/// In the order of the help and the README.
pub(super) const LIST: &[Setting] = &[
    one(
        PLACE,
        "listen",
        "HOST:PORT",
        "0.0.0.0:8000",
        "The public address; the port comes from PORT, then WEBSITES_PORT, when they are set",
    ),
    one(
        PLACE,
        "upstream",
        "ADDR",
        "",
        "Where the application listens: `HOST:PORT` or `unix:/path`",
    ),
    many(
        PLACE,
        "host",
        "NAME",
        "The canonical host, one that ALLOWED_HOSTS has; it replaces IP addresses on requests from inside. The first counts, the others are tried too when readiness is asked. Default: WEBSITE_HOSTNAME or CONTAINER_APP_HOSTNAME",
    ),
    one(
        PLACE,
        "platform",
        "NAME",
        "auto",
        "Whose fields describe the visitor: `auto`, `app-service`, `container-apps`, `kubernetes` or `none`",
    ),
    one(
        PLACE,
        "threads",
        "COUNT",
        "1",
        "Data threads; one serves tens of thousands of requests a second",
    ),
    one(
        PLACE,
        "drain-deadline",
        "TIME",
        "25s",
        "How long a stop may take before what is left is cut; on App Service WEBSITES_CONTAINER_STOP_TIME_LIMIT less 1s, which is 4s",
    ),
    one(
        TRUST,
        "edges",
        "EDGES",
        "0",
        "Trusted edges in front of the platform's front end: a number of hops, `front-door` or `app-gateway`",
    ),
    one(
        TRUST,
        "front-door-id",
        "GUID",
        "",
        "The id of your Front Door profile; only requests that carry it count as having passed the edge",
    ),
    many(TRUST, "trusted", "CIDR", "Networks whose hops are trusted and skipped"),
    one(
        TRUST,
        "forwarded",
        "FORM",
        "client",
        "What X-Forwarded-For tells the application: the `client` alone or the trusted `chain`",
    ),
    one(
        TRUST,
        "scheme",
        "SCHEME",
        "auto",
        "The visitor's scheme: `auto` believes the trusted fields, `http` and `https` hold always",
    ),
    one(
        TRUST,
        "easy-auth",
        "SWITCH",
        "off",
        "Whether X-MS-CLIENT-PRINCIPAL and its kin are genuine: `on` or `off`; on App Service WEBSITE_AUTH_ENABLED decides",
    ),
    many(
        TRUST,
        "keep",
        "FIELD",
        "A field that would be removed or rewritten and is passed on as it came",
    ),
    one(
        TRUST,
        "accept-proxy-protocol",
        "SWITCH",
        "off",
        "Whether every connection begins with a PROXY protocol header, version 1 or 2 (Application Gateway in TCP mode): `on` or `off`",
    ),
    one(
        PROBES,
        "health-path",
        "PATH",
        "/healthz",
        "The path that is answered 200 while the application answers and 503 otherwise; the application is asked for the same path",
    ),
    one(
        PROBES,
        "warm-up-path",
        "PATH",
        "/robots933456.txt",
        "App Service's warm-up path; WEBSITE_WARMUP_PATH when it is set",
    ),
    one(
        PROBES,
        "always-on",
        "WHO",
        "application",
        "Who answers App Service's Always On: the `application`, or `answer` for forebay",
    ),
    one(
        PROBES,
        "start-limit",
        "TIME",
        "230s",
        "How long the platform waits for a start; WEBSITES_CONTAINER_START_TIME_LIMIT when it is set",
    ),
    one(
        PROBES,
        "ready-interval",
        "TIME",
        "5s",
        "Between two questions to an application that is ready",
    ),
    one(PROBES, "ready-deadline", "TIME", "10s", "How long the answer to such a question may take"),
];
