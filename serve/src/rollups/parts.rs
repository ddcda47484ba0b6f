//! Which times of which sites a roll-up answers for, and which it leaves to the readings.

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::StringArray;
use datafusion::logical_expr::utils::conjunction;
use forebay_lake::RollupCover;

use super::{
    Level,
    bins::SECONDS_EXACT_BEFORE,
    expressions::{holds, is_of},
    question::Question,
};
use crate::sites::SiteSet;

/// From an event time to just before another, µs since 1970 UTC.
pub(super) type Stretch = (i64, i64);

/// A site of which more days lack than this is answered for in its longest stretches.
const STRETCHES_MAX: usize = 64;
/// So many of all sites together make a condition that is quickly told; more make none.
const STRETCHES_MAX_IN_ALL: usize = 256;

/// Times of sites.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) sites: Vec<String>,
    /// In order and apart.
    pub(super) stretches: Vec<Stretch>,
}

/// Where the rows of an answer come from; no time of a site is in both.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) rolled_up: Vec<Part>,
    pub(super) raw: Vec<Part>,
}

impl Parts {
    /// `None` where the roll-up answers for nothing that is asked.
    pub(super) fn of(
        question: &Question<'_>,
        cover: &RollupCover,
        sites: &SiteSet,
        level: &Level,
    ) -> Option<Self> {
        let asked: Vec<&str> = cover.sites().filter(|site| sites.contains(site)).collect();
        let asked = wanted_sites(question, asked)?;
        let times = question.filters.times;
        let mut by_cover: BTreeMap<Vec<Stretch>, Vec<String>> = BTreeMap::new();
        for site in asked {
            let covered = within(cover.of(site, level.table.name), times, level.step);
            by_cover.entry(covered).or_default().push(site.to_owned());
        }
        Self::apart(by_cover, times)
    }

    fn apart(by_cover: BTreeMap<Vec<Stretch>, Vec<String>>, times: Stretch) -> Option<Self> {
        let mut parts = Self {
            rolled_up: Vec::new(),
            raw: Vec::new(),
        };
        let mut count = 0;
        for (stretches, sites) in by_cover {
            let between = between(&stretches, times);
            count += stretches.len() + between.len();
            if !between.is_empty() {
                let (sites, stretches) = (sites.clone(), between);
                parts.raw.push(Part { sites, stretches });
            }
            if !stretches.is_empty() {
                parts.rolled_up.push(Part { sites, stretches });
            }
        }
        let is_answer = !parts.rolled_up.is_empty() && count <= STRETCHES_MAX_IN_ALL;
        is_answer.then_some(parts)
    }
}

/// Sites that no condition on the site alone leaves out.
fn wanted_sites<'a>(question: &Question<'_>, sites: Vec<&'a str>) -> Option<Vec<&'a str>> {
    let names = question.filters.names.iter();
    let of_site = names
        .filter(|condition| is_of(condition, &["site"]))
        .cloned();
    let Some(condition) = conjunction(of_site) else {
        return Some(sites);
    };
    let column = Arc::new(StringArray::from(sites.clone()));
    let verdicts = holds(&condition, "site", column)?;
    let kept = sites.into_iter().zip(verdicts.iter());
    let kept = kept.filter(|(_, verdict)| *verdict == Some(true));
    Some(kept.map(|(site, _)| site).collect())
}

/// What of stretches lies within times, in whole steps.
fn within(stretches: &[Stretch], (from, to): Stretch, step: i64) -> Vec<Stretch> {
    let (from, to) = (from.max(0), to.min(SECONDS_EXACT_BEFORE));
    let first = from
        .saturating_add(step - 1)
        .div_euclid(step)
        .saturating_mul(step);
    let end = to.div_euclid(step).saturating_mul(step);
    let cut = stretches
        .iter()
        .map(|(a, b)| ((*a).max(first), (*b).min(end)));
    let mut within: Vec<Stretch> = cut.filter(|(a, b)| a < b).collect();
    if within.len() > STRETCHES_MAX {
        within.sort_by_key(|(a, b)| a - b);
        within.truncate(STRETCHES_MAX);
        within.sort_unstable();
    }
    within
}

/// What of times lies outside of stretches.
fn between(stretches: &[Stretch], (from, to): Stretch) -> Vec<Stretch> {
    let mut between = Vec::new();
    let mut at = from;
    for (a, b) in stretches {
        between.push((at, *a));
        at = *b;
    }
    between.push((at, to));
    between.retain(|(a, b)| a < b);
    between
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_stretch_is_cut_to_whole_steps_within_the_times_asked_for() {
        for (stretches, times, expected) in [
            (vec![(0, 100)], (0, 100), vec![(0, 100)]),
            (vec![(0, 100)], (1, 99), vec![(10, 90)]),
            (vec![(0, 100)], (i64::MIN, i64::MAX), vec![(0, 100)]),
            (vec![(0, 100), (200, 300)], (95, 250), vec![(200, 250)]),
            (vec![(0, 100)], (11, 19), vec![]),
            (vec![(-100, 0)], (-50, 50), vec![]),
        ] {
            assert_eq!(
                within(&stretches, times, 10),
                expected,
                "{stretches:?} {times:?}"
            );
        }
        let many: Vec<Stretch> = (0..100)
            .map(|n| (n * 100, n * 100 + 10 + n / 50 * 10))
            .collect();
        let kept = within(&many, (0, 100_000), 10);
        assert_eq!(kept.len(), STRETCHES_MAX);
        assert!(kept.is_sorted() && kept.ends_with(&many[50..]), "{kept:?}");
    }

    #[test]
    fn what_lies_between_and_the_stretches_are_the_times_asked_for() {
        for (stretches, times, expected) in [
            (vec![], (0, 10), vec![(0, 10)]),
            (vec![(0, 10)], (0, 10), vec![]),
            (vec![(2, 4), (6, 8)], (0, 10), vec![(0, 2), (4, 6), (8, 10)]),
            (vec![], (10, 0), vec![]),
            (
                vec![(0, 5)],
                (i64::MIN, i64::MAX),
                vec![(i64::MIN, 0), (5, i64::MAX)],
            ),
        ] {
            assert_eq!(
                between(&stretches, times),
                expected,
                "{stretches:?} {times:?}"
            );
        }
    }
}
