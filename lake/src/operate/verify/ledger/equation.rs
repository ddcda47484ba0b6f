//! received = committed + quarantined + expired + pending, for one lane.

use std::{cell::Cell, collections::BTreeMap};

use forebay_schemas::ledger::{Behind, LaneLedger, Span, Tally};

use super::{
    LaneRows,
    ranges::{Range, joined, len, without},
};
use crate::operate::verify::{EpochKey, LedgerSums, account::Accounts, seqs::SeqSet};

/// What became of a lane's readings, by their identities.
#[derive(Debug, Default)]
pub(super) struct LaneFound {
    pub(super) sums: LedgerSums,
    /// Epoch, first seq and number of those that are nowhere.
    pub(super) missing: Vec<(u64, u64, u64)>,
    /// How many are known to be absent, without a count by device: in gaps of the stream, or on their way in it.
    pub(super) beyond_counts: u64,
}

/// Looks for each reading that the ledger covers.
pub(super) fn of_lane(
    lane: &LaneLedger,
    side: &LaneRows,
    seqs: &BTreeMap<EpochKey, SeqSet>,
    accounts: &Accounts,
    expired: &BTreeMap<EpochKey, u64>,
) -> LaneFound {
    let mut out = LaneFound::default();
    let (gateway, number) = (lane.lane.gateway.as_str().to_owned(), lane.lane.lane.0);
    let forgotten = accounts.forgotten(&(gateway.clone(), number));
    for (epoch, covered) in lane.ledger.covered.iter() {
        let key = (gateway.clone(), number, epoch);
        let account = accounts.epochs.get(&key);
        // Another state may have forgotten it, and closed or opened gaps of it before.
        let gaps = match account.filter(|account| !account.may_be_forgotten) {
            Some(account) => joined(account.gaps.iter().copied()),
            None => forgotten_gaps(side, &key),
        };
        // Above the mark the stream may still hold them; a spool has forgotten only what is committed.
        let on_the_way = match (lane.behind, account) {
            (Behind::Lake, _) => None,
            (Behind::Stream, Some(account)) => Some(account.mark + 1),
            (Behind::Stream, None) => forgotten.is_none_or(|last| epoch > last).then_some(1),
        };
        let parts = Parts {
            covered,
            found: seqs.get(&key),
            quarantined: side.quarantined.get(&key),
            waiting: lane.waiting_seqs.of(epoch),
            dropped: lane.ledger.dropped.of(epoch),
            gaps,
            on_the_way,
            expired: expired.get(&key).copied().unwrap_or_default(),
        };
        parts.add_to(epoch, &mut out);
    }
    out
}

/// Gaps of an epoch of which the states keep only sums.
fn forgotten_gaps(side: &LaneRows, key: &EpochKey) -> Vec<Range> {
    let Some(gaps) = side.gaps.get(key) else {
        return Vec::new();
    };
    let closed = side.closed_gaps.get(key);
    joined(
        gaps.iter()
            .filter(|gap| closed.is_none_or(|closed| !closed.contains(*gap)))
            .copied(),
    )
}

/// Where an epoch's readings may be; ranges in ascending order and apart from each other.
struct Parts<'a> {
    covered: &'a [Range],
    found: Option<&'a SeqSet>,
    quarantined: Option<&'a SeqSet>,
    waiting: &'a [Range],
    dropped: &'a [Range],
    gaps: Vec<Range>,
    on_the_way: Option<u64>,
    /// How many of the committed readings retention has deleted; which ones nobody knows.
    expired: u64,
}

impl Parts<'_> {
    fn add_to(&self, epoch: u64, out: &mut LaneFound) {
        let left: [Cell<u64>; 6] = Default::default();
        let note = |step: usize| {
            let left = &left[step];
            move |range: &Range| left.set(left.get() + len(*range))
        };
        let on_the_way = self.on_the_way.map(|from| (from, u64::MAX));
        let all = self.covered.iter().copied().inspect(note(0));
        let absent = without(all, self.found.into_iter().flat_map(SeqSet::ranges)).inspect(note(1));
        let absent = without(
            absent,
            self.quarantined.into_iter().flat_map(SeqSet::ranges),
        )
        .inspect(note(2));
        let absent = without(absent, self.waiting.iter().copied()).inspect(note(3));
        let absent = without(absent, self.dropped.iter().copied()).inspect(note(4));
        let absent = without(absent, self.gaps.iter().copied()).inspect(note(5));
        let (mut first, mut missing) = (None, 0);
        for range in without(absent, on_the_way) {
            first.get_or_insert(range.0);
            missing += len(range);
        }
        let [
            received,
            uncommitted,
            unquarantined,
            unwaiting,
            undropped,
            unexplained,
        ] = left.map(|left| left.get());
        let in_stream = unexplained - missing;
        let deleted = missing.min(self.expired);
        let missing = missing - deleted;
        let sums = &mut out.sums;
        sums.received += received;
        sums.committed += received - uncommitted;
        sums.quarantined += uncommitted - unquarantined;
        sums.pending += unquarantined - unwaiting + in_stream;
        sums.expired += unwaiting - unexplained + deleted;
        sums.missing += missing;
        out.beyond_counts += undropped - unexplained + in_stream + deleted;
        let first = first.filter(|_| missing > 0);
        out.missing
            .extend(first.map(|first| (epoch, first, missing)));
    }
}

/// Device, span, how many of the received readings the counts do not explain, and how many there are more than were received.
pub(super) fn differences<'a>(
    lane: &'a LaneLedger,
    committed: &'a Tally,
    quarantined: &'a Tally,
) -> Vec<(&'a str, Span, u64, u64)> {
    let mut out = Vec::new();
    let received = &lane.ledger.received;
    for (device, spans) in received.iter() {
        for (span, received) in spans {
            let there = committed.at(device, *span) + quarantined.at(device, *span);
            let explained =
                there + lane.ledger.expired.at(device, *span) + lane.waiting.at(device, *span);
            let (short, more) = (
                received.saturating_sub(explained),
                there.saturating_sub(*received),
            );
            if short > 0 || more > 0 {
                out.push((device, *span, short, more));
            }
        }
    }
    for (device, spans) in committed.iter().chain(quarantined.iter()) {
        let never = spans
            .iter()
            .filter(|(span, _)| received.at(device, *span) == 0);
        out.extend(never.map(|(span, count)| (device, *span, 0, *count)));
    }
    out
}
