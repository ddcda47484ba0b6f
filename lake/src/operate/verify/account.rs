//! What the states say was taken, held against what was found.
//!
//! Several streams may know one lane: a spool and the topic behind it, copies of a data folder, one topic after another. An
//! epoch is held against the mark that knows most of it. Of forgotten epochs there are sums alone, and nobody knows any more
//! which epochs they are of; so each state counts what its own stream brought (ADR 0018), and what all streams of a lane brought, less
//! what the marks expect, must lie beyond the marks.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
};

use super::{EpochKey, Fault, Report, seqs::SeqSet};
use crate::table::state::StreamState;

/// (gateway, lane).
type LaneKey = (String, u32);

/// What the states of all streams say.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    pub(super) epochs: BTreeMap<EpochKey, Account>,
    lanes: BTreeMap<LaneKey, LaneAccount>,
}

/// What was taken of one epoch, as the state has it that knows most of it.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) mark: u64,
    closed: bool,
    pub(super) quarantined: u64,
    /// How many readings retention has deleted.
    expired: u64,
    /// First and last seqs, apart from each other.
    pub(super) gaps: Vec<(u64, u64)>,
    /// How many states have its mark and have forgotten a later epoch of its lane.
    kept: usize,
    /// A state without its mark has forgotten a later epoch: it may have forgotten this one, and known more of it.
    pub(super) may_be_forgotten: bool,
}

/// What was taken of a lane.
#[derive(Debug, Default)]
struct LaneAccount {
    /// The last forgotten epoch of each state that has forgotten some.
    forgotten: Vec<u64>,
    /// How many readings the streams brought, forgotten or not.
    brought: u64,
    /// How many final gaps are in forgotten epochs.
    gaps: u64,
}

/// What was found of a lane.
#[derive(Debug, Default, Clone, Copy)]
struct LaneSum {
    /// How many readings the marks expect.
    marked: u64,
    /// How many lie beyond them: in epochs without a mark, or more than the marks expect of epochs that may be forgotten.
    beyond: u64,
}

impl Accounts {
    pub(crate) fn of(states: impl IntoIterator<Item = StreamState>) -> Self {
        let mut accounts = Self::default();
        states.into_iter().for_each(|state| accounts.add(state));
        let Self { epochs, lanes } = &mut accounts;
        for ((gateway, lane, epoch), account) in epochs {
            let lane = lanes.get(&(gateway.clone(), *lane));
            let later = lane.map_or(0, |lane| {
                lane.forgotten.iter().filter(|last| epoch <= *last).count()
            });
            account.may_be_forgotten = later > account.kept;
        }
        accounts
    }

    /// These readings, by epoch, were deleted for their age: nobody misses them.
    pub(crate) fn expire(&mut self, expired: &BTreeMap<EpochKey, u64>) {
        for (epoch, readings) in expired {
            if let Some(account) = self.epochs.get_mut(epoch) {
                account.expired += readings;
            }
            if let Some(lane) = self.lanes.get_mut(&(epoch.0.clone(), epoch.1)) {
                lane.brought = lane.brought.saturating_sub(*readings);
            }
        }
    }

    fn add(&mut self, state: StreamState) {
        let StreamState {
            epochs,
            gaps,
            forgotten,
            ..
        } = state;
        let mut done: BTreeMap<LaneKey, u64> = BTreeMap::new();
        for of_lane in forgotten {
            let key = (of_lane.gateway, of_lane.lane);
            let lane = self.lanes.entry(key.clone()).or_default();
            lane.forgotten.push(of_lane.epoch);
            lane.brought += of_lane.readings;
            lane.gaps += of_lane.gaps;
            done.insert(key, of_lane.epoch);
        }
        let mut found: BTreeMap<EpochKey, Account> = BTreeMap::new();
        for gap in gaps {
            found
                .entry((gap.gateway, gap.lane, gap.epoch))
                .or_default()
                .gaps
                .push((gap.first, gap.last));
        }
        for of_epoch in epochs {
            let key = (of_epoch.gateway, of_epoch.lane);
            let account = found
                .entry((key.0.clone(), key.1, of_epoch.epoch))
                .or_default();
            account.mark = of_epoch.mark;
            account.closed = of_epoch.closed;
            account.quarantined = of_epoch.quarantined;
            account.kept = usize::from(done.get(&key).is_some_and(|last| of_epoch.epoch <= *last));
            let brought = account
                .expected()
                .saturating_sub(of_epoch.readings_elsewhere);
            self.lanes.entry(key).or_default().brought += brought;
        }
        for (key, account) in found {
            match self.epochs.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(account);
                }
                Entry::Occupied(mut entry) => entry.get_mut().join(account),
            }
        }
    }

    /// The last epoch of a lane of which only sums are kept.
    pub(super) fn forgotten(&self, lane: &LaneKey) -> Option<u64> {
        self.lanes.get(lane)?.forgotten()
    }

    /// By lane how many of the found readings no stream says that it brought; lanes without any are left out.
    pub(crate) fn unclaimed(&self, seqs: &BTreeMap<EpochKey, SeqSet>) -> BTreeMap<LaneKey, u64> {
        let mut unclaimed = BTreeMap::new();
        for (lane, LaneSum { marked, beyond }) in self.sums(seqs) {
            let brought = self.lanes.get(&lane).map_or(0, |lane| lane.brought);
            let left = (marked + beyond).saturating_sub(brought);
            if left > 0 {
                unclaimed.insert(lane, left);
            }
        }
        unclaimed
    }

    /// Epochs of which more was found than the states account for.
    pub(crate) fn exceeded(&self, seqs: &BTreeMap<EpochKey, SeqSet>) -> BTreeSet<EpochKey> {
        let mut exceeded = BTreeSet::new();
        for (key, account) in self
            .epochs
            .iter()
            .filter(|(_, account)| !account.may_be_forgotten)
        {
            if seqs
                .get(key)
                .is_some_and(|found| account.surplus(found) > 0)
            {
                exceeded.insert(key.clone());
            }
        }
        exceeded
    }

    /// What was found of each lane that the states know.
    fn sums(&self, seqs: &BTreeMap<EpochKey, SeqSet>) -> BTreeMap<LaneKey, LaneSum> {
        let mut sums: BTreeMap<LaneKey, LaneSum> = BTreeMap::new();
        for (key, account) in &self.epochs {
            let sum = sums.entry((key.0.clone(), key.1)).or_default();
            sum.marked += account.expected();
            if let Some(found) = seqs.get(key).filter(|_| account.may_be_forgotten) {
                sum.beyond += account.surplus(found);
            }
        }
        for (key, found) in seqs
            .iter()
            .filter(|(key, _)| !self.epochs.contains_key(*key))
        {
            let lane = (key.0.clone(), key.1);
            if self.forgotten(&lane) >= Some(key.2) {
                sums.entry(lane).or_default().beyond += found.len();
            }
        }
        sums
    }
}

impl LaneAccount {
    fn forgotten(&self) -> Option<u64> {
        self.forgotten.iter().copied().max()
    }
}

impl Account {
    /// What another state says of the same epoch.
    fn join(&mut self, other: Self) {
        let kept = self.kept + other.kept;
        if other.knowledge() > self.knowledge() {
            *self = other;
        }
        self.kept = kept;
    }

    /// How much is known: marks only rise, and gaps only shrink.
    fn knowledge(&self) -> (u64, bool, Reverse<u64>) {
        (self.mark, self.closed, Reverse(self.absent()))
    }

    /// Seqs up to the mark that are in a gap.
    fn absent(&self) -> u64 {
        let within = self.gaps.iter().filter(|(first, _)| *first <= self.mark);
        within
            .map(|(first, last)| (*last).min(self.mark) - first + 1)
            .sum()
    }

    /// Seqs up to the mark that are in no gap, not in quarantine, and not expired.
    fn expected(&self) -> u64 {
        self.mark
            .saturating_sub(self.absent())
            .saturating_sub(self.quarantined)
            .saturating_sub(self.expired)
    }

    /// How many of the found seqs lie up to the mark and in no gap.
    fn known(&self, found: &SeqSet) -> u64 {
        let within = self
            .gaps
            .iter()
            .map(|(first, last)| found.len_within(*first, (*last).min(self.mark)));
        found.len_within(1, self.mark).saturating_sub(within.sum())
    }

    /// How many of the found seqs are not expected.
    fn surplus(&self, found: &SeqSet) -> u64 {
        let known = self.known(found);
        known.saturating_sub(self.expected()) + (found.len() - known)
    }

    /// How many gaps there are. Of an epoch that may be forgotten, those into which nothing has come: who forgot it may have
    /// closed the others.
    fn gaps_left(&self, found: &SeqSet) -> u64 {
        let counts =
            |gap: &&(u64, u64)| !self.may_be_forgotten || found.len_within(gap.0, gap.1) == 0;
        self.gaps.iter().filter(counts).count() as u64
    }

    /// The first seq that is in no gap and not among those found.
    fn first_missing(&self, found: &SeqSet) -> u64 {
        let mut seq = 1;
        let mut found = found.ranges().peekable();
        loop {
            while found.next_if(|(_, last)| *last < seq).is_some() {}
            if let Some((_, last)) = found.next_if(|(first, _)| *first <= seq) {
                seq = last + 1;
            } else if let Some((_, last)) = self
                .gaps
                .iter()
                .find(|(first, last)| (*first..=*last).contains(&seq))
            {
                seq = last.saturating_add(1);
            } else {
                return seq;
            }
        }
    }
}

/// Names every epoch and lane whose readings are not those that the states say were taken.
pub(super) fn compare(
    mut seqs: BTreeMap<EpochKey, SeqSet>,
    accounts: Accounts,
    report: &mut Report,
) {
    let sums = accounts.sums(&seqs);
    report.gaps = accounts.lanes.values().map(|lane| lane.gaps).sum();
    for (epoch, account) in &accounts.epochs {
        let found = seqs.remove(epoch).unwrap_or_default();
        count(epoch, &found, report);
        report.gaps += account.gaps_left(&found);
        compare_epoch(epoch, account, &found, report);
    }
    for (epoch, found) in seqs {
        count(&epoch, &found, report);
        if accounts.forgotten(&(epoch.0.clone(), epoch.1)) < Some(epoch.2) {
            report.faults.insert(Fault::Unaccounted {
                epoch,
                count: found.len(),
            });
        }
    }
    for (lane, account) in accounts.lanes {
        let Some(last) = account.forgotten() else {
            continue;
        };
        let LaneSum { marked, beyond } = sums.get(&lane).copied().unwrap_or_default();
        let expected = account.brought.saturating_sub(marked);
        let epoch = (lane.0, lane.1, last);
        if beyond > expected {
            report.faults.insert(Fault::Unaccounted {
                epoch,
                count: beyond - expected,
            });
        } else if beyond < expected {
            let count = expected - beyond;
            report.missing += count;
            report.faults.insert(Fault::MissingBefore { epoch, count });
        }
    }
}

fn compare_epoch(epoch: &EpochKey, account: &Account, found: &SeqSet, report: &mut Report) {
    let surplus = account.surplus(found);
    // What another state has forgotten is in the lane's sum.
    if surplus > 0 && !account.may_be_forgotten {
        report.faults.insert(Fault::Unaccounted {
            epoch: epoch.clone(),
            count: surplus,
        });
    }
    let count = account.expected().saturating_sub(account.known(found));
    if count > 0 {
        report.missing += count;
        let first = account.first_missing(found);
        report.faults.insert(Fault::Missing {
            epoch: epoch.clone(),
            first,
            count,
        });
    }
}

/// Counts an epoch's readings, and names the doubles among them.
fn count(epoch: &EpochKey, found: &SeqSet, report: &mut Report) {
    report.readings += found.len() + found.doubled;
    report.doubled += found.doubled;
    if let Some(first) = found.first_doubled {
        report.faults.insert(Fault::Doubled {
            epoch: epoch.clone(),
            first,
            count: found.doubled,
        });
    }
}
