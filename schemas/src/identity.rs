//! The identity of a reading: (gateway, lane, epoch, seq), for ever.
//!
//! A lane is one ordered stream of a gateway. An epoch begins at each opening of its spool; within it,
//! seq counts up by one per reading, from 1.

use std::fmt;

use crate::GatewayId;

/// Number of a lane within its gateway, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u32);

impl Lane {
    /// The lane of imports, which have no spool.
    pub const IMPORT: Lane = Lane(i32::MAX as u32);
}

/// One opening of a lane's spool. Ascends within a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// Random number of one opening of a spool, beside the epoch that it began: two copies of one data folder that happen to
/// choose the same epoch are told apart by it (E3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochNonce(pub u64);

impl EpochNonce {
    /// Of records that name none.
    pub const UNKNOWN: EpochNonce = EpochNonce(0);
}

/// Place of a reading within its epoch, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The seq of an epoch's first reading.
    pub const FIRST: Seq = Seq(1);

    /// The seq `count` places on; `None` past the end of the numbers.
    pub fn checked_add(self, count: u64) -> Option<Seq> {
        self.0.checked_add(count).map(Seq)
    }
}

/// One ordered stream of one gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId {
    /// The gateway that numbers the readings.
    pub gateway: GatewayId,
    /// Its lane.
    pub lane: Lane,
}

/// The identity of one reading.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadingId {
    /// Where it was numbered.
    pub lane: LaneId,
    /// In which opening of the spool.
    pub epoch: Epoch,
    /// Its number there.
    pub seq: Seq,
}

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_number!(Lane, Epoch, Seq);

impl fmt::Display for EpochNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for ReadingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}/{}",
            self.lane.gateway, self.lane.lane, self.epoch, self.seq
        )
    }
}
