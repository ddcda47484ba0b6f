//! Whether roll-ups are of the readings that are there: for each site and UTC day both must count the same.
//!
//! Only days are held against each other of which all is known to be rolled up: the site's windows keep this roll-up, all
//! readings of the day are in windows that are closed, the watermark has gone on beyond the day, and retention has deleted
//! nothing of it. What changes while `verify` reads says nothing: a roll-up that was written meanwhile is not compared.

use std::collections::BTreeMap;

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{Float64Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType},
};
use chrono::DateTime;
use forebay_schemas::table::{READINGS_1H, READINGS_1M, WINDOWS};
use serde::Deserialize;

use super::{Fault, expired_states};
use crate::{
    Add, LakeError, StateKeeper,
    file::stats::{MICROS_PER_DAY, times_of},
    table::LakeTable,
};

/// Quality of a bad reading.
const BAD: i16 = 2;

/// What is found of the readings of a day.
#[derive(Debug, Default, Clone, Copy)]
struct DayCount {
    /// All of them.
    rows: u64,
    /// Numbers of good and uncertain quality, and bad readings.
    rolled_up: u64,
}

/// By site, then by UTC day counted from 1970.
type Days<T> = BTreeMap<String, BTreeMap<i64, T>>;

/// The row of a window with the highest revision.
#[derive(Debug, Default, Clone, Copy)]
struct Closed {
    revision: i32,
    rows: u64,
}

/// The windows of a site.
#[derive(Debug, Default)]
struct Windows {
    /// By their start, µs since 1970 UTC.
    closed: BTreeMap<i64, Closed>,
    /// Windows that ended before this time were all looked at.
    over: i64,
}

/// What the tables say of roll-ups.
#[derive(Debug, Default)]
pub(super) struct Rollups {
    readings: Days<DayCount>,
    windows: BTreeMap<String, Windows>,
    /// By table: readings that the rows are of.
    rolled_up: BTreeMap<&'static str, Days<u64>>,
    /// By table: the version that it had before anything was read.
    versions: BTreeMap<&'static str, u64>,
    /// By table and site: before which time rows may have been deleted; sites whose windows do not keep it are not here.
    kept: BTreeMap<&'static str, BTreeMap<String, i64>>,
}

/// What the state of a site's windows says of roll-ups.
#[derive(Deserialize)]
struct Levels {
    #[serde(default)]
    rollups: Vec<String>,
}

impl Rollups {
    /// Notes what the roll-ups' versions are before anything is read.
    pub(super) async fn before(
        tables: &[LakeTable],
    ) -> Result<BTreeMap<&'static str, u64>, LakeError> {
        let mut versions = BTreeMap::new();
        for table in tables.iter().filter(|table| is_rollup(table)) {
            versions.insert(table.schema().name, table.snapshot().await?.version());
        }
        Ok(versions)
    }

    pub(super) fn starting_at(&mut self, versions: BTreeMap<&'static str, u64>) {
        self.versions = versions;
    }

    /// Counts rows of `readings`.
    pub(super) fn collect_readings(&mut self, add: &Add, rows: &RecordBatch) {
        let value = rows
            .column_by_name("value")
            .and_then(|column| column.as_primitive_opt::<Float64Type>());
        let quality = rows
            .column_by_name("quality")
            .and_then(|column| column.as_primitive_opt::<Int16Type>());
        let (Some(site), Some(times)) = (site_of(add), times_of(rows)) else {
            return;
        };
        let Some((value, quality)) = value.zip(quality) else {
            return;
        };
        let days = self.readings.entry(site.to_owned()).or_default();
        let mut run: Option<(i64, DayCount)> = None;
        for row in 0..rows.num_rows() {
            let day = times.value(row).div_euclid(MICROS_PER_DAY);
            let counts = quality.value(row) == BAD || value.is_valid(row);
            if run.is_some_and(|(of, _)| of != day) {
                add_day(days, run.take());
            }
            let (_, count) = run.get_or_insert((day, DayCount::default()));
            count.rows += 1;
            count.rolled_up += u64::from(counts);
        }
        add_day(days, run);
    }

    /// Collects what `windows` and the roll-ups say; nothing of other tables.
    pub(super) fn collect_side(&mut self, table: &LakeTable, add: &Add, rows: &RecordBatch) {
        if table.schema().name == WINDOWS.name {
            self.collect_windows(rows);
        } else if is_rollup(table) {
            self.collect_rollup(table.schema().name, add, rows);
        }
    }

    fn collect_windows(&mut self, rows: &RecordBatch) {
        let time = |name: &str| {
            rows.column_by_name(name)?
                .as_primitive_opt::<TimestampMicrosecondType>()
        };
        let site = rows
            .column_by_name("site")
            .and_then(|column| column.as_string_opt::<i32>());
        let revision = rows
            .column_by_name("revision")
            .and_then(|column| column.as_primitive_opt::<Int32Type>());
        let counts = rows
            .column_by_name("rows")
            .and_then(|column| column.as_primitive_opt::<Int64Type>());
        let (Some(site), Some(revision), Some(counts)) = (site, revision, counts) else {
            return;
        };
        let (Some(start), Some(end), Some(watermark)) =
            (time("window_start"), time("window_end"), time("watermark"))
        else {
            return;
        };
        for row in 0..rows.num_rows() {
            let windows = self.windows.entry(site.value(row).to_owned()).or_default();
            let length = end.value(row).saturating_sub(start.value(row));
            let over = watermark.value(row).saturating_sub(length);
            windows.over = windows.over.max(over);
            let known = windows.closed.entry(start.value(row)).or_default();
            if revision.value(row) > known.revision {
                *known = Closed {
                    revision: revision.value(row),
                    rows: counts.value(row).unsigned_abs(),
                };
            }
        }
    }

    fn collect_rollup(&mut self, table: &'static str, add: &Add, rows: &RecordBatch) {
        let long = |name: &str| rows.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let (Some(site), Some(times)) = (site_of(add), times_of(rows)) else {
            return;
        };
        let (Some(count), Some(bad)) = (long("count"), long("count_bad")) else {
            return;
        };
        let days = self.rolled_up.entry(table).or_default();
        let days = days.entry(site.to_owned()).or_default();
        for row in 0..rows.num_rows() {
            let day = times.value(row).div_euclid(MICROS_PER_DAY);
            let readings = count.value(row).saturating_add(bad.value(row));
            *days.entry(day).or_default() += readings.unsigned_abs();
        }
    }

    /// Adds what another table says.
    pub(super) fn extend(&mut self, other: Self) {
        // Each kind comes from one table, so that nothing is there twice.
        self.windows.extend(other.windows);
        self.rolled_up.extend(other.rolled_up);
    }

    /// Notes which sites keep which roll-ups, once these tables have been read.
    pub(super) async fn note_kept(
        &mut self,
        table: &LakeTable,
        keeper: &StateKeeper,
    ) -> Result<(), LakeError> {
        let name = table.schema().name;
        if name == WINDOWS.name {
            return self.note_levels(table, keeper).await;
        }
        if !is_rollup(table) {
            return Ok(());
        }
        let snapshot = table.snapshot().await?;
        if self.versions.get(name) != Some(&snapshot.version()) {
            tracing::info!(table = name, "it was written meanwhile and is not compared");
            self.kept.remove(name);
            return Ok(());
        }
        let Some(kept) = self.kept.get_mut(name) else {
            return Ok(());
        };
        for found in expired_states(keeper, table, &snapshot).await? {
            match found.state {
                Ok(state) => {
                    if let Some(before) = kept.get_mut(&state.site) {
                        *before = state.before.max(*before);
                    }
                }
                // Which site it is of stands in it.
                Err(_) => kept.clear(),
            }
        }
        Ok(())
    }

    async fn note_levels(
        &mut self,
        windows: &LakeTable,
        keeper: &StateKeeper,
    ) -> Result<(), LakeError> {
        let snapshot = windows.snapshot().await?;
        for site in self.readings.keys() {
            let app_id = keeper.app_id(&format!("windows/{site}"), 0);
            let Some(number) = snapshot.state_of(&app_id).await? else {
                continue;
            };
            // One that cannot be read says nothing; whose it is makes it again.
            let Ok(levels) = keeper.load::<Levels>(windows, &app_id, number).await else {
                continue;
            };
            for table in [&READINGS_1M, &READINGS_1H] {
                if levels.rollups.iter().any(|level| level == table.name) {
                    let sites = self.kept.entry(table.name).or_default();
                    sites.insert(site.clone(), i64::MIN);
                }
            }
        }
        Ok(())
    }

    /// What is wrong; `expired` is before which time readings of a site may have been deleted.
    pub(super) fn faults(&self, expired: &BTreeMap<String, i64>) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (table, sites) in &self.kept {
            for (site, before) in sites {
                let before = expired
                    .get(site)
                    .map_or(*before, |other| (*before).max(*other));
                faults.extend(self.of_site(table, site, before));
            }
        }
        faults
    }

    fn of_site(&self, table: &'static str, site: &str, before: i64) -> Option<Fault> {
        let (readings, windows) = (self.readings.get(site)?, self.windows.get(site)?);
        let rolled_up = self.rolled_up.get(table).and_then(|sites| sites.get(site));
        let is_held = |day: i64, of_day: &DayCount| {
            let (from, to) = (day * MICROS_PER_DAY, (day + 1) * MICROS_PER_DAY);
            let closed = windows
                .closed
                .range(from..to)
                .map(|(_, window)| window.rows);
            from >= before && to <= windows.over && closed.sum::<u64>() == of_day.rows
        };
        let found = |day: &i64| {
            rolled_up
                .and_then(|days| days.get(day))
                .copied()
                .unwrap_or(0)
        };
        let mut wrong = readings
            .iter()
            .filter(|(day, of_day)| is_held(**day, of_day))
            .filter(|(day, of_day)| found(day) != of_day.rolled_up);
        let (first, of_first) = wrong.next()?;
        Some(Fault::RollupDiffers {
            table,
            site: site.to_owned(),
            day: date(*first),
            found: found(first),
            expected: of_first.rolled_up,
            days: 1 + wrong.count() as u64,
        })
    }
}

fn is_rollup(table: &LakeTable) -> bool {
    [READINGS_1M.name, READINGS_1H.name].contains(&table.schema().name)
}

fn site_of(add: &Add) -> Option<&str> {
    add.partition_values.get("site")?.as_deref()
}

fn add_day(days: &mut BTreeMap<i64, DayCount>, of_day: Option<(i64, DayCount)>) {
    if let Some((day, count)) = of_day {
        let sum = days.entry(day).or_default();
        sum.rows += count.rows;
        sum.rolled_up += count.rolled_up;
    }
}

fn date(day: i64) -> String {
    let time = DateTime::from_timestamp_micros(day.saturating_mul(MICROS_PER_DAY));
    time.map_or_else(|| day.to_string(), |time| time.date_naive().to_string())
}
