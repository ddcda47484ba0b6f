//! What a commit says of a file's content: rows, devices, first and last event time, rows a day.
//!
//! Minima and maxima of encrypted columns must not lie in the plain Delta log, so they travel in a tag of the Add
//! action that is sealed (AES-256-GCM) under a secret of the keyring and bound to its table and path. A file in clear
//! has a tag in clear. What everyone may know, and other engines skip files by, are the row count and the UTC days of the
//! first and last event time: Delta's own statistics name the bounds of those days, marked as not tight. A tag that is
//! missing or does not open leaves these.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use arrow::{
    array::{ArrayRef, AsArray as _, RecordBatch, TimestampMicrosecondArray},
    compute::{max, min},
    datatypes::Int32Type,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat};
use forebay_schemas::table::{TIME_COLUMNS, Table};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

use crate::{
    Add,
    file::tags::{is_sealed, tag},
    keys::{KeyError, KeyProvider, Random, SecretKey, random_bytes},
};

/// Tag of an Add action: [`FileStats`], sealed or in clear.
pub(crate) const STATS_TAG: &str = "forebay.stats";

/// The keyring's secret that seals the tags; it never rotates.
const TAG_SECRET: &str = "forebay.tags";

/// Version of the tag's layout, inside and outside the seal (E13).
const FORMAT: u8 = 2;

/// µs of a day.
pub(crate) const MICROS_PER_DAY: i64 = 86_400_000_000;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Rows of each UTC day: the first of so many days, counted from 1970-01-01, that have so many rows each.
    days: Vec<(i32, i32, u64)>,
    /// The column of its event times; empty where there is none, and in one that was read from a tag.
    #[serde(skip)]
    column: &'static str,
}

/// What the rows of a file that is being written hold, batch by batch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rows: u64,
    devices: HashSet<String>,
    /// First and last event time.
    times: Option<(i64, i64)>,
    days: BTreeMap<i64, u64>,
    /// The column of those times.
    column: Option<&'static str>,
}

impl Tally {
    pub(crate) fn add(&mut self, rows: &RecordBatch) {
        self.rows += rows.num_rows() as u64;
        if let Some(devices) = rows.column_by_name("device") {
            self.add_devices(devices);
        }
        if let Some((column, times)) = timed_by(rows) {
            self.column = Some(column);
            let here = min(times).zip(max(times));
            self.add_days(times.values(), here);
            self.times = match (self.times, here) {
                (Some((first, last)), Some((earliest, latest))) => {
                    Some((first.min(earliest), last.max(latest)))
                }
                (known, here) => known.or(here),
            };
        }
    }

    /// Counts times by their days; `bounds` are the first and the last.
    fn add_days(&mut self, times: &[i64], bounds: Option<(i64, i64)>) {
        let Some((first, last)) = bounds else { return };
        if day_of(first) == day_of(last) {
            *self.days.entry(day_of(first)).or_default() += times.len() as u64;
            return;
        }
        for day in times.chunk_by(|a, b| day_of(*a) == day_of(*b)) {
            *self.days.entry(day_of(day[0])).or_default() += day.len() as u64;
        }
    }

    fn add_devices(&mut self, devices: &ArrayRef) {
        // Equal ones mostly stand together.
        if let Some(names) = devices.as_string_opt::<i32>() {
            let mut before = None;
            for name in names
                .iter()
                .flatten()
                .filter(|name| before.replace(*name) != Some(*name))
            {
                self.add_device(name);
            }
        } else if let Some(coded) = devices.as_dictionary_opt::<Int32Type>()
            && let Some(names) = coded.values().as_string_opt::<i32>()
        {
            let mut before = None;
            for key in coded
                .keys()
                .iter()
                .flatten()
                .filter(|key| before.replace(*key) != Some(*key))
            {
                self.add_device(names.value(key as usize));
            }
        }
    }

    fn add_device(&mut self, name: &str) {
        if !self.devices.contains(name) {
            self.devices.insert(name.to_owned());
        }
    }

    pub(crate) fn stats(&self) -> FileStats {
        FileStats {
            format: FORMAT,
            rows: self.rows,
            devices: self.devices.len() as u64,
            first_event_time: self.times.map(|(first, _)| first),
            last_event_time: self.times.map(|(_, last)| last),
            days: runs(&self.days),
            column: self.column.unwrap_or_default(),
        }
    }
}

/// The times by which rows are laid out, and the name of their column; `None` in a table without event times.
fn timed_by(rows: &RecordBatch) -> Option<(&'static str, &TimestampMicrosecondArray)> {
    TIME_COLUMNS.into_iter().find_map(|name| {
        let column = rows.column_by_name(name)?;
        Some((name, column.as_primitive_opt()?))
    })
}

/// The times by which rows are laid out.
pub(crate) fn times_of(rows: &RecordBatch) -> Option<&TimestampMicrosecondArray> {
    timed_by(rows).map(|(_, times)| times)
}

/// From the first event time of rows to the last, µs; 0 where there are none.
pub(crate) fn span(rows: &RecordBatch) -> i64 {
    times_of(rows)
        .and_then(|times| min(times).zip(max(times)))
        .map_or(0, |(first, last)| last.saturating_sub(first))
}

/// The UTC day of a time in µs.
fn day_of(micros: i64) -> i64 {
    micros.div_euclid(MICROS_PER_DAY)
}

/// Days with equally many rows that follow one another, told once.
fn runs(days: &BTreeMap<i64, u64>) -> Vec<(i32, i32, u64)> {
    let mut runs: Vec<(i32, i32, u64)> = Vec::new();
    for (day, rows) in days {
        let Ok(day) = i32::try_from(*day) else {
            continue;
        };
        match runs.last_mut() {
            Some((first, count, each))
                if first.checked_add(*count) == Some(day) && each == rows =>
            {
                *count += 1
            }
            _ => runs.push((day, 1, *rows)),
        }
    }
    runs
}

/// Delta's statistics of a file, as far as they are for everyone.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicStats {
    num_records: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_values: Option<ByColumn<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_values: Option<ByColumn<String>>,
    /// Without it Spark skips nothing by the bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    null_count: Option<ByColumn<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tight_bounds: Option<bool>,
}

/// What Delta's statistics say of a column; ours speak of the time column alone.
type ByColumn<T> = BTreeMap<String, T>;

impl FileStats {
    /// Rows of each UTC day, counted from 1970-01-01.
    pub fn days(&self) -> impl Iterator<Item = (i32, u64)> {
        self.days.iter().flat_map(|(first, count, rows)| {
            (0..*count).map(|day| (first.saturating_add(day), *rows))
        })
    }

    /// As Delta's statistics: the row count, and the bounds of the days that the event times lie in.
    pub(crate) fn for_everyone(&self) -> String {
        let text = |micros: i64| {
            let time = DateTime::from_timestamp_micros(micros)?;
            let bound = time.to_rfc3339_opts(SecondsFormat::Micros, true);
            Some(ByColumn::from([(self.column.to_owned(), bound)]))
        };
        let first = self
            .first_event_time
            .and_then(|first| text(day_of(first) * MICROS_PER_DAY));
        let last = self
            .last_event_time
            .and_then(|last| text((day_of(last) + 1) * MICROS_PER_DAY - 1));
        let bounds = first.zip(last);
        let tight_bounds = bounds.is_some().then_some(false);
        let none = || ByColumn::from([(self.column.to_owned(), 0)]);
        let null_count = bounds.is_some().then(none);
        let (min_values, max_values) = bounds.unzip();
        let stats = PublicStats {
            num_records: self.rows,
            min_values,
            max_values,
            null_count,
            tight_bounds,
        };
        serde_json::to_string(&stats).unwrap_or_default()
    }

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
    /// The seal under a provider's secret.
    ///
    /// # Errors
    /// The provider's.
    pub(crate) async fn of(keys: &dyn KeyProvider) -> Result<Self, KeyError> {
        Self::new(&keys.secret(TAG_SECRET).await?)
    }

    fn new(secret: &SecretKey) -> Result<Self, KeyError> {
        let key =
            UnboundKey::new(&AES_256_GCM, secret.expose()).map_err(|_| KeyError::KeyLength {
                id: TAG_SECRET.to_owned(),
                bytes: secret.expose().len(),
            })?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// A tag of the file at `path` of `table`.
    pub(crate) fn seal(
        &self,
        table: &str,
        path: &str,
        stats: &FileStats,
        random: &Random,
    ) -> Result<String, KeyError> {
        let nonce = random_bytes::<NONCE_LEN>(random)?;
        let mut sealed = stats.in_clear().into_bytes();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                aad(table, path),
                &mut sealed,
            )
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
        (*format == FORMAT)
            .then(|| FileStats::from_clear(std::str::from_utf8(plain).ok()?))
            .flatten()
    }
}

/// What a file's tag says.
pub(crate) fn stats_of(table: &Table, add: &Add, seal: &TagSeal) -> Option<FileStats> {
    let text = tag(add, STATS_TAG)?;
    // A sealed file's tag counts only if it is sealed: whoever can write it knew the key.
    if is_sealed(add) {
        seal.open(table.name, &add.path, text)
    } else {
        FileStats::from_clear(text)
    }
}

/// First and last event time of a file's rows, µs since 1970 UTC, as the file's tag has them; without one, the bounds of
/// the days that they lie in.
pub(crate) fn event_times(table: &Table, add: &Add, seal: &TagSeal) -> Option<(i64, i64)> {
    let exact = stats_of(table, add, seal)
        .and_then(|stats| stats.first_event_time.zip(stats.last_event_time));
    exact.or_else(|| day_bounds(add))
}

/// The bounds of the UTC days in which a file's event times lie, µs since 1970, as everyone may know them.
pub(crate) fn day_bounds(add: &Add) -> Option<(i64, i64)> {
    let stats: PublicStats = serde_json::from_str(add.stats.as_deref()?).ok()?;
    let micros = |bound: Option<ByColumn<String>>| {
        let bound = bound?;
        let text = TIME_COLUMNS.iter().find_map(|column| bound.get(*column))?;
        let time = DateTime::parse_from_rfc3339(text).ok()?;
        Some(time.timestamp_micros())
    };
    micros(stats.min_values).zip(micros(stats.max_values))
}

fn aad(table: &str, path: &str) -> Aad<String> {
    Aad::from(format!("{table}/{path}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ring::rand::SystemRandom;

    use super::*;
    use crate::keys::KEY_BYTES;

    fn seal(byte: u8) -> TagSeal {
        TagSeal::new(&SecretKey::new(vec![byte; KEY_BYTES])).unwrap()
    }

    #[test]
    fn a_tag_opens_only_where_it_was_made() {
        let random: Random = Arc::new(SystemRandom::new());
        let stats = FileStats {
            format: FORMAT,
            rows: 7,
            devices: 2,
            first_event_time: Some(-5),
            last_event_time: Some(9),
            days: vec![(-1, 1, 3), (0, 1, 4)],
            column: "",
        };
        let tag = seal(1)
            .seal("readings", "a.parquet", &stats, &random)
            .unwrap();
        assert_eq!(
            seal(1).open("readings", "a.parquet", &tag).as_ref(),
            Some(&stats)
        );
        assert!(!tag.contains("rows"), "{tag}");

        assert_eq!(
            seal(2).open("readings", "a.parquet", &tag),
            None,
            "another keyring"
        );
        assert_eq!(
            seal(1).open("readings", "b.parquet", &tag),
            None,
            "another file"
        );
        assert_eq!(
            seal(1).open("scores", "a.parquet", &tag),
            None,
            "another table"
        );
        assert_eq!(
            seal(1).open("readings", "a.parquet", &stats.in_clear()),
            None,
            "a tag in clear"
        );
        let mut bytes = STANDARD.decode(&tag).unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(
                seal(1).open("readings", "a.parquet", &STANDARD.encode(&bytes[..cut])),
                None,
                "cut at {cut}"
            );
        }
        bytes[0] = FORMAT + 1;
        assert_eq!(
            seal(1).open("readings", "a.parquet", &STANDARD.encode(&bytes)),
            None,
            "a later release"
        );
    }

    #[test]
    fn a_clear_tag_of_a_later_release_tells_nothing() {
        let (first_event_time, last_event_time) = (None, None);
        let stats = FileStats {
            format: FORMAT,
            rows: 7,
            devices: 2,
            first_event_time,
            last_event_time,
            days: vec![],
            column: "",
        };
        assert_eq!(
            FileStats::from_clear(&stats.in_clear()).as_ref(),
            Some(&stats)
        );
        let later = FileStats {
            format: FORMAT + 1,
            ..stats
        };
        assert_eq!(FileStats::from_clear(&later.in_clear()), None);
        assert_eq!(FileStats::from_clear("{}"), None);
    }

    /// What stands in the log in clear is what a partition by date would show, and nothing nearer.
    #[test]
    fn everyone_learns_the_days_of_a_files_times_and_no_more() {
        use arrow::{
            array::{ArrayRef, TimestampMicrosecondArray},
            record_batch::RecordBatch,
        };

        let noon = 1_714_564_800_000_000;
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values([
            noon,
            noon + 7,
            noon + MICROS_PER_DAY,
        ]));
        let mut tally = Tally::default();
        tally.add(&RecordBatch::try_from_iter([("event_time", times)]).unwrap());
        let stats = tally.stats();
        assert_eq!(stats.days().collect::<Vec<_>>(), [(19_844, 2), (19_845, 1)]);
        let text = stats.for_everyone();
        assert_eq!(
            text,
            r#"{"numRecords":3,"minValues":{"event_time":"2024-05-01T00:00:00.000000Z"},"maxValues":{"event_time":"2024-05-02T23:59:59.999999Z"},"nullCount":{"event_time":0},"tightBounds":false}"#
        );
        let add = Add {
            stats: Some(text),
            ..Add::default()
        };
        let midnight = noon - MICROS_PER_DAY / 2;
        assert_eq!(
            day_bounds(&add),
            Some((midnight, midnight + 2 * MICROS_PER_DAY - 1))
        );
        assert_eq!(
            day_bounds(&Add {
                stats: Some("{\"numRecords\":3}".into()),
                ..Add::default()
            }),
            None
        );
    }
}
