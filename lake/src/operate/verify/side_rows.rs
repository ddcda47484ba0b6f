//! Whether `gaps` and `quarantine` have the rows that the states of streams rely on (E9): both are written before the commit
//! of `readings` that passes over these seqs.

use std::collections::{BTreeMap, BTreeSet};

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{Int32Type, Int64Type},
};
use forebay_schemas::table::{GAPS, QUARANTINE, WINDOWS};

use super::{EpochKey, Fault, Report, account::Accounts, seqs::SeqSet, window_rows::WindowRows};
use crate::{table::LakeTable, table::state::SEQ_UNKNOWN};

/// What the rows of one of the tables name; nothing for other tables.
#[derive(Debug, Default)]
pub(super) struct SideRows {
    /// First and last seqs of the gaps of an epoch.
    gaps: BTreeMap<EpochKey, BTreeSet<(u64, u64)>>,
    /// Seqs in quarantine, by gateway, lane and epoch as one text.
    quarantined: BTreeMap<String, SeqSet>,
    windows: WindowRows,
}

/// Adds the offsets of rows of `quarantine`, by their source: gateway, lane and epoch of a reading, whose offset is its seq, or
/// the place of a record.
pub(crate) fn collect_quarantined(rows: &RecordBatch, quarantined: &mut BTreeMap<String, SeqSet>) {
    let source = rows
        .column_by_name("source")
        .and_then(|column| column.as_string_opt::<i32>());
    let offset = rows
        .column_by_name("offset")
        .and_then(|column| column.as_primitive_opt::<Int64Type>());
    let (Some(source), Some(offset)) = (source, offset) else {
        return;
    };
    for row in 0..rows.num_rows() {
        let at = offset.value(row).cast_unsigned();
        quarantined
            .entry(source.value(row).to_owned())
            .or_default()
            .add_range(at, at);
    }
}

impl SideRows {
    pub(super) fn collect(&mut self, table: &LakeTable, rows: &RecordBatch) {
        match table.schema().name {
            name if name == GAPS.name => self.collect_gaps(rows),
            name if name == QUARANTINE.name => collect_quarantined(rows, &mut self.quarantined),
            name if name == WINDOWS.name => self.windows.collect(rows),
            _ => {}
        }
    }

    fn collect_gaps(&mut self, rows: &RecordBatch) {
        let long = |name: &str| rows.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let gateway = rows
            .column_by_name("gateway")
            .and_then(|column| column.as_string_opt::<i32>());
        let lane = rows
            .column_by_name("lane")
            .and_then(|column| column.as_primitive_opt::<Int32Type>());
        let (Some(gateway), Some(lane), Some(epoch)) = (gateway, lane, long("epoch")) else {
            return;
        };
        let (Some(first), Some(last)) = (long("first_seq"), long("last_seq")) else {
            return;
        };
        for row in 0..rows.num_rows() {
            let lane = lane.value(row).cast_unsigned();
            let key = (
                gateway.value(row).to_owned(),
                lane,
                epoch.value(row).cast_unsigned(),
            );
            // Null stands where nobody knows how far the gap reaches.
            let last = if last.is_null(row) {
                SEQ_UNKNOWN
            } else {
                last.value(row).cast_unsigned()
            };
            let seqs = (first.value(row).cast_unsigned(), last);
            self.gaps.entry(key).or_default().insert(seqs);
        }
    }

    /// Reports the rows that are not there.
    pub(super) fn check(
        &self,
        table: &LakeTable,
        accounts: &Accounts,
        readings: &BTreeMap<EpochKey, SeqSet>,
        report: &mut Report,
    ) {
        self.windows.check(report);
        let table = table.schema().name;
        for (epoch, account) in &accounts.epochs {
            let missing = match table {
                name if name == GAPS.name => {
                    let rows = self.gaps.get(epoch);
                    account
                        .gaps
                        .iter()
                        .filter(|gap| rows.is_none_or(|rows| !rows.contains(*gap)))
                        .count() as u64
                }
                name if name == QUARANTINE.name => {
                    let (gateway, lane, number) = epoch;
                    let rows = self.quarantined.get(&format!("{gateway}/{lane}/{number}"));
                    // A reading that was quarantined once and taken later is no longer counted as quarantined.
                    let only_here =
                        rows.map_or(0, |rows| alone(rows, readings.get(epoch), account.mark));
                    account.quarantined.saturating_sub(only_here)
                }
                _ => 0,
            };
            if missing > 0 {
                report.faults.insert(Fault::RowsMissing {
                    table,
                    epoch: epoch.clone(),
                    count: missing,
                });
            }
        }
    }
}

/// How many of the rows' seqs up to the mark are not among the readings.
fn alone(rows: &SeqSet, readings: Option<&SeqSet>, mark: u64) -> u64 {
    let ranges = rows
        .ranges()
        .filter(|(first, _)| *first <= mark)
        .map(|(first, last)| (first, last.min(mark)));
    ranges
        .map(|(first, last)| {
            last - first + 1 - readings.map_or(0, |found| found.len_within(first, last))
        })
        .sum()
}
