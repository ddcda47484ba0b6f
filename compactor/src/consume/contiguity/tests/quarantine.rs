//! What is not taken goes to quarantine once.

use super::*;

#[test]
fn a_record_is_quarantined_once() {
    let rubbish = || Entry::Undecodable {
        bytes: vec![1, 2],
        why: "not a protobuf message".into(),
    };
    let mut p = Partition::open();
    p.take(0, batch(7, 5, 5)).take(1, rubbish());
    assert_eq!(
        (p.commit().next_offset, p.state.quarantined.clone()),
        (0, vec![1])
    );
    p.restart()
        .take(0, batch(7, 5, 5))
        .take(1, rubbish())
        .take(2, batch(7, 1, 4));
    assert_eq!(
        (p.quarantine.len(), p.quarantine[0].at, p.seqs_of(7)),
        (1, 1, upto(5))
    );
    assert_eq!((p.commit().next_offset, p.state.quarantined.len()), (3, 0));
}

#[test]
fn event_times_that_cannot_be_are_quarantined_and_accounted_for() {
    let Entry::Batch(mut mixed) = batch(7, 1, 5) else {
        unreachable!()
    };
    mixed.readings[1].event_time = Timestamp::from_nanos(0);
    mixed.readings[4].event_time = at(5 + 86_401);
    let mut p = Partition::open();
    p.take(0, Entry::Batch(mixed.clone()))
        .take(1, Entry::Batch(mixed));
    assert_eq!((p.seqs_of(7), p.duplicates), (vec![1, 3, 4], 5));
    assert_eq!(
        p.quarantine.iter().map(|q| q.at).collect::<Vec<_>>(),
        [2, 5]
    );
    assert_eq!(
        (p.commit().epochs[0].quarantined, p.state.epochs[0].mark),
        (2, 5)
    );
    let details = p.quarantine.iter().map(|q| q.detail.as_deref());
    let pump = Some("site plant, device pump, tag flow");
    assert_eq!(details.collect::<Vec<_>>(), [pump, pump]);
    let raw = ReadingBatch::decode(&p.quarantine[0].raw).unwrap();
    assert_eq!(
        (
            raw.first_seq,
            raw.readings.len(),
            raw.readings[0].event_time.nanos()
        ),
        (Seq(2), 1, 0)
    );
    assert_eq!(
        p.state.sites[0].devices["pump"].event,
        event(4).micros(),
        "rubbish moves no watermark"
    );
}

#[test]
fn readings_behind_the_end_are_refused() {
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 2))
        .take(1, end(7, 2))
        .take(2, batch(7, 2, 3));
    assert_eq!(
        (p.seqs_of(7), p.duplicates, p.quarantine.len()),
        (upto(2), 1, 1)
    );
    assert!(p.quarantine[0].why.contains("behind the end"));
}
