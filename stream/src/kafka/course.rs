//! From the spool's entries to the records that are sent for them: what is missing gets its gap, and no epoch stays
//! without an end.
//!
//! Pure. Damage has no seqs of its own: how much is missing shows when the epoch goes on or ends. Where that cannot be known
//! (the epoch was begun by an earlier process) nothing is said, and the consumer finds the jump by itself (E4).

use forebay_schemas::{
    Epoch, LaneId, Seq,
    wire::{EpochEnd, Gap, GapWhy, LastSeq},
};

use super::record::{Outgoing, named};
use crate::Entry;

/// What is known of epochs that were chosen a partition.
pub(super) trait Known {
    /// Whether records of the epoch may have been sent before.
    fn begun(&self, epoch: Epoch) -> bool;
    /// Epochs before this one without an end.
    fn open_before(&self, epoch: Epoch) -> Vec<Epoch>;
}

/// How far the lane has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Course {
    running: Option<Running>,
    /// The newest epoch whose end was passed; it may still be open in what is known.
    ended: Option<Epoch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Running {
    epoch: Epoch,
    /// The seq that comes next; `None` where it is not known.
    next: Option<Seq>,
}

impl Course {
    /// The records for an entry, in order; none for damage.
    pub(super) fn records(&mut self, lane: &LaneId, entry: Entry, known: &impl Known) -> Vec<Outgoing> {
        let mut out = Vec::new();
        match entry {
            Entry::Batch(batch) => {
                let Some(last) = batch.last_seq() else { return out };
                self.enter(lane, batch.epoch, known, &mut out);
                self.jump(lane, batch.first_seq, &mut out);
                self.pass(last);
                out.push(Outgoing::Readings(batch));
            }
            Entry::Dropped { epoch, first_seq, last_seq } => {
                self.missing(lane, epoch, (first_seq, last_seq), GapWhy::Dropped, known, &mut out);
            }
            Entry::Gap { epoch, first_seq, last_seq, why } => {
                self.missing(lane, epoch, (first_seq, last_seq), why, known, &mut out);
            }
            Entry::EpochEnd { epoch, last } => {
                self.enter(lane, epoch, known, &mut out);
                if let Some(after) = named(last).and_then(|last| last.checked_add(1)) {
                    self.jump(lane, after, &mut out);
                }
                (self.running, self.ended) = (None, Some(epoch));
                out.push(Outgoing::End(EpochEnd { lane: lane.clone(), epoch, last }));
            }
            Entry::Damaged { .. } | Entry::Undecodable { .. } => {}
        }
        out
    }

    /// Goes on to an epoch; those before it whose ends were lost get ends that say so.
    fn enter(&mut self, lane: &LaneId, epoch: Epoch, known: &impl Known, out: &mut Vec<Outgoing>) {
        if self.running.is_some_and(|running| running.epoch == epoch) {
            return;
        }
        for open in known.open_before(epoch).into_iter().filter(|open| Some(*open) > self.ended) {
            let at_least =
                self.running.filter(|running| running.epoch == open).and_then(|running| before(running.next));
            out.push(Outgoing::End(EpochEnd { lane: lane.clone(), epoch: open, last: LastSeq::Unknown { at_least } }));
        }
        let next = if known.begun(epoch) { None } else { Some(Seq::FIRST) };
        self.running = Some(Running { epoch, next });
    }

    /// Says that what lies between the seq that should come and the one that does was damaged.
    fn jump(&self, lane: &LaneId, comes: Seq, out: &mut Vec<Outgoing>) {
        let Some(Running { epoch, next: Some(next) }) = self.running else { return };
        if let Some(last_seq) = before(Some(comes)).filter(|last| *last >= next) {
            let (lane, why) = (lane.clone(), GapWhy::Damaged);
            out.push(Outgoing::Gap(Gap { lane, epoch, first_seq: next, last_seq, why }));
        }
    }

    fn missing(
        &mut self,
        lane: &LaneId,
        epoch: Epoch,
        (first_seq, last_seq): (Seq, Seq),
        why: GapWhy,
        known: &impl Known,
        out: &mut Vec<Outgoing>,
    ) {
        self.enter(lane, epoch, known, out);
        self.jump(lane, first_seq, out);
        // The range may begin before what was sent already.
        let first_seq = self.running.and_then(|running| running.next).map_or(first_seq, |next| next.max(first_seq));
        if first_seq <= last_seq {
            out.push(Outgoing::Gap(Gap { lane: lane.clone(), epoch, first_seq, last_seq, why }));
            self.pass(last_seq);
        }
    }

    fn pass(&mut self, last: Seq) {
        if let Some(running) = &mut self.running {
            running.next = last.checked_add(1);
        }
    }
}

/// The seq before; `None` before the first.
fn before(next: Option<Seq>) -> Option<Seq> {
    next.and_then(|next| next.0.checked_sub(1)).filter(|last| *last > 0).map(Seq)
}

#[cfg(test)]
mod tests {
    use forebay_schemas::{EpochNonce, GatewayId, Lane, wire::ReadingBatch};

    use super::*;
    use crate::{Damage, Offset, conformance::readings};

    struct Sent {
        begun: Vec<u64>,
        open: Vec<u64>,
    }

    impl Known for Sent {
        fn begun(&self, epoch: Epoch) -> bool {
            self.begun.contains(&epoch.0)
        }

        fn open_before(&self, epoch: Epoch) -> Vec<Epoch> {
            self.open.iter().map(|open| Epoch(*open)).filter(|open| *open < epoch).collect()
        }
    }

    fn lane() -> LaneId {
        LaneId { gateway: GatewayId::new("gw").unwrap(), lane: Lane(0) }
    }

    fn batch(epoch: u64, first: u64, count: u64) -> Entry {
        let readings = readings(first, count).unwrap();
        Entry::Batch(ReadingBatch {
            lane: lane(),
            epoch: Epoch(epoch),
            nonce: EpochNonce::UNKNOWN,
            first_seq: Seq(first),
            readings,
        })
    }

    fn end(epoch: u64, last: LastSeq) -> Entry {
        Entry::EpochEnd { epoch: Epoch(epoch), last }
    }

    fn dropped(epoch: u64, first: u64, last: u64) -> Entry {
        Entry::Dropped { epoch: Epoch(epoch), first_seq: Seq(first), last_seq: Seq(last) }
    }

    fn damage() -> Entry {
        Entry::Damaged { segment: Offset(0), bytes: 0..1, why: Damage::Record }
    }

    /// Each record as `epoch:first-last` with what it is.
    fn shown(out: &[Outgoing]) -> Vec<String> {
        out.iter()
            .map(|out| match out {
                Outgoing::Readings(batch) => {
                    format!("{}:{}-{}", batch.epoch, batch.first_seq, batch.last_seq().unwrap())
                }
                Outgoing::Gap(gap) => format!("{}:{}-{} {}", gap.epoch, gap.first_seq, gap.last_seq, gap.why.as_str()),
                Outgoing::End(EpochEnd { epoch, last: LastSeq::Known(last), .. }) => {
                    format!("{epoch} ends {}", last.map_or(0, |last| last.0))
                }
                Outgoing::End(EpochEnd { epoch, last: LastSeq::Unknown { at_least }, .. }) => {
                    format!("{epoch} ends {}?", at_least.map_or(0, |last| last.0))
                }
            })
            .collect()
    }

    fn check(sent: Sent, entries: Vec<Entry>, expected: &[&str]) {
        let mut course = Course::default();
        let out: Vec<_> = entries.into_iter().flat_map(|entry| course.records(&lane(), entry, &sent)).collect();
        assert_eq!(shown(&out), expected);
    }

    #[test]
    fn every_seq_is_sent_or_said_to_be_missing() {
        let fresh = || Sent { begun: vec![], open: vec![] };
        let known = |last| LastSeq::Known(Some(Seq(last)));
        check(fresh(), vec![batch(1, 1, 3), batch(1, 4, 1), end(1, known(4))], &["1:1-3", "1:4-4", "1 ends 4"]);
        check(fresh(), vec![damage(), batch(1, 4, 1)], &["1:1-3 damaged", "1:4-4"]);
        check(fresh(), vec![batch(1, 1, 2), damage(), batch(1, 6, 1)], &["1:1-2", "1:3-5 damaged", "1:6-6"]);
        check(fresh(), vec![batch(1, 1, 2), damage(), end(1, known(9))], &["1:1-2", "1:3-9 damaged", "1 ends 9"]);
        check(fresh(), vec![end(1, LastSeq::Known(None))], &["1 ends 0"]);
        let unknown = LastSeq::Unknown { at_least: Some(Seq(4)) };
        check(fresh(), vec![batch(1, 1, 2), damage(), end(1, unknown)], &["1:1-2", "1:3-4 damaged", "1 ends 4?"]);
        check(fresh(), vec![batch(1, 1, 2), dropped(1, 3, 7), batch(1, 8, 1)], &["1:1-2", "1:3-7 dropped", "1:8-8"]);
        check(fresh(), vec![batch(1, 1, 5), dropped(1, 3, 7)], &["1:1-5", "1:6-7 dropped"]);
        check(fresh(), vec![batch(1, 1, 5), dropped(1, 3, 5), batch(1, 6, 1)], &["1:1-5", "1:6-6"]);
    }

    #[test]
    fn what_an_earlier_process_sent_is_not_guessed() {
        let begun = || Sent { begun: vec![1], open: vec![1] };
        check(
            begun(),
            vec![damage(), batch(1, 40, 2), damage(), batch(1, 50, 1)],
            &["1:40-41", "1:42-49 damaged", "1:50-50"],
        );
        check(begun(), vec![end(1, LastSeq::Known(Some(Seq(4))))], &["1 ends 4"]);
    }

    #[test]
    fn an_epoch_whose_end_is_lost_is_ended_before_the_next() {
        let open = || Sent { begun: vec![1], open: vec![1] };
        check(open(), vec![batch(1, 7, 2), damage(), batch(2, 1, 1)], &["1:7-8", "1 ends 8?", "2:1-1"]);
        let ended = end(1, LastSeq::Known(Some(Seq(8))));
        check(open(), vec![batch(1, 7, 2), ended, batch(2, 1, 1)], &["1:7-8", "1 ends 8", "2:1-1"]);
        check(open(), vec![damage(), batch(2, 3, 1)], &["1 ends 0?", "2:1-2 damaged", "2:3-3"]);
    }
}
