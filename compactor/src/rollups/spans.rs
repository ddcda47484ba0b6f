//! Which stretches of time are rolled up, and how much of them at once. Pure.

use crate::windows::{Days, Stretch, dense_from};

/// The length of the longest level: what is read at once begins or ends with an hour, so that no row is of two reads.
const HOUR: i64 = 3_600_000_000;

/// So many hours are read at once, and more where they hold few readings: what is held in memory is bounded by their series and
/// minutes, or by their readings.
const CHUNK_HOURS: i64 = 6;

/// Whole stretches of a width, in order and apart, that hold a time of these and end at `over` or before.
pub(super) fn whole(changed: &[Stretch], width: i64, over: i64) -> Vec<Stretch> {
    let floor = |time: i64| time.div_euclid(width).saturating_mul(width);
    let over = floor(over);
    let whole = changed.iter().map(|(from, to)| {
        let end = floor(to.saturating_add(width - 1));
        (floor(*from), end.min(over))
    });
    joined(whole.filter(|(from, to)| from < to))
}

/// The same times as stretches in order and apart.
pub(super) fn joined(spans: impl Iterator<Item = Stretch>) -> Vec<Stretch> {
    let mut spans: Vec<Stretch> = spans.collect();
    spans.sort_unstable();
    let mut joined: Vec<Stretch> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// What of stretches lies within one.
pub(super) fn overlap(spans: &[Stretch], (from, to): Stretch) -> Vec<Stretch> {
    let within = spans.iter().map(|span| (span.0.max(from), span.1.min(to)));
    within.filter(|(from, to)| from < to).collect()
}

/// The stretches cut into parts that are read at once.
pub(super) fn chunks(spans: &[Stretch], days: &Days) -> Vec<Stretch> {
    let hour = |time: i64| time.div_euclid(HOUR).saturating_mul(HOUR);
    let mut chunks = Vec::new();
    for (mut from, to) in spans.iter().copied() {
        while from < to {
            let most = hour(from).saturating_add(CHUNK_HOURS * HOUR);
            let end = most.max(hour(dense_from(days, from))).min(to);
            chunks.push((from, end));
            from = end;
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * HOUR;
    const MINUTE: i64 = 60_000_000;

    #[test]
    fn whole_stretches_hold_what_has_changed_and_are_over() {
        let check = |changed: &[Stretch], over: i64, expected: &[Stretch]| {
            assert_eq!(
                whole(changed, 10, over),
                expected,
                "{changed:?} up to {over}"
            );
        };
        check(&[], 100, &[]);
        check(&[(15, 16)], 100, &[(10, 20)]);
        check(&[(10, 20)], 100, &[(10, 20)]);
        check(&[(15, 16)], 19, &[]);
        check(&[(15, 31)], 39, &[(10, 30)]);
        check(
            &[(31, 32), (15, 16), (20, 21), (55, 56)],
            100,
            &[(10, 40), (50, 60)],
        );
        check(&[(-5, -4)], 0, &[(-10, 0)]);
    }

    #[test]
    fn chunks_cut_no_hour_and_are_long_where_there_is_little() {
        let check = |span: Stretch, days: &[(i32, i64)], expected: &[Stretch]| {
            let days = days.iter().copied().collect();
            assert_eq!(chunks(&[span], &days), expected, "{span:?}");
        };
        let dense = [(0, 2_000_000), (1, 2_000_000)];
        check(
            (0, 8 * HOUR),
            &dense,
            &[(0, 6 * HOUR), (6 * HOUR, 8 * HOUR)],
        );
        check(
            (59 * MINUTE, 7 * HOUR),
            &dense,
            &[(59 * MINUTE, 6 * HOUR), (6 * HOUR, 7 * HOUR)],
        );
        check((0, 30 * DAY), &[(0, 10), (29, 10)], &[(0, 30 * DAY)]);
        check(
            (0, 3 * DAY),
            &[(0, 10), (1, 10), (2, 2_000_000)],
            &[
                (0, 2 * DAY),
                (2 * DAY, 2 * DAY + 6 * HOUR),
                (2 * DAY + 6 * HOUR, 2 * DAY + 12 * HOUR),
                (2 * DAY + 12 * HOUR, 2 * DAY + 18 * HOUR),
                (2 * DAY + 18 * HOUR, 3 * DAY),
            ],
        );
    }

    #[test]
    fn what_lies_within_a_chunk_is_cut_at_its_ends() {
        let spans = [(0, 10), (20, 30), (40, 50)];
        assert_eq!(overlap(&spans, (5, 45)), [(5, 10), (20, 30), (40, 45)]);
        assert!(overlap(&spans, (10, 20)).is_empty());
    }
}
