//! Which release this is: a digest of the site's files and of the packages it has.
//!
//! Owns: which files count, the limits of looking.
//! Must not know: who asks, the database.
//!
//! Everything in the site's directory counts but what is made there while it runs or is collected from
//! the rest. A file too many has the release run again; a file too few would not have it run.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use blake3::Hasher;
use tokio::time::Instant;

/// What a release consists of.
#[derive(Clone, Debug)]
pub struct Code {
    /// The site's directory.
    pub directory: PathBuf,
    /// Directories that do not count: static files that were collected.
    pub left_out: Vec<PathBuf>,
    /// Directories with Python packages, of which names and versions count.
    pub packages: Vec<PathBuf>,
    /// The release command.
    pub command: String,
}

/// The digest and what it took.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Taken {
    /// 32 hexadecimal digits.
    pub digest: String,
    /// So many files were read.
    pub files: usize,
    /// And so many bytes.
    pub bytes: u64,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// There is too much.
    #[error("{directory} has more than {limit}", directory = directory.display())]
    TooMuch {
        /// The directory.
        directory: PathBuf,
        /// The limit.
        limit: &'static str,
    },
    /// It takes too long.
    #[error("reading the site takes more than {} s", DEADLINE.as_secs())]
    TooSlow,
    /// Something cannot be read.
    #[error("{path} cannot be read: {source}", path = path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was given up.
    #[error("it was given up")]
    GivenUp,
}

/// Takes the digest of a release's code.
///
/// It blocks, [`DEADLINE`] at most. Neither times nor rights of files count, so that two instances
/// with the same files agree. A link counts by where it leads, and by its content when that is a file.
///
/// # Errors
///
/// [`Unknown`].
pub fn of_code(code: &Code, is_given_up: &AtomicBool) -> Result<Taken, Unknown> {
    let ends = Instant::now() + DEADLINE;
    let mut walk = Walk { code, is_given_up, ends, digest: Hasher::new(), files: 0, bytes: 0 };
    walk.part("command", code.command.as_bytes());
    let mut packages = code.packages.clone();
    walk.folder(&code.directory, &mut packages, 0)?;
    let mut names: Vec<_> = packages.iter().flat_map(|it| packages_in(it)).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        walk.part("package", name.as_bytes());
    }
    let digest = walk.digest.finalize().to_hex();
    let digest = digest.chars().take(32).collect();
    Ok(Taken { digest, files: walk.files, bytes: walk.bytes })
}

struct Walk<'a> {
    code: &'a Code,
    is_given_up: &'a AtomicBool,
    ends: Instant,
    digest: Hasher,
    files: usize,
    bytes: u64,
}

impl Walk<'_> {
    /// Adds a part that cannot be mistaken for another.
    fn part(&mut self, kind: &str, bytes: &[u8]) {
        for bytes in [kind.as_bytes(), bytes] {
            self.digest.update(&(bytes.len() as u64).to_be_bytes());
            self.digest.update(bytes);
        }
    }

    fn folder(
        &mut self,
        folder: &Path,
        packages: &mut Vec<PathBuf>,
        depth: usize,
    ) -> Result<(), Unknown> {
        let unreadable = |source| Unknown::Unreadable { path: folder.to_owned(), source };
        let entries = fs::read_dir(folder).map_err(unreadable)?;
        let mut entries = entries.collect::<io::Result<Vec<_>>>().map_err(unreadable)?;
        entries.sort_unstable_by_key(fs::DirEntry::file_name);
        if depth > DEPTH_LIMIT {
            return Err(self.too_much("64 levels of directories"));
        }
        for entry in entries {
            let path = entry.path();
            let kind = entry.file_type();
            let kind = kind.map_err(|source| Unknown::Unreadable { path: path.clone(), source })?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if kind.is_dir() {
                if path.join("pyvenv.cfg").exists() {
                    packages.extend(packages_of(&path));
                } else if (is_package(&path) || !is_folder_left_out(&name))
                    && !self.is_left_out(&path)
                {
                    self.folder(&path, packages, depth + 1)?;
                }
            } else if !is_file_left_out(&name) {
                self.entry(&path, kind)?;
            }
        }
        Ok(())
    }

    fn is_left_out(&self, path: &Path) -> bool {
        self.code.left_out.iter().any(|it| {
            it == path
                || matches!((it.canonicalize(), path.canonicalize()), (Ok(it), Ok(path)) if it == path)
        })
    }

    fn entry(&mut self, path: &Path, kind: fs::FileType) -> Result<(), Unknown> {
        if self.is_given_up.load(Ordering::Relaxed) {
            return Err(Unknown::GivenUp);
        }
        if Instant::now() > self.ends {
            return Err(Unknown::TooSlow);
        }
        let name = path.strip_prefix(&self.code.directory).unwrap_or(path);
        self.part("path", name.as_os_str().as_bytes());
        if kind.is_symlink()
            && let Ok(target) = fs::read_link(path)
        {
            self.part("link", target.as_os_str().as_bytes());
        }
        // A pipe would not end, and a link may lead nowhere.
        if !fs::metadata(path).is_ok_and(|it| it.is_file()) {
            return Ok(());
        }
        self.files += 1;
        if self.files > FILE_LIMIT {
            return Err(self.too_much("50000 files"));
        }
        self.content(path)
    }

    fn content(&mut self, path: &Path) -> Result<(), Unknown> {
        let unreadable = |source| Unknown::Unreadable { path: path.to_owned(), source };
        let file = match File::open(path) {
            Ok(file) => file,
            // What the site cannot read either is none of its code; a file may just have gone.
            Err(why)
                if [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied]
                    .contains(&why.kind()) =>
            {
                return Ok(());
            }
            Err(why) => return Err(unreadable(why)),
        };
        let length = file.metadata().map_err(unreadable)?.len();
        self.part("length", &length.to_be_bytes());
        let mut content = Hasher::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut file = file.take(CONTENT_LIMIT);
        loop {
            let count = file.read(&mut buffer).map_err(unreadable)?;
            let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
            content.update(read);
            self.bytes += read.len() as u64;
        }
        self.part("content", content.finalize().as_bytes());
        if self.bytes > BYTE_LIMIT { Err(self.too_much("512 MiB")) } else { Ok(()) }
    }

    fn too_much(&self, limit: &'static str) -> Unknown {
        Unknown::TooMuch { directory: self.code.directory.clone(), limit }
    }
}

/// Where the packages are of whoever is found as `python` in a search path, and of a virtual
/// environment.
pub fn packages_beside(path: Option<&std::ffi::OsStr>, environment: Option<&Path>) -> Vec<PathBuf> {
    let folders = path.map(|path| std::env::split_paths(path).collect::<Vec<_>>());
    let prefixes = folders.into_iter().flatten().filter(|folder| {
        ["python", "python3", "gunicorn"].iter().any(|name| folder.join(name).exists())
    });
    let prefixes = prefixes.filter_map(|folder| folder.parent().map(Path::to_owned));
    prefixes.chain(environment.map(Path::to_owned)).flat_map(|it| packages_of(&it)).collect()
}

/// The directories of packages below a prefix.
fn packages_of(prefix: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(prefix.join("lib")) else { return Vec::new() };
    let versions = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"));
    let folders = versions.flat_map(|version| {
        ["site-packages", "dist-packages"].map(|name| version.path().join(name))
    });
    folders.filter(|folder| folder.is_dir()).collect()
}

/// `Django-5.2.1.dist-info` and its kin: a name and a version each.
fn packages_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".dist-info") || name.ends_with(".egg-info")).collect()
}

/// What is made while the site runs, belongs to tools, or is counted by its packages.
fn is_folder_left_out(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "__pycache__",
        "node_modules",
        "site-packages",
        "staticfiles",
        "media",
        "uploads",
        "logs",
        "log",
        "tmp",
    ];
    name.starts_with('.') || NAMES.contains(&name)
}

/// Whether a folder is a package of Python: an application may be called `uploads`.
fn is_package(folder: &Path) -> bool {
    folder.join("__init__.py").exists()
}

fn is_file_left_out(name: &str) -> bool {
    const ENDINGS: [&str; 14] = [
        ".pyc", ".pyo", ".log", ".pid", ".sock", ".sqlite3", ".sqlite", ".db", "-journal", "-wal",
        "-shm", ".swp", ".lock~", "~",
    ];
    name.starts_with("celerybeat-schedule")
        || name == "nohup.out"
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// How long looking may take.
pub const DEADLINE: Duration = Duration::from_secs(20);

const FILE_LIMIT: usize = 50_000;

const BYTE_LIMIT: u64 = 512 * 1024 * 1024;

/// Of a larger file the first bytes and the length count.
const CONTENT_LIMIT: u64 = 8 * 1024 * 1024;

const DEPTH_LIMIT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn code(folder: &Path) -> Code {
        Code {
            directory: folder.to_owned(),
            left_out: vec![folder.join("collected")],
            packages: vec![folder.join("packages")],
            command: "python manage.py migrate".to_owned(),
        }
    }

    fn digest(code: &Code) -> String {
        of_code(code, &AtomicBool::new(false)).unwrap().digest
    }

    fn put(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_belongs_to_a_release_changes_it_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        put(folder, "manage.py", "1");
        let code = code(folder);
        let mut last = digest(&code);
        for (name, text, changes) in [
            ("app/migrations/0001_initial.py", "1", true),
            ("app/migrations/0001_initial.py", "2", true),
            ("app/fixtures/first.json", "1", true),
            ("app/static/a.css", "1", true),
            ("requirements.txt", "Django", true),
            ("oryx-manifest.toml", "OperationId='a'", true),
            ("packages/Django-5.2.1.dist-info/METADATA", "1", true),
            ("venv/lib/python3.13/site-packages/a.py", "1", false),
            ("venv/pyvenv.cfg", "1", false),
            ("venv/lib/python3.13/site-packages/b.py", "1", false),
            ("venv/lib/python3.13/site-packages/b-1.dist-info/METADATA", "1", true),
            ("app/__pycache__/a.cpython-313.pyc", "1", false),
            (".git/HEAD", "1", false),
            ("node_modules/a/index.js", "1", false),
            ("collected/a.css", "1", false),
            ("media/cat.jpg", "1", false),
            ("uploads/__init__.py", "1", true),
            ("uploads/migrations/0001_initial.py", "1", true),
            ("db.sqlite3", "1", false),
            ("site.log", "1", false),
            ("manage.py", "1", false),
        ] {
            put(folder, name, text);
            let next = digest(&code);
            assert_eq!(next != last, changes, "{name} {text}");
            last = next;
        }
        let other = Code { command: "python manage.py migrate --fake".to_owned(), ..code.clone() };
        assert_ne!(digest(&other), last);
        fs::rename(folder.join("requirements.txt"), folder.join("requirements.in")).unwrap();
        assert_ne!(digest(&code), last, "names count");
    }

    #[test]
    fn a_copy_is_the_same_release_and_odd_files_do_no_harm() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let digests = folders.each_ref().map(|folder| {
            let folder = folder.path();
            for name in ["b/c.py", "a.py", "b/a.py"] {
                put(folder, name, name);
            }
            std::os::unix::fs::symlink("nowhere", folder.join("dangling")).unwrap();
            std::os::unix::fs::symlink("..", folder.join("b/loop")).unwrap();
            digest(&code(folder))
        });
        assert_eq!(digests[0], digests[1]);
    }

    #[test]
    fn it_can_be_given_up() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "a.py", "1");
        let given_up = of_code(&code(folder.path()), &AtomicBool::new(true));
        assert!(matches!(given_up, Err(Unknown::GivenUp)));
    }
}
