//! Durations such as `1h30m` and sizes such as `2GiB`.

use std::time::Duration;

const DURATION_UNITS: [(&str, f64); 8] =
    [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A duration, such as `250ms`, `10s`, `1h30m`, `30d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (number, unit, after) = split(rest)?;
        let (_, seconds) = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
        total += number * seconds;
        rest = after.trim_start();
    }
    if text.trim().is_empty() { None } else { Duration::try_from_secs_f64(total).ok() }
}

/// A size in bytes, such as `64KiB`, `1.5GB`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit, after) = split(text.trim())?;
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    let total = number * *bytes as f64;
    // 2⁵³ bytes are 8 PiB: beyond any disk, and the last whole number that is exact.
    (after.is_empty() && total.fract() == 0.0 && total <= 9e15).then_some(total as u64)
}

/// A number, the letters behind it, and the rest.
fn split(text: &str) -> Option<(f64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(digits);
    let rest = rest.trim_start();
    let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    Some((number.parse().ok()?, unit, after))
}
