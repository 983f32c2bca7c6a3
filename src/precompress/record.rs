//! The record of a tree: what each file held and which variants were written for it.
//!
//! Owns: the record's file, its format.
//! Must not know: what the tree holds by now, encoders.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use blake3::Hash;
use serde_json::{Map, Value, json};

use super::file::{self, Seen, Stamp};
use super::write;
use crate::coding::Coding;

/// The record's name in the tree's directory. Files whose names start with a dot are not served.
pub(super) const NAME: &str = ".forebay-compress.json";

/// The files of a tree by their names: paths beneath the tree's directory.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Record(pub(super) BTreeMap<String, Entry>);

/// What is known of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) seen: Seen,
    pub(super) results: BTreeMap<Coding, Compressed>,
}

/// What came of compressing a content.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Compressed {
    /// The content.
    pub(super) content: Hash,
    /// The encoder's level.
    pub(super) level: u8,
    /// The variant that was written; nothing where it did not pay.
    pub(super) variant: Option<Seen>,
}

/// Why a record is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    #[error("it is not what this forebay writes")]
    Foreign,
}

/// Raised when a record means something else than before.
const FORMAT: u64 = 1;
/// A million files with three variants each; more is not a record.
const LARGEST: u64 = 1 << 30;

impl Record {
    /// Reads the record of a tree; an empty one where there is none.
    pub(super) fn load(directory: &Path) -> Result<Self, Unusable> {
        let (file, _) = match file::open(&directory.join(NAME)) {
            Ok(opened) => opened,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(why) => return Err(Unusable::Unreadable(why)),
        };
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text).map_err(Unusable::Unreadable)?;
        Self::parse(&text).ok_or(Unusable::Foreign)
    }

    /// Writes it; either the old one or the new one is there, however this ends.
    pub(super) fn save(&self, directory: &Path) -> io::Result<()> {
        let mut file = write::temporary(directory)?;
        file.write_all(&self.print())?;
        write::publish(file.into_temp_path(), &directory.join(NAME))
    }

    /// Whether it says the same of contents and variants, whatever their stamps.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        fn bare(record: &Record) -> Record {
            let mut bare = record.clone();
            for entry in bare.0.values_mut() {
                entry.seen.stamp = None;
                for variant in entry.results.values_mut().filter_map(|it| it.variant.as_mut()) {
                    variant.stamp = None;
                }
            }
            bare
        }
        bare(self) == bare(other)
    }

    fn print(&self) -> Vec<u8> {
        let files: Map<_, _> = self.0.iter().map(|(name, it)| (name.clone(), it.print())).collect();
        let mut text = json!({ "format": FORMAT, "files": files }).to_string().into_bytes();
        text.push(b'\n');
        text
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(text).ok()?;
        if value.get("format")?.as_u64()? != FORMAT {
            return None;
        }
        let mut files = BTreeMap::new();
        for (name, entry) in value.get("files")?.as_object()? {
            files.insert(is_plain(name).then(|| name.clone())?, Entry::parse(entry)?);
        }
        Some(Self(files))
    }
}

impl Entry {
    /// Whether a variant was written for the file.
    pub(super) fn has_variant(&self, coding: Coding) -> bool {
        self.results.get(&coding).is_some_and(|result| result.variant.is_some())
    }

    fn print(&self) -> Value {
        let results: Map<_, _> = self
            .results
            .iter()
            .map(|(coding, result)| (coding.name().to_owned(), result.print()))
            .collect();
        json!({ "seen": print_seen(&self.seen), "results": results })
    }

    fn parse(value: &Value) -> Option<Self> {
        let mut results = BTreeMap::new();
        for (name, result) in value.get("results")?.as_object()? {
            let coding = Coding::ALL.into_iter().find(|coding| coding.name() == name)?;
            results.insert(coding, Compressed::parse(result)?);
        }
        Some(Self { seen: parse_seen(value.get("seen")?)?, results })
    }
}

impl Compressed {
    fn print(&self) -> Value {
        json!({
            "content": self.content.to_hex().as_str(),
            "level": self.level,
            "variant": self.variant.as_ref().map(print_seen),
        })
    }

    fn parse(value: &Value) -> Option<Self> {
        Some(Self {
            content: parse_hash(value.get("content")?)?,
            level: value.get("level")?.as_u64()?.try_into().ok()?,
            variant: match value.get("variant")? {
                variant if variant.is_null() => None,
                variant => Some(parse_seen(variant)?),
            },
        })
    }
}

fn print_seen(seen: &Seen) -> Value {
    let stamp = seen.stamp.map(|it| json!([it.modified_ns, it.changed_ns, it.inode]));
    json!({ "bytes": seen.bytes, "hash": seen.hash.to_hex().as_str(), "stamp": stamp })
}

fn parse_seen(value: &Value) -> Option<Seen> {
    Some(Seen {
        bytes: value.get("bytes")?.as_u64()?,
        hash: parse_hash(value.get("hash")?)?,
        stamp: match value.get("stamp")? {
            stamp if stamp.is_null() => None,
            stamp => Some(Stamp {
                modified_ns: stamp.get(0)?.as_i64()?,
                changed_ns: stamp.get(1)?.as_i64()?,
                inode: stamp.get(2)?.as_u64()?,
            }),
        },
    })
}

fn parse_hash(value: &Value) -> Option<Hash> {
    Hash::from_hex(value.as_str()?).ok()
}

/// Whether a name leads to a file beneath the directory, whoever wrote it.
fn is_plain(name: &str) -> bool {
    name.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen() -> impl Strategy<Value = Seen> {
        let stamp = proptest::option::of(any::<(i64, i64, u64)>());
        (any::<u64>(), any::<[u8; 32]>(), stamp).prop_map(|(bytes, hash, stamp)| Seen {
            bytes,
            hash: Hash::from_bytes(hash),
            stamp: stamp.map(|(modified_ns, changed_ns, inode)| Stamp {
                modified_ns,
                changed_ns,
                inode,
            }),
        })
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let coding = proptest::sample::select(Coding::ALL.to_vec());
        let result = (any::<[u8; 32]>(), any::<u8>(), proptest::option::of(seen())).prop_map(
            |(content, level, variant)| Compressed {
                content: Hash::from_bytes(content),
                level,
                variant,
            },
        );
        (seen(), proptest::collection::btree_map(coding, result, 0..4))
            .prop_map(|(seen, results)| Entry { seen, results })
    }

    proptest! {
        #[test]
        fn what_was_printed_parses_to_the_same(
            files in proptest::collection::btree_map("[a-zé\" ]{1,5}(/[a-z.]{3,9}x)?", entry(), 0..4)
        ) {
            let record = Record(files);
            prop_assert_eq!(Record::parse(&record.print()), Some(record));
        }

        #[test]
        fn no_text_breaks_it(text: Vec<u8>) {
            Record::parse(&text);
        }

        #[test]
        fn a_record_that_is_cut_is_foreign(entry in entry(), kept in 0.0..1.0) {
            let whole = Record([("a".to_owned(), entry)].into()).print();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a place within a short text"
            )]
            let cut = ((whole.len() - 2) as f64 * kept) as usize;
            prop_assert_eq!(Record::parse(&whole[..cut]), None);
        }
    }

    #[test]
    fn another_format_is_foreign() {
        assert_eq!(Record::parse(br#"{"format":1,"files":{}}"#), Some(Record::default()));
        for text in [r#"{"format":2,"files":{}}"#, r#"{"files":{}}"#, "{}", "[]", "", "null"] {
            assert_eq!(Record::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_makes_a_record_foreign() {
        for name in ["../a", "/a", "a/../../b", "a//b", "", ".", "a/.", "a\0"] {
            assert!(!is_plain(name), "{name}");
        }
        for name in ["a", "a/b.css", "..a", ".well-known/a", "é \\"] {
            assert!(is_plain(name), "{name}");
        }
    }
}
