//! A change in plain words.

use std::time::Duration;

use crate::Change;

/// A tag with less of a score than this is not named.
const NAMED_SHARE: f64 = 0.1;

/// So many tags are named.
const NAMED_MAX: usize = 3;

/// Such as "machine_temperature has fallen 4.2 robust deviations below its 14-day level".
pub(crate) fn reason(tag: &str, change: &Change, baseline: Duration) -> String {
    let (moved, side) = if change.score < 0.0 {
        ("fallen", "below")
    } else {
        ("risen", "above")
    };
    format!(
        "{tag} has {moved} {:.1} robust deviations {side} its {} level",
        change.score.abs(),
        period(baseline)
    )
}

/// Such as "8 tags together are 2.3 times as far from training as their limit; flow makes 62 % of it, temp 20 %".
pub(crate) fn departure(score: f64, tags: usize, shares: &[(&str, f64)]) -> String {
    let named: Vec<String> = shares
        .iter()
        .filter(|(_, share)| *share >= NAMED_SHARE)
        .take(NAMED_MAX)
        .enumerate()
        .map(|(i, (tag, share))| {
            let makes = if i == 0 { "makes " } else { "" };
            let of_it = if i == 0 { " of it" } else { "" };
            format!("{tag} {makes}{:.0} %{of_it}", 100.0 * share)
        })
        .collect();
    format!(
        "{tags} tags together are {score:.1} times as far from training as their limit; {}",
        named.join(", ")
    )
}

/// Such as "14-day", in the largest unit that fits twice, or exactly.
fn period(duration: Duration) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let seconds = duration.as_secs();
    for (unit, name) in UNITS {
        if seconds >= 2 * unit || seconds == unit {
            return format!("{}-{name}", (seconds + unit / 2) / unit);
        }
    }
    format!("{}-second", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reads_as_a_sentence() {
        let change = |score| Change {
            score,
            level: 0.0,
            baseline: 0.0,
            scale: 1.0,
        };
        let of = |seconds, score| reason("temp", &change(score), Duration::from_secs(seconds));
        assert_eq!(
            of(14 * 86_400, -4.21),
            "temp has fallen 4.2 robust deviations below its 14-day level"
        );
        assert_eq!(
            of(300, 5.0),
            "temp has risen 5.0 robust deviations above its 5-minute level"
        );
        assert_eq!(
            of(86_400, 5.0),
            "temp has risen 5.0 robust deviations above its 1-day level"
        );
        assert_eq!(
            of(90, 5.0),
            "temp has risen 5.0 robust deviations above its 90-second level"
        );
    }
    #[test]
    fn a_departure_names_its_largest_tags() {
        let shares = [("flow", 0.62), ("temp", 0.2), ("volt", 0.09)];
        assert_eq!(
            departure(2.34, 8, &shares),
            "8 tags together are 2.3 times as far from training as their limit; flow makes 62 % of it, temp 20 %"
        );
    }
}
