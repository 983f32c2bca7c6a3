//! How the visitor asks, as the application learns it.

use crate::support::{APP_SERVICE, Application, Forebay};

const CONTAINER_APPS: &[(&str, &str)] = &[("CONTAINER_APP_NAME", "shop")];

#[test]
fn exactly_one_scheme_arrives_in_lower_case() {
    let none: &[(&str, &str)] = &[];
    for (variables, flags, fields, scheme) in [
        (APP_SERVICE, &[][..], "X-Forwarded-Proto: https\r\n", "https"),
        (APP_SERVICE, &[], "X-Forwarded-Proto: HTTPS\r\n", "https"),
        (APP_SERVICE, &[], "", "http"),
        (APP_SERVICE, &[], "X-Forwarded-Proto: evil\r\n", "http"),
        (APP_SERVICE, &[], "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", "http"),
        (APP_SERVICE, &[], "X-Forwarded-Proto: https, http\r\n", "http"),
        (APP_SERVICE, &[], "X-Forwarded-Proto: http, https\r\n", "https"),
        (APP_SERVICE, &[], "X-Forwarded-Ssl: on\r\nX-Forwarded-Protocol: ssl\r\n", "http"),
        (CONTAINER_APPS, &[], "X-Forwarded-Proto: https\r\n", "https"),
        (CONTAINER_APPS, &[], "X-Arr-Ssl: true\r\n", "https"),
        (none, &[], "X-Forwarded-Proto: https\r\n", "http"),
        (none, &["--scheme", "https"], "X-Forwarded-Proto: http\r\n", "https"),
        (APP_SERVICE, &["--scheme", "http"], "X-Forwarded-Proto: https\r\n", "http"),
    ] {
        let application = Application::ok();
        let forebay = Forebay::started(application.address(), flags, variables);
        let request = format!(
            "GET /a HTTP/1.1\r\nHost: www.example.com\r\nX-Forwarded-For: 203.0.113.7\r\n{fields}\r\n"
        );
        assert_eq!(forebay.exchange(request).status, 200);
        let head = application.heard_text().concat();
        let said: Vec<_> = head
            .split("\r\n")
            .filter(|line| line.contains("proto") || line.contains("-ssl: on"))
            .collect();
        assert_eq!(said, [format!("x-forwarded-proto: {scheme}")], "{fields} {flags:?}");
        assert_eq!(forebay.line_of("/a")["scheme"], scheme);
    }
}
