//! Which stretch of time files have touched since they were last looked at.
//!
//! What a window holds cannot have changed while no file with times of it has come or gone. A merged file has come: what it
//! holds is counted once more each time that it is written, and not each time that a window is over.

use std::collections::{BTreeMap, BTreeSet};

use forebay_lake::{Add, LakeWriter};
use forebay_schemas::table::READINGS;

use super::count::{MICROS_PER_DAY, day_of, day_start};

/// First and last event time of each file of a site, µs since 1970 UTC, by its path.
pub(super) type Files = BTreeMap<String, (i64, i64)>;

/// The times of a site's files; what is known of some is not read again. One that does not say which times it holds may hold
/// its whole day.
pub(super) fn times(lake: &LakeWriter, files: &[(&Add, i32)], known: Option<&Files>) -> Files {
    let whole = |day: i32| (day_start(day), day_start(day) + MICROS_PER_DAY - 1);
    let times = |add: &Add, day: i32| {
        let known = known.and_then(|known| known.get(&add.path)).copied();
        known.or_else(|| lake.event_times(&READINGS, add)).unwrap_or(whole(day))
    };
    files.iter().map(|(add, day)| (add.path.clone(), times(add, *day))).collect()
}

/// From the first to the last event time before `over` of files that are new or gone and lie on one of the days.
pub(super) fn touched(before: &Files, now: &Files, days: &BTreeSet<i32>, over: i64) -> Option<(i64, i64)> {
    let new = now.iter().filter(|(path, _)| !before.contains_key(*path));
    let gone = before.iter().filter(|(path, _)| !now.contains_key(*path));
    new.chain(gone)
        .map(|(_, times)| *times)
        .filter(|(first, _)| *first < over && days.contains(&day_of(*first)))
        .reduce(hull)
}

/// From the earlier begin to the later end.
pub(super) fn hull(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    (a.0.min(b.0), a.1.max(b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_or_went_is_touched() {
        let day = MICROS_PER_DAY;
        let files = |files: &[(&str, i64, i64)]| -> Files {
            files.iter().map(|(path, first, last)| ((*path).to_owned(), (*first, *last))).collect()
        };
        let before = files(&[("a", 10, 20), ("b", 30, 40), ("c", day, day + 5)]);
        let check = |now: &[(&str, i64, i64)], days: &[i32], over, expected| {
            assert_eq!(touched(&before, &files(now), &days.iter().copied().collect(), over), expected, "{now:?}");
        };
        let [a, b, c] = [("a", 10, 20), ("b", 30, 40), ("c", day, day + 5)];
        check(&[a, b, c], &[0, 1], 2 * day, None);
        check(&[a, b, c, ("d", 50, 60)], &[0, 1], 2 * day, Some((50, 60)));
        check(&[a, b, c, ("d", 50, 60)], &[0, 1], 50, None);
        check(&[("ab", 10, 40), c], &[0, 1], 2 * day, Some((10, 40)));
        check(&[("ab", 10, 40), c], &[1], 2 * day, None);
        check(&[a, b], &[0, 1], 2 * day, Some((day, day + 5)));
    }
}
