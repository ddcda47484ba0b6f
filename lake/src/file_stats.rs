//! What a commit says of a file's content: rows, devices, first and last event time.
//!
//! Minima and maxima of encrypted columns must not lie in the plain Delta log, so they travel in a tag of the Add
//! action that is sealed (AES-256-GCM) under a secret of the keyring and bound to its table and path. A file in clear
//! has a tag in clear. A tag that is missing or does not open tells nothing: such a file is read.

use std::{collections::HashSet, fmt};

use arrow::{
    array::{AsArray as _, RecordBatch},
    compute::{max, min},
    datatypes::TimestampMicrosecondType,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use forebay_schemas::table::Table;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

use crate::{
    Add,
    keys::{KEY_BYTES, KeyError, Random, SecretKey, random_bytes},
    writer::{is_sealed, tag},
};

/// Tag of an Add action: [`FileStats`], sealed or in clear.
pub(crate) const STATS_TAG: &str = "forebay.stats";

/// The keyring's secret that seals the tags; it never rotates.
const TAG_SECRET: &str = "forebay.tags";

/// Version of the tag's layout, inside and outside the seal (E13).
const FORMAT: u8 = 1;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStats {
    format: u8,
    /// How many rows.
    pub rows: u64,
    /// How many devices they are of; 0 in a table without devices.
    pub devices: u64,
    /// First event time, µs since 1970 UTC; `None` in a table without event times.
    pub first_event_time: Option<i64>,
    /// Last event time, µs since 1970 UTC.
    pub last_event_time: Option<i64>,
}

/// What the rows of a file that is being written hold, batch by batch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rows: u64,
    devices: HashSet<String>,
    /// First and last event time.
    times: Option<(i64, i64)>,
}

impl Tally {
    pub(crate) fn add(&mut self, rows: &RecordBatch) {
        self.rows += rows.num_rows() as u64;
        if let Some(names) = rows.column_by_name("device").and_then(|column| column.as_string_opt::<i32>()) {
            // Equal ones mostly stand together.
            let mut before = None;
            for name in names.iter().flatten() {
                if before.replace(name) != Some(name) && !self.devices.contains(name) {
                    self.devices.insert(name.to_owned());
                }
            }
        }
        let times = rows.column_by_name("event_time");
        if let Some(times) = times.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>()) {
            let here = min(times).zip(max(times));
            self.times = match (self.times, here) {
                (Some((first, last)), Some((earliest, latest))) => Some((first.min(earliest), last.max(latest))),
                (known, here) => known.or(here),
            };
        }
    }

    pub(crate) fn stats(&self) -> FileStats {
        FileStats {
            format: FORMAT,
            rows: self.rows,
            devices: self.devices.len() as u64,
            first_event_time: self.times.map(|(first, _)| first),
            last_event_time: self.times.map(|(_, last)| last),
        }
    }
}

impl FileStats {
    /// As a tag in clear.
    pub(crate) fn in_clear(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From a tag in clear; `None` for any other text.
    pub(crate) fn from_clear(tag: &str) -> Option<Self> {
        let found: Self = serde_json::from_str(tag).ok()?;
        (found.format == FORMAT).then_some(found)
    }
}

/// Seals and opens tags.
pub(crate) struct TagSeal(LessSafeKey);

impl fmt::Debug for TagSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TagSeal")
    }
}

impl TagSeal {
    /// The seal under the secret that `derived` gives; `None` where there are no secrets.
    pub(crate) fn new(
        derived: impl FnOnce(&str) -> Result<Option<SecretKey>, KeyError>,
    ) -> Result<Option<Self>, KeyError> {
        let Some(secret) = derived(TAG_SECRET)? else { return Ok(None) };
        let key = UnboundKey::new(&AES_256_GCM, secret.expose())
            .map_err(|_| KeyError::KeyLength { id: TAG_SECRET.to_owned(), bytes: KEY_BYTES })?;
        Ok(Some(Self(LessSafeKey::new(key))))
    }

    /// A tag of the file at `path` of `table`.
    pub(crate) fn seal(&self, table: &str, path: &str, stats: &FileStats, random: &Random) -> Result<String, KeyError> {
        let nonce = random_bytes::<NONCE_LEN>(random)?;
        let mut sealed = stats.in_clear().into_bytes();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(table, path), &mut sealed)
            .map_err(|_| KeyError::Randomness)?;
        Ok(STANDARD.encode([&[FORMAT], nonce.as_slice(), &sealed].concat()))
    }

    /// What the tag says; `None` when it is damaged, moved from another file, or of another keyring or release.
    pub(crate) fn open(&self, table: &str, path: &str, tag: &str) -> Option<FileStats> {
        let mut bytes = STANDARD.decode(tag).ok()?;
        let (format, rest) = bytes.split_first_mut()?;
        let (nonce, sealed) = rest.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.0.open_in_place(nonce, aad(table, path), sealed).ok()?;
        (*format == FORMAT).then(|| FileStats::from_clear(std::str::from_utf8(plain).ok()?)).flatten()
    }
}

/// First and last event time of a file's rows, µs since 1970 UTC, as the file's tag has them.
pub(crate) fn event_times(table: &Table, add: &Add, seal: Option<&TagSeal>) -> Option<(i64, i64)> {
    let text = tag(add, STATS_TAG)?;
    // A sealed file's tag counts only if it is sealed: whoever can write it knew the key.
    let stats = match is_sealed(add) {
        true => seal?.open(table.name, &add.path, text)?,
        false => FileStats::from_clear(text)?,
    };
    stats.first_event_time.zip(stats.last_event_time)
}

fn aad(table: &str, path: &str) -> Aad<String> {
    Aad::from(format!("{table}/{path}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ring::rand::SystemRandom;

    use super::*;

    fn seal(byte: u8) -> TagSeal {
        TagSeal::new(|_| Ok(Some(SecretKey::new(vec![byte; KEY_BYTES])))).unwrap().unwrap()
    }

    #[test]
    fn a_tag_opens_only_where_it_was_made() {
        let random: Random = Arc::new(SystemRandom::new());
        let stats =
            FileStats { format: FORMAT, rows: 7, devices: 2, first_event_time: Some(-5), last_event_time: Some(9) };
        let tag = seal(1).seal("readings", "a.parquet", &stats, &random).unwrap();
        assert_eq!(seal(1).open("readings", "a.parquet", &tag), Some(stats));
        assert!(!tag.contains("rows"), "{tag}");

        assert_eq!(seal(2).open("readings", "a.parquet", &tag), None, "another keyring");
        assert_eq!(seal(1).open("readings", "b.parquet", &tag), None, "another file");
        assert_eq!(seal(1).open("scores", "a.parquet", &tag), None, "another table");
        assert_eq!(seal(1).open("readings", "a.parquet", &stats.in_clear()), None, "a tag in clear");
        let mut bytes = STANDARD.decode(&tag).unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(seal(1).open("readings", "a.parquet", &STANDARD.encode(&bytes[..cut])), None, "cut at {cut}");
        }
        bytes[0] = FORMAT + 1;
        assert_eq!(seal(1).open("readings", "a.parquet", &STANDARD.encode(&bytes)), None, "a later release");
    }

    #[test]
    fn a_clear_tag_of_a_later_release_tells_nothing() {
        let stats = FileStats { format: FORMAT, rows: 7, devices: 2, first_event_time: None, last_event_time: None };
        assert_eq!(FileStats::from_clear(&stats.in_clear()), Some(stats));
        let later = FileStats { format: FORMAT + 1, ..stats };
        assert_eq!(FileStats::from_clear(&later.in_clear()), None);
        assert_eq!(FileStats::from_clear("{}"), None);
    }
}
