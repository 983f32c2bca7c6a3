//! Writes files so that they are there whole or not at all.
//!
//! Owns: temporary files and their names, how they become what they are for.
//! Must not know: codings, what is written.

use std::fs::{self, FileTimes, Metadata, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::{NamedTempFile, TempPath};

/// How the name of a temporary file starts, so that the next run knows what a killed one left.
const START: &str = ".forebay-compress.";
/// How it ends.
const END: &str = ".tmp";

/// Whether a file is a temporary one of forebay's.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(START) && name.ends_with(END)
}

/// A new file in the directory where it will be needed. It is removed unless it is published.
pub(super) fn temporary(directory: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(START)
        .suffix(END)
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(directory)
}

/// A temporary file with this content, and the permissions and times of its source: variants that
/// are older than their files look stale to some servers.
pub(super) fn variant(directory: &Path, content: &[u8], source: &Metadata) -> io::Result<TempPath> {
    let mut file = temporary(directory)?;
    file.write_all(content)?;
    let file_like_source = file.as_file();
    file_like_source
        .set_permissions(Permissions::from_mode(source.permissions().mode() & 0o777))?;
    let times = FileTimes::new().set_modified(source.modified()?).set_accessed(source.accessed()?);
    file_like_source.set_times(times)?;
    // Closed, so that any number may wait to be published.
    Ok(file.into_temp_path())
}

/// Puts a temporary file into its place, over what is there.
pub(super) fn publish(file: TempPath, place: &Path) -> io::Result<()> {
    file.persist(place).map_err(|why| why.error)
}

/// Removes a file; that there is none is as good.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_is_known_by_its_name_and_goes_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let file = temporary(directory.path()).unwrap();
        let path = file.path().to_owned();
        assert!(is_temporary(path.file_name().unwrap().to_str().unwrap()));
        drop(file);
        assert!(!path.exists());
        for name in [super::super::record::NAME, ".forebay", "a.tmp", ".forebay-compress.x"] {
            assert!(!is_temporary(name), "{name}");
        }
    }

    #[test]
    fn a_variant_is_as_old_and_as_open_as_its_source() {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("a");
        fs::write(&source, "a").unwrap();
        fs::set_permissions(&source, Permissions::from_mode(0o640)).unwrap();
        let source = fs::metadata(&source).unwrap();
        let place = directory.path().join("a.gz");
        publish(variant(directory.path(), b"b", &source).unwrap(), &place).unwrap();
        let written = fs::metadata(&place).unwrap();
        assert_eq!(written.permissions().mode() & 0o7777, 0o640);
        assert_eq!(written.modified().unwrap(), source.modified().unwrap());
        assert_eq!(fs::read(&place).unwrap(), b"b");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
