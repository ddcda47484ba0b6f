//! Which stretches of time files have touched since they were last looked at.
//!
//! What a window holds cannot have changed while no file with times of it has come or gone. A merged file has come: what it
//! holds is counted once more each time that it is written, and not each time that a window is over.

use std::collections::{BTreeMap, BTreeSet};

use forebay_lake::{Add, LakeWriter};
use forebay_schemas::table::READINGS;

use super::{
    count::{MICROS_PER_DAY, day_of, day_start},
    stretches::Stretch,
};

/// First and last event time of each file of a site, µs since 1970 UTC, by its path.
pub(super) type Files = BTreeMap<String, (i64, i64)>;

/// A file that does not say which times it holds may hold any: µs since 1970 UTC, up to where a day has a number.
const ANY_TIME: (i64, i64) = (0, i64::MAX / 1_000);

/// The times of a site's files; what is known of some is not read again.
pub(super) fn times(lake: &LakeWriter, files: &[&Add], known: Option<&Files>) -> Files {
    let times = |add: &Add| {
        let known = known.and_then(|known| known.get(&add.path)).copied();
        known
            .or_else(|| lake.event_times(&READINGS, add))
            .unwrap_or(ANY_TIME)
    };
    files
        .iter()
        .map(|add| (add.path.clone(), times(add)))
        .collect()
}

/// Of files that are new or gone and begin before `over`, their times on each of the days that they reach over: from the
/// first to just after the last one.
pub(super) fn touched(
    before: &Files,
    now: &Files,
    days: &BTreeSet<i32>,
    over: i64,
) -> Vec<Stretch> {
    let new = now.iter().filter(|(path, _)| !before.contains_key(*path));
    let gone = before.iter().filter(|(path, _)| !now.contains_key(*path));
    let mut touched = Vec::new();
    for (_, (first, last)) in new.chain(gone).filter(|(_, (first, _))| *first < over) {
        for day in days.range(day_of(*first)..=day_of((*last).max(*first))) {
            let begin = day_start(*day);
            touched.push((
                (*first).max(begin),
                last.saturating_add(1).min(begin + MICROS_PER_DAY),
            ));
        }
    }
    touched
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_or_went_is_touched() {
        let day = MICROS_PER_DAY;
        let files = |files: &[(&str, i64, i64)]| -> Files {
            files
                .iter()
                .map(|(path, first, last)| ((*path).to_owned(), (*first, *last)))
                .collect()
        };
        let before = files(&[("a", 10, 20), ("b", 30, 40), ("c", day, day + 5)]);
        let check = |now: &[(&str, i64, i64)], days: &[i32], over, expected: &[Stretch]| {
            assert_eq!(
                touched(&before, &files(now), &days.iter().copied().collect(), over),
                expected,
                "{now:?}"
            );
        };
        let [a, b, c] = [("a", 10, 20), ("b", 30, 40), ("c", day, day + 5)];
        check(&[a, b, c], &[0, 1], 2 * day, &[]);
        check(&[a, b, c, ("d", 50, 60)], &[0, 1], 2 * day, &[(50, 61)]);
        check(&[a, b, c, ("d", 50, 60)], &[0, 1], 50, &[]);
        check(
            &[("ab", 10, 40), c],
            &[0, 1],
            2 * day,
            &[(10, 41), (10, 21), (30, 41)],
        );
        check(&[("ab", 10, 40), c], &[1], 2 * day, &[]);
        check(&[a, b], &[0, 1], 2 * day, &[(day, day + 6)]);
        // Of a file that holds many days, those that have changed.
        check(
            &[a, b, c, ("long", 5, 9 * day)],
            &[2, 4],
            9 * day,
            &[(2 * day, 3 * day), (4 * day, 5 * day)],
        );
        check(&[a, b, c, ("long", 5, 9 * day)], &[10], 20 * day, &[]);
    }
}
