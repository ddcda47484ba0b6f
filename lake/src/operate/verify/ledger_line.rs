//! What a report says of a lane's ledger.

use std::fmt;

/// The sums of a lane's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerLine {
    /// The ledger was at hand.
    Compared {
        /// Gateway and lane.
        lane: (String, u32),
        /// What became of what was received.
        sums: LedgerSums,
    },
    /// It was not: the gateway's data folder is on another machine.
    NotCompared {
        /// Gateway and lane.
        lane: (String, u32),
    },
    /// The lane's spool was at hand, and could not be read.
    Unreadable {
        /// Gateway and lane.
        lane: (String, u32),
        /// Why.
        why: String,
    },
}

impl LedgerLine {
    /// Gateway and lane.
    pub fn lane(&self) -> &(String, u32) {
        match self {
            Self::Compared { lane, .. }
            | Self::NotCompared { lane }
            | Self::Unreadable { lane, .. } => lane,
        }
    }
}

/// What became of the readings that a lane's spool received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerSums {
    /// All of them.
    pub received: u64,
    /// In `readings`.
    pub committed: u64,
    /// In `quarantine`.
    pub quarantined: u64,
    /// Given up and named as a gap, or committed and deleted by retention.
    pub expired: u64,
    /// In the spool, or in the stream behind it.
    pub pending: u64,
    /// Nowhere.
    pub missing: u64,
}

impl fmt::Display for LedgerLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compared {
                lane: (gateway, lane),
                sums,
            } => {
                let LedgerSums {
                    received,
                    committed,
                    quarantined,
                    expired,
                    pending,
                    missing,
                } = sums;
                write!(
                    f,
                    "ledger gateway={gateway} lane={lane} received={received} committed={committed} \
                     quarantined={quarantined} expired={expired} pending={pending} missing={missing}"
                )
            }
            Self::NotCompared {
                lane: (gateway, lane),
            } => {
                write!(
                    f,
                    "ledger gateway={gateway} lane={lane} not compared: the gateway's data folder is not here"
                )
            }
            Self::Unreadable {
                lane: (gateway, lane),
                why,
            } => {
                write!(
                    f,
                    "ledger gateway={gateway} lane={lane} not compared: {why}"
                )
            }
        }
    }
}
