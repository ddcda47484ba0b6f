//! What the states say was taken, held against what was found.

use std::collections::BTreeMap;

use super::{EpochKey, Fault, Report};
use crate::state::StreamState;

/// What the states of all streams say.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    epochs: BTreeMap<EpochKey, Account>,
    /// By gateway and lane.
    lanes: BTreeMap<(String, u32), Done>,
    gaps: u64,
}

/// What was taken of one epoch.
#[derive(Debug, Default)]
struct Account {
    mark: u64,
    quarantined: u64,
    /// First and last seqs, apart from each other.
    gaps: Vec<(u64, u64)>,
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

impl Account {
    /// Seqs up to the mark that are in no gap.
    fn expected(&self) -> u64 {
        let within = self.gaps.iter().filter(|(first, _)| *first <= self.mark);
        let absent: u64 = within.map(|(first, last)| (*last).min(self.mark) - first + 1).sum();
        self.mark.saturating_sub(absent).saturating_sub(self.quarantined)
    }

    fn accounts_for(&self, seq: u64) -> bool {
        seq <= self.mark && !self.gaps.iter().any(|(first, last)| (*first..=*last).contains(&seq))
    }

    /// The first seq that is in no gap and not among `found`, which are sorted and distinct.
    fn first_missing(&self, found: &[u64]) -> u64 {
        let mut seq = 1;
        let mut found = found.iter().copied().peekable();
        loop {
            while found.next_if(|next| *next < seq).is_some() {}
            if found.next_if_eq(&seq).is_some() {
                seq += 1;
            } else if let Some((_, last)) = self.gaps.iter().find(|(first, last)| (*first..=*last).contains(&seq)) {
                seq = last + 1;
            } else {
                return seq;
            }
        }
    }
}

pub(super) fn compare(mut seqs: BTreeMap<EpochKey, Vec<u64>>, accounts: Accounts, report: &mut Report) {
    report.gaps = accounts.gaps;
    for (epoch, account) in accounts.epochs {
        let found = distinct(&epoch, seqs.remove(&epoch).unwrap_or_default(), report);
        let (known, unknown): (Vec<u64>, Vec<u64>) = found.into_iter().partition(|seq| account.accounts_for(*seq));
        let expected = account.expected();
        let surplus = (known.len() as u64).saturating_sub(expected) + unknown.len() as u64;
        if surplus > 0 {
            report.faults.insert(Fault::Unaccounted { epoch: epoch.clone(), count: surplus });
        }
        let count = expected.saturating_sub(known.len() as u64);
        if count > 0 {
            report.missing += count;
            report.faults.insert(Fault::Missing { first: account.first_missing(&known), epoch, count });
        }
    }
    let mut done: BTreeMap<(String, u32), u64> = BTreeMap::new();
    for (epoch, found) in seqs {
        let count = distinct(&epoch, found, report).len() as u64;
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

/// Counts an epoch's readings, names the doubles among them, and leaves each once, sorted.
fn distinct(epoch: &EpochKey, mut found: Vec<u64>, report: &mut Report) -> Vec<u64> {
    report.readings += found.len() as u64;
    found.sort_unstable();
    let mut doubles = found.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    if let Some(first) = doubles.next() {
        let count = 1 + doubles.count() as u64;
        report.doubled += count;
        report.faults.insert(Fault::Doubled { epoch: epoch.clone(), first, count });
    }
    found.dedup();
    found
}
