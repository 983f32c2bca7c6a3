//! Files on disk for those who serve them.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use super::fresh_number;

/// A folder that no other test uses.
pub(crate) struct Tree(PathBuf);

impl Tree {
    /// An empty one.
    pub(crate) fn fresh() -> Self {
        static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
            let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
            // What servers hold that live as long as the tests is left behind: now it can go.
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                let name = entry.file_name().into_string().unwrap_or_default();
                let process = name.strip_prefix("tree-").and_then(|rest| rest.split('-').next());
                if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
                    // Another run of the tests may do the same.
                    drop(fs::remove_dir_all(entry.path()));
                }
            }
            folder
        });
        let path = FOLDER.join(format!("tree-{}-{}", std::process::id(), fresh_number()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Where a file of it is, or the folder itself for an empty name.
    pub(crate) fn path(&self, name: &str) -> String {
        let path = if name.is_empty() { self.0.clone() } else { self.0.join(name) };
        path.into_os_string().into_string().unwrap()
    }

    /// Writes a file that was modified long ago; it is there from one moment to the next.
    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        self.put_at(name, content, Self::long_ago())
    }

    /// The same with a time of modification.
    pub(crate) fn put_at(
        &self,
        name: &str,
        content: impl AsRef<[u8]>,
        modified: SystemTime,
    ) -> &Self {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Beside the folder: who watches it sees one change.
        let new = self.0.with_extension(format!("new-{}", fresh_number()));
        let mut file = File::create(&new).unwrap();
        file.write_all(content.as_ref()).unwrap();
        file.set_modified(modified).unwrap();
        fs::rename(new, path).unwrap();
        self
    }

    /// Writes a file and variants of it with these endings, all modified at the same time.
    pub(crate) fn put_with(&self, name: &str, content: &[u8], endings: &[&str]) -> &Self {
        self.put(name, content);
        for ending in endings {
            self.put(&format!("{name}.{ending}"), encoded(ending, content));
        }
        self
    }

    /// Makes a link to a target, which need not be there.
    pub(crate) fn link(&self, name: &str, target: impl AsRef<Path>) -> &Self {
        std::os::unix::fs::symlink(target, self.0.join(name)).unwrap();
        self
    }

    /// Makes a pipe.
    pub(crate) fn pipe(&self, name: &str) -> &Self {
        assert!(Command::new("mkfifo").arg(self.0.join(name)).status().unwrap().success());
        self
    }

    /// Removes a file.
    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.0.join(name)).unwrap();
    }

    /// The content of a file.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap()
    }

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    pub(crate) fn long_ago() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // Whoever serves it may look at it just now.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Content in the coding that an ending stands for.
pub(crate) fn encoded(ending: &str, content: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    match ending {
        "gz" => {
            let mut encoder = flate2::write::GzEncoder::new(encoded, flate2::Compression::best());
            encoder.write_all(content).unwrap();
            return encoder.finish().unwrap();
        }
        "br" => {
            brotli::CompressorWriter::new(&mut encoded, 4096, 11, 22).write_all(content).unwrap();
        }
        "zst" | "zstd" => return zstd::encode_all(content, 19).unwrap(),
        _ => panic!("`{ending}` stands for no coding"),
    }
    encoded
}
