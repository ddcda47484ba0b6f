use forebay_schemas::{
    GatewayId, Lane, SiteId, Timestamp,
    wire::{Outage, OutageWhy, Outages, ReadingBatch},
};

use super::*;
use crate::{LogWriter as _, conformance::readings, local};

struct Sent {
    begun: Vec<u64>,
    open: Vec<u64>,
}

impl Known for Sent {
    fn begun(&self, epoch: Epoch) -> bool {
        self.begun.contains(&epoch.0)
    }

    fn open_before(&self, epoch: Epoch) -> Vec<Epoch> {
        self.open
            .iter()
            .map(|open| Epoch(*open))
            .filter(|open| *open < epoch)
            .collect()
    }
}

fn lane() -> LaneId {
    LaneId {
        gateway: GatewayId::new("gw").unwrap(),
        lane: Lane(0),
    }
}

fn batch(epoch: u64, first: u64, count: u64) -> Entry {
    let readings = readings(first, count).unwrap();
    Entry::Batch(ReadingBatch {
        lane: lane(),
        epoch: Epoch(epoch),
        nonce: nonce(epoch),
        first_seq: Seq(first),
        readings,
    })
}

fn nonce(epoch: u64) -> EpochNonce {
    EpochNonce(epoch + 0xA0)
}

fn outages(epoch: u64, first: u64, count: usize) -> Entry {
    let (from, to) = (Timestamp::from_nanos(1), Timestamp::from_nanos(2));
    let outage = Outage {
        site: SiteId::new("s").unwrap(),
        device: None,
        from,
        to,
        why: OutageWhy::Stopped,
    };
    Entry::Outages(Outages {
        lane: lane(),
        epoch: Epoch(epoch),
        nonce: nonce(epoch),
        first_seq: Seq(first),
        outages: vec![outage; count],
    })
}

fn end(epoch: u64, last: LastSeq) -> Entry {
    Entry::EpochEnd {
        epoch: Epoch(epoch),
        nonce: nonce(epoch),
        last,
    }
}

fn dropped(epoch: u64, first: u64, last: u64) -> Entry {
    Entry::Dropped {
        epoch: Epoch(epoch),
        nonce: nonce(epoch),
        first_seq: Seq(first),
        last_seq: Seq(last),
    }
}

fn damage() -> Entry {
    Entry::Damaged {
        segment: Offset(0),
        bytes: 0..1,
        why: Damage::Record,
    }
}

/// Each record as `epoch:first-last` with what it is.
fn shown(out: &[Outgoing]) -> Vec<String> {
    out.iter()
        .map(|out| match out {
            Outgoing::Readings(RawBatch { head, .. }) => {
                format!(
                    "{}:{}-{}",
                    head.epoch,
                    head.first_seq,
                    head.last_seq().unwrap()
                )
            }
            Outgoing::Outages(RawBatch { head, .. }) => {
                format!(
                    "{}:{}-{} out",
                    head.epoch,
                    head.first_seq,
                    head.last_seq().unwrap()
                )
            }
            Outgoing::Loss(SpoolLoss {
                epoch, from, to, ..
            }) => format!("{epoch}: places {from}-{to} lost"),
            Outgoing::Gap(gap) => format!(
                "{}:{}-{} {}",
                gap.epoch,
                gap.first_seq,
                gap.last_seq,
                gap.why.as_str()
            ),
            Outgoing::End(EpochEnd {
                epoch,
                last: LastSeq::Known(last),
                ..
            }) => {
                format!("{epoch} ends {}", last.map_or(0, |last| last.0))
            }
            Outgoing::End(EpochEnd {
                epoch,
                last: LastSeq::Unknown { at_least },
                ..
            }) => {
                format!("{epoch} ends {}?", at_least.map_or(0, |last| last.0))
            }
        })
        .collect()
}

fn check(sent: Sent, entries: Vec<Entry>, expected: &[&str]) {
    let mut course = Course::default();
    let record = |(at, entry)| Record {
        offset: Offset(at),
        next: Offset(at + 1),
        entry,
    };
    let records = (0..).zip(entries).map(record);
    let out: Vec<_> = records
        .flat_map(|record| course.records(&lane(), record.into(), &sent))
        .collect();
    assert_eq!(shown(&out), expected);
    let openings = out.iter().filter_map(|out| match out {
        Outgoing::Readings(RawBatch { head, .. }) => Some((head.epoch, head.nonce)),
        Outgoing::Outages(RawBatch { head, .. }) => Some((head.epoch, head.nonce)),
        Outgoing::Gap(gap) => Some((gap.epoch, gap.nonce)),
        Outgoing::End(end) if end.nonce != EpochNonce::UNKNOWN => Some((end.epoch, end.nonce)),
        Outgoing::End(_) | Outgoing::Loss(_) => None,
    });
    assert!(
        openings.into_iter().all(|(epoch, of)| of == nonce(epoch.0)),
        "each names its opening: {out:?}"
    );
}

#[test]
fn every_seq_is_sent_or_said_to_be_missing() {
    let fresh = || Sent {
        begun: vec![],
        open: vec![],
    };
    let known = |last| LastSeq::Known(Some(Seq(last)));
    check(
        fresh(),
        vec![batch(1, 1, 3), batch(1, 4, 1), end(1, known(4))],
        &["1:1-3", "1:4-4", "1 ends 4"],
    );
    let lost = "1: places 1-2 lost";
    check(
        fresh(),
        vec![damage(), batch(1, 4, 1)],
        &["1: places 0-1 lost", "1:1-3 damaged", "1:4-4"],
    );
    check(
        fresh(),
        vec![batch(1, 1, 2), damage(), batch(1, 6, 1)],
        &["1:1-2", lost, "1:3-5 damaged", "1:6-6"],
    );
    check(
        fresh(),
        vec![batch(1, 1, 2), damage(), end(1, known(9))],
        &["1:1-2", lost, "1:3-9 damaged", "1 ends 9"],
    );
    check(
        fresh(),
        vec![batch(1, 1, 2), outages(1, 3, 2), batch(1, 5, 1)],
        &["1:1-2", "1:3-4 out", "1:5-5"],
    );
    check(fresh(), vec![end(1, LastSeq::Known(None))], &["1 ends 0"]);
    let unknown = LastSeq::Unknown {
        at_least: Some(Seq(4)),
    };
    check(
        fresh(),
        vec![batch(1, 1, 2), damage(), end(1, unknown)],
        &["1:1-2", lost, "1:3-4 damaged", "1 ends 4?"],
    );
    check(
        fresh(),
        vec![batch(1, 1, 2), dropped(1, 3, 7), batch(1, 8, 1)],
        &["1:1-2", "1:3-7 dropped", "1:8-8"],
    );
    check(
        fresh(),
        vec![batch(1, 1, 5), dropped(1, 3, 7)],
        &["1:1-5", "1:6-7 dropped"],
    );
    check(
        fresh(),
        vec![batch(1, 1, 5), dropped(1, 3, 5), batch(1, 6, 1)],
        &["1:1-5", "1:6-6"],
    );
}

#[test]
fn what_an_earlier_process_sent_is_not_guessed() {
    let begun = || Sent {
        begun: vec![1],
        open: vec![1],
    };
    check(
        begun(),
        vec![damage(), batch(1, 40, 2), damage(), batch(1, 50, 1)],
        &[
            "1: places 0-1 lost",
            "1:40-41",
            "1: places 2-3 lost",
            "1:42-49 damaged",
            "1:50-50",
        ],
    );
    check(
        begun(),
        vec![end(1, LastSeq::Known(Some(Seq(4))))],
        &["1 ends 4"],
    );
}

#[test]
fn an_epoch_whose_end_is_lost_is_ended_before_the_next() {
    let open = || Sent {
        begun: vec![1],
        open: vec![1],
    };
    let lost = "2: places 1-2 lost";
    check(
        open(),
        vec![batch(1, 7, 2), damage(), batch(2, 1, 1)],
        &["1:7-8", lost, "1 ends 8?", "2:1-1"],
    );
    let ended = end(1, LastSeq::Known(Some(Seq(8))));
    check(
        open(),
        vec![batch(1, 7, 2), ended, batch(2, 1, 1)],
        &["1:7-8", "1 ends 8", "2:1-1"],
    );
    let expected = ["2: places 0-1 lost", "1 ends 0?", "2:1-2 damaged", "2:3-3"];
    check(open(), vec![damage(), batch(2, 3, 1)], &expected);
}

/// Each opening has a segment of its own: a header that cannot be read hides all that the opening
/// wrote, its end too.
#[tokio::test]
async fn a_damaged_segment_that_holds_a_whole_epoch_is_told() {
    let dir = tempfile::TempDir::new().unwrap();
    let opened = |now: u64| {
        let options = local::Options {
            path: dir.path().to_owned(),
            lane: lane(),
            key: local::SpoolKey::new([7; 32]),
            limits: local::Limits::new(1 << 20, 1 << 16, local::OnFull::Block).unwrap(),
            now: Timestamp::from_nanos(now as i64 * 1_000_000),
            random: std::sync::Arc::new(ring::rand::SystemRandom::new()),
        };
        local::Spool::open(options)
    };
    for now in [5_000_000, 10_000_000, 15_000_000] {
        let spool = opened(now).await.unwrap();
        spool
            .writer()
            .append(readings(1, 3).unwrap())
            .await
            .unwrap();
        spool.writer().close().await.unwrap();
    }
    let segments = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = segments
        .filter(|path| path.extension().is_some_and(|of| of == "seg"))
        .collect();
    segments.sort();
    let mut bytes = std::fs::read(&segments[1]).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&segments[1], bytes).unwrap();
    let spool = opened(20_000_000).await.unwrap();
    spool
        .writer()
        .append(readings(1, 1).unwrap())
        .await
        .unwrap();
    let (mut course, sent) = (
        Course::default(),
        Sent {
            begun: vec![],
            open: vec![],
        },
    );
    let records = crate::conformance::drain(&mut spool.reader(Offset(0)))
        .await
        .unwrap();
    let out: Vec<_> = records
        .into_iter()
        .flat_map(|record| course.records(&lane(), record.into(), &sent))
        .collect();
    let expected = [
        "5000000:1-3",
        "5000000 ends 3",
        "15000000: places 2-4 lost",
        "15000000:1-3",
        "15000000 ends 3",
        "20000000:1-1",
    ];
    assert_eq!(shown(&out), expected);
}

/// All records of epochs 2 and 3 lie in two segments that cannot be read: nothing else would ever
/// tell of them.
#[test]
fn damage_that_hides_whole_epochs_is_told_by_its_places() {
    let known = |last| LastSeq::Known(Some(Seq(last)));
    let entries = vec![
        batch(1, 1, 4),
        end(1, known(4)),
        damage(),
        damage(),
        batch(4, 1, 1),
    ];
    let sent = Sent {
        begun: vec![],
        open: vec![],
    };
    check(
        sent,
        entries,
        &["1:1-4", "1 ends 4", "4: places 2-4 lost", "4:1-1"],
    );
}
