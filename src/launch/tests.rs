use super::*;

fn os(text: &str) -> OsString {
    text.into()
}

fn place() -> Place {
    Place::Tcp { host: "127.0.0.1".to_owned(), port: 8001 }
}

/// What is found in a directory with these files, and with these variables.
fn find(
    files: &[(&str, &str)],
    variables: &[(&str, &str)],
    command: &[&str],
    essential: &[&str],
) -> Result<Launch, Error> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let command: Vec<_> = command.iter().map(|word| os(word)).collect();
    let essential: Vec<_> = essential.iter().map(|name| (*name).to_owned()).collect();
    Launch::find(&Wish {
        command: &command,
        directory: folder.path(),
        variables: &variables.iter().map(|(name, value)| (os(name), os(value))).collect(),
        processes: &[],
        port: 8001,
        essential: &essential,
    })
}

fn line(program: &Program) -> String {
    program.words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn variable<'a>(program: &'a Program, name: &str) -> Option<&'a str> {
    let (_, value) = program.variables.iter().find(|(found, _)| found == name)?;
    value.to_str()
}

const PROCFILE: &str = "release: python manage.py migrate
web: gunicorn mysite.wsgi --bind 0.0.0.0:$PORT --workers ${WEB_CONCURRENCY:-3}
worker: cd src && celery -A mysite worker
beat: celery -A mysite beat -b $BROKER
";

#[test]
fn a_procfile_gives_each_process_its_words_its_role_and_the_web_process_its_port() {
    let variables = [("PORT", "8000"), ("BROKER", "amqp://me:pw@h/$x y")];
    let launch = find(&[("Procfile", PROCFILE)], &variables, &[], &["beat"]).unwrap();
    assert_eq!(launch.found, Found::Procfile);
    let programs = launch.programs(&place(), None);
    let roles: Vec<_> = programs.iter().map(|program| program.role).collect();
    assert_eq!(roles, [Role::Release, Role::Web, Role::Other, Role::Essential]);
    let [release, web, worker, beat] = &programs[..] else { panic!() };
    assert_eq!(line(release), "python manage.py migrate");
    assert_eq!(line(web), "gunicorn --bind 127.0.0.1:8001 mysite.wsgi --workers 3");
    assert_eq!(variable(web, "PORT"), Some("8001"));
    assert_eq!(worker.words, ["sh", "-c", "cd src && celery -A mysite worker"].map(os));
    assert!(worker.variables.is_empty() && release.variables.is_empty());
    assert_eq!(line(beat), "celery -A mysite beat -b amqp://me:pw@h/$x y");
    assert_eq!(beat.written, "celery -A mysite beat -b $BROKER", "the log has no value");
    assert_eq!(launch.traits.concurrency, Some(3));
    assert_eq!(launch.django.module.as_deref(), Some("mysite.wsgi"));
}

#[test]
fn a_command_is_taken_as_it_is_and_shows_no_password() {
    let words = ["./start.sh", "a b", "$PORT", "redis://:pw@h"];
    let launch = find(&[("Procfile", PROCFILE)], &[], &words, &[]).unwrap();
    assert_eq!(launch.found, Found::CommandLine);
    assert_eq!(
        launch.passed_over,
        ["release", "worker", "beat"],
        "nobody migrates, and it is said"
    );
    let [web] = &launch.programs(&place(), None)[..] else { panic!() };
    assert_eq!(web.words, words.map(os));
    assert_eq!(web.written, "./start.sh 'a b' '$PORT' redis://[redacted]@h");
    assert_eq!(variable(web, "PORT"), Some("8001"));
    assert_eq!(variable(web, "GUNICORN_CMD_ARGS"), Some("--bind 127.0.0.1:8001"));
    assert_eq!(launch.traits.concurrency, None);
}

#[test]
fn concurrency_is_unknown_where_gunicorn_is_told_out_of_sight() {
    let words = ["gunicorn", "-w", "4", "a.wsgi"];
    let concurrency = |files: &[(&str, &str)], variables: &[(&str, &str)]| {
        find(files, variables, &words, &[]).unwrap().traits.concurrency
    };
    assert_eq!(concurrency(&[], &[]), Some(4));
    assert_eq!(concurrency(&[("gunicorn.conf.py", "")], &[]), None);
    assert_eq!(concurrency(&[], &[("GUNICORN_CMD_ARGS", "--threads 8")]), None);
}

#[test]
fn what_cannot_be_started_is_told_with_a_mend() {
    for (files, essential, part) in [
        (&[][..], &[][..], "there is nothing to start"),
        (&[("Procfile", "worker: a")], &[], "is not a Procfile"),
        (&[("Procfile", "web: 'a")], &[], "the command of `web`"),
        (&[("Procfile", "web: a")], &["worker"], "--essential names `worker`"),
    ] {
        let why = find(files, &[], &[], essential).unwrap_err();
        assert!(why.to_string().contains(part), "{why}");
        assert!(!why.mend().is_empty());
    }
}

#[test]
fn a_free_port_is_one_that_nobody_listens_on() {
    let port = free_port().unwrap();
    let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    assert_ne!(free_port().unwrap(), port);
}

fn with_processes(processes: &[(&str, Command)]) -> Result<Launch, Error> {
    let processes: Vec<_> =
        processes.iter().map(|(name, command)| ((*name).to_owned(), command.clone())).collect();
    Launch::find(&Wish {
        command: &[],
        processes: &processes,
        directory: Path::new("/none"),
        variables: &Variables::new(),
        port: 8001,
        essential: &[],
    })
}

#[test]
fn the_processes_of_the_file_come_before_a_procfile() {
    let words = Command::Words(["celery", "-A", "a b"].map(os).to_vec());
    let line_of = |text: &str| Command::Line(text.to_owned());
    let launch = with_processes(&[("web", line_of("gunicorn a.wsgi")), ("worker", words)]).unwrap();
    assert_eq!(launch.found, Found::File);
    let programs = launch.programs(&place(), None);
    assert_eq!(line(&programs[0]), "gunicorn --bind 127.0.0.1:8001 a.wsgi");
    assert_eq!(programs[1].words, ["celery", "-A", "a b"].map(os));
    for (name, part) in [("worker", "no process `web`"), ("we b", "`we b` is no name")] {
        let why = with_processes(&[(name, line_of("a"))]).unwrap_err();
        assert!(why.to_string().contains(part), "{why}");
        assert!(why.mend().contains("web = "), "{}", why.mend());
    }
}

#[test]
fn gunicorn_is_asked_with_its_own_words_and_told_to_expect_the_proxy_protocol() {
    let words = ["python", "-m", "gunicorn", "a.wsgi", "-w", "2"];
    let mut launch = find(&[], &[], &words, &[]).unwrap();
    let question = launch.gunicorn.clone().unwrap();
    assert_eq!(question.arguments, ["a.wsgi", "-w", "2"].map(os));
    assert_eq!(question.variables, [(os("PORT"), os("8001"))]);
    let shell = find(&[], &[], &["sh", "-c", "gunicorn a.wsgi"], &[]).unwrap();
    assert!(shell.gunicorn.is_none(), "nobody sees its arguments");
    let at = Place::Unix("/tmp/a.sock".into());
    let line_with = |launch: &Launch| line(&launch.programs(&at, Some("v2"))[0]);
    assert!(!line_with(&launch).contains("--proxy-protocol"), "it is not known");
    for (mode, option) in [
        (ProxyProtocol::Off, "gunicorn --proxy-protocol=v2 --bind unix:/tmp/a.sock a.wsgi"),
        (ProxyProtocol::OffAndOld, "gunicorn --proxy-protocol --bind unix:/tmp/a.sock a.wsgi"),
        (ProxyProtocol::V2, "gunicorn --bind unix:/tmp/a.sock a.wsgi"),
    ] {
        launch.traits.proxy_protocol = Some(mode);
        assert!(line_with(&launch).contains(option), "{}", line_with(&launch));
    }
}
