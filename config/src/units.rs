//! Durations such as `1h30m` and sizes such as `2GiB`.

use std::time::Duration;

const DURATION_UNITS: [(&str, f64); 10] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
    ("w", 604_800.0),
    // 365 days, whichever year it is.
    ("y", 31_536_000.0),
];

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

/// A duration, such as `250ms`, `10s`, `1h30m`, `30d`, `2y`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (number, unit, after) = split(rest)?;
        let (_, seconds) = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
        total += number * seconds;
        rest = after.trim_start();
    }
    if text.trim().is_empty() {
        None
    } else {
        Duration::try_from_secs_f64(total).ok()
    }
}

/// A size in bytes, such as `64KiB`, `1.5GB`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit, after) = split(text.trim())?;
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    let total = number * *bytes as f64;
    // 2⁵³ bytes are 8 PiB: beyond any disk, and the last whole number that is exact.
    (after.is_empty() && total.fract() == 0.0 && total <= 9e15).then_some(total as u64)
}

/// A duration as it is written: the largest units first, such as `1h30m`.
pub(crate) fn duration_text(duration: Duration) -> String {
    const PARTS: [(&str, u128); 7] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let mut nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, length) in PARTS {
        let count = nanos / length;
        nanos %= length;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

/// A size as it is written, in the largest unit of which it is a whole number.
pub(crate) fn size_text(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    let whole = UNITS
        .iter()
        .find(|(_, length)| bytes > 0 && bytes.is_multiple_of(*length));
    whole.map_or_else(
        || format!("{bytes}B"),
        |(unit, length)| format!("{}{unit}", bytes / length),
    )
}

/// A number, the letters behind it, and the rest.
fn split(text: &str) -> Option<(f64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(digits);
    let rest = rest.trim_start();
    let letters = rest
        .find(|c: char| !c.is_alphabetic())
        .unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    Some((number.parse().ok()?, unit, after))
}
