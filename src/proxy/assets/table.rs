//! The table of assets: what each path of a URL stands for.
//!
//! Owns: which path means which file, index files and their redirects, which of two wins.
//! Must not know: requests, the file system.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;

use super::describe::{Described, Lines, Rules};
use super::store::Stored;
use crate::coding::Coding;

/// What a path stands for.
#[derive(Clone, Debug)]
pub enum Asset {
    /// A file and its variants.
    File(Arc<File>),
    /// Another path, relative to this one, without a query.
    Redirect(Arc<str>),
}

impl Asset {
    /// Whether it is a file that is answered without reading.
    pub fn is_in_memory(&self) -> bool {
        match self {
            Self::File(file) => file.representations.iter().any(|form| form.stored.body.is_some()),
            Self::Redirect(_) => false,
        }
    }
}

impl PartialEq for Asset {
    /// Whether it is the same entry of the same table.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(other)) => Arc::ptr_eq(one, other),
            (Self::Redirect(one), Self::Redirect(other)) => Arc::ptr_eq(one, other),
            (Self::File(_), Self::Redirect(_)) | (Self::Redirect(_), Self::File(_)) => false,
        }
    }
}

impl Eq for Asset {}

/// A file as it can be sent.
#[derive(Debug)]
pub struct File {
    /// As it is, then coded, the smallest first.
    pub(super) representations: Vec<Representation>,
    /// In whole seconds.
    pub(super) modified: SystemTime,
}

/// One form of a file.
#[derive(Debug)]
pub(super) struct Representation {
    pub(super) coding: Option<Coding>,
    pub(super) tag: HeaderValue,
    pub(super) lines: Lines,
    pub(super) stored: Arc<Stored>,
}

/// A file that is to be put into the table.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// The prefix of its place.
    pub(super) prefix: &'a str,
    /// Its path beneath its directory.
    pub(super) name: &'a str,
    pub(super) modified: SystemTime,
    pub(super) is_immutable: bool,
    pub(super) identity: Arc<Stored>,
    pub(super) variants: Vec<(Coding, Arc<Stored>)>,
}

/// All assets, by the decoded path of their URLs.
#[derive(Debug, Default)]
pub(super) struct Table {
    assets: HashMap<Box<str>, Asset>,
    /// Paths that belong to somebody else although there is a file.
    pub(super) shadowed: Vec<String>,
}

impl Table {
    pub(super) fn get(&self, path: &str) -> Option<&Asset> {
        self.assets.get(path)
    }

    pub(super) fn len(&self) -> usize {
        self.assets.len()
    }

    /// How many files there are, their bytes with all variants, and those of them in memory.
    pub(super) fn sums(&self) -> (u64, u64, u64) {
        let (mut files, mut bytes, mut in_memory) = (0, 0, 0);
        for asset in self.assets.values() {
            let Asset::File(file) = asset else { continue };
            files += 1;
            for form in &file.representations {
                bytes += form.stored.size;
                in_memory += if form.stored.body.is_some() { form.stored.size } else { 0 };
            }
        }
        (files, bytes, in_memory)
    }

    /// Puts a file in the place of another with the same path; `index` is the name of files that
    /// stand for their directories, `reserved` are paths that no file may take.
    pub(super) fn put(
        &mut self,
        entry: Entry<'_>,
        rules: &Rules,
        index: Option<&str>,
        reserved: &[String],
    ) {
        let (prefix, name) = (entry.prefix, entry.name);
        let url = format!("{prefix}{name}");
        let last = name.rsplit('/').next().unwrap_or(name);
        let directory = url.strip_suffix(last).unwrap_or(&url).to_owned();
        let is_index = index == Some(last);
        let path = if is_index { &directory } else { &url };
        if reserved.contains(path) {
            return self.shadowed.push(path.clone());
        }
        let file = Asset::File(Arc::new(File::new(entry, &url, last, rules)));
        if !is_index {
            self.assets.insert(url.into(), file);
            return;
        }
        self.assets.insert(url.into(), Asset::Redirect("./".into()));
        let bare = directory.strip_suffix('/').unwrap_or_default();
        if let Some((_, folder)) = bare.rsplit_once('/')
            && !reserved.iter().any(|path| path == bare)
        {
            self.assets.insert(bare.into(), Asset::Redirect(format!("{folder}/").into()));
        }
        self.assets.insert(directory.into(), file);
    }
}

impl File {
    fn new(entry: Entry<'_>, url: &str, name: &str, rules: &Rules) -> Self {
        let modified = whole_seconds(entry.modified);
        let mut variants = entry.variants;
        // Two files for one coding, as `.zst` and `.zstd`: the smaller one counts.
        variants.sort_by_key(|(coding, stored)| (*coding, stored.size));
        variants.dedup_by_key(|(coding, _)| *coding);
        variants.sort_by_key(|(_, stored)| stored.size);
        let varies = !variants.is_empty();
        let forms = std::iter::once((None, entry.identity));
        let forms =
            forms.chain(variants.into_iter().map(|(coding, stored)| (Some(coding), stored)));
        let representations = forms.map(|(coding, stored)| {
            let tag = tag(&stored, coding);
            let lines = rules.describe(&Described {
                url,
                name,
                is_immutable: entry.is_immutable,
                coding,
                varies,
                tag: &tag,
                size: stored.size,
                modified,
            });
            let tag =
                HeaderValue::try_from(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""));
            Representation { coding, tag, lines, stored }
        });
        Self { representations: representations.collect(), modified }
    }
}

/// A strong validator from the content: the same on every instance, whenever the file was unpacked.
fn tag(stored: &Stored, coding: Option<Coding>) -> String {
    match coding {
        Some(coding) => format!("\"{}-{}\"", stored.digest.text(), coding.name()),
        None => format!("\"{}\"", stored.digest.text()),
    }
}

/// A time as an HTTP date can say it: what is before 1970 is 1970, and what is to come is now
/// (RFC 9110 §8.8.2.1).
fn whole_seconds(time: SystemTime) -> SystemTime {
    let time = time.min(SystemTime::now());
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::assets::store::Store;
    use crate::proxy::assets::tests::rules;

    fn put(table: &mut Table, prefix: &str, name: &str, content: &str) {
        let store = Store::new(1000);
        let stored = |text: &str| store.keep_made(text.as_bytes().to_vec()).unwrap();
        let entry = Entry {
            prefix,
            name,
            modified: SystemTime::UNIX_EPOCH,
            is_immutable: false,
            identity: stored(content),
            variants: vec![
                (Coding::Gzip, stored("22")),
                (Coding::Zstd, stored("4444")),
                (Coding::Brotli, stored("1")),
                (Coding::Zstd, stored("333")),
            ],
        };
        let reserved = ["/robots933456.txt".to_owned()];
        table.put(entry, &rules(), Some("index.html"), &reserved);
    }

    fn redirect<'a>(table: &'a Table, path: &str) -> Option<&'a str> {
        match table.get(path)? {
            Asset::Redirect(to) => Some(to),
            Asset::File(_) => None,
        }
    }

    fn content(table: &Table, path: &str) -> Option<bytes::Bytes> {
        match table.get(path)? {
            Asset::File(file) => file.representations[0].stored.body.as_ref()?.read().ok(),
            Asset::Redirect(_) => None,
        }
    }

    #[test]
    fn variants_come_smallest_first_and_each_has_its_own_tag() {
        let mut table = Table::default();
        put(&mut table, "/static/", "a.css", "content");
        let Some(Asset::File(file)) = table.get("/static/a.css") else { panic!() };
        let codings: Vec<_> = file.representations.iter().map(|form| form.coding).collect();
        let wanted = [None, Some(Coding::Brotli), Some(Coding::Gzip), Some(Coding::Zstd)];
        assert_eq!(codings, wanted);
        let tags: std::collections::HashSet<_> =
            file.representations.iter().map(|form| form.tag.clone()).collect();
        assert_eq!(tags.len(), 4);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn an_index_stands_for_its_directory() {
        let mut table = Table::default();
        put(&mut table, "/static/", "d/index.html", "inner");
        put(&mut table, "/", "index.html", "outer");
        assert_eq!(content(&table, "/static/d/").unwrap(), "inner");
        assert_eq!(redirect(&table, "/static/d"), Some("d/"));
        assert_eq!(redirect(&table, "/static/d/index.html"), Some("./"));
        assert_eq!(content(&table, "/").unwrap(), "outer");
        assert_eq!(redirect(&table, "/index.html"), Some("./"));
        assert_eq!(table.len(), 5);
    }

    #[test]
    fn a_later_file_wins_and_reserved_paths_are_nobodys() {
        let mut table = Table::default();
        put(&mut table, "/static/", "a.css", "first");
        put(&mut table, "/", "static/a.css", "second");
        assert_eq!(content(&table, "/static/a.css").unwrap(), "second");
        put(&mut table, "/", "robots933456.txt", "warm");
        assert!(table.get("/robots933456.txt").is_none());
        assert_eq!(table.shadowed, ["/robots933456.txt"]);
    }
}
