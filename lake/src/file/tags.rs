//! What a commit says of a file beside its statistics: the tags of its Add action, and its number of rows.

use crate::Add;

/// Tag of an Add action: the file's SHA-256, as lower-case hex.
pub(crate) const SHA256_TAG: &str = "forebay.sha256";
/// Tag of an Add action: the key-encryption keys of the file, each wrapped by its master key, as JSON.
pub(crate) const KEKS_TAG: &str = "forebay.keks";

/// How many rows a file has, as its commit says.
pub(crate) fn row_count(add: &Add) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Stats {
        #[serde(rename = "numRecords")]
        rows: u64,
    }
    serde_json::from_str::<Stats>(add.stats.as_deref()?)
        .ok()
        .map(|stats| stats.rows)
}

/// The key-encryption keys that a file names, as the text of its tag: equal for files of one writer.
pub(crate) fn keks_tag(add: &Add) -> Option<&str> {
    tag(add, KEKS_TAG)
}

/// Whether a file is encrypted, as its commit says.
pub(crate) fn is_sealed(add: &Add) -> bool {
    tag(add, KEKS_TAG).is_some_and(|keks| keks != "[]")
}

/// A tag's text.
pub(crate) fn tag<'a>(add: &'a Add, name: &str) -> Option<&'a str> {
    add.tags.as_ref()?.get(name)?.as_deref()
}
