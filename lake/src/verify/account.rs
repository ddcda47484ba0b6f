//! What the states say was taken, held against what was found.

use std::collections::BTreeMap;

use super::{EpochKey, Fault, Report, seqs::SeqSet};
use crate::state::StreamState;

/// What the states of all streams say.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pub(super) epochs: BTreeMap<EpochKey, Account>,
    /// By gateway and lane.
    lanes: BTreeMap<(String, u32), Done>,
    gaps: u64,
}

/// What was taken of one epoch.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) mark: u64,
    pub(super) quarantined: u64,
    /// First and last seqs, apart from each other.
    pub(super) gaps: Vec<(u64, u64)>,
}

/// What was taken of a lane's forgotten epochs.
#[derive(Debug, Default)]
struct Done {
    /// The last of them.
    epoch: u64,
    readings: u64,
}

impl Accounts {
    pub(super) fn add(&mut self, state: StreamState) {
        for epoch in state.epochs {
            let account = self.epochs.entry((epoch.gateway, epoch.lane, epoch.epoch)).or_default();
            account.mark = account.mark.max(epoch.mark);
            account.quarantined += epoch.quarantined;
        }
        self.gaps += state.gaps.len() as u64;
        for gap in state.gaps {
            self.epochs.entry((gap.gateway, gap.lane, gap.epoch)).or_default().gaps.push((gap.first, gap.last));
        }
        for lane in state.forgotten {
            let done = self.lanes.entry((lane.gateway, lane.lane)).or_default();
            done.epoch = done.epoch.max(lane.epoch);
            done.readings += lane.readings;
            self.gaps += lane.gaps;
        }
    }
}

impl Accounts {
    /// The last epoch of a lane of which only sums are kept.
    pub(super) fn forgotten(&self, lane: &(String, u32)) -> Option<u64> {
        self.lanes.get(lane).map(|done| done.epoch)
    }
}

impl Account {
    /// Seqs up to the mark that are in no gap.
    fn expected(&self) -> u64 {
        let within = self.gaps.iter().filter(|(first, _)| *first <= self.mark);
        let absent: u64 = within.map(|(first, last)| (*last).min(self.mark) - first + 1).sum();
        self.mark.saturating_sub(absent).saturating_sub(self.quarantined)
    }

    /// How many of the found seqs lie up to the mark and in no gap.
    fn known(&self, found: &SeqSet) -> u64 {
        let within = self.gaps.iter().map(|(first, last)| found.len_within(*first, (*last).min(self.mark)));
        found.len_within(1, self.mark).saturating_sub(within.sum())
    }

    /// The first seq that is in no gap and not among those found.
    fn first_missing(&self, found: &SeqSet) -> u64 {
        let mut seq = 1;
        let mut found = found.ranges().peekable();
        loop {
            while found.next_if(|(_, last)| *last < seq).is_some() {}
            if let Some((_, last)) = found.next_if(|(first, _)| *first <= seq) {
                seq = last + 1;
            } else if let Some((_, last)) = self.gaps.iter().find(|(first, last)| (*first..=*last).contains(&seq)) {
                seq = last.saturating_add(1);
            } else {
                return seq;
            }
        }
    }
}

pub(super) fn compare(mut seqs: BTreeMap<EpochKey, SeqSet>, accounts: Accounts, report: &mut Report) {
    report.gaps = accounts.gaps;
    for (epoch, account) in accounts.epochs {
        let found = seqs.remove(&epoch).unwrap_or_default();
        count(&epoch, &found, report);
        let (known, expected) = (account.known(&found), account.expected());
        let surplus = known.saturating_sub(expected) + (found.len() - known);
        if surplus > 0 {
            report.faults.insert(Fault::Unaccounted { epoch: epoch.clone(), count: surplus });
        }
        let count = expected.saturating_sub(known);
        if count > 0 {
            report.missing += count;
            report.faults.insert(Fault::Missing { first: account.first_missing(&found), epoch, count });
        }
    }
    let mut done: BTreeMap<(String, u32), u64> = BTreeMap::new();
    for (epoch, found) in seqs {
        count(&epoch, &found, report);
        let count = found.len();
        let (gateway, lane, number) = &epoch;
        let lane = (gateway.clone(), *lane);
        match accounts.lanes.get(&lane) {
            Some(forgotten) if *number <= forgotten.epoch => *done.entry(lane).or_default() += count,
            _ => drop(report.faults.insert(Fault::Unaccounted { epoch, count })),
        }
    }
    for (lane, forgotten) in accounts.lanes {
        let found = done.remove(&lane).unwrap_or_default();
        let epoch = (lane.0, lane.1, forgotten.epoch);
        if found > forgotten.readings {
            let count = found - forgotten.readings;
            report.faults.insert(Fault::Unaccounted { epoch, count });
        } else if found < forgotten.readings {
            let count = forgotten.readings - found;
            report.missing += count;
            report.faults.insert(Fault::MissingBefore { epoch, count });
        }
    }
}

/// Counts an epoch's readings, and names the doubles among them.
fn count(epoch: &EpochKey, found: &SeqSet, report: &mut Report) {
    report.readings += found.len() + found.doubled;
    report.doubled += found.doubled;
    if let Some(first) = found.first_doubled {
        report.faults.insert(Fault::Doubled { epoch: epoch.clone(), first, count: found.doubled });
    }
}
