//! The ledger: how many readings a lane's spool has received, by device and event time (E12).
//!
//! Invariants: every reading within `covered` is counted in `received` once, and nothing else is; each that was given up for want
//! of room is counted in `expired`, too, and lies within `dropped`. Where the ledger grows past its [`Bounds`], hours are
//! joined into days and days into one count a device, the oldest first: the sums stay exact. What cannot be counted is
//! not covered, so that nothing false is claimed of it.

mod census;
mod codec;
mod ranges;
mod tally;
#[cfg(test)]
mod tests;

pub use self::{
    census::Census,
    ranges::SeqRanges,
    tally::{Resolution, Span, Tally},
};
use crate::LaneId;

/// How large a ledger may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most counts of one device in one hour.
    pub hours: usize,
    /// Most counts of one device in one day.
    pub days: usize,
    /// Most devices.
    pub devices: usize,
    /// Most ranges of seqs.
    pub ranges: usize,
}

impl Bounds {
    /// What spools keep: the last 11 days by hours and 262 by days of 1,000 devices; about 2 MB.
    pub const SPOOL: Bounds = Bounds {
        hours: 1 << 18,
        days: 1 << 18,
        devices: 1 << 18,
        ranges: 1 << 16,
    };
}

/// What became of readings that leave the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They were committed or published.
    Taken,
    /// They were given up for want of room.
    Expired,
}

/// What a ledger had to give up to stay within its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounded {
    /// At most detail: the sums are what they were.
    Kept,
    /// Everything: too many devices, or ranges of seqs.
    BegunAnew,
}

/// What a lane's spool has received, of the readings that have left it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// How finely event times are told apart.
    pub resolution: Resolution,
    /// All that were received.
    pub received: Tally,
    /// Those among them that were given up.
    pub expired: Tally,
    /// Which readings are counted.
    pub covered: SeqRanges,
    /// Which of them were given up.
    pub dropped: SeqRanges,
}

impl Ledger {
    /// Counts the readings of a record.
    pub fn count(&mut self, record: &Census, fate: Fate) {
        let (epoch, first, last) = (record.epoch.0, record.first_seq.0, record.last_seq().0);
        self.covered.add(epoch, first, last);
        record.add_to(&mut self.received, self.resolution);
        if fate == Fate::Expired {
            self.dropped.add(epoch, first, last);
            record.add_to(&mut self.expired, self.resolution);
        }
    }

    /// Gives up detail, the oldest first, until the bounds hold. Folds more than it must, so that it need not at each count.
    pub fn bound(&mut self, bounds: &Bounds) -> Bounded {
        if self.received.len() > bounds.devices
            || self.covered.len() + self.dropped.len() > bounds.ranges
        {
            *self = Self::default();
            return Bounded::BegunAnew;
        }
        let mut resolution = self.resolution;
        if let Some(day) = self.received.day_to_keep(bounds.hours, Span::hour_day) {
            resolution.hours_from = resolution.hours_from.max(day);
            self.fold(resolution);
        }
        if let Some(day) = self.received.day_to_keep(bounds.days, Span::whole_day) {
            resolution.days_from = resolution.days_from.max(day);
            resolution.hours_from = resolution.hours_from.max(day);
            self.fold(resolution);
        }
        Bounded::Kept
    }

    fn fold(&mut self, resolution: Resolution) {
        self.resolution = resolution;
        self.received.fold(resolution);
        self.expired.fold(resolution);
    }

    /// The ledger's bytes, in version 1 of their layout.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The ledger in its bytes; `None` if they are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        codec::decode(bytes)
    }
}

/// What a lane's spool says of all that it received: what has left it and what is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneLedger {
    /// The lane.
    pub lane: LaneId,
    /// All readings that were received.
    pub ledger: Ledger,
    /// Those among them that wait in the spool.
    pub waiting: Tally,
    /// Which these are.
    pub waiting_seqs: SeqRanges,
    /// Whether what has left the spool may still be on its way to the lake.
    pub behind: Behind,
}

/// What lies behind a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// The lake: the spool forgets what is committed.
    Lake,
    /// A stream: the spool forgets what is published.
    Stream,
}
