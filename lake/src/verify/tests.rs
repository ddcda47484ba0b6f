use super::*;
use crate::state::{EpochMark, Forgotten, Gap, GapState, SEQ_UNKNOWN, StreamState};

fn state(mark: u64, quarantined: u64, gaps: &[(u64, u64)]) -> StreamState {
    let epoch = EpochMark { gateway: "gw".into(), epoch: 7, mark, quarantined, ..EpochMark::default() };
    let gap = |(first, last): &(u64, u64)| Gap {
        gateway: "gw".into(),
        lane: 0,
        epoch: 7,
        first: *first,
        last: *last,
        why: "missing".into(),
        opened_at: 0,
        state: GapState::Open,
    };
    StreamState {
        gaps: gaps.iter().map(gap).collect(),
        ..StreamState::new(0, (mark > 0).then_some(epoch).into_iter().collect())
    }
}

fn check_all(seqs: &[(u64, &[u64])], states: &[StreamState], line: &str, faults: &[&str]) {
    let mut report = Report::default();
    let mut accounts = Accounts::default();
    states.iter().for_each(|state| accounts.add(state.clone()));
    let seqs = seqs.iter().map(|(epoch, seqs)| (("gw".to_owned(), 0, *epoch), seqs.to_vec()));
    compare(seqs.collect(), accounts, &mut report);
    assert_eq!(report.to_string(), line);
    assert_eq!(report.faults.iter().map(Fault::to_string).collect::<Vec<_>>(), faults);
}

fn check(seqs: &[u64], mark: u64, line: &str, faults: &[&str]) {
    check_all(&[(7, seqs)], &[state(mark, 0, &[])], line, faults);
}

#[test]
fn identities_are_held_against_the_marks() {
    check(&[3, 1, 2], 3, "ok readings=3 files=0 gaps=0 doubled=0 missing=0", &[]);
    check(
        &[1, 2, 2, 3, 3, 3],
        3,
        "FAULT readings=6 files=0 gaps=0 doubled=3 missing=0",
        &["gw/0/7: 3 readings are there more than once, the first is seq 2"],
    );
    check(
        &[1, 4],
        5,
        "FAULT readings=2 files=0 gaps=0 doubled=0 missing=3",
        &["gw/0/7: 3 readings are missing, the first is seq 2"],
    );
    check(
        &[1, 2, 9],
        2,
        "FAULT readings=3 files=0 gaps=0 doubled=0 missing=0",
        &["gw/0/7: 1 readings are accounted for by no state"],
    );
    check(
        &[1],
        0,
        "FAULT readings=1 files=0 gaps=0 doubled=0 missing=0",
        &["gw/0/7: 1 readings are accounted for by no state"],
    );
}

#[test]
fn seqs_in_gaps_and_in_quarantine_are_not_missing() {
    let gaps = [(1, 2), (5, 6), (9, SEQ_UNKNOWN)];
    check_all(&[(7, &[3, 4, 7, 8])], &[state(8, 0, &gaps)], "ok readings=4 files=0 gaps=3 doubled=0 missing=0", &[]);
    check_all(&[(7, &[3, 4, 8])], &[state(8, 1, &gaps)], "ok readings=3 files=0 gaps=3 doubled=0 missing=0", &[]);
    check_all(
        &[(7, &[3, 8])],
        &[state(8, 0, &gaps)],
        "FAULT readings=2 files=0 gaps=3 doubled=0 missing=2",
        &["gw/0/7: 2 readings are missing, the first is seq 4"],
    );
    check_all(
        &[(7, &[3, 4, 5, 7, 8])],
        &[state(8, 0, &gaps)],
        "FAULT readings=5 files=0 gaps=3 doubled=0 missing=0",
        &["gw/0/7: 1 readings are accounted for by no state"],
    );
}

#[test]
fn forgotten_epochs_are_counted() {
    let forgotten = vec![Forgotten { gateway: "gw".into(), lane: 0, epoch: 5, readings: 5, gaps: 1 }];
    let states = [StreamState { forgotten, ..state(1, 0, &[]) }];
    let line = "ok readings=6 files=0 gaps=1 doubled=0 missing=0";
    check_all(&[(3, &[1, 2]), (5, &[1, 2, 4]), (7, &[1])], &states, line, &[]);
    check_all(
        &[(3, &[1, 2]), (5, &[2]), (7, &[1])],
        &states,
        "FAULT readings=4 files=0 gaps=1 doubled=0 missing=2",
        &["gw/0, epochs up to 5: 2 readings are missing"],
    );
    check_all(
        &[(3, &[1, 2, 3]), (5, &[1, 2, 4]), (6, &[1]), (7, &[1])],
        &states,
        "FAULT readings=8 files=0 gaps=1 doubled=0 missing=0",
        &["gw/0/5: 1 readings are accounted for by no state", "gw/0/6: 1 readings are accounted for by no state"],
    );
}
