//! Step 4b: answers with collected static files, before, during and after the application.
//!
//! Owns: the table of assets, when it is replaced, what a request for an asset gets.
//! Must not know: Django, the application, who asks.
//!
//! [`walk`] looks at the directories, [`gather`] reads what is new into a [`store`] and lays a
//! [`table`], in which each answer is described beforehand; [`keeper`] does so again whenever the
//! directories change. [`decide`] finds out what a request gets, [`answer`](mod@answer) gives it.

mod answer;
mod body;
mod decide;
mod describe;
mod gather;
mod keeper;
mod manifest;
mod pack;
mod store;
mod table;
mod walk;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use percent_encoding::percent_decode_str;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

pub use answer::{AtOnce, Error, METHODS, at_once};
pub use body::Body;
pub use describe::{Rules, may_be_set};
pub use keeper::Keeper;
pub use table::{Asset, File};

use super::fields::Head;
use table::Table;

/// What the assets obey.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where they lie; a later place wins over an earlier one.
    pub places: Vec<Place>,
    /// How they are described.
    pub rules: Rules,
    /// Who answers for a path beneath a prefix where there is no file.
    pub missing: Missing,
    /// The name of files that stand for their directories.
    pub index: Option<String>,
    /// Which links are followed.
    pub links: Links,
    /// How many bytes of content may be in memory.
    pub memory: u64,
    /// Whether variants are made in memory where none lie beside a file.
    pub makes_variants: bool,
    /// Paths that no file may take.
    pub reserved: Vec<String>,
}

/// A directory whose files are served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The path of URLs that stands for it; it begins and ends with `/`.
    pub prefix: String,
    /// Where it is. It may come later.
    pub directory: PathBuf,
}

impl Place {
    /// Whether its files lie at `/`.
    fn is_top(&self) -> bool {
        self.prefix == "/"
    }
}

/// Who answers for a path beneath a prefix where there is no file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Missing {
    /// The application.
    Application,
    /// forebay, with 404.
    NotFound,
}

/// Which links are followed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Links {
    /// Those that end beneath their directory.
    Inside,
    /// All; `collectstatic --link` makes links that lead out.
    Anywhere,
}

/// What the table says about a path.
#[derive(Clone, Debug)]
pub enum Match {
    /// There is an asset.
    Asset(Asset),
    /// There is none, and nobody else is to be asked.
    Missing,
    /// It is no asset's.
    Nobodys,
}

/// The assets, shared by all data threads.
#[derive(Debug)]
pub struct Assets {
    settings: Arc<Settings>,
    /// Nothing until the first table is laid.
    table: watch::Sender<Option<Arc<Table>>>,
    /// Until when requests wait for it.
    patience: Instant,
    /// When the present table was laid.
    laid: Mutex<Instant>,
}

/// What is served at this moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stock {
    /// Files, without their variants.
    pub files: u64,
    /// Bytes of them and their variants.
    pub bytes: u64,
    /// Bytes of those that are in memory; what several have in common counts for each.
    pub memory_bytes: u64,
    /// How long ago the table was laid.
    pub age: Duration,
}

/// How long requests wait for the first table. Reading a share may take that long; afterwards the
/// application is asked.
const FIRST_TABLE_DEADLINE: Duration = Duration::from_secs(30);

impl Assets {
    /// Assets that nothing is known of yet: see [`Keeper`].
    pub fn new(settings: Settings) -> Self {
        // Without a place there is nothing to wait for.
        let first = settings.places.is_empty().then(Arc::default);
        let now = Instant::now();
        let patience = now + FIRST_TABLE_DEADLINE;
        let table = watch::Sender::new(first);
        Self { settings: Arc::new(settings), table, patience, laid: Mutex::new(now) }
    }

    /// Whether any file may be served.
    pub fn is_on(&self) -> bool {
        !self.settings.places.is_empty()
    }

    /// Whether there is a table: before, no path is known to be an asset's.
    pub fn is_laid(&self) -> bool {
        self.table.borrow().is_some()
    }

    /// What is served now; nothing without a directory, or before the first table.
    pub fn stock(&self) -> Option<Stock> {
        let table = self.table.borrow().clone().filter(|_| self.is_on())?;
        let age = self.laid.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        let (files, bytes, memory_bytes) = table.sums();
        Some(Stock { files, bytes, memory_bytes, age })
    }

    /// Replaces the table.
    fn lay(&self, table: Arc<Table>) {
        *self.laid.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.table.send_replace(Some(table));
    }

    /// Waits for the first table if the request may be for a file in it; whether there is a table
    /// in which to look for it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up waiting and nothing else.
    pub async fn settle(&self, request: &Head) -> bool {
        let only_looks = matches!(request.method, Method::GET | Method::HEAD);
        if !only_looks || !self.covers(request.uri.path()) {
            return false;
        }
        let mut table = self.table.subscribe();
        let first = timeout_at(self.patience, table.wait_for(Option::is_some));
        // Without a table nothing is an asset.
        matches!(first.await, Ok(Ok(_)))
    }

    fn covers(&self, path: &str) -> bool {
        self.settings.places.iter().any(|place| path.starts_with(&place.prefix))
    }

    /// What the table says about a path, as it stands in a request. It is decoded once and compared
    /// as a whole: what is not written exactly as the table has it is no asset's.
    pub fn find(&self, path: &str) -> Match {
        let decoded = if path.contains('%') {
            match percent_decode_str(path).decode_utf8() {
                Ok(decoded) => decoded,
                Err(_) => return self.otherwise(path),
            }
        } else {
            Cow::Borrowed(path)
        };
        let asset = self.table.borrow().as_ref().and_then(|table| table.get(&decoded).cloned());
        asset.map_or_else(|| self.otherwise(path), Match::Asset)
    }

    fn otherwise(&self, path: &str) -> Match {
        let is_ours = self.settings.missing == Missing::NotFound
            && self
                .settings
                .places
                .iter()
                .any(|place| !place.is_top() && path.starts_with(&place.prefix));
        if is_ours { Match::Missing } else { Match::Nobodys }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::coding::Coding;
    use brotli::enc::BrotliEncoderParams;
    use std::fs;
    use std::io::Write as _;
    use std::path::Path;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::SystemTime;

    /// A folder of this test's own.
    pub(super) fn folder() -> PathBuf {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("forebay-assets-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::canonicalize(folder).unwrap()
    }

    /// Writes a file that nobody has touched for long.
    pub(super) fn write(path: &Path, content: &[u8]) {
        fs::write(path, content).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    }

    pub(super) fn rules() -> Rules {
        Rules {
            max_age: Some(Duration::from_mins(1)),
            immutable: Vec::new(),
            fields: Vec::new(),
            types: Vec::new(),
            charset: "utf-8".to_owned(),
            allows_all_origins: true,
        }
    }

    /// One folder at `/static/`.
    pub(super) fn settings(folder: &Path) -> Settings {
        let place = Place { prefix: "/static/".to_owned(), directory: folder.to_owned() };
        Settings {
            places: vec![place],
            rules: rules(),
            missing: Missing::Application,
            index: None,
            links: Links::Inside,
            memory: 1 << 20,
            makes_variants: false,
            reserved: Vec::new(),
        }
    }

    /// No assets at all.
    pub(in crate::proxy) fn none() -> Assets {
        Assets::new(Settings { places: Vec::new(), ..settings(Path::new("/")) })
    }

    /// What `content` is in a coding.
    pub(super) fn packed(coding: Coding, content: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Gzip => {
                let level = flate2::Compression::best();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Brotli => {
                let mut packed = Vec::new();
                brotli::BrotliCompress(
                    &mut &*content,
                    &mut packed,
                    &BrotliEncoderParams::default(),
                )
                .unwrap();
                packed
            }
            Coding::Zstd => zstd::encode_all(content, 19).unwrap(),
        }
    }

    /// Assets whose table is laid.
    pub(super) fn assets(settings: Settings) -> Assets {
        let assets = Assets::new(settings);
        assets.look_once();
        assets
    }

    #[test]
    fn a_path_is_compared_as_a_whole_once_it_is_decoded() {
        let folder = folder();
        fs::create_dir_all(folder.join("d")).unwrap();
        for name in ["a b.css", "d/ä.css", "100%.css", "a%20c.css"] {
            fs::write(folder.join(name), name).unwrap();
        }
        let assets = assets(settings(&folder));
        for (path, wanted) in [
            ("/static/a%20b.css", true),
            ("/static/d/%C3%A4.css", true),
            ("/static/%64/%c3%a4.css", true),
            ("/static/100%25.css", true),
            ("/static/100%.css", true),
            ("/static/a%2520c.css", true),
            ("/static/a%20c.css", false),
            ("/static//a%20b.css", false),
            ("/static/./a%20b.css", false),
            ("/static/d/../a%20b.css", false),
            ("/static/d/%2e%2e/a%20b.css", false),
            ("/static/d%5C%C3%A4.css", false),
            ("/static/a%20b.css%00", false),
            ("/static/a%20b.css/", false),
            ("/static/%ff.css", false),
            ("/static/", false),
            ("/Static/a%20b.css", false),
            ("/a%20b.css", false),
        ] {
            assert_eq!(matches!(assets.find(path), Match::Asset(_)), wanted, "{path}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_missing_is_the_applications_unless_it_is_told_otherwise() {
        let folder = folder();
        let elsewhere = Place { prefix: "/".to_owned(), directory: folder.clone() };
        let found = |missing: Missing, path: &str| {
            let mut settings = Settings { missing, ..settings(&folder) };
            settings.places.push(elsewhere.clone());
            assets(settings).find(path)
        };
        assert!(matches!(found(Missing::Application, "/static/x"), Match::Nobodys));
        assert!(matches!(found(Missing::NotFound, "/static/x"), Match::Missing));
        assert!(matches!(found(Missing::NotFound, "/static/%ff"), Match::Missing));
        assert!(matches!(found(Missing::NotFound, "/x"), Match::Nobodys));
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_the_first_table_if_it_may_be_in_it() {
        let folder = folder();
        let assets = Assets::new(settings(&folder));
        let settle = async |line: &str| {
            let (method, path) = line.split_once(' ').unwrap();
            let request = http::Request::builder().method(method).uri(path).body(()).unwrap();
            let begun = Instant::now();
            let is_there = assets.settle(&request.into_parts().0.into()).await;
            (is_there, begun.elapsed())
        };
        assert_eq!(settle("GET /elsewhere").await, (false, Duration::ZERO));
        assert_eq!(settle("POST /static/a.css").await, (false, Duration::ZERO));
        assert_eq!(settle("GET /static/a.css").await, (false, FIRST_TABLE_DEADLINE));
        assert_eq!(settle("GET /static/a.css").await, (false, Duration::ZERO), "not each anew");
        assert!(!assets.is_laid());
        assets.look_once();
        assert!(assets.is_laid());
        assert_eq!(settle("GET /static/a.css").await, (true, Duration::ZERO));
        assert_eq!(settle("GET /elsewhere").await, (false, Duration::ZERO));
        fs::remove_dir_all(folder).unwrap();
    }
}
