use super::*;

/// Loads with `flags` and `variables`, each a line `name=text`.
fn load(flags: &str, variables: &str) -> Result<Config, Faults> {
    let mut given = Flags::default();
    for (name, text) in pairs(flags) {
        let setting = SETTINGS.iter().find(|setting| setting.name == name).unwrap();
        given.settings.entry(setting.name).or_default().push(text);
    }
    Config::load(given, &pairs(variables).collect(), Need::NoUpstream)
}

fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.lines().filter_map(|line| line.trim().split_once('=')).map(|(a, b)| (a.into(), b.into()))
}

#[test]
fn the_port_comes_from_the_strongest_source() {
    for (flags, variables, port, origin) in [
        ("", "", 8000, "default"),
        ("", "WEBSITES_PORT=8080", 8080, "WEBSITES_PORT (platform)"),
        ("", "WEBSITES_PORT=8080\nPORT=8081", 8081, "PORT (platform)"),
        ("", "PORT=8081\nFOREBAY_LISTEN=0.0.0.0:8082", 8082, "FOREBAY_LISTEN"),
        ("listen=0.0.0.0:8083", "PORT=8081\nFOREBAY_LISTEN=0.0.0.0:8082", 8083, "--listen"),
    ] {
        let config = load(flags, variables).unwrap();
        assert_eq!(config.listen.port(), port);
        assert_eq!(config.origin_of("listen"), origin);
    }
}

#[test]
fn the_platform_is_known_by_its_variables() {
    for (variables, platform, host) in [
        ("WEBSITE_SITE_NAME=a\nWEBSITE_HOSTNAME=a.net", Platform::AppService, Some("a.net")),
        (
            "CONTAINER_APP_NAME=a\nCONTAINER_APP_HOSTNAME=b.net",
            Platform::ContainerApps,
            Some("b.net"),
        ),
        ("KUBERNETES_SERVICE_HOST=10.0.0.1", Platform::Kubernetes, None),
        ("WEBSITE_HOSTNAME=a.net", Platform::None, None),
    ] {
        let config = load("", variables).unwrap();
        assert_eq!(config.normalise.platform, platform);
        let found = config.normalise.canonical_host.as_ref().map(|host| host.as_str().to_owned());
        assert_eq!(found.as_deref(), host, "{variables}");
    }
    let config = load("platform=none", "WEBSITE_SITE_NAME=a").unwrap();
    assert_eq!(config.normalise.platform, Platform::None);
}

#[test]
fn app_services_limits_are_obeyed() {
    let config = load(
        "",
        "WEBSITE_SITE_NAME=a
        WEBSITES_CONTAINER_START_TIME_LIMIT=600
        WEBSITES_CONTAINER_STOP_TIME_LIMIT=30
        WEBSITE_AUTH_ENABLED=True
        WEBSITE_WARMUP_PATH=/warm",
    )
    .unwrap();
    assert_eq!(config.probes.start_limit, Duration::from_mins(10));
    assert_eq!(config.drain_deadline, Duration::from_secs(29));
    assert!(config.normalise.easy_auth);
    assert_eq!(config.routes.warm_up_path, "/warm");
    let config = load("", "WEBSITE_SITE_NAME=a").unwrap();
    assert_eq!(config.drain_deadline, Duration::from_secs(4));
    assert!(!config.normalise.easy_auth);
}

#[test]
fn all_faults_are_reported_together_with_their_origins() {
    let faults = load(
        "listen=nonsense\ntrusted=10.0.0.0/8\ntrusted=10.0.0.0/40",
        "FOREBAY_THREADS=0\nFOREBAY_HEADER_DEADLINE=15\nFOREBAY_LISTN=0.0.0.0:1\nPORT=1",
    )
    .unwrap_err();
    let found: Vec<_> =
        faults.0.iter().map(|fault| (fault.setting.as_str(), fault.origin.as_str())).collect();
    assert_eq!(
        found,
        [
            ("FOREBAY_LISTN", "the environment"),
            ("listen", "--listen"),
            ("threads", "FOREBAY_THREADS"),
            ("header-deadline", "FOREBAY_HEADER_DEADLINE"),
            ("trusted", "--trusted"),
        ]
    );
    assert!(faults.to_string().contains("\nmend:  write a time with its unit"));
}

#[test]
fn a_variable_may_hold_several_values() {
    let config = load("", "FOREBAY_TRUSTED=10.0.0.0/8, fd00::/8,192.0.2.1").unwrap();
    assert_eq!(config.normalise.trusted.len(), 3);
}

#[test]
fn the_front_door_id_needs_the_front_door() {
    let id = "front-door-id=12345678-1234-1234-1234-123456789abc";
    assert!(load(id, "").is_err());
    let config = load(&format!("{id}\nedges=front-door"), "").unwrap();
    assert!(matches!(config.normalise.edges, Edges::FrontDoor(Some(_))));
}

#[test]
fn requests_with_an_effect_reuse_connections_on_this_machine_only() {
    let reuses = |upstream: &str| {
        let config = load(&format!("upstream={upstream}\nupstream-reuse=all"), "");
        config.map(|config| config.upstream.reuses_for_effects)
    };
    for here in ["127.0.0.1:8001", "[::1]:8001", "localhost:8001", "unix:/tmp/gunicorn.sock"] {
        assert!(reuses(here).unwrap(), "{here}");
    }
    for elsewhere in ["10.0.0.5:8001", "app:8001"] {
        let why = reuses(elsewhere).unwrap_err().to_string();
        assert!(why.contains("`all` needs an application on this machine"), "{why}");
    }
}

#[test]
fn a_file_is_obeyed_and_its_unknown_keys_are_not_ignored() {
    let folder = std::env::temp_dir().join(format!("forebay-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("forebay.toml");
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let flags = Flags { file: Some(path.clone()), ..Flags::default() };
        Config::load(flags, &Environment::new(), Need::NoUpstream)
    };
    let config = load("threads = 2\nhost = [\"a.example\", \"b.example\"]\naccess-log = false");
    let config = config.unwrap();
    assert_eq!(config.threads.get(), 2);
    assert_eq!(config.questions.hosts.len(), 2);
    assert!(!config.log.has_access_log);
    assert!(load("thread = 2").unwrap_err().to_string().contains("no setting `thread`"));
    assert!(load("threads = ").unwrap_err().to_string().contains("line 1"));
    assert!(load("threads = [1]").is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn an_upstream_is_needed_where_requests_are_served() {
    let faults = Config::load(Flags::default(), &Environment::new(), Need::Upstream).unwrap_err();
    assert_eq!(faults.0[0].setting, "upstream");
}

#[test]
fn a_service_of_kubernetes_with_our_name_is_no_setting() {
    let service = "FOREBAY_SERVICE_HOST=10.0.0.9\nFOREBAY_SERVICE_PORT_HTTP=8000
        FOREBAY_PORT=tcp://10.0.0.9:8000\nFOREBAY_PORT_8000_TCP_ADDR=10.0.0.9";
    assert!(load("", &format!("KUBERNETES_SERVICE_HOST=10.0.0.1\n{service}")).is_ok());
    assert!(load("", service).is_err());
}

#[test]
fn what_the_site_says_holds_where_nobody_wrote_anything() {
    let derived = [
        Derived { name: "concurrency", text: "4".to_owned(), origin: Origin::Command },
        Derived { name: "static", text: "/static/=/srv".to_owned(), origin: Origin::Django },
    ];
    let load = |variables: &str| {
        let environment = pairs(variables).collect();
        Config::load_with(Flags::default(), &environment, Need::NoUpstream, &derived).unwrap()
    };
    let config = load("");
    assert_eq!(config.origin_of("concurrency"), "the start command");
    assert_eq!(config.origin_of("static"), "Django's settings");
    assert_eq!(config.queue.concurrency, 4);
    assert!(!config.is_chosen("static"));
    let config = load("FOREBAY_CONCURRENCY=9\nFOREBAY_STATIC=/x/=/y");
    assert_eq!(config.origin_of("concurrency"), "FOREBAY_CONCURRENCY");
    assert_eq!(config.queue.concurrency, 9);
    assert!(config.is_chosen("static"));
}
