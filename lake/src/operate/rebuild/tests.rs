//! What the tables tell of an epoch.

use std::collections::BTreeMap;

use super::{
    epoch::{Epoch, Told},
    found::{GapRow, Range},
    *,
};
use crate::{GapState, SEQ_UNKNOWN, operate::verify::SeqSet};

const NOW: i64 = 1_700_000_000_000_000;

fn set(seqs: &[Range]) -> SeqSet {
    let mut set = SeqSet::default();
    seqs.iter()
        .for_each(|(first, last)| set.add_range(*first, *last));
    set
}

/// Mark, quarantined, gaps with their words, and those among them that have no row.
fn told(
    readings: &[Range],
    gaps: &[Range],
    quarantined: &[Range],
    reached: u64,
) -> (u64, u64, Vec<String>, usize) {
    told_less(0, readings, gaps, quarantined, reached)
}

/// The same where so many readings were deleted for their age.
fn told_less(
    expired: u64,
    readings: &[Range],
    gaps: &[Range],
    quarantined: &[Range],
    reached: u64,
) -> (u64, u64, Vec<String>, usize) {
    let gaps: BTreeMap<Range, GapRow> = gaps
        .iter()
        .map(|range| (*range, GapRow::new("dropped".into(), 7, GapState::Open)))
        .collect();
    let key = ("gw".to_owned(), 0, 7);
    let (readings, quarantined) = (set(readings), set(quarantined));
    let epoch = Epoch {
        key: &key,
        readings: &readings,
        gaps: &gaps,
        quarantined: &quarantined,
        expired,
    };
    let Told {
        mark,
        quarantined,
        gaps,
        untold,
        ..
    } = epoch.told(reached, Timestamp::from_micros(NOW).unwrap());
    let words = gaps.iter().map(|gap| match gap.last {
        SEQ_UNKNOWN => format!("{}- {}", gap.first, gap.why),
        last => format!("{}-{last} {}", gap.first, gap.why),
    });
    (mark, quarantined, words.collect(), untold.len())
}

#[test]
fn every_seq_up_to_the_mark_is_explained_once() {
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&[(1, 9)], &[], &[], 0), (9, 0, vec![], 0));
    // Gaps that have their row, at the beginning, in the midst, behind the last reading, and of unknown end.
    let gaps = [(1, 2), (5, 6), (10, 12), (13, SEQ_UNKNOWN)];
    let expected = words(&["1-2 dropped", "5-6 dropped", "10-12 dropped", "13- dropped"]);
    assert_eq!(told(&[(3, 4), (7, 9)], &gaps, &[], 0), (12, 0, expected, 0));
    // What nothing explains is found here; what is left of a larger gap keeps its word, one that was filled is none.
    let expected = words(&["3-4 missing", "7-8 dropped"]);
    assert_eq!(
        told(&[(1, 2), (5, 6), (9, 12)], &[(6, 9), (11, 12)], &[], 0),
        (12, 0, expected, 2)
    );
    // Quarantine explains what is no gap, and is no proof behind the last reading unless an older state says so.
    let expected = words(&["2-3 dropped", "6-6 missing"]);
    assert_eq!(
        told(&[(1, 1), (7, 7)], &[(2, 3)], &[(3, 5), (8, 9)], 0),
        (7, 2, expected.clone(), 1)
    );
    assert_eq!(
        told(&[(1, 1), (7, 7)], &[(2, 3)], &[(3, 5), (8, 9)], 9),
        (9, 4, expected, 1)
    );
    assert_eq!(told(&[], &[], &[(1, 2)], 2), (2, 2, vec![], 0));
}

#[test]
fn deleted_readings_are_no_gap_and_hide_none() {
    let check = |expired: u64, readings: &[Range], reached: u64, mark: u64, gaps: &[&str]| {
        let found = told_less(expired, readings, &[(3, 4)], &[(9, 9)], reached);
        let quarantined = found.1;
        assert_eq!(
            (found.0, found.2),
            (mark, gaps.iter().map(|gap| (*gap).to_owned()).collect())
        );
        assert_eq!(quarantined, u64::from(mark >= 9), "{readings:?}");
    };
    // Two before the gap and two behind it; then one of them is lost as well.
    check(4, &[(7, 8), (10, 12)], 0, 12, &["3-4 dropped"]);
    check(
        3,
        &[(7, 8), (10, 12)],
        0,
        12,
        &["3-4 dropped", "6-6 missing"],
    );
    // Nothing is left of what was read, and of what an older state knows.
    check(4, &[], 0, 6, &["3-4 dropped"]);
    check(9, &[], 12, 12, &["3-4 dropped"]);
}
