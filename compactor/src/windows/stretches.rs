//! Which stretches of event time a look at a site counts: those whose windows may want a row, and none between them.
//!
//! Invariant: what lies between two stretches is not read, so that one reading of long ago costs its own window. A stretch
//! is counted in pieces: what a look holds in memory is bounded by a piece's windows and devices, or by its readings.

use std::collections::BTreeSet;

use super::{
    Look, WINDOWS_SEEN, WindowsState,
    count::{Days, MICROS_PER_DAY, day_of, day_start},
    touched::touched,
};

/// From an event time to just before another, µs since 1970 UTC.
pub(crate) type Stretch = (i64, i64);

/// So many windows are counted at once, besides the [`WINDOWS_SEEN`] before them.
const PIECE_WINDOWS: i64 = 72;

/// And more of them where whole days hold no more readings than this: a query takes its time however little it counts, and a
/// count takes no more memory than its readings are many.
const PIECE_ROWS: i64 = 1_000_000;

/// The days whose windows may want a row: those that hold other readings than when they were last looked at.
pub(super) fn wanted_days(days: &Days, before: &WindowsState, over: i64) -> BTreeSet<i32> {
    let changed = days
        .iter()
        .filter(|(day, rows)| before.days.get(*day) != Some(*rows));
    changed
        .map(|(day, _)| *day)
        .filter(|day| day_start(*day) < over)
        .collect()
}

/// Which event times are to be counted: after a start, all of the days; then, what has changed since the last look, what it
/// left for later, and what has come to be over.
pub(super) fn to_count(days: &BTreeSet<i32>, last: Option<&Look>, look: &Look) -> Vec<Stretch> {
    let Some(last) = last else {
        return days
            .iter()
            .map(|day| (day_start(*day), day_start(*day) + MICROS_PER_DAY))
            .collect();
    };
    let mut stretches = touched(&last.files, &look.files, days, look.over);
    stretches.extend(&last.later);
    stretches.extend((last.over < look.over).then_some((last.over, look.over)));
    stretches
}

/// Where the readings of whole days from this one on come to more than [`PIECE_ROWS`].
pub(crate) fn dense_from(days: &Days, from: i64) -> i64 {
    let mut rows = 0_i64;
    let mut days = days.range(day_of(from)..);
    let dense = days.find(|(_, of_day)| {
        rows = rows.saturating_add(**of_day);
        rows > PIECE_ROWS
    });
    dense.map_or(i64::MAX, |(day, _)| day_start(*day))
}

/// Whole windows that end at `over` or before, in order and each in one piece. Stretches that are no further apart than a
/// window looks back become one: what is between them is read for their completeness anyhow.
pub(super) fn pieces(stretches: Vec<Stretch>, days: &Days, window: i64, over: i64) -> Vec<Stretch> {
    let whole = |(from, to): Stretch| {
        let end = to
            .saturating_add(window - 1)
            .div_euclid(window)
            .saturating_mul(window);
        (
            from.div_euclid(window).saturating_mul(window),
            end.min(over),
        )
    };
    let mut stretches: Vec<Stretch> = stretches
        .into_iter()
        .map(whole)
        .filter(|(from, to)| from < to)
        .collect();
    stretches.sort_unstable();
    let (seen, most) = (
        WINDOWS_SEEN.saturating_mul(window),
        PIECE_WINDOWS.saturating_mul(window),
    );
    let mut joined: Vec<Stretch> = Vec::new();
    for (from, to) in stretches {
        match joined.last_mut() {
            Some(last) if from <= last.1.saturating_add(seen) => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    let mut pieces = Vec::new();
    for (mut from, to) in joined {
        while from < to {
            let few = dense_from(days, from)
                .div_euclid(window)
                .saturating_mul(window);
            let end = from.saturating_add(most).max(few).min(to);
            pieces.push((from, end));
            from = end;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_windows_that_are_over_and_leave_out_what_lies_far_between() {
        let dense = Days::from([(-1, 2 * PIECE_ROWS), (0, 2 * PIECE_ROWS)]);
        let check = |stretches: &[Stretch], over, expected: &[Stretch], why: &str| {
            assert_eq!(
                pieces(stretches.to_vec(), &dense, 10, over),
                expected,
                "{why}"
            );
        };
        check(&[], 1_000, &[], "nothing has changed");
        check(&[(15, 16)], 1_000, &[(10, 20)], "the window of one reading");
        check(&[(15, 31)], 30, &[(10, 30)], "a window that is not over");
        check(&[(95, 96)], 90, &[], "none that is over");
        check(
            &[(5_001, 5_002), (15, 16)],
            9_000,
            &[(10, 20), (5_000, 5_010)],
            "years lie between",
        );
        check(
            &[(15, 16), (258, 261), (20, 30)],
            9_000,
            &[(10, 270)],
            "what is read for completeness anyhow",
        );
        check(
            &[(15, 16), (271, 272)],
            9_000,
            &[(10, 20), (270, 280)],
            "one window further",
        );
        check(
            &[(0, 1_445)],
            9_000,
            &[(0, 720), (720, 1_440), (1_440, 1_450)],
            "a long one",
        );
        check(
            &[(0, 100), (20, 30)],
            9_000,
            &[(0, 100)],
            "one within another",
        );
        check(&[(-15, -11)], 9_000, &[(-20, -10)], "before 1970");
    }

    #[test]
    fn days_with_few_readings_are_one_piece_and_dense_ones_end_it() {
        let (minute, day) = (60_000_000, MICROS_PER_DAY);
        let check = |days: &[(i32, i64)], expected: &[Stretch]| {
            let days = days.iter().copied().collect();
            assert_eq!(
                pieces(vec![(0, 4 * day)], &days, minute, 4 * day),
                expected,
                "{days:?}"
            );
        };
        check(&[(0, 96), (1, 96), (2, 96), (3, 96)], &[(0, 4 * day)]);
        check(
            &[(0, 96), (1, PIECE_ROWS), (2, 96), (3, 96)],
            &[(0, day), (day, 2 * day), (2 * day, 4 * day)],
        );
    }
}
