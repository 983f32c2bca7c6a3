use super::*;
use crate::proxy::fields::{Fields, text};
use http::{Request, Version};
use proptest::prelude::*;

/// Settings with `changes`.
fn settings(platform: Platform, change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings {
        platform,
        edges: Edges::Count(0),
        trusted: Vec::new(),
        forwarded: Forwarded::Client,
        scheme: None,
        canonical_host: Some(CanonicalHost::parse("www.example.com").unwrap()),
        easy_auth: false,
        kept: Vec::new(),
    };
    change(&mut settings);
    settings
}

/// A request with `fields`, a line each.
fn request(fields: &str) -> Head {
    let mut request = Request::builder().uri("/");
    for (name, value) in fields.lines().filter_map(|line| line.trim().split_once(": ")) {
        request = request.header(name, value);
    }
    let mut request = Head::from(request.body(()).unwrap().into_parts().0);
    if !request.fields.contains(&names::HOST) {
        request.fields.insert(names::HOST, &Value::from_static("www.example.com"));
    }
    request
}

fn named(name: &str) -> Name {
    Name::read(name.as_bytes()).unwrap()
}

fn peer() -> SocketAddr {
    ([169, 254, 130, 1], 40_000).into()
}

/// What becomes of a request.
fn normal(settings: Settings, fields: &str) -> (Seen, Fields) {
    let mut request = request(fields);
    let seen = Normaliser::new(settings).normalise(&mut request, peer(), &mut Journal::default());
    (seen.unwrap(), request.fields)
}

fn field(headers: &Fields, name: &str) -> Vec<String> {
    headers.get_all(&named(name)).map(|value| text(value).unwrap().to_owned()).collect()
}

fn client_of(settings: Settings, fields: &str) -> String {
    let (seen, headers) = normal(settings, fields);
    let bare = seen.client.to_string();
    assert_eq!(field(&headers, "x-forwarded-for"), std::slice::from_ref(&bare), "{fields}");
    for name in rules::AGREES {
        assert!(field(&headers, name).iter().all(|value| *value == bare), "{name} in {fields}");
    }
    bare
}

#[test]
fn the_front_ends_entry_is_the_client() {
    for (fields, client) in [
        ("X-Forwarded-For: 198.51.100.84:65078", "198.51.100.84"),
        ("X-Forwarded-For: 127.0.0.1, 10.0.0.1:99, 203.0.113.10:64769", "203.0.113.10"),
        ("X-Forwarded-For: 1.1.1.1\nX-Forwarded-For: 203.0.113.10:1", "203.0.113.10"),
        ("X-Forwarded-For: 1.1.1.1,203.0.113.10:1,", "203.0.113.10"),
        ("X-Forwarded-For: [2001:db8::1]:443", "2001:db8::1"),
        ("X-Forwarded-For: 2001:db8::1", "2001:db8::1"),
        ("X-Forwarded-For: ::ffff:203.0.113.10", "203.0.113.10"),
        ("X-Forwarded-For: 10.10.0.5\nX-Client-Ip: 10.10.0.5\nX-Real-IP: 6.6.6.6", "10.10.0.5"),
        ("X-Forwarded-For: 22.222.222.22:64379\nClient-Ip: 22.222.222.2222:64379", "22.222.222.22"),
        // Without a believable entry it is whoever holds the socket.
        ("", "169.254.130.1"),
        ("X-Forwarded-For: unknown", "169.254.130.1"),
        ("X-Forwarded-For: 1.2.3.4, unknown", "169.254.130.1"),
        ("X-Real-IP: 6.6.6.6\nTrue-Client-IP: 6.6.6.6", "169.254.130.1"),
        // `Client-IP` is the front end's word as well.
        ("Client-IP: 203.0.113.9:123", "203.0.113.9"),
    ] {
        assert_eq!(client_of(settings(Platform::AppService, |_| {}), fields), client, "{fields}");
    }
}

#[test]
fn edges_are_skipped_only_where_they_were_passed() {
    let front_door = "X-Forwarded-For: 203.0.113.230,147.243.18.238:45498,147.243.18.238";
    let id = Value::from_static("12345678-0000-0000-0000-000000000000");
    let with_id = settings(Platform::AppService, |s| s.edges = Edges::FrontDoor(Some(id)));
    let without_id = settings(Platform::AppService, |s| s.edges = Edges::FrontDoor(None));
    let proof = "\nX-Azure-FDID: 12345678-0000-0000-0000-000000000000";
    let forged = "\nX-Azure-FDID: 99999999-0000-0000-0000-000000000000\nX-Azure-Ref: 1";
    for (settings, fields, client) in [
        (&with_id, format!("{front_door}{proof}"), "203.0.113.230"),
        (&with_id, format!("{front_door}{forged}"), "147.243.18.238"),
        (&with_id, "X-Forwarded-For: 6.6.6.6, 203.0.113.9:1".to_owned(), "203.0.113.9"),
        (&without_id, format!("{front_door}\nX-Azure-Ref: 1"), "203.0.113.230"),
        (&without_id, front_door.to_owned(), "147.243.18.238"),
    ] {
        assert_eq!(client_of(settings.clone(), &fields), client, "{fields}");
    }

    let gateway = settings(Platform::AppService, |s| s.edges = Edges::AppGateway);
    let trace = "\nX-Appgw-Trace-Id: 0123456789abcdef";
    for (fields, client) in [
        (format!("X-Forwarded-For: 203.0.113.7:59633, 10.0.0.4{trace}"), "203.0.113.7"),
        ("X-Forwarded-For: 203.0.113.7:59633, 10.0.0.4".to_owned(), "10.0.0.4"),
        (format!("X-Forwarded-For: 6.6.6.6, 203.0.113.7:1{trace}"), "203.0.113.7"),
    ] {
        assert_eq!(client_of(gateway.clone(), &fields), client, "{fields}");
    }

    let counted = settings(Platform::AppService, |s| s.edges = Edges::Count(1));
    let swa = "X-Forwarded-For: 203.0.113.42:58075, [fde4:8dba:1f00:8ef5:6c1f:100:c0a8:fa06]:61981";
    assert_eq!(client_of(counted.clone(), swa), "203.0.113.42");
    assert_eq!(client_of(counted, "X-Forwarded-For: 203.0.113.42:1"), "203.0.113.42");
}

#[test]
fn without_a_front_end_nobody_is_believed_but_named_networks() {
    let trusting = |networks: &[&str]| {
        settings(Platform::None, |s| {
            s.trusted = networks.iter().map(|network| network.parse().unwrap()).collect();
        })
    };
    let fields = "X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.0.0.4\nX-Forwarded-Proto: https";
    assert_eq!(client_of(trusting(&[]), fields), "169.254.130.1");
    assert_eq!(normal(trusting(&[]), fields).0.scheme, Scheme::Http);
    assert_eq!(client_of(trusting(&["10.0.0.0/8"]), fields), "169.254.130.1", "the peer is not in");
    assert_eq!(client_of(trusting(&["169.254.0.0/16"]), fields), "10.0.0.4");
    let both = trusting(&["169.254.0.0/16", "10.0.0.0/8"]);
    assert_eq!(client_of(both.clone(), fields), "203.0.113.7");
    assert_eq!(normal(both, fields).0.scheme, Scheme::Https);
    let counted = settings(Platform::None, |s| s.edges = Edges::Count(2));
    assert_eq!(client_of(counted, fields), "203.0.113.7");
    // What is behind junk was written by whoever sent the junk.
    let trusting = trusting(&["169.254.0.0/16", "10.0.0.0/8"]);
    for fields in ["X-Forwarded-For: 6.6.6.6, unknown", "X-Forwarded-For: 6.6.6.6, unix:"] {
        assert_eq!(client_of(trusting.clone(), fields), "169.254.130.1", "{fields}");
    }
    assert_eq!(client_of(trusting, "X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.4"), "10.0.0.4");
}

#[test]
fn an_edges_fields_go_on_only_behind_that_edge() {
    let fields = "X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.0.0.4\nX-Forwarded-Host: evil.example
        X-Forwarded-Port: 443\nX-Appgw-Trace-Id: 1\nX-Azure-Ref: 1";
    for (edges, host, port) in [
        (Edges::Count(1), false, false),
        (Edges::AppGateway, false, true),
        (Edges::FrontDoor(None), true, false),
    ] {
        let (_, headers) = normal(settings(Platform::AppService, |s| s.edges = edges), fields);
        assert_eq!(headers.contains(&named("x-forwarded-host")), host);
        assert_eq!(headers.contains(&named("x-forwarded-port")), port);
    }
}

#[test]
fn a_chain_keeps_the_trusted_hops_and_nothing_that_a_stranger_wrote() {
    let chain = |edges| {
        settings(Platform::AppService, |s| {
            s.forwarded = Forwarded::Chain;
            s.edges = Edges::Count(edges);
        })
    };
    let fields = "X-Forwarded-For: 6.6.6.6, 203.0.113.7:1, 10.0.0.4:2";
    let (_, headers) = normal(chain(1), fields);
    assert_eq!(field(&headers, "x-forwarded-for"), ["203.0.113.7, 10.0.0.4"]);
    let (_, headers) = normal(chain(0), fields);
    assert_eq!(field(&headers, "x-forwarded-for"), ["10.0.0.4"]);
}

#[test]
fn the_scheme_is_one_lower_case_token_from_the_nearest_trusted_hop() {
    for (platform, fields, scheme) in [
        (Platform::AppService, "X-Forwarded-Proto: https", "https"),
        (Platform::AppService, "X-Forwarded-Proto: HTTPS", "https"),
        (Platform::AppService, "", "http"),
        (Platform::AppService, "X-Forwarded-Proto: https, http", "http"),
        (Platform::AppService, "X-Forwarded-Proto: http, https", "https"),
        (Platform::AppService, "X-Forwarded-Proto: http\nX-Forwarded-Proto: https", "https"),
        (Platform::AppService, "X-Forwarded-Proto: javascript", "http"),
        (Platform::AppService, "X-Forwarded-Ssl: on\nX-Forwarded-Scheme: https", "http"),
        (Platform::ContainerApps, "X-Forwarded-Proto: https", "https"),
        (Platform::ContainerApps, "X-Arr-Ssl: true", "https"),
        (Platform::ContainerApps, "", "http"),
        (Platform::None, "X-Forwarded-Proto: https", "http"),
    ] {
        let (seen, headers) = normal(settings(platform, |_| {}), fields);
        assert_eq!(seen.scheme.as_str(), scheme, "{fields}");
        assert_eq!(field(&headers, "x-forwarded-proto"), [scheme], "{fields}");
        assert!(!headers.contains(&named("x-forwarded-ssl")));
        assert!(!headers.contains(&named("x-forwarded-scheme")));
    }
    let edge = settings(Platform::AppService, |s| s.edges = Edges::Count(1));
    let fields = "X-Forwarded-For: 1.1.1.1, 2.2.2.2\nX-Forwarded-Proto: https, http";
    assert_eq!(normal(edge, fields).0.scheme, Scheme::Https, "the edge's token");
    let forced = settings(Platform::None, |s| s.scheme = Some(Scheme::Https));
    assert_eq!(normal(forced, "").0.scheme, Scheme::Https);
}

#[test]
fn only_an_internal_host_without_a_front_end_is_replaced() {
    for (fields, host) in [
        ("Host: 169.254.130.4:8000", "www.example.com"),
        ("Host: localhost:8000", "www.example.com"),
        ("Host: [::1]:8000", "www.example.com"),
        ("Host: 169.254.130.4:8000\nX-Forwarded-For: 1.1.1.1", "169.254.130.4:8000"),
        ("Host: 169.254.130.4:8000\nDISGUISED-HOST: a", "169.254.130.4:8000"),
        ("Host: evil.example", "evil.example"),
        ("Host: WWW.Example.com:443", "WWW.Example.com:443"),
        ("Host: evil.example\nX-Original-Host: other.example", "evil.example"),
        ("Host: evil.example\nX-Forwarded-Host: other.example", "evil.example"),
    ] {
        let (_, headers) = normal(settings(Platform::AppService, |_| {}), fields);
        assert_eq!(field(&headers, "host"), [host], "{fields}");
        assert!(!headers.contains(&named("x-original-host")), "{fields}");
        assert!(!headers.contains(&named("x-forwarded-host")), "{fields}");
    }
    let none = settings(Platform::AppService, |s| s.canonical_host = None);
    let (_, headers) = normal(none, "Host: 127.0.0.1:8000");
    assert_eq!(field(&headers, "host"), ["127.0.0.1:8000"]);
}

#[test]
fn application_gateways_host_is_the_visitors() {
    let gateway = settings(Platform::AppService, |s| s.edges = Edges::AppGateway);
    let passed = "Host: a.azurewebsites.net\nX-Forwarded-For: 203.0.113.7:1, 10.0.0.4
        X-Appgw-Trace-Id: 1\nX-Original-Host: www.example.com\nX-Forwarded-Port: 443";
    let (_, headers) = normal(gateway.clone(), passed);
    assert_eq!(field(&headers, "host"), ["www.example.com"]);
    assert_eq!(field(&headers, "x-forwarded-port"), ["443"], "a trusted edge set it");
    let forged = format!("X-Original-Host: evil.example\n{passed}");
    let (_, headers) = normal(gateway.clone(), &forged);
    assert_eq!(
        field(&headers, "host"),
        ["www.example.com"],
        "the nearest hop writes the last line"
    );
    let direct = "Host: a.azurewebsites.net\nX-Forwarded-For: 203.0.113.7:1
        X-Original-Host: evil.example";
    assert_eq!(field(&normal(gateway, direct).1, "host"), ["a.azurewebsites.net"]);
}

#[test]
fn what_strangers_must_not_say_is_gone() {
    let said = "X-MS-CLIENT-PRINCIPAL: a\nX-MS-CLIENT-PRINCIPAL-NAME: a\nX-MS-TOKEN-AAD-ID-TOKEN: a
        Remote-User: a\nX-ARR-ClientCert: a\nSCRIPT_NAME: /a\nPATH_INFO: /a\nREMOTE_USER: a
        X_Forwarded_For: 6.6.6.6\nX_MS_CLIENT_PRINCIPAL: a\nProxy: a\nX-Accel-Redirect: a
        X-Accel-Buffering: no\nX-Sendfile: a\nX-Sendfile-Type: a\nForwarded: for=6.6.6.6
        X-Original-For: 6.6.6.6\nX-Original-URL: /a\nX-WAWS-Unencoded-URL: /a\nX-Forwarded-Host: a
        X-Forwarded-Prefix: /a\nX-Forwarded-Protocol: ssl\nKeep-Alive: a\nTE: trailers
        Proxy-Connection: a\nX-Forebay-Error: a\nExpect: 100-continue\nX-Forwarded-Client-Cert: a";
    let (_, headers) = normal(settings(Platform::AppService, |_| {}), said);
    let left: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(left.len(), 3, "{left:?}");

    let vouched = settings(Platform::AppService, |s| s.easy_auth = true);
    let (_, headers) = normal(vouched, said);
    assert_eq!(field(&headers, "x-ms-client-principal-name"), ["a"]);
    assert!(!headers.contains(&named("x_ms_client_principal")));
    let kept = settings(Platform::AppService, |s| s.kept = vec![named("x-arr-clientcert")]);
    assert_eq!(field(&normal(kept, said).1, "x-arr-clientcert"), ["a"]);
    let (_, headers) = normal(settings(Platform::ContainerApps, |_| {}), said);
    assert!(!headers.contains(&named("x-forwarded-prefix")), "a visitor may have written it");
    assert_eq!(field(&headers, "x-forwarded-client-cert"), ["a"]);
}

#[test]
fn a_connection_option_removes_what_is_the_clients_and_nothing_else() {
    let fields = "Connection: X-Own, X-Forwarded-For, X-ARR-LOG-ID, Cookie, close, Host
        X-Own: 1\nX-Forwarded-For: 203.0.113.7:1\nX-ARR-LOG-ID: 1\nCookie: a=b";
    let (seen, headers) = normal(settings(Platform::AppService, |_| {}), fields);
    assert_eq!(seen.client.to_string(), "203.0.113.7");
    assert!(!headers.contains(&named("x-own")));
    assert!(!headers.contains(&named("connection")));
    for name in ["x-arr-log-id", "cookie", "host", "x-forwarded-for"] {
        assert!(headers.contains(&named(name)), "{name}");
    }
}

#[test]
fn only_a_sound_upgrade_goes_on() {
    let upgrade = |fields: &str| {
        let (seen, headers) = normal(settings(Platform::AppService, |_| {}), fields);
        assert_eq!(headers.contains(&named("upgrade")), seen.is_upgrade, "{fields}");
        assert_eq!(headers.contains(&named("connection")), seen.is_upgrade, "{fields}");
        seen.is_upgrade
    };
    assert!(upgrade("Connection: keep-alive, Upgrade\nUpgrade: websocket"));
    assert!(!upgrade("Upgrade: websocket"));
    assert!(!upgrade("Connection: upgrade"));
    assert!(!upgrade("Connection: upgrade, http2-settings\nUpgrade: h2c\nHTTP2-Settings: a"));
    assert!(!upgrade("Connection: upgrade\nUpgrade: h2c, websocket"));
    assert!(!upgrade("Connection: upgrade\nUpgrade: h2c\nUpgrade: websocket"));
}

#[test]
fn a_host_that_is_none_is_refused_and_the_target_must_agree() {
    let refuse = |uri: &str, host: Option<&str>, version| {
        let mut request = Request::builder().uri(uri).version(version);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let mut request = Head::from(request.body(()).unwrap().into_parts().0);
        Normaliser::new(settings(Platform::AppService, |_| {}))
            .normalise(&mut request, peer(), &mut Journal::default())
            .map(|_| text(request.fields.get(&names::HOST).unwrap()).unwrap().to_owned())
    };
    let v11 = Version::HTTP_11;
    assert!(matches!(refuse("/", Some("a b"), v11), Err(Error::BadHost(_))));
    assert!(matches!(refuse("/", Some("a,b"), v11), Err(Error::BadHost(_))));
    assert!(matches!(refuse("/", None, Version::HTTP_2), Err(Error::MissingHost)));
    assert_eq!(refuse("/", None, Version::HTTP_10).unwrap(), "www.example.com");
    assert_eq!(refuse("http://A.example/", Some("a.example"), v11).unwrap(), "A.example");
    assert!(matches!(
        refuse("http://a.example/", Some("b.example"), v11),
        Err(Error::HostsDiffer { .. })
    ));
    assert!(matches!(refuse("http://u@a.example/", None, v11), Err(Error::BadHost(_))));
}

#[test]
fn a_dispute_between_the_front_ends_fields_is_seen() {
    let disputed = |fields| normal(settings(Platform::AppService, |_| {}), fields).0.is_disputed;
    assert!(!disputed("X-Forwarded-For: 1.1.1.1:5\nClient-IP: 1.1.1.1:5\nX-Client-IP: 1.1.1.1"));
    assert!(!disputed(
        "X-Forwarded-For: 10.10.0.5\nClient-IP: [fd40::a0a:5]:1\nX-Client-IP: 10.10.0.5"
    ));
    assert!(!disputed("X-Forwarded-For: 1.1.1.1:5"));
    assert!(disputed("X-Forwarded-For: 1.1.1.1:5\nClient-IP: 2.2.2.2:5"));
}

#[test]
fn every_change_is_noted_with_its_reason() {
    let mut request = request("X-Forwarded-For: 203.0.113.7:1\nX-Original-URL: /a");
    let mut journal = Journal::new(true);
    Normaliser::new(settings(Platform::AppService, |_| {}))
        .normalise(&mut request, peer(), &mut journal)
        .unwrap();
    let changes = journal.into_changes();
    let subjects: Vec<_> = changes.iter().map(|change| change.subject.as_str()).collect();
    assert_eq!(subjects, ["x-original-url", "x-forwarded-for", "x-forwarded-proto"]);
    assert_eq!(changes[1].before.as_deref(), Some("203.0.113.7:1"));
    assert_eq!(changes[1].after.as_deref(), Some("203.0.113.7"));
}

/// What is changed in a request with these fields, which stay in their order.
fn changes(settings: Settings, fields: &[(&str, &'static str)]) -> (Vec<(String, String)>, Fields) {
    let mut request = request("");
    for (name, value) in fields {
        request.fields.append(named(name), &Value::from_static(value));
    }
    let mut journal = Journal::new(true);
    Normaliser::new(settings).normalise(&mut request, peer(), &mut journal).unwrap();
    let changes = journal.into_changes().into_iter();
    let gone = changes.filter(|change| change.after.is_none());
    let gone = gone.map(|change| (change.subject, change.before.unwrap_or_default())).collect();
    (gone, request.fields)
}

#[test]
fn a_field_that_comes_in_several_places_is_removed_once_and_noted_once() {
    for name in ["forwarded", "a_b", "x-sendfile", "te", "x-forwarded-host"] {
        let fields = [(name, "1"), ("via", "a"), (name, "2"), ("proxy", "b"), (name, "3")];
        for edges in [Edges::Count(0), Edges::FrontDoor(None)] {
            let settings = settings(Platform::AppService, |settings| settings.edges = edges);
            let (mut gone, _) = changes(settings, &fields);
            gone.retain(|(name, _)| name != "proxy");
            assert_eq!(gone, [(name.to_owned(), "1 | 2 | 3".to_owned())]);
        }
    }
}

#[test]
fn an_option_of_connection_that_names_nothing_changes_nothing() {
    let fields = [
        ("connection", "X-Own, absent,,x-own , keep-alive"),
        ("x-own", "1"),
        ("x-other", "2"),
        ("connection", "x-OWN,Via,absent"),
        ("x-own", "3"),
        ("via", "4"),
    ];
    let (gone, left) = changes(settings(Platform::AppService, |_| {}), &fields);
    let gone: Vec<_> = gone.iter().map(|(name, was)| (&**name, &**was)).collect();
    assert_eq!(gone[..2], [("x-own", "1 | 3"), ("via", "4")]);
    assert_eq!(gone[2..], [("connection", "X-Own, absent,,x-own , keep-alive | x-OWN,Via,absent")]);
    assert_eq!(field(&left, "x-other"), ["2"]);
}

#[test]
fn a_great_many_options_of_connection_name_no_more_than_there_are_fields() {
    let mut request = request("");
    for number in 0..92 {
        request.fields.append(named(&format!("x{number}")), &Value::from_static("a"));
    }
    let options = "a,X7,b,x91,".repeat(6000);
    request.fields.append(names::CONNECTION, &Value::read(options.into_bytes()).unwrap());
    let settings = settings(Platform::AppService, |_| {});
    let evidence = Evidence::gather(&settings, &Rules::new(&[]), &request);
    let options = evidence.options;
    assert!(options == [named("x7"), named("x91")], "{} names", options.len());
}

/// Names that matter and names that do not, in any case.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "x-forwarded-for", "x-forwarded-proto", "host", "client-ip", "x-client-ip", "x-real-ip",
            "forwarded", "connection", "upgrade", "x-original-host", "x-ms-client-principal",
            "script_name", "x_forwarded_for", "x-accel-redirect", "x-azure-ref", "disguised-host",
            "x-appgw-trace-id", "x-forwarded-host", "cookie", "x-own",
        ]).prop_map(str::to_owned),
        1 => "[a-z_-]{1,12}",
    ]
}

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "([0-9]{1,3}\\.){3}[0-9]{1,3}(:[0-9]{1,5})?(, ?[0-9a-f:.\\[\\]]{1,20}){0,3}"
            .prop_map(String::into_bytes),
        1 => "(https?|x-own|upgrade|websocket|x-forwarded-for|, ){1,4}".prop_map(String::into_bytes),
        1 => prop::collection::vec(0x20_u8..0xff, 0..30),
    ]
}

proptest! {
    #[test]
    fn whatever_arrives_what_goes_on_is_normal(
        fields in prop::collection::vec((any_name(), any_value()), 0..12),
        platform in prop::sample::select(vec![
            Platform::AppService, Platform::ContainerApps, Platform::Kubernetes, Platform::None,
        ]),
        edges in prop::sample::select(vec![
            Edges::Count(0), Edges::Count(2), Edges::FrontDoor(None), Edges::AppGateway,
        ]),
        chain: bool,
    ) {
        let settings = settings(platform, |s| {
            s.edges = edges;
            s.forwarded = if chain { Forwarded::Chain } else { Forwarded::Client };
        });
        let mut request = request("");
        for (name, value) in fields {
            if let (Some(name), Ok(value)) = (Name::read(name.as_bytes()), Value::read(value)) {
                if name == names::HOST {
                    request.fields.insert(name, &value);
                } else {
                    request.fields.append(name, &value);
                }
            }
        }
        let normaliser = Normaliser::new(settings);
        let Ok(seen) = normaliser.normalise(&mut request, peer(), &mut Journal::new(true)) else {
            return Ok(());
        };
        let headers = request.fields.clone();
        for name in ["host", "x-forwarded-for", "x-forwarded-proto"] {
            prop_assert_eq!(headers.get_all(&named(name)).count(), 1, "{}", name);
        }
        let chain_of = text(headers.get(&names::X_FORWARDED_FOR).unwrap()).unwrap();
        for hop in chain_of.split(", ") {
            prop_assert!(hop.parse::<IpAddr>().is_ok(), "{}", hop);
        }
        let first = chain_of.split(", ").next().unwrap();
        prop_assert_eq!(first, seen.client.to_string());
        prop_assert_eq!(headers.get(&names::X_FORWARDED_PROTO).unwrap(), seen.scheme.as_str().as_bytes());
        for (name, _) in headers.iter() {
            prop_assert!(!name.as_str().contains('_'), "{}", name);
            prop_assert!(!name.as_str().starts_with("x-accel-"), "{}", name);
            prop_assert!(!name.as_str().starts_with("x-ms-client-principal"), "{}", name);
        }
        prop_assert!(!headers.contains(&named("forwarded")));
        if platform.has_front_end() && !chain && normaliser.settings().edges == Edges::Count(0) {
            let again = normaliser.normalise(&mut request, peer(), &mut Journal::default()).unwrap();
            prop_assert_eq!(again.client, seen.client, "twice is once");
            prop_assert_eq!(again.scheme, seen.scheme);
            prop_assert_eq!(&request.fields, &headers);
        }
    }
}
