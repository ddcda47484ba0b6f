use proptest::{prelude::*, strategy::ValueTree};

use super::*;
use crate::plan::Forbidden;

const SECOND: Duration = Duration::from_secs(1);

fn limits(gap_max: u16, registers_max: u16) -> Limits {
    Limits {
        gap_max,
        registers_max,
        never: Forbidden::parse(&["20-21".to_owned()]).unwrap(),
        ..Limits::default()
    }
}

/// Points from (first, count, period in seconds).
fn periods(tags: &[(u16, u16, u32)]) -> BTreeMap<Duration, Vec<Point>> {
    let mut periods: BTreeMap<Duration, Vec<Point>> = BTreeMap::new();
    for (tag, &(first, count, seconds)) in tags.iter().enumerate() {
        periods.entry(SECOND * seconds).or_default().push(Point {
            tag,
            first,
            count,
            each: 1,
        });
    }
    periods
}

fn planned(tags: &[(u16, u16, u32)], limits: &Limits) -> Vec<(u64, Vec<(u16, u16)>)> {
    let planned = plan_periods(Register::Holding, periods(tags), limits);
    let spans = |reads: Vec<Read>| reads.iter().map(|read| (read.first, read.count)).collect();
    planned
        .into_iter()
        .map(|(every, reads)| (every.as_secs(), spans(reads)))
        .collect()
}

#[test]
fn a_slower_tag_is_read_along_where_that_costs_no_request() {
    let cases = [
        // Between two of the shorter period, and in front of them.
        (
            vec![(10, 1, 1), (12, 1, 10), (14, 1, 1), (8, 2, 10)],
            vec![(1, vec![(8, 7)])],
        ),
        // Too far away.
        (
            vec![(10, 1, 1), (30, 1, 10)],
            vec![(1, vec![(10, 1)]), (10, vec![(30, 1)])],
        ),
        // No multiple.
        (
            vec![(0, 1, 2), (1, 1, 3)],
            vec![(2, vec![(0, 1)]), (3, vec![(1, 1)])],
        ),
        // A multiple of the longer period only.
        (
            vec![(0, 1, 2), (30, 1, 3), (31, 1, 9)],
            vec![(2, vec![(0, 1)]), (3, vec![(30, 2)])],
        ),
        // Not over what must not be read.
        (
            vec![(19, 1, 1), (22, 1, 5)],
            vec![(1, vec![(19, 1)]), (5, vec![(22, 1)])],
        ),
    ];
    for (tags, expected) in cases {
        assert_eq!(planned(&tags, &limits(8, 10)), expected, "{tags:?}");
    }
}

/// Whether one read can cover these points.
fn is_one_read(points: &[(u16, u16, u32)], limits: &Limits) -> bool {
    let mut sorted = points.to_vec();
    sorted.sort_unstable();
    let first = sorted[0].0;
    let mut end = u32::from(first);
    sorted.iter().all(|&(start, count, _)| {
        let point = Point {
            tag: 0,
            first: start,
            count,
            each: 1,
        };
        let joins = limits.joins(Register::Holding, first, end, &point);
        end = end.max(point.end());
        joins
    })
}

/// The fewest reads for each subset of the tags, as bits: by trying all.
fn fewest(tags: &[(u16, u16, u32)], limits: &Limits) -> Vec<u32> {
    let subset = |bits: usize| -> Vec<(u16, u16, u32)> {
        let is_in = |(place, _): &(usize, _)| bits >> place & 1 == 1;
        tags.iter()
            .copied()
            .enumerate()
            .filter(is_in)
            .map(|(_, tag)| tag)
            .collect()
    };
    let all = 1 << tags.len();
    let one: Vec<bool> = (0..all)
        .map(|bits| bits > 0 && is_one_read(&subset(bits), limits))
        .collect();
    let mut fewest = vec![0; all];
    for bits in 1..all {
        let parts = (1..=bits).filter(|part| part & !bits == 0 && one[*part]);
        fewest[bits] = parts.map(|part| fewest[bits & !part] + 1).min().unwrap();
    }
    fewest
}

/// The fewest requests in the time of the longest period: each slower tag with its own period, or with a shorter one of which
/// it is a multiple.
fn optimum(tags: &[(u16, u16, u32)], seconds: [u32; 3], limits: &Limits) -> u32 {
    let fewest = fewest(tags, limits);
    let mut choices = vec![[0_usize; 3]];
    for (place, (_, _, own)) in tags.iter().enumerate() {
        let homes = (0..3).filter(|home| own.is_multiple_of(seconds[*home]));
        choices = homes
            .flat_map(|home| {
                choices.iter().map(move |choice| {
                    let mut choice = *choice;
                    choice[home] |= 1 << place;
                    choice
                })
            })
            .collect();
    }
    let cost = |choice: &[usize; 3]| {
        (0..3)
            .map(|home| fewest[choice[home]] * (seconds[2] / seconds[home]))
            .sum()
    };
    choices.iter().map(cost).min().unwrap()
}

#[test]
fn the_plan_is_within_five_percent_of_the_optimum() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let seconds = [1, 2, 10];
    let tag = (0..40_u16, 1..=4_u16, prop::sample::select(seconds.to_vec()));
    let strategy = (prop::collection::vec(tag, 1..8), 0..6_u16, 4..16_u16);
    let (mut taken, mut least, mut exact) = (0, 0, 0);
    const ROUNDS: u32 = 400;
    for _ in 0..ROUNDS {
        let (tags, gap_max, registers_max) = strategy.new_tree(&mut runner).unwrap().current();
        let limits = limits(gap_max, registers_max);
        let cost = planned(&tags, &limits)
            .iter()
            .map(|(every, reads)| reads.len() as u32 * seconds[2] / *every as u32)
            .sum::<u32>();
        let optimum = optimum(&tags, seconds, &limits);
        assert!(
            cost >= optimum,
            "{tags:?}: {cost} requests, fewer than the least {optimum}"
        );
        taken += cost;
        least += optimum;
        exact += u32::from(cost == optimum);
    }
    assert!(
        f64::from(taken) <= 1.05 * f64::from(least),
        "{taken} requests, {least} would do"
    );
    assert!(
        exact * 10 >= ROUNDS * 9,
        "{exact} of {ROUNDS} plans are the best"
    );
}

proptest! {
    #[test]
    fn every_tag_is_read_once_and_as_often_as_it_is_due(
        tags in prop::collection::vec((0..200_u16, 1..=4_u16, prop::sample::select(vec![1_u32, 2, 3, 10, 60])), 1..60),
        gap_max in 0..20_u16,
        registers_max in 4..125_u16,
    ) {
        let limits = limits(gap_max, registers_max);
        let mut seen = vec![0; tags.len()];
        for (every, reads) in plan_periods(Register::Holding, periods(&tags), &limits) {
            for read in reads {
                prop_assert!(read.count <= registers_max);
                for point in &read.points {
                    seen[point.tag] += 1;
                    prop_assert!(point.first >= read.first && point.end() <= u32::from(read.first) + u32::from(read.count));
                    prop_assert_eq!(every * point.each, SECOND * tags[point.tag].2);
                }
            }
        }
        prop_assert!(seen.iter().all(|times| *times == 1), "{:?}", seen);
    }
}
