mod any_order;
mod quarantine;
mod stories;
mod ways;

use forebay_schemas::{
    DeviceId, Reading, Series, SiteId, Status, TagName, Timestamp, Value, wire::ReadingBatch,
};
use forebay_stream::{Damage, LastSeq, Record, Transit};

use forebay_lake::{Gap, GapState};

use super::{lane::lane_id, *};

const T0: i64 = 1_700_000_000_000_000_000;
const WAIT: Duration = Duration::from_secs(60);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(T0 + seconds * 1_000_000_000)
}

fn moment(seconds: i64) -> Moment {
    Moment::new(at(seconds), Duration::from_secs(seconds as u64))
}

/// When a reading was taken: all of them before the tests begin.
fn event(seq: u64) -> Timestamp {
    at(seq as i64 - 1_000)
}

fn lane() -> LaneId {
    lane_id("gw", 0).unwrap()
}

fn reading(seq: u64) -> Reading {
    Reading {
        series: Series {
            site: SiteId::new("plant").unwrap(),
            device: DeviceId::new("pump").unwrap(),
            tag: TagName::new("flow").unwrap(),
        },
        event_time: event(seq.min(999)),
        observed_time: event(seq.min(999)),
        value: Some(Value::U64(seq)),
        unit: None,
        status: Status::GOOD,
    }
}

const NONCE: EpochNonce = EpochNonce(0xA);

fn batch(epoch: u64, first: u64, last: u64) -> Entry {
    batch_of(NONCE, epoch, first, last)
}

fn batch_of(nonce: EpochNonce, epoch: u64, first: u64, last: u64) -> Entry {
    Entry::Batch(ReadingBatch {
        lane: lane(),
        epoch: Epoch(epoch),
        nonce,
        first_seq: Seq(first),
        readings: (first..=last).map(reading).collect(),
    })
}

fn end(epoch: u64, last: u64) -> Entry {
    Entry::EpochEnd {
        epoch: Epoch(epoch),
        nonce: NONCE,
        last: LastSeq::Known((last > 0).then_some(Seq(last))),
    }
}

fn damaged(why: Damage) -> Entry {
    Entry::Damaged {
        segment: Offset(0),
        bytes: 0..0,
        why,
    }
}

fn dropped(epoch: u64, first: u64, last: u64) -> Entry {
    Entry::Dropped {
        epoch: Epoch(epoch),
        nonce: NONCE,
        first_seq: Seq(first),
        last_seq: Seq(last),
    }
}

fn rules() -> Rules {
    Rules {
        gap_wait: WAIT,
        held_bytes_max: 1 << 20,
        max_skew: Duration::from_secs(86_400),
    }
}

/// A partition under test, fed by hand.
struct Partition {
    contiguity: Contiguity,
    state: StreamState,
    seqs: Vec<(u64, u64)>,
    duplicates: u64,
    foreign: u64,
    quarantine: Vec<Quarantined>,
    /// What the log holds.
    log: BTreeMap<u64, Entry>,
}

impl Partition {
    fn new(rules: Rules) -> Self {
        let state = StreamState::new(0, Vec::new());
        let contiguity = Contiguity::new(&state, rules, moment(0)).unwrap();
        let (seqs, quarantine, log) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self {
            contiguity,
            state,
            seqs,
            duplicates: 0,
            foreign: 0,
            quarantine,
            log,
        }
    }

    fn open() -> Self {
        Self::new(rules())
    }

    fn take(&mut self, offset: u64, entry: Entry) -> &mut Self {
        self.take_at(offset, entry, 0)
    }

    fn take_at(&mut self, offset: u64, entry: Entry, seconds: i64) -> &mut Self {
        self.take_range(offset..offset + 1, entry, moment(seconds))
    }

    fn take_range(
        &mut self,
        offsets: std::ops::Range<u64>,
        entry: Entry,
        now: Moment,
    ) -> &mut Self {
        self.log.insert(offsets.start, entry.clone());
        let record = Record {
            offset: Offset(offsets.start),
            next: Offset(offsets.end),
            entry,
        };
        let record = record.map_batch(|batch| SeriesBatch::from(&batch));
        let consumed = self.contiguity.take(
            Delivered {
                lane: Some(lane()),
                record,
                transit: Transit::default(),
            },
            now,
        );
        self.absorb(consumed);
        self
    }

    /// Lets a jump wait from `seconds` on, and reads the log once more.
    fn wait_out(&mut self, seconds: i64) -> &mut Self {
        let due = seconds + WAIT.as_secs() as i64;
        assert_eq!(
            self.tick(due),
            Some(0),
            "a jump that waited has the log read again"
        );
        self.contiguity.opened(Offset(0));
        for (offset, entry) in self.log.clone() {
            self.take_at(offset, entry, due + 1);
        }
        assert_eq!(self.tick(due + 1), None, "once");
        self
    }

    fn absorb(&mut self, consumed: ConsumedReadings) {
        for batch in &consumed.batches {
            self.seqs.extend(
                (batch.first_seq.0..)
                    .zip(batch.readings())
                    .map(|(seq, _)| (batch.epoch.0, seq)),
            );
        }
        self.duplicates += consumed.duplicates;
        self.foreign += consumed.foreign;
        self.quarantine.extend(consumed.quarantine);
    }

    fn tick(&mut self, seconds: i64) -> Option<u64> {
        self.tick_at(moment(seconds))
    }

    fn tick_at(&mut self, now: Moment) -> Option<u64> {
        let ticked = self.contiguity.tick(now);
        if let Some(consumed) = ticked.given_up {
            self.absorb(consumed);
        }
        ticked.read_from.map(|from| from.0)
    }

    /// Commits, and goes on from the state as a restart would.
    fn restart(&mut self) -> &mut Self {
        let state = self.commit();
        let text = serde_json::to_string(&state).unwrap();
        let state = serde_json::from_str(&text).unwrap();
        self.contiguity = Contiguity::new(&state, self.contiguity.rules, moment(0)).unwrap();
        self.contiguity.opened(Offset(state.next_offset));
        self
    }

    fn commit(&mut self) -> StreamState {
        self.state = self.contiguity.state(&self.state);
        self.state.clone()
    }

    /// Gaps as epoch, first, last, why, state.
    fn gaps(&mut self) -> Vec<String> {
        let show = |gap: &Gap| {
            let last = if gap.last == SEQ_UNKNOWN {
                "?".into()
            } else {
                gap.last.to_string()
            };
            format!(
                "{} {}-{last} {} {}",
                gap.epoch,
                gap.first,
                gap.why,
                gap.state.name()
            )
        };
        self.commit().gaps.iter().map(show).collect()
    }

    fn seqs_of(&self, epoch: u64) -> Vec<u64> {
        let mut seqs: Vec<u64> = self
            .seqs
            .iter()
            .filter(|(e, _)| *e == epoch)
            .map(|(_, seq)| *seq)
            .collect();
        seqs.sort_unstable();
        seqs
    }
}

fn upto(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

#[test]
fn what_was_taken_is_not_taken_again() {
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 3))
        .take(1, batch(7, 2, 5))
        .take(2, batch(7, 1, 5))
        .take(3, batch(7, 6, 6));
    assert_eq!((p.seqs_of(7), p.duplicates), (upto(6), 7));
    assert_eq!(p.commit().next_offset, 4);
    p.restart()
        .take(4, batch(7, 5, 8))
        .take(5, end(7, 8))
        .take(6, batch(7, 8, 8));
    assert_eq!((p.seqs_of(7), p.duplicates), (upto(8), 10));
    assert!(p.commit().epochs[0].closed && p.gaps().is_empty());
}

#[test]
fn jumps_say_why_they_are_there() {
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 3))
        .take(1, dropped(7, 2, 6))
        .take(2, batch(7, 9, 10))
        .take(3, end(7, 12));
    assert_eq!(p.gaps(), ["7 4-6 dropped open"]);
    p.wait_out(0);
    assert_eq!(
        p.gaps(),
        [
            "7 4-6 dropped open",
            "7 7-8 missing open",
            "7 11-12 missing open"
        ]
    );
    assert_eq!(p.seqs_of(7), [1, 2, 3, 9, 10]);
    p.take(4, batch(8, 1, 1))
        .take(5, damaged(Damage::Record))
        .take(6, batch(8, 4, 4))
        .take(7, batch(9, 1, 1));
    p.wait_out(100);
    assert_eq!(p.gaps()[3..], ["8 2-3 damaged open", "8 5-? damaged open"]);
}

#[test]
fn a_gap_takes_what_comes_late_and_tells_of_it() {
    let mut p = Partition::open();
    p.take(0, batch(7, 10, 12)).wait_out(0);
    let before = p.commit();
    p.take(1, batch(7, 4, 6));
    assert_eq!(p.gaps(), ["7 1-3 missing open", "7 7-9 missing open"]);
    assert_eq!(
        (p.state.ended_gaps[0].last, p.state.ended_gaps[0].state),
        (9, GapState::Closed)
    );
    assert_eq!(
        opened_gaps(&before, &p.state).len(),
        2,
        "the rests are gaps of their own"
    );
    p.restart().take(2, batch(7, 1, 9));
    assert_eq!((p.seqs_of(7), p.gaps()), (upto(12), vec![]));
    assert_eq!(p.duplicates, 3);
}

#[test]
fn a_jump_waits_and_is_filled() {
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 2))
        .take(1, batch(7, 5, 6))
        .take(2, end(7, 6));
    assert_eq!(p.seqs_of(7), upto(2));
    assert_eq!(
        (p.commit().next_offset, p.state.sites[0].held),
        (1, Some(event(5).micros()))
    );
    assert_eq!(p.tick(59), None);
    p.take(3, batch(7, 3, 4));
    assert_eq!((p.seqs_of(7), p.gaps()), (upto(6), vec![]));
    assert_eq!(
        (p.commit().next_offset, p.state.epochs[0].closed),
        (4, true)
    );
    assert!(p.state.sites[0].held.is_none() && !p.contiguity.is_waiting());
}

#[test]
fn a_jump_becomes_a_gap_only_after_the_partition_was_read_again() {
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 2)).take(1, batch(7, 5, 6));
    assert_eq!(p.tick(60), Some(0));
    p.contiguity.opened(Offset(0));
    assert_eq!((p.tick(600), p.gaps()), (None, vec![]));
    p.take(0, batch(7, 1, 2)).take(1, batch(7, 5, 6));
    assert_eq!(p.tick(601), None);
    assert_eq!(
        (p.seqs_of(7), p.gaps()),
        (vec![1, 2, 5, 6], vec!["7 3-4 missing open".into()])
    );
    p.take(2, batch(7, 3, 4));
    assert_eq!((p.seqs_of(7), p.gaps()), (upto(6), vec![]));
}

#[test]
fn without_its_end_record_an_epoch_is_pending_then_a_gap() {
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 2)).take(1, batch(8, 1, 1));
    assert_eq!(
        (p.seqs_of(8), p.gaps()),
        (vec![1], vec![]),
        "the successor need not wait"
    );
    p.take_at(2, batch(7, 3, 3), 50);
    assert_eq!(p.tick(60), None, "it still makes progress");
    assert_eq!(p.tick(110), Some(0));
    p.contiguity.opened(Offset(0));
    p.take(0, batch(7, 1, 2))
        .take(1, batch(8, 1, 1))
        .take(2, batch(7, 3, 3));
    p.tick(111);
    assert_eq!(p.gaps(), ["7 4-? unfinished open"]);
    p.restart().take(3, batch(7, 6, 6));
    assert_eq!(p.gaps(), ["7 4-5 unfinished open", "7 7-? unfinished open"]);
    p.take(4, end(7, 8))
        .take(5, batch(7, 7, 8))
        .take(6, batch(7, 4, 5));
    assert_eq!((p.seqs_of(7), p.gaps()), (upto(8), vec![]));
}

#[test]
fn what_finds_no_room_is_read_again() {
    let mut p = Partition::new(Rules {
        held_bytes_max: 1,
        ..rules()
    });
    p.take(0, batch(7, 1, 1))
        .take(1, batch(7, 4, 4))
        .take(2, batch(7, 3, 3))
        .take(3, batch(7, 2, 2));
    assert_eq!((p.seqs_of(7), p.commit().next_offset), (upto(2), 1));
    assert_eq!(p.tick(1), Some(1));
    p.contiguity.opened(Offset(1));
    p.take(1, batch(7, 4, 4)).take(2, batch(7, 3, 3));
    assert_eq!(p.tick(2), Some(1));
    p.contiguity.opened(Offset(1));
    p.take(1, batch(7, 4, 4))
        .take(2, batch(7, 3, 3))
        .take(3, batch(7, 2, 2));
    assert_eq!(
        (p.seqs_of(7), p.commit().next_offset, p.gaps()),
        (upto(4), 4, vec![])
    );
}

#[test]
fn gaps_become_final_and_epochs_are_forgotten() {
    let mut p = Partition::open();
    p.take(0, batch(1, 3, 4)).take(1, end(1, 4)).wait_out(0);
    for epoch in 2..=8 {
        p.take(epoch, batch(epoch, 1, 2)).take(epoch, end(epoch, 2));
    }
    let old = 61 + 90 * 86_400;
    p.tick(old - 1);
    p.tick(old);
    assert_eq!(
        (p.gaps(), p.commit().epochs.len()),
        (vec!["1 1-2 missing open".into()], 5)
    );
    p.tick(old + 3_600);
    let state = p.commit();
    assert_eq!(
        (state.ended_gaps[0].state, state.ended_gaps[0].first),
        (GapState::Final, 1)
    );
    assert_eq!((state.epochs.len(), state.epochs[0].epoch), (4, 5));
    let forgotten = &state.forgotten[0];
    assert_eq!(
        (forgotten.epoch, forgotten.readings, forgotten.gaps),
        (4, 8, 1)
    );

    p.restart()
        .take(9, batch(3, 1, 2))
        .take(10, batch(5, 1, 2))
        .take(11, end(2, 2));
    assert_eq!((p.quarantine.len(), p.duplicates), (1, 2));
    assert!(p.quarantine[0].why.contains("forgotten"));
    assert_eq!(
        ReadingBatch::decode(&p.quarantine[0].raw).unwrap().epoch,
        Epoch(3)
    );
}

#[test]
fn a_log_that_is_shorter_than_the_state_is_taken_from_its_start() {
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 2))
        .take(900, batch(7, 3, 4))
        .restart();
    p.take(0, batch(7, 1, 2)).take(1, batch(8, 1, 1));
    assert_eq!(
        (p.seqs_of(7), p.seqs_of(8), p.commit().next_offset),
        (upto(4), vec![1], 2)
    );
}

#[test]
fn numbers_at_the_end_of_all_numbers_stop_nothing() {
    let mut p = Partition::open();
    let one = || ReadingBatch {
        lane: lane(),
        epoch: Epoch(7),
        nonce: EpochNonce::UNKNOWN,
        first_seq: Seq(u64::MAX),
        readings: vec![reading(1)],
    };
    p.take(0, Entry::Batch(one()))
        .take(1, end(7, u64::MAX))
        .take(2, dropped(7, 1, u64::MAX - 1));
    p.take(
        3,
        Entry::Batch(ReadingBatch {
            first_seq: Seq(SEQ_UNKNOWN - 1),
            ..one()
        }),
    );
    p.take(4, batch(u64::MAX, 1, 2))
        .take(5, batch(7, 1, 2))
        .take(6, batch(u64::MAX, 3, 3))
        .take(7, end(7, 3));
    p.tick(1_000);
    p.restart();
    assert_eq!((p.quarantine.len(), p.seqs_of(u64::MAX)), (3, upto(3)));
    assert_eq!(p.seqs_of(7)[..2], [1, 2]);
}

#[test]
fn an_end_or_a_loss_of_nothing_is_no_gap() {
    let mut p = Partition::open();
    p.take(0, end(7, 0))
        .take(1, dropped(8, 3, 2))
        .take(2, batch(8, 1, 1))
        .take(3, end(8, 1))
        .take(4, end(8, 1));
    assert_eq!((p.gaps(), p.seqs_of(8)), (vec![], vec![1]));
}
