use proptest::prelude::*;

use super::*;

fn limits() -> Limits {
    Limits::default()
}

fn points(spans: &[(u16, u16)]) -> Vec<Point> {
    spans
        .iter()
        .enumerate()
        .map(|(tag, &(first, count))| Point {
            tag,
            first,
            count,
            each: 1,
        })
        .collect()
}

fn spans(reads: &[Read]) -> Vec<(u16, u16)> {
    reads.iter().map(|read| (read.first, read.count)).collect()
}

#[test]
fn reads_are_merged_over_small_gaps_only() {
    let merged = plan(
        Register::Holding,
        points(&[(10, 2), (0, 2), (20, 1), (30, 4)]),
        &limits(),
    );
    assert_eq!(spans(&merged), [(0, 21), (30, 4)]);
    let bits = plan(
        Register::Coil,
        points(&[(0, 1), (129, 1), (259, 1)]),
        &limits(),
    );
    assert_eq!(spans(&bits), [(0, 130), (259, 1)]);
    assert_eq!(
        spans(&plan(
            Register::Input,
            points(&[(65_535, 1), (65_531, 4)]),
            &limits()
        )),
        [(65_531, 5)]
    );
    assert_eq!(plan(Register::Input, Vec::new(), &limits()), []);
}

#[test]
fn limits_cut_between_values() {
    let words: Vec<(u16, u16)> = (0..100).map(|i| (i * 4, 4)).collect();
    let reads = plan(Register::Holding, points(&words), &limits());
    assert_eq!(spans(&reads), [(0, 124), (124, 124), (248, 124), (372, 28)]);
}

#[test]
fn what_must_not_be_read_is_not_read_over() {
    let limits = Limits {
        never: Forbidden::parse(&["3".to_owned(), "coil 40-50".to_owned()]).unwrap(),
        ..limits()
    };
    let cases = [
        (
            Register::Holding,
            [(0, 1), (2, 1), (4, 1)],
            vec![(0, 3), (4, 1)],
        ),
        (Register::Input, [(30, 1), (38, 1), (41, 1)], vec![(30, 12)]),
        (
            Register::Coil,
            [(30, 1), (38, 1), (51, 1)],
            vec![(30, 9), (51, 1)],
        ),
    ];
    for (register, wanted, expected) in cases {
        let reads = plan(register, points(&wanted), &limits);
        assert_eq!(spans(&reads), expected, "{register:?}");
    }
}

#[test]
fn a_split_goes_through_the_widest_gap_and_never_through_a_value() {
    let read = Read::of(
        Register::Holding,
        points(&[(0, 2), (2, 2), (8, 2), (10, 1), (10, 1)]),
    );
    let (before, behind) = read.split().unwrap();
    assert_eq!(spans(&[before.clone(), behind.clone()]), [(0, 4), (8, 3)]);
    assert_eq!(
        before.split().map(|(a, b)| spans(&[a, b])),
        Some(vec![(0, 2), (2, 2)])
    );
    let (value, bits) = behind.split().unwrap();
    assert_eq!(spans(&[value, bits.clone()]), [(8, 2), (10, 1)]);
    assert_eq!(bits.split(), None, "two bits of one register stay together");
}

/// Points that fit the limits, as the configuration makes sure of.
fn some_points(bits: bool) -> impl Strategy<Value = Vec<Point>> {
    let width = if bits { 1..=1_u16 } else { 1..=10_u16 };
    let span = (prop_oneof![0..300_u16, 0..65_526_u16], width);
    prop::collection::vec(span, 0..80).prop_map(|spans| points(&spans))
}

/// Every tag once, whole, in a read that is no longer than allowed.
fn check(reads: &[Read], expected: usize, count_max: u16) {
    let mut seen: Vec<usize> = Vec::new();
    for read in reads {
        assert!(read.count >= 1 && read.count <= count_max, "{read}");
        assert!(
            u32::from(read.first) + u32::from(read.count) <= 65_536,
            "{read}"
        );
        assert_eq!(
            read.points.iter().map(|point| point.first).min(),
            Some(read.first)
        );
        for point in &read.points {
            assert!(
                point.first >= read.first
                    && point.end() <= u32::from(read.first) + u32::from(read.count)
            );
            seen.push(point.tag);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..expected).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn every_tag_is_read_whole_and_within_limits(
        bits in any::<bool>(),
        gap_max in 0..40_u16,
        registers_max in 10..=125_u16,
        coils_max in 1..=2000_u16,
        words in some_points(false),
        coils in some_points(true),
    ) {
        let limits = Limits { gap_max, registers_max, coils_max, never: Forbidden::default() };
        if bits {
            check(&plan(Register::Discrete, coils.clone(), &limits), coils.len(), coils_max);
        } else {
            check(&plan(Register::Holding, words.clone(), &limits), words.len(), registers_max);
        }
    }

    #[test]
    fn splitting_to_the_end_loses_no_tag(words in some_points(false)) {
        let mut left = plan(Register::Holding, words.clone(), &limits());
        let mut done = Vec::new();
        while let Some(read) = left.pop() {
            match read.split() {
                Some((before, behind)) => {
                    prop_assert!(before.points.len() < read.points.len() && behind.points.len() < read.points.len());
                    left.extend([before, behind]);
                }
                None => done.push(read),
            }
        }
        check(&done, words.len(), 125);
        for read in &done {
            prop_assert!(read.points.iter().all(|point| (point.first, point.count) == (read.first, read.count)));
        }
    }
}
