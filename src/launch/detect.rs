//! Finds out what to start where nobody says it: a Django site.
//!
//! Owns: which files show a site, which server takes it.
//! Must not know: Procfiles, processes.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The server and the application of the site in `directory`; nothing where there is no
/// `manage.py`, no package with `wsgi.py` or `asgi.py`, or no server is installed.
///
/// gunicorn is preferred, as App Service's own start script prefers it.
pub(super) fn command(directory: &Path, path: Option<&OsStr>) -> Option<Vec<OsString>> {
    if !directory.join("manage.py").is_file() {
        return None;
    }
    [("wsgi", "gunicorn"), ("asgi", "uvicorn")].into_iter().find_map(|(kind, server)| {
        let package = package(directory, &format!("{kind}.py"))?;
        let program = installed(server, directory, path)?;
        let module = format!("{package}.{kind}:application");
        Some(vec![program.into(), module.into()])
    })
}

/// The package of the site: the one that `manage.py` takes its settings from, else the first by name.
fn package(directory: &Path, file: &str) -> Option<String> {
    let holds = |name: &str| directory.join(name).join(file).is_file();
    let settings = crate::python::django::settings_module_in(&directory.join("manage.py"));
    if let Some(settings) = settings
        && let Some(package) = settings.split('.').next()
        && holds(package)
    {
        return Some(package.to_owned());
    }
    let entries = fs::read_dir(directory).ok()?.filter_map(Result::ok);
    let mut names: Vec<_> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names.into_iter().find(|name| holds(name))
}

/// A program of the site's virtual environment, or one of `path`.
fn installed(name: &str, directory: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    if in_path(name, path).is_some() {
        return Some(name.into());
    }
    let environments = ["antenv", ".venv", "venv"].into_iter();
    environments
        .map(|environment| directory.join(environment).join("bin").join(name))
        .find(|program| is_program(program))
}

/// Where a program is that is named without a `/`.
pub(super) fn in_path(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let folders = path.map(std::env::split_paths)?;
    folders.map(|folder| folder.join(name)).find(|program| is_program(program))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_found_by_its_files_and_a_server_by_its_program() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), text).unwrap();
        };
        let path = at("bin").into_os_string();
        let found = || command(folder.path(), Some(&path)).map(|words| words[1].clone());
        write("a_library/wsgi.py", "");
        write("site/wsgi.py", "");
        write("site/asgi.py", "");
        assert_eq!(found(), None, "no manage.py");
        write("manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site.settings')");
        assert_eq!(found(), None, "no server");
        for (server, module) in
            [("uvicorn", "site.asgi:application"), ("gunicorn", "site.wsgi:application")]
        {
            write(&format!("bin/{server}"), "#!/bin/sh");
            assert_ne!(found(), Some(module.into()), "it cannot be executed");
            fs::set_permissions(at("bin").join(server), fs::Permissions::from_mode(0o755)).unwrap();
            assert_eq!(found(), Some(module.into()));
        }
        write("manage.py", "");
        assert_eq!(found(), Some("a_library.wsgi:application".into()));
    }
}
