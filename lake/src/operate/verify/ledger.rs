//! What gateways received, held against what the lake has of it (E12).
//!
//! For each lane whose ledger is at hand: received = committed + quarantined + expired + pending. Proven twice: each
//! reading that the ledger covers is somewhere by its identity, and for each device and span of event time the counts agree.
//! What is pending or in a gap of the stream is known by identity alone; so many readings may be absent from the counts.
//!
//! Invariants: rows that no ledger covers say nothing: those that came after it was read, and those of another copy or an
//! earlier life of its spool. Nothing is kept for each reading.

mod equation;
mod gather;
mod ranges;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat};
use forebay_schemas::ledger::{LaneLedger, Span, Tally};

use super::{EpochKey, Fault, LedgerLine, Report, account::Accounts, seqs::SeqSet};

/// (gateway, lane).
type LaneKey = (String, u32);

/// Most devices that are named of one lane; of the others it is said how many there are.
const DEVICES_NAMED_MAX: usize = 20;

/// The ledgers that are at hand.
pub(super) struct Ledgers<'a> {
    lanes: &'a [LaneLedger],
    /// By gateway, then by lane.
    places: BTreeMap<&'a str, BTreeMap<u32, usize>>,
}

/// What a table's rows say of the lanes.
#[derive(Debug, Default)]
pub(super) struct LaneRows {
    /// By the lane's place among the ledgers: covered readings by device and span.
    counted: BTreeMap<usize, Tally>,
    /// Lanes that have readings and no ledger.
    elsewhere: BTreeSet<LaneKey>,
    /// Covered readings in quarantine that are not in `readings`.
    quarantined: BTreeMap<EpochKey, SeqSet>,
    /// By lane: covered identities that stand in quarantine and in `readings`; two openings numbered alike.
    shared: BTreeMap<usize, u64>,
    /// First and last seqs of gaps, and of those that were closed again.
    gaps: BTreeMap<EpochKey, BTreeSet<(u64, u64)>>,
    closed_gaps: BTreeMap<EpochKey, BTreeSet<(u64, u64)>>,
}

impl LaneRows {
    /// Adds what another table says.
    pub(super) fn extend(&mut self, other: LaneRows) {
        let LaneRows {
            counted,
            elsewhere,
            quarantined,
            shared,
            gaps,
            closed_gaps,
        } = other;
        // Each kind comes from one table, so that nothing is there twice.
        self.counted.extend(counted);
        self.elsewhere.extend(elsewhere);
        self.quarantined.extend(quarantined);
        self.shared.extend(shared);
        self.gaps.extend(gaps);
        self.closed_gaps.extend(closed_gaps);
    }
}

impl<'a> Ledgers<'a> {
    pub(super) fn new(lanes: &'a [LaneLedger]) -> Self {
        let mut places: BTreeMap<&str, BTreeMap<u32, usize>> = BTreeMap::new();
        for (place, ledger) in lanes.iter().enumerate() {
            places
                .entry(ledger.lane.gateway.as_str())
                .or_default()
                .insert(ledger.lane.lane.0, place);
        }
        Self { lanes, places }
    }

    fn place(&self, gateway: &str, lane: u32) -> Option<usize> {
        self.places.get(gateway)?.get(&lane).copied()
    }

    /// Reports where the equation does not hold, and answers how many readings are nowhere. `readings` are the rows of that
    /// table, `side` those of `quarantine` and `gaps`.
    pub(super) fn check(
        &self,
        readings: &LaneRows,
        side: &LaneRows,
        seqs: &BTreeMap<EpochKey, SeqSet>,
        accounts: &Accounts,
        expired: &BTreeMap<EpochKey, u64>,
        report: &mut Report,
    ) -> u64 {
        let mut missing = 0;
        for (place, ledger) in self.lanes.iter().enumerate() {
            let found = equation::of_lane(ledger, side, seqs, accounts, expired);
            missing += found.sums.missing;
            let lane = (ledger.lane.gateway.as_str().to_owned(), ledger.lane.lane.0);
            for (epoch, first, count) in &found.missing {
                let epoch = (lane.0.clone(), lane.1, *epoch);
                report.faults.insert(Fault::ReceivedMissing {
                    epoch,
                    first: *first,
                    count: *count,
                });
            }
            let empty = Tally::default();
            let committed = readings.counted.get(&place).unwrap_or(&empty);
            let quarantined = side.counted.get(&place).unwrap_or(&empty);
            let shared = side.shared.get(&place).copied().unwrap_or_default();
            let differences = equation::differences(ledger, committed, quarantined);
            let short = differences
                .iter()
                .filter(|(.., short, _)| *short > 0)
                .map(|(at, span, n, _)| (*at, *span, *n));
            tell(
                &lane,
                short.collect(),
                found.beyond_counts + shared,
                Direction::Short,
                report,
            );
            let more = differences
                .iter()
                .filter(|(.., more)| *more > 0)
                .map(|(at, span, _, n)| (*at, *span, *n));
            tell(&lane, more.collect(), shared, Direction::More, report);
            report.ledgers.push(LedgerLine::Compared {
                lane,
                sums: found.sums,
            });
        }
        let elsewhere = readings
            .elsewhere
            .iter()
            .cloned()
            .map(|lane| LedgerLine::NotCompared { lane });
        report.ledgers.extend(elsewhere);
        missing
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Short,
    More,
}

/// Names devices whose counts differ by more readings in all than the allowance explains.
fn tell(
    lane: &LaneKey,
    found: Vec<(&str, Span, u64)>,
    allowed: u64,
    to: Direction,
    report: &mut Report,
) {
    if found.iter().map(|(.., count)| count).sum::<u64>() <= allowed {
        return;
    }
    let mut devices: BTreeMap<&str, (Span, u64)> = BTreeMap::new();
    for (device, span, count) in found {
        devices.entry(device).or_insert((span, 0)).1 += count;
    }
    let left = devices.len().saturating_sub(DEVICES_NAMED_MAX);
    for (device, (span, count)) in devices.into_iter().take(DEVICES_NAMED_MAX) {
        let (lane, device, since) = (lane.clone(), device.to_owned(), start(span));
        report.faults.insert(match to {
            Direction::Short => Fault::FewerThanReceived {
                lane,
                device,
                since,
                count,
            },
            Direction::More => Fault::MoreThanReceived {
                lane,
                device,
                since,
                count,
            },
        });
    }
    if left > 0 {
        report.faults.insert(Fault::MoreDevices {
            lane: lane.clone(),
            devices: left as u64,
        });
    }
}

/// When a span begins, RFC 3339.
fn start(span: Span) -> String {
    let seconds = match span {
        Span::Older => return "the beginning".to_owned(),
        Span::Day(day) => i64::from(day) * 86_400,
        Span::Hour(hour) => i64::from(hour) * 3_600,
    };
    let time = DateTime::from_timestamp(seconds, 0);
    time.map_or_else(
        || seconds.to_string(),
        |time| time.to_rfc3339_opts(SecondsFormat::Secs, true),
    )
}
