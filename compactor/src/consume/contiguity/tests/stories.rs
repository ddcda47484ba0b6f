//! Stories that broke a promise: lost tails, copies of a gateway, damage, clocks that are set, crash loops.

use forebay_lake::{DeviceTimes, taken_elsewhere};
use forebay_schemas::wire::{Outage, OutageWhy, Outages};
use forebay_stream::GapWhy;

use super::*;

/// Outages of "pump", each two minutes long, that begin so many seconds into the test as their seq says.
fn outages_of(nonce: EpochNonce, epoch: u64, first: u64, count: u64) -> Entry {
    let outage = |seq: u64| Outage {
        site: SiteId::new("plant").unwrap(),
        device: Some(DeviceId::new("pump").unwrap()),
        from: at(seq as i64),
        to: at(seq as i64 + 120),
        why: OutageWhy::Stopped,
    };
    let outages = (first..first + count).map(outage).collect();
    Entry::Outages(Outages {
        lane: lane(),
        epoch: Epoch(epoch),
        nonce,
        first_seq: Seq(first),
        outages,
    })
}

#[test]
fn a_tail_that_is_lost_becomes_a_gap_after_one_wait() {
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 2))
        .take(1, end(7, 5))
        .take(2, batch(8, 1, 1));
    p.wait_out(0);
    assert_eq!(
        (p.gaps(), p.seqs_of(8)),
        (vec!["7 3-5 missing open".into()], vec![1])
    );
    assert!(p.commit().epochs[0].closed && p.state.next_offset == 3 && !p.contiguity.is_waiting());
    assert_eq!(
        (61..=1_000).find_map(|seconds| p.tick(seconds)),
        None,
        "the log is not read again and again"
    );
}

#[test]
fn what_another_opening_numbered_alike_is_quarantined() {
    let mut p = Partition::open();
    let copy = EpochNonce(0xB);
    p.take(0, batch(7, 1, 3))
        .take(1, batch_of(copy, 7, 1, 2))
        .take(2, batch_of(EpochNonce::UNKNOWN, 7, 3, 4));
    p.take(3, batch_of(copy, 7, 3, 5)).take(4, batch(7, 5, 5));
    assert_eq!((p.seqs_of(7), p.duplicates), (upto(5), 1));
    assert_eq!(
        p.quarantine.iter().map(|row| row.at).collect::<Vec<_>>(),
        upto(5)
    );
    assert!(
        p.quarantine
            .iter()
            .all(|row| row.why.contains("copied data folder")),
        "{:?}",
        p.quarantine
    );
    assert_eq!(
        ReadingBatch::decode(&p.quarantine[0].raw).unwrap().nonce,
        copy
    );
    assert_eq!(
        (p.commit().epochs[0].quarantined, p.gaps()),
        (0, vec![]),
        "the epoch itself lacks nothing"
    );
    // Read again after a restart, each stays where it is.
    p.restart()
        .take(0, batch(7, 1, 3))
        .take(3, batch_of(copy, 7, 3, 6))
        .take(6, batch(7, 6, 6));
    assert_eq!((p.seqs_of(7), p.quarantine.len()), (upto(6), 6));
}

/// Where a copy ends, and what it lost, says nothing of the other: it may still bring those readings.
#[test]
fn the_end_and_the_gaps_of_one_opening_do_not_count_for_another() {
    let end_of = |nonce, last| Entry::EpochEnd {
        epoch: Epoch(7),
        nonce,
        last: LastSeq::Known(Some(Seq(last))),
    };
    let gap_of = |nonce, first, last| Entry::Gap {
        epoch: Epoch(7),
        nonce,
        first_seq: Seq(first),
        last_seq: Seq(last),
        why: GapWhy::Dropped,
    };
    let dropped_by = |nonce, first, last| Entry::Dropped {
        epoch: Epoch(7),
        nonce,
        first_seq: Seq(first),
        last_seq: Seq(last),
    };
    let copy = EpochNonce(0xB);
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 3))
        .take(1, batch_of(copy, 7, 1, 3))
        .take(2, end_of(copy, 3));
    assert!(
        !p.commit().epochs[0].closed,
        "the copy's end is not the epoch's"
    );
    p.restart()
        .take(3, gap_of(copy, 4, 5))
        .take(4, dropped_by(copy, 4, 9))
        .take(5, outages_of(copy, 7, 4, 1));
    p.take(6, batch(7, 4, 5))
        .take(7, end_of(copy, 12))
        .take(8, end_of(NONCE, 5));
    assert_eq!(
        (p.seqs_of(7), p.quarantine.len(), p.gaps(), p.foreign),
        (upto(5), 3, vec![], 5)
    );
    assert!(p.commit().epochs[0].closed && !p.contiguity.is_waiting());
    // A record that names no opening, of a release that drew none, is believed.
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 3))
        .take(1, gap_of(EpochNonce::UNKNOWN, 4, 5))
        .take(2, end_of(EpochNonce::UNKNOWN, 5));
    assert_eq!(
        (p.gaps(), p.foreign, p.commit().epochs[0].closed),
        (vec!["7 4-5 dropped open".into()], 0, true)
    );
}

#[test]
fn an_outage_is_a_gap_that_is_final_wherever_it_comes() {
    let outages = |first, count| outages_of(NONCE, 7, first, count);
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 3))
        .take(1, outages(4, 2))
        .take(2, batch(7, 6, 7))
        .take(3, end(7, 7))
        .take(4, outages(4, 2));
    assert_eq!(
        (p.gaps(), p.seqs_of(7)),
        (
            vec!["7 4-4 stopped final".into(), "7 5-5 stopped final".into()],
            vec![1, 2, 3, 6, 7]
        )
    );
    let extent = p.commit().gaps[0].extent.clone().unwrap();
    assert_eq!(
        (extent.site.as_str(), extent.device.as_deref()),
        ("plant", Some("pump"))
    );
    assert_eq!(
        (extent.from, extent.to),
        (at(4).micros(), at(4 + 120).micros())
    );
    // Read again after a restart it is known, and told of no more.
    let before = p.commit();
    p.restart().take(1, outages(4, 2));
    assert!(opened_gaps(&before, &p.commit()).is_empty() && p.state.ended_gaps.is_empty());
    // Behind a jump it waits like readings.
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 3))
        .take(1, outages(6, 1))
        .take(2, batch(7, 7, 8));
    assert_eq!((p.gaps(), p.commit().next_offset), (vec![], 1));
    p.take(3, batch(7, 4, 5));
    assert_eq!(
        (p.gaps(), p.commit().next_offset),
        (vec!["7 6-6 stopped final".into()], 4)
    );
    // And it may come when it was given up for missing, or when the end of its epoch was.
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 2))
        .take(1, batch(7, 5, 5))
        .wait_out(0)
        .take(2, outages(3, 1));
    assert_eq!(p.gaps(), ["7 3-3 stopped final", "7 4-4 missing open"]);
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 2))
        .take(1, batch(8, 1, 1))
        .wait_out(0);
    assert_eq!(p.gaps(), ["7 3-? unfinished open"]);
    p.take(2, outages(4, 1));
    assert_eq!(
        p.gaps(),
        [
            "7 3-3 unfinished open",
            "7 4-4 stopped final",
            "7 5-? unfinished open"
        ]
    );
}

#[test]
fn an_outage_that_fills_a_gap_exactly_is_reported_with_its_device() {
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 2))
        .take(1, batch(7, 4, 4))
        .wait_out(0);
    assert_eq!(p.gaps(), ["7 3-3 missing open"]);
    let before = p.commit();
    p.take(2, outages_of(NONCE, 7, 3, 1));
    assert_eq!(p.gaps(), ["7 3-3 stopped final"]);
    let after = p.commit();
    let told = opened_gaps(&before, &after);
    assert!(
        matches!(told[..], [gap] if gap.extent.is_some()),
        "{told:?}"
    );
    assert!(opened_gaps(&after, &p.commit()).is_empty(), "once");
}

#[test]
fn each_lost_place_leaves_a_row_that_names_it() {
    let mut p = Partition::open();
    // Whole epochs may lie in it: no later record shows that.
    p.take(0, batch(7, 1, 2)).take(1, end(7, 2)).take_range(
        2..9,
        damaged(Damage::Missing),
        moment(0),
    );
    p.take(9, batch(9, 1, 1)).take(10, damaged(Damage::Record));
    let rows = |p: &Partition| {
        p.quarantine
            .iter()
            .map(|row| (row.at, row.why.clone()))
            .collect::<Vec<_>>()
    };
    let gone = "offsets 2..9 of the stream are gone: they were deleted before they were read";
    assert_eq!(rows(&p)[0], (2, gone.into()));
    assert!(
        rows(&p)[1]
            .1
            .starts_with("offsets 10..11 of the stream are damaged"),
        "{:?}",
        rows(&p)
    );
    // A restored spool begins lower and meets the same places again.
    p.restart()
        .take(0, batch(7, 1, 2))
        .take_range(2..9, damaged(Damage::Missing), moment(0));
    assert_eq!((rows(&p).len(), p.gaps()), (2, vec![]));
}

#[test]
fn what_was_read_before_it_was_deleted_is_not_lost() {
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 2))
        .take(1, batch(7, 5, 6))
        .take(2, batch(8, 1, 1));
    p.tick(60);
    p.contiguity.opened(Offset(0));
    // The head of the topic is deleted when it is read again: what is missing cannot have been there.
    p.take_range(0..1, damaged(Damage::Missing), moment(60))
        .take(1, batch(7, 5, 6))
        .take(2, batch(8, 1, 1));
    p.tick(61);
    assert_eq!(
        (p.gaps()[0].as_str(), p.quarantine.len()),
        ("7 3-4 missing open", 0)
    );
}

#[test]
fn a_clock_that_is_set_changes_no_wait() {
    let year = 365 * 86_400;
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 1)).take(1, batch(7, 3, 3));
    let back = |up: u64| Moment::new(at(-year), Duration::from_secs(up));
    assert_eq!((p.tick_at(back(59)), p.tick_at(back(60))), (None, Some(0)));
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 1)).take(1, batch(7, 3, 3));
    assert_eq!(
        p.tick_at(Moment::new(at(year), Duration::from_secs(59))),
        None
    );
}

#[test]
fn one_look_at_a_clock_that_is_ahead_makes_no_gap_final() {
    let mut p = Partition::open();
    p.take(0, batch(7, 3, 3)).take(1, end(7, 3)).wait_out(0);
    let ahead = |minutes: u64| Moment::new(at(100 * 86_400), Duration::from_secs(minutes * 60));
    p.tick_at(ahead(10));
    p.tick_at(ahead(40));
    p.tick(45 * 60);
    p.tick_at(ahead(100));
    assert_eq!(
        p.gaps(),
        ["7 1-2 missing open"],
        "the clock was put right in between"
    );
    p.take(2, batch(7, 1, 2));
    assert_eq!((p.seqs_of(7), p.gaps()), (upto(3), vec![]));
}

#[test]
fn a_gateway_that_is_ahead_hides_no_other_device() {
    let year = 365 * 86_400;
    let Entry::Batch(mut ahead) = batch(7, 2, 2) else {
        unreachable!()
    };
    ahead.readings[0].series.device = DeviceId::new("ahead").unwrap();
    (
        ahead.readings[0].event_time,
        ahead.readings[0].observed_time,
    ) = (at(year), at(year));
    let mut p = Partition::open();
    p.take(0, batch(7, 1, 1)).take(1, Entry::Batch(ahead));
    let devices = p.commit().sites[0].devices.clone();
    assert_eq!(
        (devices["pump"].event, devices["ahead"].event),
        (event(1).micros(), at(0).micros())
    );
    assert_eq!(devices["ahead"].observed, at(0).micros());
    // A state that a clock ahead has left is believed only up to now.
    p.state.sites[0].devices.insert(
        "ahead".into(),
        DeviceTimes {
            event: at(year).micros(),
            observed: at(year).micros(),
        },
    );
    p.contiguity = Contiguity::new(&p.state, rules(), moment(5)).unwrap();
    assert_eq!(
        p.commit().sites[0].devices["ahead"],
        DeviceTimes {
            event: at(5).micros(),
            observed: at(5).micros()
        }
    );
    assert!(p.state.sites[0].devices.contains_key("pump"));
}

#[test]
fn openings_behind_an_open_gap_do_not_grow_the_state() {
    let mut p = Partition::open();
    p.take(0, batch(1, 2, 2)).take(1, end(1, 2)).wait_out(0);
    for epoch in 2..=1_000 {
        p.take(epoch, batch(epoch, 1, 1)).take(epoch, end(epoch, 1));
        p.tick(60);
    }
    let state = p.commit();
    assert_eq!(
        (
            state.epochs.len(),
            state.epochs[0].epoch,
            state.forgotten[0].readings
        ),
        (5, 1, 995)
    );
    p.restart().take(1_001, batch(1, 1, 1));
    assert_eq!((p.seqs_of(1), p.gaps()), (upto(2), vec![]));
    p.tick(61);
    assert_eq!(
        (p.commit().epochs.len(), p.state.forgotten[0].readings),
        (4, 997)
    );
}

/// Goes on from what another stream took of the lane, given its state.
fn take_over(p: &mut Partition, state: StreamState) {
    let others = [(
        "another".to_owned(),
        StreamState {
            stream: "another".into(),
            ..state
        },
    )];
    let elsewhere = taken_elsewhere(&others, "this", "gw", 0);
    let (_, consumed) = p.contiguity.take_over(&elsewhere, moment(0)).unwrap();
    p.absorb(consumed);
}

/// Of each epoch, how many readings and gaps other streams' states count.
fn elsewhere(p: &mut Partition) -> Vec<(u64, u64, u64)> {
    p.commit()
        .epochs
        .iter()
        .map(|at| (at.epoch, at.readings_elsewhere, at.gaps_elsewhere))
        .collect()
}

#[test]
fn readings_that_another_stream_brought_count_there() {
    let mut other = Partition::open();
    other
        .take(0, batch(5, 1, 4))
        .take(1, end(5, 4))
        .take(2, batch(6, 3, 5))
        .wait_out(0);
    assert_eq!(elsewhere(&mut other), [(5, 0, 0), (6, 0, 0)]);
    let mut p = Partition::open();
    take_over(&mut p, other.commit());
    assert_eq!(elsewhere(&mut p), [(5, 4, 0), (6, 3, 1)]);
    // It fills the gap, goes on, and is restarted in between.
    p.take(0, batch(6, 1, 2))
        .restart()
        .take(1, batch(6, 6, 7))
        .take(2, end(6, 7));
    assert_eq!(
        (p.seqs_of(6), elsewhere(&mut p)),
        (vec![1, 2, 6, 7], vec![(5, 4, 0), (6, 3, 1)])
    );
    // And back: of what this one brought nothing counts in the other, which keeps its own.
    take_over(&mut other, p.commit());
    assert_eq!(elsewhere(&mut other), [(5, 0, 0), (6, 4, 0)]);
    for (p, brought) in [(&mut p, 4), (&mut other, 7)] {
        for epoch in 7..=10 {
            p.take(epoch, batch(epoch, 1, 1)).take(epoch, end(epoch, 1));
        }
        p.tick(1);
        let forgotten = p.commit().forgotten;
        assert_eq!(
            (forgotten[0].epoch, forgotten[0].readings, forgotten[0].gaps),
            (6, brought, 0)
        );
    }
}

#[test]
fn an_epoch_that_is_forgotten_is_not_begun_again_where_another_stream_knows_less_of_it() {
    let mut other = Partition::open();
    other.take(0, batch(1, 1, 2));
    let mut p = Partition::open();
    p.take(0, batch(1, 1, 3)).take(1, end(1, 3));
    for epoch in 2..=5 {
        p.take(epoch, batch(epoch, 1, 1)).take(epoch, end(epoch, 1));
    }
    p.tick(0);
    take_over(&mut p, other.commit());
    assert_eq!(
        p.commit()
            .epochs
            .iter()
            .map(|at| at.epoch)
            .collect::<Vec<_>>(),
        [2, 3, 4, 5]
    );
    p.take(0, batch(1, 1, 3));
    assert_eq!(
        (p.seqs_of(1), p.duplicates, p.quarantine.len()),
        (upto(3), 3, 0)
    );
}
