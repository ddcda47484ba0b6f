//! Counts by device and event time.

use std::collections::BTreeMap;

const HOURS_PER_DAY: i32 = 24;
/// When a bound is passed, this much of it is kept.
const KEPT_OF_BOUND: (usize, usize) = (3, 4);

/// A stretch of event time whose readings are counted together. Earlier ones are less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    /// All time before the first day that is told apart.
    Older,
    /// A UTC day, counted from 1970-01-01.
    Day(i32),
    /// A UTC hour, counted from 1970-01-01T00:00.
    Hour(i32),
}

impl Span {
    /// The day of an hour.
    pub(super) fn hour_day(self) -> Option<i32> {
        match self {
            Self::Hour(hour) => Some(hour.div_euclid(HOURS_PER_DAY)),
            Self::Older | Self::Day(_) => None,
        }
    }

    /// The day that this is.
    pub(super) fn whole_day(self) -> Option<i32> {
        match self {
            Self::Day(day) => Some(day),
            Self::Older | Self::Hour(_) => None,
        }
    }
}

/// How finely event times are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// The first day that is told apart from those before.
    pub days_from: i32,
    /// The first day whose hours are told apart.
    pub hours_from: i32,
}

impl Default for Resolution {
    /// The finest.
    fn default() -> Self {
        Self {
            days_from: i32::MIN,
            hours_from: i32::MIN,
        }
    }
}

impl Resolution {
    /// In which span the readings of an hour are counted.
    pub fn span(self, hour: i32) -> Span {
        let day = hour.div_euclid(HOURS_PER_DAY);
        match (day >= self.hours_from, day >= self.days_from) {
            (true, _) => Span::Hour(hour),
            (false, true) => Span::Day(day),
            (false, false) => Span::Older,
        }
    }

    /// In which span those of a finer one are counted.
    fn coarser(self, span: Span) -> Span {
        match span {
            Span::Older => Span::Older,
            Span::Day(day) if day >= self.days_from => span,
            Span::Day(_) => Span::Older,
            Span::Hour(hour) => self.span(hour),
        }
    }
}

/// How many readings each device has in each span.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Spans in ascending order, none twice.
    devices: BTreeMap<String, Vec<(Span, u64)>>,
}

impl Tally {
    /// Adds to a count.
    pub fn add(&mut self, device: &str, span: Span, count: u64) {
        match self.devices.get_mut(device) {
            Some(spans) => add(spans, span, count),
            None => drop(self.devices.insert(device.to_owned(), vec![(span, count)])),
        }
    }

    /// Adds all counts of another one, told apart as coarsely as `resolution` says.
    pub fn add_all(&mut self, other: &Tally, resolution: Resolution) {
        for (device, spans) in other.iter() {
            spans
                .iter()
                .for_each(|(span, count)| self.add(device, resolution.coarser(*span), *count));
        }
    }

    /// A device's count.
    pub fn at(&self, device: &str, span: Span) -> u64 {
        let Some(spans) = self.devices.get(device) else {
            return 0;
        };
        spans
            .binary_search_by_key(&span, |(at, _)| *at)
            .map_or(0, |at| spans[at].1)
    }

    /// Each device with its counts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[(Span, u64)])> {
        self.devices
            .iter()
            .map(|(device, spans)| (device.as_str(), spans.as_slice()))
    }

    /// How many devices there are.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// All readings.
    pub fn total(&self) -> u64 {
        self.devices
            .values()
            .flatten()
            .map(|(_, count)| count)
            .sum()
    }

    pub(super) fn insert(&mut self, device: String, spans: Vec<(Span, u64)>) {
        self.devices.insert(device, spans);
    }

    /// Joins what `resolution` does not tell apart.
    pub(super) fn fold(&mut self, resolution: Resolution) {
        for spans in self.devices.values_mut() {
            for (span, count) in std::mem::take(spans) {
                add(spans, resolution.coarser(span), count);
            }
        }
    }

    /// Where more than `bound` spans have a day of this kind: the first day that may stay as it is.
    pub(super) fn day_to_keep(
        &self,
        bound: usize,
        day_of: impl Fn(Span) -> Option<i32>,
    ) -> Option<i32> {
        let all = || {
            self.devices
                .values()
                .flatten()
                .filter_map(|(span, _)| day_of(*span))
        };
        let mut left = all().count();
        if left <= bound {
            return None;
        }
        let mut days: BTreeMap<i32, usize> = BTreeMap::new();
        all().for_each(|day| *days.entry(day).or_default() += 1);
        let (kept, of) = KEPT_OF_BOUND;
        for (day, count) in days {
            left -= count;
            if left <= bound / of * kept {
                return Some(day + 1);
            }
        }
        None
    }
}

fn add(spans: &mut Vec<(Span, u64)>, span: Span, count: u64) {
    // Time goes on: mostly it is the last one.
    match spans.last_mut() {
        Some((last, counted)) if *last == span => *counted += count,
        Some((last, _)) if *last > span => match spans.binary_search_by_key(&span, |(at, _)| *at) {
            Ok(at) => spans[at].1 += count,
            Err(at) => spans.insert(at, (span, count)),
        },
        _ => spans.push((span, count)),
    }
}
