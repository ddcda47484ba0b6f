//! What the tables hold of a site: readings a day, readings a window and device, windows that have a row.

use std::collections::BTreeMap;

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::Int64Type,
};
use datafusion::{execution::SendableRecordBatchStream, prelude::SessionContext};
use forebay_lake::{Add, LakeWriter, session};
use forebay_schemas::{
    Timestamp,
    table::{READINGS, WINDOWS},
};

use super::{stretches::Stretch, wrong};
use crate::CompactorError;

pub(super) const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Readings of each UTC day, counted from 1970-01-01.
pub(crate) type Days = BTreeMap<i32, i64>;

/// Readings of one device in one window.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeviceCount {
    pub(super) rows: i64,
    /// Those of good quality.
    pub(super) good: i64,
}

/// By the window's start, µs since 1970 UTC, and device.
pub(super) type Counts = BTreeMap<i64, BTreeMap<String, DeviceCount>>;

/// The row with the highest revision that a window has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) revision: i32,
    pub(super) rows: i64,
    /// µs since 1970 UTC.
    pub(super) closed_at: i64,
}

pub(super) fn day_of(micros: i64) -> i32 {
    Timestamp::from_micros(micros).map_or(0, Timestamp::day)
}

pub(super) fn day_start(day: i32) -> i64 {
    i64::from(day) * MICROS_PER_DAY
}

/// The files of `readings` that a site has.
pub(super) fn files_of<'a>(readings: &'a [Add], site: &str) -> Vec<&'a Add> {
    let value = |add: &'a Add, column: &str| add.partition_values.get(column)?.as_deref();
    readings
        .iter()
        .filter(|add| value(add, "site") == Some(site))
        .collect()
}

/// How many readings of each day the files hold: their commits say it, no file is opened. All those of a file that does not
/// say it count for one day: what matters is that the number changes when the file does.
pub(super) fn days(lake: &LakeWriter, files: &[&Add]) -> Days {
    let mut days = Days::new();
    for add in files {
        match lake.stats(&READINGS, add) {
            Some(stats) => stats
                .days()
                .for_each(|(day, rows)| *days.entry(day).or_default() += rows.cast_signed()),
            None => {
                let first = lake
                    .event_times(&READINGS, add)
                    .map_or(0, |(first, _)| first);
                let rows = add
                    .stats
                    .as_deref()
                    .and_then(|stats| serde_json::from_str::<serde_json::Value>(stats).ok());
                *days.entry(day_of(first)).or_default() += rows
                    .and_then(|stats| stats.get("numRecords")?.as_i64())
                    .unwrap_or(0);
            }
        }
    }
    days
}

/// `readings` and `windows` as they are at one look.
pub(crate) struct Tables {
    session: SessionContext,
}

impl Tables {
    pub(crate) async fn open(lake: &LakeWriter) -> Result<Self, CompactorError> {
        let mut tables = Vec::new();
        for table in [&READINGS, &WINDOWS] {
            tables.push(lake.table(table).map_err(wrong)?.clone());
        }
        Ok(Self {
            session: session(&tables, &lake.decrypter()).await.map_err(wrong)?,
        })
    }

    /// Readings a window and device, of windows that begin within `[from, to)` µs.
    pub(super) async fn counts(
        &self,
        site: &str,
        (from, to): Stretch,
        window: i64,
    ) -> Result<Counts, CompactorError> {
        let sql = format!(
            "select cast(event_time as bigint) / {window} * {window} as start, arrow_cast(device, 'Utf8') as device, \
             count(*) as rows, sum(case when quality = 0 then 1 else 0 end) as good from readings \
             where site = {} and event_time >= {} and event_time < {} group by 1, 2",
            text(site),
            time(from),
            time(to)
        );
        let mut counts = Counts::new();
        for rows in self.query(&sql).await? {
            let device = rows.column(1).as_string::<i32>();
            for row in 0..rows.num_rows() {
                let count = DeviceCount {
                    rows: long(&rows, 2, row),
                    good: long(&rows, 3, row),
                };
                counts
                    .entry(long(&rows, 0, row))
                    .or_default()
                    .insert(device.value(row).to_owned(), count);
            }
        }
        Ok(counts)
    }

    /// The rows of windows that begin within one of these stretches, which are in order.
    pub(super) async fn known(
        &self,
        site: &str,
        within: &[Stretch],
    ) -> Result<BTreeMap<i64, Known>, CompactorError> {
        let mut known: BTreeMap<i64, Known> = BTreeMap::new();
        let (Some((from, _)), Some((_, to))) = (within.first(), within.last()) else {
            return Ok(known);
        };
        let sql = format!(
            "select cast(window_start as bigint), cast(revision as bigint), rows, cast(closed_at as bigint) from windows \
             where site = {} and window_start >= {} and window_start < {}",
            text(site),
            time(*from),
            time(*to)
        );
        for rows in self.query(&sql).await? {
            for row in 0..rows.num_rows() {
                let start = long(&rows, 0, row);
                let at = within.partition_point(|(_, to)| *to <= start);
                if within.get(at).is_none_or(|(from, _)| start < *from) {
                    continue;
                }
                let found = Known {
                    revision: i32::try_from(long(&rows, 1, row)).unwrap_or(i32::MAX),
                    rows: long(&rows, 2, row),
                    closed_at: long(&rows, 3, row),
                };
                let latest = known.entry(start).or_insert(found);
                if found.revision > latest.revision {
                    *latest = found;
                }
            }
        }
        Ok(known)
    }

    /// Readings of a stretch of event time: device, tag, event time (µs), value, quality, unit, epoch, seq; in no order.
    pub(crate) async fn numbers(
        &self,
        site: &str,
        (from, to): Stretch,
    ) -> Result<SendableRecordBatchStream, CompactorError> {
        let sql = format!(
            "select arrow_cast(device, 'Utf8'), arrow_cast(tag, 'Utf8'), cast(event_time as bigint), value, \
             cast(quality as bigint), arrow_cast(unit, 'Utf8'), epoch, seq from readings \
             where site = {} and event_time >= {} and event_time < {}",
            text(site),
            time(from),
            time(to)
        );
        let failed = |source| CompactorError::Query {
            source: Box::new(source),
        };
        let query = self.session.sql(&sql).await.map_err(failed)?;
        query.execute_stream().await.map_err(failed)
    }

    async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>, CompactorError> {
        let failed = |source| CompactorError::Query {
            source: Box::new(source),
        };
        self.session
            .sql(sql)
            .await
            .map_err(failed)?
            .collect()
            .await
            .map_err(failed)
    }
}

fn long(rows: &RecordBatch, column: usize, row: usize) -> i64 {
    rows.column(column).as_primitive::<Int64Type>().value(row)
}

/// A text as a literal of SQL.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A time as a constant of SQL, so that files of other days are left out.
fn time(micros: i64) -> String {
    format!("arrow_cast({micros}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}
