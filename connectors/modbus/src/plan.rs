//! Which requests read a set of tags: few, each within the limits, no value split over two.
//!
//! Tags of one unit and one period are polled together. A tag that is polled at a multiple of a shorter period is read along
//! with the tags of that one wherever it does not cost a request there: see [`carry`].
//!
//! Pure. A plan may turn out wrong only when the device refuses an address or is silent on it; then [`Read::split`] halves
//! the read, so that a wrong address ends up on its own after about log₂ of the number of tags.

mod carry;
mod forbidden;

use std::{collections::BTreeMap, fmt, time::Duration};

pub(crate) use self::forbidden::Forbidden;
use crate::{config::Tag, keys, unit::UnitId};

/// The four tables of a Modbus device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Register {
    /// Holding registers, function 3.
    Holding,
    /// Input registers, function 4.
    Input,
    /// Coils, function 1.
    Coil,
    /// Discrete inputs, function 2.
    Discrete,
}

impl Register {
    /// Whether its addresses name single bits.
    pub(crate) fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Discrete)
    }

    /// The function that reads it.
    pub(crate) fn function(self) -> u8 {
        match self {
            Self::Coil => 1,
            Self::Discrete => 2,
            Self::Holding => 3,
            Self::Input => 4,
        }
    }

    /// The address of what manuals call by a Modicon number: the table's digit, then five digits in all, from 1.
    pub(crate) fn offset_of_number(self, number: u16) -> Option<u16> {
        let first = match self {
            Self::Holding => 40_001,
            Self::Input => 30_001,
            Self::Discrete => 10_001,
            // Their numbers have no digit of their own.
            Self::Coil => return None,
        };
        number.checked_sub(first).filter(|offset| *offset < 9_999)
    }

    /// The table of a name in the configuration.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let words = keys::REGISTER.words().iter();
        let mut found = words.filter(|(word, _)| *word == name);
        found.next().map(|(_, register)| *register)
    }

    /// Its name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Holding => "holding",
            Self::Input => "input",
            Self::Coil => "coil",
            Self::Discrete => "discrete",
        }
    }
}

/// How large a read may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Registers that may be read over to make two reads one; as bits, sixteen times as many.
    pub(crate) gap_max: u16,
    /// Registers in one read, 1 to 125.
    pub(crate) registers_max: u16,
    /// Coils or discrete inputs in one read, 1 to 2000.
    pub(crate) coils_max: u16,
    /// Addresses that no read may touch.
    pub(crate) never: Forbidden,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            gap_max: keys::MAX_GAP.default(),
            registers_max: keys::MAX_REGISTERS.default(),
            coils_max: keys::MAX_COILS.default(),
            never: Forbidden::default(),
        }
    }
}

impl Limits {
    /// Addresses of this table that may be read over, and that may be read at once.
    fn of(&self, register: Register) -> (u32, u32) {
        if register.is_bits() {
            (u32::from(self.gap_max) * 16, u32::from(self.coils_max))
        } else {
            (u32::from(self.gap_max), u32::from(self.registers_max))
        }
    }

    /// Whether a read that covers `first..end` may go on to cover a point too.
    fn joins(&self, register: Register, first: u16, end: u32, point: &Point) -> bool {
        let (gap_max, count_max) = self.of(register);
        let gap = u32::from(point.first).saturating_sub(end);
        let together = end.max(point.end()) - u32::from(first);
        gap <= gap_max
            && together <= count_max
            && (gap == 0 || !self.never.is_between(register, end, point.first))
    }
}

/// Where a tag's value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    /// The tag's place in the configuration.
    pub(crate) tag: usize,
    pub(crate) first: u16,
    /// At least 1.
    pub(crate) count: u16,
    /// Its value is due at each so many polls of its group; at least 1.
    pub(crate) each: u32,
}

impl Point {
    /// The point of a tag.
    pub(crate) fn of(place: usize, tag: &Tag) -> Self {
        Self {
            tag: place,
            first: tag.address,
            count: tag.layout.addresses(),
            each: 1,
        }
    }

    /// The address behind it; up to 65536.
    pub(crate) fn end(&self) -> u32 {
        u32::from(self.first) + u32::from(self.count)
    }
}

/// One request, and the tags that it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) register: Register,
    pub(crate) first: u16,
    pub(crate) count: u16,
    /// In the order of their addresses, each within the read.
    pub(crate) points: Vec<Point>,
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.register.name(), self.first)?;
        match self.end() - 1 {
            last if last > u32::from(self.first) => write!(f, "..={last}"),
            _ => Ok(()),
        }
    }
}

impl Read {
    /// The read that just covers these points: at least one, the first of them with the lowest address, and together no
    /// longer than 65535.
    pub(crate) fn of(register: Register, points: Vec<Point>) -> Self {
        let first = points.first().map_or(0, |point| point.first);
        let end = points.iter().map(Point::end).max().unwrap_or(0);
        let count = u16::try_from(end.saturating_sub(u32::from(first))).unwrap_or(u16::MAX);
        Self {
            register,
            first,
            count,
            points,
        }
    }

    /// The address behind it; up to 65536.
    fn end(&self) -> u32 {
        u32::from(self.first) + u32::from(self.count)
    }

    /// Whether the two have an address in common.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.register == other.register
            && u32::from(self.first) < other.end()
            && u32::from(other.first) < self.end()
    }

    /// Two reads of the same points, cut where the most addresses lie unused, else nearest to the middle; none where all
    /// points have the same addresses.
    pub(crate) fn split(&self) -> Option<(Self, Self)> {
        let mut best: Option<(i64, usize, usize)> = None;
        let mut end = 0;
        for (place, pair) in self.points.windows(2).enumerate() {
            let [before, behind] = pair else { continue };
            end = end.max(i64::from(before.end()));
            if (before.first, before.count) == (behind.first, behind.count) {
                continue;
            }
            let gap = (i64::from(behind.first) - end).max(0);
            let cut = place + 1;
            let candidate = (gap, cut.min(self.points.len() - cut), cut);
            if best.is_none_or(|best| candidate > best) {
                best = Some(candidate);
            }
        }
        let (_, _, cut) = best?;
        let (before, behind) = self.points.split_at(cut);
        Some((
            Self::of(self.register, before.to_vec()),
            Self::of(self.register, behind.to_vec()),
        ))
    }
}

/// What is polled together: one unit, one period.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    pub(crate) unit: UnitId,
    pub(crate) every: Duration,
    pub(crate) reads: Vec<Read>,
}

/// The reads of all tags, by unit and period.
pub(crate) fn groups(tags: &[Tag], limits: &Limits) -> Vec<Group> {
    let mut points: BTreeMap<(UnitId, Register), BTreeMap<Duration, Vec<Point>>> = BTreeMap::new();
    for (place, tag) in tags.iter().enumerate() {
        let periods = points.entry((tag.unit, tag.register)).or_default();
        let same = periods.entry(tag.every).or_default();
        same.push(Point::of(place, tag));
    }
    let mut groups: BTreeMap<(UnitId, Duration), Vec<Read>> = BTreeMap::new();
    for ((unit, register), periods) in points {
        for (every, reads) in carry::plan_periods(register, periods, limits) {
            groups.entry((unit, every)).or_default().extend(reads);
        }
    }
    groups
        .into_iter()
        .map(|((unit, every), reads)| Group { unit, every, reads })
        .collect()
}

/// Few reads for these points of one table; each point must fit into one.
pub(crate) fn plan(register: Register, mut points: Vec<Point>, limits: &Limits) -> Vec<Read> {
    points.sort_by_key(|point| (point.first, point.count, point.tag));
    let mut reads = Vec::new();
    let mut run: Vec<Point> = Vec::new();
    let mut end = 0;
    for point in points {
        if let Some(first) = run.first()
            && !limits.joins(register, first.first, end, &point)
        {
            reads.push(Read::of(register, std::mem::take(&mut run)));
            end = 0;
        }
        end = end.max(point.end());
        run.push(point);
    }
    if !run.is_empty() {
        reads.push(Read::of(register, run));
    }
    reads
}

#[cfg(test)]
mod tests;
