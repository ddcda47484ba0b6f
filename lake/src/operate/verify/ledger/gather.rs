//! What the rows of `readings`, `quarantine` and `gaps` say of the lanes whose ledgers are at hand.

use std::collections::BTreeMap;

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{Int32Type, Int64Type, TimestampMicrosecondType},
};
use forebay_schemas::{
    Lane, Seq,
    ledger::Census,
    table::{GAPS, QUARANTINE},
    wire::ReadingBatch,
};

use super::{LaneRows, Ledgers};
use crate::{
    GapState,
    operate::verify::{EpochKey, seqs::SeqSet},
    table::LakeTable,
};

const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// Readings that follow each other and are counted together.
struct Run<'a> {
    place: usize,
    device: &'a str,
    hour: i32,
    count: u64,
}

impl Ledgers<'_> {
    /// Counts rows of `readings` that a ledger covers.
    pub(in crate::operate::verify) fn collect_readings(
        &self,
        rows: &RecordBatch,
        found: &mut LaneRows,
    ) {
        let text = |name: &str| rows.column_by_name(name)?.as_string_opt::<i32>();
        let long = |name: &str| rows.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let lane = rows
            .column_by_name("lane")
            .and_then(|column| column.as_primitive_opt::<Int32Type>());
        let time = rows
            .column_by_name("event_time")
            .and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        let (Some(gateway), Some(device), Some(lane)) = (text("gateway"), text("device"), lane)
        else {
            return;
        };
        let (Some(time), Some(epoch), Some(seq)) = (time, long("epoch"), long("seq")) else {
            return;
        };
        let mut run: Option<Run<'_>> = None;
        let mut known: Option<(&str, u32, Option<usize>)> = None;
        for row in 0..rows.num_rows() {
            let (gateway, lane) = (gateway.value(row), lane.value(row).cast_unsigned());
            let place = match known {
                Some((of, number, place)) if number == lane && of == gateway => place,
                _ => {
                    let place = self.place(gateway, lane);
                    if place.is_none() && lane != Lane::IMPORT.0 {
                        found.elsewhere.insert((gateway.to_owned(), lane));
                    }
                    known = Some((gateway, lane, place));
                    place
                }
            };
            let Some(place) = place else { continue };
            let covered = &self.lanes[place].ledger.covered;
            if !covered.contains(
                epoch.value(row).cast_unsigned(),
                seq.value(row).cast_unsigned(),
            ) {
                continue;
            }
            // Microseconds of all times that a table can hold fit as hours.
            let (device, hour) = (
                device.value(row),
                time.value(row).div_euclid(MICROS_PER_HOUR) as i32,
            );
            match &mut run {
                Some(run) if run.hour == hour && run.place == place && run.device == device => {
                    run.count += 1
                }
                _ => {
                    self.count(
                        run.replace(Run {
                            place,
                            device,
                            hour,
                            count: 1,
                        }),
                        found,
                    );
                }
            }
        }
        self.count(run, found);
    }

    fn count(&self, run: Option<Run<'_>>, found: &mut LaneRows) {
        let Some(Run {
            place,
            device,
            hour,
            count,
        }) = run
        else {
            return;
        };
        let span = self.lanes[place].ledger.resolution.span(hour);
        found
            .counted
            .entry(place)
            .or_default()
            .add(device, span, count);
    }

    /// Collects what `quarantine` and `gaps` say; nothing of other tables. `readings` are the seqs that `readings` has.
    pub(in crate::operate::verify) fn collect_side(
        &self,
        table: &LakeTable,
        rows: &RecordBatch,
        readings: &BTreeMap<EpochKey, SeqSet>,
        found: &mut LaneRows,
    ) {
        match table.schema().name {
            name if name == QUARANTINE.name => self.collect_quarantine(rows, readings, found),
            name if name == GAPS.name => self.collect_gaps(rows, found),
            _ => {}
        }
    }

    /// A quarantined reading lies in `raw` as a batch of its own, or in the whole record that was refused.
    pub(super) fn collect_quarantine(
        &self,
        rows: &RecordBatch,
        readings: &BTreeMap<EpochKey, SeqSet>,
        found: &mut LaneRows,
    ) {
        if self.lanes.is_empty() {
            return;
        }
        let raw = rows
            .column_by_name("raw")
            .and_then(|column| column.as_binary_opt::<i32>());
        let Some(raw) = raw else { return };
        for batch in raw
            .iter()
            .flatten()
            .filter_map(|raw| ReadingBatch::decode(raw).ok())
        {
            let (gateway, lane) = (batch.lane.gateway.as_str(), batch.lane.lane.0);
            let Some(place) = self.place(gateway, lane) else {
                continue;
            };
            let ledger = &self.lanes[place].ledger;
            let key = (gateway.to_owned(), lane, batch.epoch.0);
            let set = found.quarantined.entry(key.clone()).or_default();
            for (seq, reading) in (batch.first_seq.0..).zip(batch.readings) {
                let is_at = |set: &SeqSet| set.len_within(seq, seq) > 0;
                if !ledger.covered.contains(batch.epoch.0, seq) || is_at(set) {
                    continue;
                }
                if readings.get(&key).is_some_and(is_at) {
                    *found.shared.entry(place).or_default() += 1;
                    continue;
                }
                set.add_range(seq, seq);
                let one = ReadingBatch {
                    lane: batch.lane.clone(),
                    epoch: batch.epoch,
                    nonce: batch.nonce,
                    first_seq: Seq(seq),
                    readings: vec![reading],
                };
                let tally = found.counted.entry(place).or_default();
                Census::of_batch(&one)
                    .into_iter()
                    .for_each(|one| one.add_to(tally, ledger.resolution));
            }
        }
    }

    fn collect_gaps(&self, rows: &RecordBatch, found: &mut LaneRows) {
        let text = |name: &str| rows.column_by_name(name)?.as_string_opt::<i32>();
        let long = |name: &str| rows.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let lane = rows
            .column_by_name("lane")
            .and_then(|column| column.as_primitive_opt::<Int32Type>());
        let (Some(gateway), Some(lane), Some(state)) = (text("gateway"), lane, text("state"))
        else {
            return;
        };
        let (Some(epoch), Some(first), Some(last)) =
            (long("epoch"), long("first_seq"), long("last_seq"))
        else {
            return;
        };
        for row in 0..rows.num_rows() {
            let lane = lane.value(row).cast_unsigned();
            if self.place(gateway.value(row), lane).is_none() {
                continue;
            }
            let key = (
                gateway.value(row).to_owned(),
                lane,
                epoch.value(row).cast_unsigned(),
            );
            // Without an end it goes on for ever.
            let last = if last.is_null(row) {
                u64::MAX
            } else {
                last.value(row).cast_unsigned()
            };
            let seqs = (first.value(row).cast_unsigned(), last);
            let is_closed = state.value(row) == GapState::Closed.name();
            let gaps = if is_closed {
                &mut found.closed_gaps
            } else {
                &mut found.gaps
            };
            gaps.entry(key).or_default().insert(seqs);
        }
    }
}
