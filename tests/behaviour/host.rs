//! Which site is asked for, as the application learns it.

use crate::support::{Application, Forebay};

#[test]
fn only_an_internal_host_without_a_sign_of_the_front_end_is_replaced() {
    let application = Application::ok();
    let forebay = Forebay::on_app_service(&application, &["--upstream-keep-alive", "off"]);
    let visitor = "X-Forwarded-For: 203.0.113.7\r\n";
    for (host, fields, expected) in [
        ("shop.example", "", "shop.example"),
        ("shop.example:8443", visitor, "shop.example:8443"),
        ("169.254.130.4:8000", "", "www.example.com"),
        ("127.0.0.1", "", "www.example.com"),
        ("[::1]:8000", "", "www.example.com"),
        ("localhost:8000", "", "www.example.com"),
        // A visitor's Host is for ALLOWED_HOSTS to judge.
        ("169.254.130.4:8000", visitor, "169.254.130.4:8000"),
        ("localhost", visitor, "localhost"),
        ("127.0.0.1", "Disguised-Host: a.example\r\n", "127.0.0.1"),
        (
            "a.example",
            "X-Forwarded-Host: evil.example\r\nX-Original-Host: evil.example\r\n",
            "a.example",
        ),
    ] {
        let before = application.heard().len();
        let request = format!("GET /shop HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        assert_eq!(forebay.exchange(request).status, 200, "{host}");
        let heard = &application.heard_text()[before];
        let hosts: Vec<_> = heard
            .split("\r\n")
            .filter(|line| line.to_ascii_lowercase().contains("host: "))
            .collect();
        let hosts: Vec<_> =
            hosts.into_iter().filter(|line| !line.starts_with("disguised-")).collect();
        assert_eq!(hosts, [format!("host: {expected}")], "{host} {fields}");
    }
}

#[test]
fn application_gateways_original_host_counts_only_where_it_is_trusted() {
    let fields = "X-Forwarded-For: 203.0.113.7:59633, 10.0.0.4\r\nX-Original-Host: www.shop.example\r\n\
                  X-AppGW-Trace-Id: 0123456789abcdef0123456789abcdef\r\n";
    for (flags, expected) in [
        (&["--edges", "app-gateway"][..], "www.shop.example"),
        (&[], "example-app.azurewebsites.net"),
    ] {
        let application = Application::ok();
        let forebay = Forebay::on_app_service(&application, flags);
        let host = "Host: example-app.azurewebsites.net\r\n";
        forebay.exchange(format!("GET / HTTP/1.1\r\n{host}{fields}\r\n"));
        let heard = application.heard_text().concat();
        assert!(heard.contains(&format!("\r\nhost: {expected}\r\n")), "{heard}");
        assert!(!heard.contains("x-original-host"), "{heard}");
    }
}
