//! Values within bounds.

use std::{ops::RangeInclusive, time::Duration};

use forebay_config::{Describe, Table};

pub(super) const MILLIS_10: Duration = Duration::from_millis(10);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// The value, if it is within the range; else that is noted.
pub(crate) fn within<T: PartialOrd + std::fmt::Display + Copy>(
    table: &Table<'_>,
    key: &dyn Describe,
    value: T,
    range: RangeInclusive<T>,
) -> Option<T> {
    if range.contains(&value) {
        return Some(value);
    }
    let (least, most) = (range.start(), range.end());
    table.problem(key, format!("{least} to {most} is expected, found {value}"));
    None
}

/// The same of a duration.
pub(crate) fn duration(
    table: &Table<'_>,
    key: &dyn Describe,
    value: Duration,
    range: RangeInclusive<Duration>,
) -> Option<Duration> {
    if range.contains(&value) {
        return Some(value);
    }
    let (least, most) = (range.start(), range.end());
    table.problem(
        key,
        format!("{least:?} to {most:?} is expected, found {value:?}"),
    );
    None
}
