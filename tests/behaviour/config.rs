//! Settings: where each comes from, and what is said about a bad one.

use serde_json::Value;

use crate::support::{Application, Forebay, run};

#[test]
fn each_source_is_named_and_the_order_holds() {
    let file = "log = \"text\"\nthreads = 3\nhost = [\"file.example\"]\nheader-deadline = \"7s\"\n";
    let ran = run(&["config", "--json", "--threads", "5"])
        .file("forebay.toml", file)
        .variables(&[
            ("FOREBAY_HEADER_DEADLINE", "9s"),
            ("FOREBAY_THREADS", "4"),
            ("WEBSITE_SITE_NAME", "example-app"),
            ("WEBSITE_HOSTNAME", "example-app.azurewebsites.net"),
            ("WEBSITE_WARMUP_PATH", "/warm"),
            ("WEBSITES_PORT", "8001"),
            ("PORT", "8002"),
        ])
        .ran();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    for (name, value, origin) in [
        ("threads", "5", "--threads"),
        ("header-deadline", "9s", "FOREBAY_HEADER_DEADLINE"),
        ("log", "text", "forebay.toml"),
        ("host", "file.example", "forebay.toml"),
        ("warm-up-path", "/warm", "WEBSITE_WARMUP_PATH (platform)"),
        ("listen", "0.0.0.0:8002", "PORT (platform)"),
        ("idle-deadline", "300s", "default"),
    ] {
        assert_eq!(shown[name]["value"], value, "{name}");
        assert_eq!(shown[name]["origin"], origin, "{name}");
    }
    let table = run(&["config", "--threads", "5"]).ran();
    let line = table.out.lines().find(|line| line.starts_with("threads ")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["threads", "5", "--threads"]);
}

#[test]
fn all_faults_are_told_together_each_with_a_mend() {
    let ran = run(&["proxy", "--listen", "nowhere", "--edges", "many", "--log", "xml"])
        .variables(&[("FOREBAY_HEADER_DEADLINE", "15"), ("FOREBAY_HEADER_DEADLNE", "15s")])
        .file("forebay.toml", "threads = 0\nunknown = 1\n")
        .ran();
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    let faults: Vec<_> = ran.complaints.split("error: ").skip(1).collect();
    for (setting, found, origin) in [
        ("listen", "nowhere", "--listen"),
        ("edges", "many", "--edges"),
        ("log", "xml", "--log"),
        ("header-deadline", "15", "FOREBAY_HEADER_DEADLINE"),
        ("FOREBAY_HEADER_DEADLNE", "", "the environment"),
        ("threads", "0", "forebay.toml"),
        ("unknown", "", "forebay.toml"),
        ("upstream", "", ""),
    ] {
        let starts = [format!("{setting} is "), format!("there is no setting `{setting}`")];
        let is_it = |fault: &&&str| starts.iter().any(|start| fault.starts_with(start));
        let fault = faults.iter().find(is_it);
        let fault = fault.unwrap_or_else(|| panic!("{setting} is not in {}", ran.complaints));
        assert!(fault.contains(found) && fault.contains(origin), "{fault}");
        assert!(fault.contains("\nmend:  "), "{fault}");
    }
    assert_eq!(faults.len(), 8, "{}", ran.complaints);
}

#[test]
fn a_bad_host_does_not_hide_other_faults() {
    let ran = run(&["proxy", "--host", "https://a/", "--threads", "0", "--log", "xml"]).ran();
    assert_eq!(ran.code, Some(2));
    for setting in ["host is `https://a/`", "threads is `0`", "log is `xml`", "upstream is "] {
        assert!(ran.complaints.contains(setting), "{setting} is not in {}", ran.complaints);
    }
}

#[test]
fn a_bad_platform_variable_is_told_by_its_name() {
    for (name, value) in [("PORT", "http"), ("WEBSITES_CONTAINER_START_TIME_LIMIT", "soon")] {
        let ran = run(&["proxy", "--upstream", "127.0.0.1:8001"])
            .variables(&[("WEBSITE_SITE_NAME", "a"), (name, value)])
            .ran();
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.complaints.contains(name) && ran.complaints.contains("mend:"), "{ran:?}");
    }
}

#[test]
fn a_port_in_use_is_told_with_its_cause_and_mend() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    let address = forebay.address().to_string();
    let ran = run(&["proxy", "--upstream", "127.0.0.1:1", "--listen", &address]).ran();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for part in [
        &format!("error: cannot listen on {address}, set by --listen")[..],
        "\ncause: ",
        "\nmend:  ",
    ] {
        assert!(ran.complaints.contains(part), "{part} is not in {}", ran.complaints);
    }
}

#[test]
fn a_bad_command_line_is_exit_code_2_and_help_is_0() {
    for (arguments, code) in [
        (&["--nonsense"][..], 2),
        (&["proxy", "--nonsense"], 2),
        (&["proxy"], 2),
        (&[], 2),
        (&["--help"], 0),
        (&["proxy", "--help"], 0),
        (&["--version"], 0),
    ] {
        let ran = run(arguments).ran();
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
    }
}
