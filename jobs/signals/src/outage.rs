//! Power loss told from communication loss, by the silence of a feeder's meters.
//!
//! A meter without power is silent; so is one that cannot be reached. Two things tell them apart. A last gasp is what a
//! meter sends with its last charge when its supply fails (IEEE 1366 counts interruptions; how meters report them is their maker's):
//! one from a meter that then is silent proves a power loss. Without last gasps the neighbours decide: a power loss
//! stops (nearly) a whole feeder and leaves the others, a communication loss does not follow feeders.
//!
//! Times are counted in steps of equal length. Silence is held against each meter's own usual interval.

use crate::order::median;

/// What was heard of one meter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Meter {
    /// The steps in which it was heard, ascending.
    pub heard: Vec<i64>,
    /// The steps in which it sent a last gasp, ascending.
    pub gasps: Vec<i64>,
}

/// What stopped the meters of a feeder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LossKind {
    /// They had no power.
    Power,
    /// They could not be reached.
    Communication,
}

impl LossKind {
    /// As `events.kind` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Power => "power_loss",
            Self::Communication => "communication_loss",
        }
    }
}

/// Meters of a feeder that fell silent together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// What stopped them.
    pub kind: LossKind,
    /// The step in which it began: the first last gasp, else the one after the last that any of them was heard in.
    pub from: i64,
    /// The step in which half of them were heard again; `None` while it goes on.
    pub to: Option<i64>,
    /// The step from which on all of this was known.
    pub known_at: i64,
    /// How many meters.
    pub meters: usize,
    /// How many of them sent a last gasp.
    pub gasps: usize,
    /// Which share of the feeder's meters.
    pub share: f64,
}

/// How losses are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossModel {
    /// A meter is silent after this many of its usual intervals.
    pub silent_intervals: f64,
    /// Fewest meters that make an event (all of a feeder that has fewer).
    pub meters_min: usize,
    /// Least share of a feeder's meters that makes an event.
    pub share_min: f64,
    /// How a power loss is known.
    pub evidence: Evidence,
}

/// How a power loss is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Evidence {
    /// At least this share of the silent meters, and one at least, sent a last gasp.
    LastGasps(f64),
    /// At least this share of the feeder is silent, and of the other feeders at most what this leaves.
    Neighbours(f64),
}

/// One meter in so many may have been heard after a last gasp that counts.
const STRAY: usize = 10;

/// One meter's silence, in steps.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Silence {
    meter: usize,
    /// The last step in which it was heard.
    last: i64,
    /// The next one; `None` while it goes on.
    next: Option<i64>,
    /// Its usual interval.
    interval: f64,
    gasp: Option<i64>,
}

impl LossModel {
    /// The losses of a feeder, oldest first, that are known before the step `end`. `others` are the meters of the other
    /// feeders.
    pub fn losses(&self, feeder: &[Meter], others: &[Meter], end: i64) -> Vec<Loss> {
        let mut silences = self.silences(feeder, end);
        silences.sort_by_key(|silence| (silence.last, silence.meter));
        let elsewhere = match self.evidence {
            Evidence::LastGasps(_) => Vec::new(),
            Evidence::Neighbours(_) => self.silences(others, end),
        };
        let mut losses = Vec::new();
        let mut rest = silences.as_slice();
        while let Some(first) = rest.first() {
            let together = first.last + self.together(rest);
            let count = rest.partition_point(|silence| silence.last <= together);
            let (group, later) = rest.split_at(count);
            rest = later;
            losses.extend(self.loss(group, feeder.len(), &elsewhere, others.len(), end));
        }
        losses
    }

    /// How far apart the beginnings of one loss may lie: meters are heard at different times of their interval, and one
    /// reading may have been missing.
    fn together(&self, silences: &[Silence]) -> i64 {
        let mut intervals: Vec<f64> = silences.iter().map(|silence| silence.interval).collect();
        (2.0 * median(&mut intervals)).ceil() as i64
    }

    fn silences(&self, meters: &[Meter], end: i64) -> Vec<Silence> {
        let mut silences = Vec::new();
        for (meter, of) in meters.iter().enumerate() {
            let Some(interval) = usual_interval(&of.heard) else {
                continue;
            };
            let longest = self.silent_intervals * interval;
            let nexts = of.heard.iter().skip(1).copied().map(Some).chain([None]);
            for (last, next) in of.heard.iter().copied().zip(nexts) {
                if (next.unwrap_or(end) - last) as f64 <= longest {
                    continue;
                }
                let until = last + (2.0 * interval).ceil() as i64;
                let gasp = of
                    .gasps
                    .iter()
                    .copied()
                    .find(|gasp| (last..=until).contains(gasp));
                silences.push(Silence {
                    meter,
                    last,
                    next,
                    interval,
                    gasp,
                });
            }
        }
        silences
    }

    fn loss(
        &self,
        group: &[Silence],
        of_feeder: usize,
        elsewhere: &[Silence],
        others: usize,
        end: i64,
    ) -> Option<Loss> {
        let first = group.first()?;
        let share = group.len() as f64 / of_feeder.max(1) as f64;
        if group.len() < self.meters_min.min(of_feeder) || share < self.share_min {
            return None;
        }
        let widest = group.iter().map(|of| of.interval).fold(0.0, f64::max);
        let settling = (self.silent_intervals * widest).ceil() as i64 + 1;
        let known_at = first.last + self.together(group) + settling;
        if known_at > end {
            return None;
        }
        // A gasp after which others of the group were heard is of another cause.
        let is_of_group = |gasp: &i64| {
            let heard_after = group.iter().filter(|silence| silence.last > *gasp).count();
            STRAY * heard_after <= group.len()
        };
        let of_group: Vec<i64> = group
            .iter()
            .filter_map(|silence| silence.gasp.filter(is_of_group))
            .collect();
        let gasps = of_group.len();
        let is_power = match self.evidence {
            Evidence::LastGasps(least) => {
                let least = (least * group.len() as f64).max(1.0);
                gasps as f64 >= least
            }
            Evidence::Neighbours(least) => {
                let same_time = elsewhere
                    .iter()
                    .filter(|other| (other.last - first.last).abs() <= self.together(group));
                let share_elsewhere = same_time.count() as f64 / others.max(1) as f64;
                others > 0 && share >= least && share_elsewhere <= 1.0 - least
            }
        };
        let began = of_group.iter().copied().min();
        let last = group.iter().map(|silence| silence.last).max();
        Some(Loss {
            kind: match is_power {
                true => LossKind::Power,
                false => LossKind::Communication,
            },
            from: began.or(last.map(|last| last + 1))?,
            to: half_back(group),
            known_at,
            meters: group.len(),
            gasps,
            share,
        })
    }
}

/// The median interval between the steps in which a meter was heard; `None` of fewer than three.
fn usual_interval(heard: &[i64]) -> Option<f64> {
    let mut intervals: Vec<f64> = heard
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64)
        .collect();
    (intervals.len() >= 2).then(|| median(&mut intervals))
}

/// The step in which half of the meters, rounded up, were back.
fn half_back(group: &[Silence]) -> Option<i64> {
    let mut nexts: Vec<i64> = group.iter().filter_map(|silence| silence.next).collect();
    nexts.sort_unstable();
    nexts.get(group.len().div_ceil(2) - 1).copied()
}

#[cfg(test)]
mod tests;
