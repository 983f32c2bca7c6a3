//! What `tests/run` builds and installs for the files of `deploy/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::python_program;

/// A command with a program of the environment in which the tools are.
pub(crate) fn tool(name: &str) -> Command {
    let path = format!("{}/target/e2e/tools/bin/{name}", env!("CARGO_MANIFEST_DIR"));
    assert!(Path::new(&path).exists(), "`{path}` is missing\nmend: run tests/run, which makes it");
    Command::new(path)
}

/// What a command writes, to both outputs, and whether it ended with 0.
pub(crate) fn ran(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.success(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// The wheel.
pub(crate) fn wheel() -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/target/e2e/wheel");
    let found = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    found
        .filter(|path| path.extension().is_some_and(|ending| ending == "whl"))
        .max()
        .unwrap_or_else(|| panic!("no wheel in {folder}\nmend: run tests/run, which builds it"))
}

/// A new virtual environment with the wheel in it, and nothing else.
pub(crate) fn environment_with_wheel(folder: &Path) {
    let made = ran(Command::new(python_program("python"))
        .args(["-m", "venv", "--without-pip"])
        .arg(folder));
    assert!(made.0, "{}", made.1);
    let python = folder.join("bin/python");
    let mut pip = tool("pip");
    pip.arg("--python").arg(python).args(["install", "--no-index", "--no-deps"]).arg(wheel());
    let installed = ran(&mut pip);
    assert!(installed.0, "{}", installed.1);
}

/// Lends an environment the packages of the tests' own, and gives it gunicorn.
pub(crate) fn lend_packages(folder: &Path) {
    let packages = |root: &Path| {
        let mut versions = fs::read_dir(root.join("lib")).unwrap();
        versions.next().unwrap().unwrap().path().join("site-packages")
    };
    let tests = PathBuf::from(python_program("python"));
    let lender = packages(tests.parent().unwrap().parent().unwrap());
    fs::write(packages(folder).join("lent.pth"), format!("{}\n", lender.display())).unwrap();
    let gunicorn = fs::read_to_string(python_program("gunicorn")).unwrap();
    let (_, rest) = gunicorn.split_once('\n').unwrap();
    let script = folder.join("bin/gunicorn");
    fs::write(&script, format!("#!{}/bin/python\n{rest}", folder.display())).unwrap();
    let made = ran(Command::new("chmod").arg("+x").arg(script));
    assert!(made.0, "{}", made.1);
}
