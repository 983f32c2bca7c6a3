//! The files of `deploy/`: what can be run is run, the others are held against published schemas.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::packages::{environment_with_wheel, lend_packages, ran, tool};
use crate::support::process::Process;
use crate::support::tree::Tree;
use crate::support::wire::Wire;
use crate::support::{eventually, free_port, fresh_number, sources};

/// A file of `deploy/`.
fn deploy(name: &str) -> String {
    format!("{}/deploy/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A site as the build of App Service leaves it: an archive with `antenv` that runs in one place.
struct Built {
    archive: String,
    /// `/tmp/` and sixteen hexadecimal digits, new for every deployment.
    place: PathBuf,
    _tree: Tree,
}

impl Built {
    fn new() -> Self {
        let tree = Tree::fresh();
        let number = u64::from(std::process::id()) << 16 | u64::from(fresh_number());
        let place = PathBuf::from(format!("/tmp/{number:016x}"));
        fs::create_dir(&place).unwrap();
        environment_with_wheel(&place.join("antenv"));
        lend_packages(&place.join("antenv"));
        for name in ["manage.py", "mysite"] {
            let from = sources().join("site").join(name);
            let (done, text) = ran(Command::new("cp").arg("-r").arg(from).arg(&place));
            assert!(done, "{text}");
        }
        let script = place.join("startup.sh");
        fs::copy(deploy("startup.sh"), &script).unwrap();
        // An archive made on Windows knows no modes.
        fs::set_permissions(script, fs::Permissions::from_mode(0o644)).unwrap();
        let archive = tree.path("output.tar.gz");
        let (done, text) =
            ran(Command::new("tar").args(["-czf", &archive, "-C"]).arg(&place).arg("."));
        assert!(done, "{text}");
        fs::remove_dir_all(&place).unwrap();
        Self { archive, place, _tree: tree }
    }

    /// Starts it as the platform does; the address at which it then listens.
    fn start(&self, startup_command: &str) -> (Process, String) {
        let port = free_port().to_string();
        let mut command = Process::command("unshare");
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--pid", "--fork", "--mount-proc", "--kill-child", "bash"]);
        command.arg(sources().join("support/platform.sh"));
        command.arg(&self.archive).arg(&self.place).arg(startup_command);
        command.envs([
            ("PORT", port.as_str()),
            ("WEBSITE_SITE_NAME", "example-app"),
            ("WEBSITE_HOSTNAME", "www.example.com"),
            ("DJANGO_SETTINGS_MODULE", "mysite.small"),
            ("GUNICORN_CMD_ARGS", "--no-control-socket"),
        ]);
        (Process::start("platform", command), format!("127.0.0.1:{port}"))
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.place));
        drop(fs::remove_file(self.place.with_extension("sh")));
    }
}

#[test]
fn on_app_service_the_startup_command_is_all_that_is_set() {
    let built = Built::new();
    for startup_command in ["forebay run", "startup.sh"] {
        let (mut process, address) = built.start(startup_command);
        let mut wire = eventually("forebay listens", || {
            process.assert_running();
            Wire::connect(&address).ok()
        });
        // The warm-up waits for Django; the visitor's address reaches it without a setting.
        let warm_up = "GET /robots933456.txt HTTP/1.1
             Host: 169.254.130.4:8000
             User-Agent: HealthCheck/1.0";
        assert_eq!(wire.exchange(warm_up).status, 200, "{startup_command}");
        let home = Wire::connect(&address).unwrap().exchange(
            "GET / HTTP/1.1
             Host: www.example.com
             X-Forwarded-For: 203.0.113.10:64769
             X-Forwarded-Proto: https
             Disguised-Host: www.example.com
             X-Site-Deployment-Id: example-app",
        );
        assert_eq!((home.status, home.text()), (200, "home of 203.0.113.10"), "{startup_command}");
        // The platform ends a container so; nobody may be left behind.
        process.kill();
        let place = built.place.clone();
        eventually("all processes of the container are gone", || {
            let processes = fs::read_dir("/proc").unwrap().flatten();
            let mut places =
                processes.filter_map(|entry| fs::read_link(entry.path().join("cwd")).ok());
            (!places.any(|found| found == place)).then_some(())
        });
    }
}

/// Expects a tool to pass a file of `deploy/`, and to complain of the same with any of the mistakes.
fn check(tool_and_flags: &[&str], file: &str, mistakes: &[(&str, &str)]) {
    let run = |path: &str| ran(tool(tool_and_flags[0]).args(&tool_and_flags[1..]).arg(path));
    let (done, text) = run(&deploy(file));
    assert!(done, "{file}: {text}");
    let sound = fs::read_to_string(deploy(file)).unwrap();
    let name = Path::new(file).file_name().unwrap().to_str().unwrap();
    let tree = Tree::fresh();
    for (right, wrong) in mistakes {
        assert!(sound.contains(right), "{file} has no `{right}`");
        tree.put(name, sound.replacen(right, wrong, 1));
        let (done, text) = run(&tree.path(name));
        assert!(!done, "{file} passes with `{wrong}`: {text}");
    }
}

#[test]
fn pipelines_keep_to_the_schemas_of_azure_and_github() {
    let schema = |name: &'static str| ["check-jsonschema", "--builtin-schema", name];
    let azure =
        [&schema("vendor.azure-pipelines")[..], &["--regex-variant", "nonunicode"]].concat();
    check(&azure, "azure-pipelines.yml", &[("- deployment: Deploy", "- deploymint: Deploy")]);
    check(
        &schema("vendor.github-workflows"),
        "github-actions.yml",
        &[("runs-on: ubuntu", "runs-at: ubuntu")],
    );
}

#[test]
fn the_compose_file_keeps_to_its_specification() {
    let compose = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec"];
    check(&compose, "compose.yaml", &[("read_only: true", "readonly: true")]);
}

#[test]
fn kubernetes_knows_every_word_of_the_manifests() {
    let strict = ["kubernetes-validate", "--strict"];
    let mistakes = [
        ("readOnlyRootFilesystem", "readOnlyRootFileSystem"),
        ("containerPort: 8000", "containerPort: http"),
    ];
    check(&strict, "kubernetes/site.yaml", &mistakes);
}

#[test]
fn azure_s_models_have_every_property_of_the_bicep_files() {
    let checker = sources().join("support/check_bicep.py");
    let bicep = ["python", "-B", checker.to_str().unwrap()];
    let mistakes = [
        ("healthCheckPath: ", "healthPath: "),
        ("alwaysOn: true", "alwaysOn: 'true'"),
        ("'SystemAssigned'", "'SystemAsigned'"),
        ("plan.id", "plam.id"),
        ("reserved: true\n  }", "reserved: true\n"),
    ];
    check(&bicep, "azure/main.bicep", &mistakes);
    check(&bicep, "azure/container-app.bicep", &[("targetPort: 8000", "targetPort: '8000'")]);
}

#[test]
fn images_are_built_from_sound_files_and_run_as_nobody_in_particular() {
    for file in ["Dockerfile", "site.Dockerfile"] {
        check(&["hadolint", "--no-color"], file, &[("WORKDIR /", "WORKDIR ")]);
        let text = fs::read_to_string(deploy(file)).unwrap();
        let last_stage = text.rsplit("\nFROM ").next().unwrap();
        let user = last_stage.rsplit_once("\nUSER ").unwrap().1;
        assert!(user.starts_with(|digit: char| ('1'..='9').contains(&digit)), "{file}: root");
        assert!(last_stage.contains("\nHEALTHCHECK "), "{file}: no health check");
    }
}

#[test]
fn build_sh_says_what_is_missing() {
    let run = |arguments: &[&str], target: &str| {
        ran(Command::new(deploy("build.sh")).args(arguments).env("TARGET", target))
    };
    for (arguments, target, error) in [
        (&[][..], "", "say what to build"),
        (&["profiled"], "", "say what to build"),
        (&["snap"], "", "`snap` cannot be built"),
        (&["profiled", "snap"], "", "`snap` cannot be built"),
        (&["profiled", "wheel"], "z80-unknown-linux-gnu", "does not run here"),
        (&["static"], "z80-unknown-linux-musl", "mend:  rustup target add z80-unknown-linux-musl"),
    ] {
        let (done, text) = run(arguments, target);
        assert!(!done && text.contains(error) && text.contains("mend:  "), "{arguments:?}: {text}");
    }
}

#[test]
fn a_profiled_build_says_what_it_lacks_before_it_builds() {
    let tree = Tree::fresh();
    fs::create_dir(tree.path("bin")).unwrap();
    for name in ["dirname", "uname", "mkdir"] {
        let (_, path) = ran(Command::new("sh").args(["-c", &format!("command -v {name}")]));
        tree.link(&format!("bin/{name}"), path.trim());
    }
    for (missing, package) in
        [("wrk", "wrk"), ("h2load", "nghttp2-client"), ("llvm-profdata", "llvm-19")]
    {
        let mut command = Command::new(deploy("build.sh"));
        command.args(["profiled", "static", &tree.path("out")]).env("PATH", tree.path("bin"));
        let (done, text) = ran(&mut command);
        let error = format!("error: {missing} is missing\nmend:  apt-get install {package}");
        assert!(!done && text.contains(&error), "{text}");
        tree.link(&format!("bin/{missing}"), "/bin/true");
    }
}
